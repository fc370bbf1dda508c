"""The five laws that every operation keeps in every format; each check returns how many values it compared.

Tests only. Runs an operation through the engine as a user would and compares with `reference`.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

import fpsim as fp
from fpsim.autograd import engine
from fpsim.autograd.op import OPS
from fpsim.errors import FpsimError
from tests.ops import reference
from tests.ops.cases import CASES, FORMATS, Case, draw, precisions, samples
from tests.oracles import rational
from tests.oracles.bits import same

Array = np.ndarray


def generator(*names: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32("/".join(names).encode()))


# Running an operation ------------------------------------------------------------------------------------------------


def source_of(name: str, precision: fp.Precision) -> fp.Precision:
    """The precision of an operation's inputs: its own; a cast comes from float64."""
    return fp.Precision("float64") if name == "cast" else precision


def run(name: str, arrays: list[Array | None], metadata: dict[str, Any], precision: fp.Precision, graph: bool = False):
    """The operation's result on arrays that lie on the grid, and the tensors it took."""
    source = source_of(name, precision)
    tensors = [None if a is None else fp.Tensor(a.astype(source.storage.carrier, order="K"), source) for a in arrays]
    for argument in differentiable(name, arrays) if graph else ():
        tensors[argument].requires_grad = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = engine.cast(tensors[0], precision) if name == "cast" else OPS[name](*tensors, **metadata)
    assert out.precision == precision
    return out, tensors


def differentiable(name: str, arrays: list[Array | None]) -> list[int]:
    """The arguments that get a gradient."""
    return [i for i, a in enumerate(arrays) if a is not None and OPS[name].vjp_of(i) is not None]


def run_backward(name: str, arrays, metadata, precision, g) -> tuple[Array, dict[int, Array]]:
    """The result and each argument's gradient for the upstream gradient `g`."""
    out, tensors = run(name, arrays, metadata, precision, graph=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out.backward(g)
    return out._data, {i: tensors[i].grad._data for i in differentiable(name, arrays)}


def gradient_precision(name: str, precision: fp.Precision) -> fp.Precision:
    return source_of(name, precision).gradient


# Comparing -----------------------------------------------------------------------------------------------------------


def assert_between(actual: Array, expected: tuple[Array, Array], what: str) -> int:
    """Bit for bit where the law leaves no choice; returns the number of values."""
    low, high = expected
    assert actual.shape == low.shape, f"{what}: shape {actual.shape}, expected {low.shape}"
    with np.errstate(invalid="ignore"):
        good = same(actual, low) | same(actual, high) | ((low < actual) & (actual < high))
    if not good.all():
        first = tuple(np.argwhere(~np.atleast_1d(good))[0]) if actual.ndim else ()
        got, want = (float(a[first] if actual.ndim else a) for a in (actual, low))
        raise AssertionError(f"{what}: {(~good).sum()} of {good.size} differ; at {first} {got!r}, expected {want!r}")
    return actual.size


def lawful(expected: Callable[[], Any], actual: Callable[[], Any]) -> tuple[Any, Any] | None:
    """Both answers; None where the law has none (a NaN in a format without) and a typed error says so."""
    try:
        wanted = expected()
    except ValueError:
        try:
            got = actual()
        except FpsimError:
            return None
        raise AssertionError(f"expected a typed error for a NaN that the format lacks, got {got}") from None
    return wanted, actual()


def compare_forward(name: str, arrays, metadata, precision, what: str) -> int:
    answers = lawful(
        lambda: reference.forward(name, arrays, metadata, precision),
        lambda: run(name, arrays, metadata, precision)[0]._data,
    )
    return 1 if answers is None else assert_between(answers[1], answers[0], what)


def compare_gradients(name: str, arrays, metadata, precision, g, what: str) -> int:
    """Every argument's gradient; `g` lies on the grid of the result's gradient."""

    def expected():
        target = gradient_precision(name, precision)
        return {
            i: reference.gradient(name, i, g, forward, arrays, metadata, precision, target)
            for i in differentiable(name, arrays)
        }

    try:
        forward = np.asarray(run(name, arrays, metadata, precision)[0]._data, np.float64)
    except FpsimError:
        return 0  # the forward check sees to it
    answers = lawful(expected, lambda: run_backward(name, arrays, metadata, precision, g)[1])
    if answers is None:
        return 1
    return sum(assert_between(answers[1][i], want, f"{what}, vjp {i}") for i, want in answers[0].items())


def spelt(precision: fp.Precision, metadata: dict[str, Any]) -> str:
    return f"{precision!r} {metadata}" if metadata else repr(precision)


def upstream(rng, name, case: Case, arrays, precision, values="ordinary") -> Array | None:
    """An upstream gradient for the case; None where its forward pass is refused."""
    try:
        shape = run(name, arrays, case.metadata, precision)[0].shape
    except FpsimError:
        return None
    return draw(rng, shape, precision.gradient.storage.name, values)


def two_of(precisions: list[fp.Precision], i: int) -> list[fp.Precision]:
    """For case i two of the precisions: over the cases every one has its turn."""
    return [precisions[i % len(precisions)], precisions[(i + 2) % len(precisions)]]


# Rounded once --------------------------------------------------------------------------------------------------------

MODES_AND_SATURATION = [*((mode, False) for mode in rational.MODES), ("nearest_even", True)]


def rounded_once(name: str, fmt: str) -> int:
    """The result is the exactly rounded formula (for sums: of the oracle's accumulator), in every mode."""
    rng = generator("forward", name, fmt)
    count = 0
    for i, case in enumerate(CASES[name]):
        for precision in two_of(precisions(fmt), i):
            arrays = case.draw(rng, source_of(name, precision).storage.name)
            what = f"{case.shapes} {spelt(precision, case.metadata)}"
            count += compare_forward(name, arrays, case.metadata, precision, what)
    if name in reference.FORWARD:
        count += elementary_in_every_mode(name, fmt, rng)
    if name in SINGLE_FUNCTIONS and fmt in ("float16", "bfloat16"):
        count += compare_forward(name, [some_of_all(fmt)], {}, fp.Precision(fmt), "some of all numbers")
    return count


SINGLE_FUNCTIONS = ("exp", "log", "sqrt", "tanh", "sigmoid", "gelu")


def some_of_all(fmt: str) -> Array:
    """Of a 16-bit format both ends, every third subnormal number and every thirtieth other."""
    values = np.array(fp.all_values(fmt), np.float64)
    tiny = np.abs(values) < fp.Format(fmt).smallest_normal
    return np.concatenate([values[:9], values[-9:], values[tiny][::3], values[~tiny][::30]])


def elementary_in_every_mode(name: str, fmt: str, rng) -> int:
    """Flat arrays of wild numbers: all numbers of a format of at most 8 bits for one argument, all pairs for two."""
    arguments = len(CASES[name][0].shapes)
    source = source_of(name, fp.Precision(fmt)).storage
    arrays = samples(rng, source.name, arguments, 40)
    if name == "cast":
        arrays = [np.concatenate([arrays[0], *(draw(rng, (60,), fmt, "wild") * s for s in (1.0, 1 + 2.0**-20, 0.75))])]
    metadata = {"n": 3} if name == "power_integer" else {}
    if name != "cast" and fp.Format(fmt).bits <= 8:
        values = np.array(fp.all_values(fmt), np.float64)
        if arguments == 1:
            arrays = [values]
        elif name in ALL_PAIRS:
            return pairs_in_every_mode(name, fmt, values)
    keep = [i for i, one in enumerate(zip(*arrays, strict=True)) if is_lawful(name, one, metadata, fmt)]
    arrays = [a[keep] for a in arrays]
    count = 0
    for mode, saturate in MODES_AND_SATURATION:
        precision = fp.Precision(fmt, rounding=mode, saturate=saturate)
        count += compare_forward(name, arrays, metadata, precision, spelt(precision, metadata))
    return count


def is_lawful(name: str, numbers, metadata, fmt: str) -> bool:
    """Whether the format has the result (FP6 and FP4 have no NaN)."""
    if rational.grid(fmt).has_nan:
        return True
    value = reference.exact(reference.FORWARD[name], *map(float, numbers), *map(float, metadata.values()))
    return value == value


ALL_PAIRS = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide}


def pairs_in_every_mode(name: str, fmt: str, values: Array) -> int:
    """All pairs of a format of at most 8 bits to nearest even, some of them in the other modes.

    Float64 tells their exact results apart, so the oracle rounds each result once, not each pair.
    """
    x, y = (a.ravel() for a in np.meshgrid(values, values, indexing="ij"))
    with np.errstate(all="ignore"):
        key = ALL_PAIRS[name](x, y)
    if not rational.grid(fmt).has_nan:
        x, y, key = (a[~np.isnan(key)] for a in (x, y, key))
    bits = key.view(np.int64).copy()
    bits[(key == 0) & (np.signbit(x) != np.signbit(y if name != "subtract" else -y))] ^= 1  # zeros of either origin
    _, first, back = np.unique(bits, return_index=True, return_inverse=True)
    count = 0
    for mode, saturate in MODES_AND_SATURATION:
        precision = fp.Precision(fmt, rounding=mode, saturate=saturate)
        if (mode, saturate) != ("nearest_even", False):
            some = first[:: max(len(first) // 200, 1)]
            count += compare_forward(name, [x[some], y[some]], {}, precision, spelt(precision, {}))
            continue
        low, high = reference.forward(name, [x[first], y[first]], {}, precision)
        actual = run(name, [x, y], {}, precision)[0]._data
        count += assert_between(actual, (low[back], high[back]), spelt(precision, {}))
    return count


# Gradients -----------------------------------------------------------------------------------------------------------


def vjps_rounded_once(name: str, fmt: str) -> int:
    """Each gradient is the exactly rounded formula, repeated axes summed by the accumulator, then rounded once."""
    rng = generator("backward", name, fmt)
    count = 0
    for i, case in enumerate(CASES[name]):
        for precision in two_of(precisions(fmt), i):
            arrays = case.draw(rng, source_of(name, precision).storage.name)
            g = upstream(rng, name, case, arrays, precision)
            if g is not None:
                what = f"{case.shapes} {spelt(precision, case.metadata)}"
                count += compare_gradients(name, arrays, case.metadata, precision, g, what)
    if name in reference.FORWARD:
        for precision in precisions(fmt):
            count += compare_flat_gradients(name, precision, rng)
    return count


def compare_flat_gradients(name: str, precision: fp.Precision, rng) -> int:
    """On flat arrays of wild and simple numbers, where over- and underflow and ties are."""
    arguments = len(CASES[name][0].shapes)
    kinds = ("ordinary",) * 3 if leaves_float64(name, precision) else ("wild", "simple", "ordinary")
    arrays = samples(rng, source_of(name, precision).storage.name, arguments, 16, kinds)
    (g,) = samples(rng, precision.gradient.storage.name, 1, 16, kinds)
    metadata, fmt = {"n": 3} if name == "power_integer" else {}, precision.storage.name
    keep = [i for i, one in enumerate(zip(*arrays, strict=True)) if is_lawful(name, one, metadata, fmt)]
    arrays, g = [a[keep] for a in arrays], g[keep]
    if not precision.gradient.storage.has_nan:
        out = run(name, arrays, metadata, precision)[0]._data
        numbers = [*map(float, metadata.values())]
        slopes = [
            [reference.exact(reference.SLOPES[name, i], *one, *numbers) for i in range(arguments)]
            for one in zip(*(a.astype(float).tolist() for a in (g, out, *arrays)), strict=True)
        ]
        keep = [i for i, of_all in enumerate(slopes) if all(v == v for v in of_all)]
        arrays, g = [a[keep] for a in arrays], g[keep]
    return compare_gradients(name, arrays, metadata, precision, g, f"wild numbers, {spelt(precision, metadata)}")


def leaves_float64(name: str, precision: fp.Precision) -> bool:
    """Whether factors of a gradient may leave float64's range though their product does not.

    Powers are the only formulas in float64 that have this choice of range, in formats with float64's exponents.
    """
    return name in ("power", "power_integer") and precision.storage.exponent_bits == 11


# Memory layouts ------------------------------------------------------------------------------------------------------


def strided(a: Array) -> Array:
    """Every second place of a larger array, along all axes."""
    if not a.ndim:
        return a
    wide = np.full([2 * n for n in a.shape], 7.0, a.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def backwards(a: Array) -> Array:
    """Negative strides."""
    turn = tuple(slice(None, None, -1) for _ in a.shape)
    return np.array(a[turn], order="C")[turn] if a.ndim else a


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran": lambda a: np.array(a, order="F"),
    "strided": strided,
    "negative strides": backwards,
}


def repeated(a: Array) -> Array:
    """The first row, repeated with stride 0."""
    return np.broadcast_to(a[:1], a.shape)


def same_bits_in_every_layout(name: str, fmt: str) -> int:
    """Fortran order, strides, negative strides and repeated views change no bit, forward or backward.

    Each format takes every other case: neighbours in the list of formats take the others.
    """
    rng = generator("layouts", name, fmt)
    count = 0
    for case in CASES[name][FORMATS.index(fmt) % 2 :: 2]:
        precision = precisions(fmt)[int(rng.integers(3))]
        source = source_of(name, precision)
        carriers = source.storage.carrier, precision.gradient.storage.carrier
        arrays = case.draw(rng, source.storage.name)
        g = upstream(rng, name, case, arrays, precision)
        if g is None:
            continue
        arrays = [None if a is None else a.astype(carriers[0]) for a in arrays]
        g = g.astype(carriers[1])
        plain = laid_out(name, arrays, case.metadata, precision, g)
        for layout, change in LAYOUTS.items():
            moved = [None if a is None else change(a) for a in arrays]
            results = laid_out(name, moved, case.metadata, precision, change(g))
            count += assert_same_results(results, plain, layout, case)
        equal = [a if a is None or not a.ndim or not len(a) else repeated(a) for a in arrays]
        equal_g = g if not g.ndim or not len(g) else repeated(g)
        copies = [None if a is None else np.array(a, order="C") for a in equal]
        plain = laid_out(name, copies, case.metadata, precision, equal_g.copy(order="C"))
        count += assert_same_results(laid_out(name, equal, case.metadata, precision, equal_g), plain, "repeated", case)
    return count


def laid_out(name, arrays, metadata, precision, g) -> list[Array] | str:
    """The result and the gradients for arrays as they lie in memory; the type of a refusal."""
    source = source_of(name, precision)
    tensors = [None if a is None else fp.Tensor(a, source) for a in arrays]
    for i in differentiable(name, arrays):
        tensors[i].requires_grad = True
    try:
        out = engine.cast(tensors[0], precision) if name == "cast" else OPS[name](*tensors, **metadata)
        out.backward(fp.Tensor(g, precision.gradient))
    except FpsimError as error:
        return type(error).__name__
    return [out._data, *(tensors[i].grad._data for i in differentiable(name, arrays))]


def assert_same_results(actual, expected, layout: str, case: Case) -> int:
    what = f"{layout} {case.shapes} {case.metadata}"
    if isinstance(expected, str):
        assert actual == expected, what
        return 1
    pairs = enumerate(zip(actual, expected, strict=True))
    return sum(assert_between(a, (e, e), f"{what}, array {i}") for i, (a, e) in pairs)


# Special values ------------------------------------------------------------------------------------------------------


def specials_keep_the_law(name: str, fmt: str) -> int:
    """NaN, infinities, zeros of either sign, the ends of the format, and nothing at all: by the law, without a warning."""
    rng = generator("specials", name, fmt)
    count = 0
    for i, case in enumerate(CASES[name]):
        for precision in [precisions(fmt)[i % 3]]:
            special = "special but not extreme" if leaves_float64(name, precision) else "special"
            mixed = special if rng.random() < 0.6 else None
            arrays = case.draw(rng, source_of(name, precision).storage.name, mixed)
            if mixed is None:  # one special among ordinary numbers
                sprinkle(rng, arrays, source_of(name, precision).storage.name, special)
            what = f"{case.shapes} {spelt(precision, case.metadata)}"
            count += compare_forward(name, arrays, case.metadata, precision, what)
            g = upstream(rng, name, case, arrays, precision, rng.choice([special, "ordinary"]))
            if g is not None:
                count += compare_gradients(name, arrays, case.metadata, precision, g, what)
    return count


def sprinkle(rng, arrays, fmt: str, special: str) -> None:
    for a in arrays:
        if a is not None and a.size:
            a.reshape(-1)[rng.integers(a.size)] = draw(rng, (), fmt, special)


# Derivatives ---------------------------------------------------------------------------------------------------------


def gradients_are_derivatives(name: str, fmt: str = "float64") -> int:
    """In float64 each vjp agrees with central differences of its operation."""
    rng = generator("gradcheck", name)
    precision = fp.Precision("float64")
    count = 0
    for case in (c for c in CASES[name] if c.smooth):
        arrays = case.draw(rng, "float64")
        g = upstream(rng, name, case, arrays, precision)

        def loss(arrays, case=case, g=g) -> float:
            return float((g * run(name, arrays, case.metadata, precision)[0]._data).sum())

        _, gradients = run_backward(name, arrays, case.metadata, precision, g)
        for i, gradient in gradients.items():
            numeric = central_differences(loss, arrays, i)
            np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-7, err_msg=f"{case}, vjp {i}")
            count += gradient.size
    return count


def central_differences(loss, arrays, argument: int, h: float = 1e-5) -> Array:
    x = arrays[argument]
    slope = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        values = []
        for step in (h, -h):
            moved = x.copy()
            moved[place] += step
            values.append(loss([moved if i == argument else a for i, a in enumerate(arrays)]))
        slope[place] = (values[0] - values[1]) / (2 * h)
    return slope


# The table -----------------------------------------------------------------------------------------------------------

CHECKS: dict[str, Callable[[str, str], int]] = {
    "rounded once": rounded_once,
    "each vjp": vjps_rounded_once,
    "layouts": same_bits_in_every_layout,
    "special values": specials_keep_the_law,
}


@cache
def compared(check: str, name: str, fmt: str) -> int:
    """How many values a check compared, run once a session."""
    return CHECKS[check](name, fmt)


@cache
def derivatives(name: str) -> int:
    return gradients_are_derivatives(name)
