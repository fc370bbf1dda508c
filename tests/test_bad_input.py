"""What a user can get wrong: one row per failure, with the call, the type of the error and its exact text.

A row is added where the failure belongs; `test_bad_input` is the only test. Nothing untyped, and the text names the
remedy: ``{op}: expected {invariant}, got {name}={value!r}; {remedy}.``
"""

import contextlib
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

import fpsim as fp
from fpsim import plots
from fpsim.course import check
from fpsim.errors import (
    ArgumentError,
    ArgumentTypeError,
    CheckpointError,
    DataError,
    FormatError,
    GradientError,
    IndexingError,
    ObserverError,
    PrecisionError,
    ResultsError,
    ScalerError,
    ShapeError,
)

PAIRWISE, UPWARD = fp.Precision("float16", order="pairwise"), fp.Precision("float16", rounding="up")


DECODER = fp.Decoder(2, 32, 4, 10, 8)


def ones(*shape, **precision):
    return fp.ones(*shape, **precision)


def leaf(*shape):
    return fp.ones(*shape, requires_grad=True)


def backward_twice():
    y = (leaf(3) * 2).sum()
    y.backward()
    y.backward()


def backward_after_a_change():
    x = leaf(3)
    y = (x * x).sum()
    with fp.no_grad():
        x += 1.0
    y.backward()


def language_model():
    return fp.nn.TransformerLM(vocabulary=7, width=4, heads=2, layers=1, context=4)


attend = fp.nn.functional.scaled_dot_product_attention


def step_with(gradient, optimizer=fp.optim.SGD):
    w = leaf(2)
    w.grad = gradient
    optimizer([w]).step()


def loaded(optimizer, **changes):
    optimizer.load_state_dict({**optimizer.state_dict(), **changes})


def add_in_place(x):
    x += 1.0


def set_item(x, index, value):
    x[index] = value


def set_data(x, values):
    x.data = values


def with_nan(x):
    x = x.copy()
    x[3, 0, 1, 2] = np.nan
    return x


def train_on(**changes):
    images = fp.data.digits(size=8)
    changed = images._replace(**{name: change(getattr(images, name)) for name, change in changes.items()})
    return fp.train("float32", scenario="rounding", data=tuple(changed))


def load_text(text):
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("r.json").write_text(text, encoding="latin1")
        return fp.load("r.json")


def observed(run=None, **options):
    net = fp.nn.Sequential(fp.nn.Linear(2, 2), fp.nn.Linear(2, 1))
    x = ones(1, 2)
    with fp.observe(**options) as report:
        net(x) if run is None else run()
    return report


def observe_again():
    block = fp.observe()
    with block:
        pass
    with block:
        pass


def scaled(gradient=1.0, dtype="float32", **arguments):
    """A weight with a scaled gradient, its optimizer, and a scaler that has been used."""
    w = fp.ones(1, dtype=dtype, requires_grad=True)
    scaler = fp.amp.GradScaler(**arguments)
    scaler.scale(fp.tensor(1.0))
    w.grad = fp.tensor([gradient], dtype=dtype)
    return fp.optim.SGD([w], lr=0.5), scaler


def calls(*methods, **options):
    """Methods of a scaler called one after the other on one optimizer."""
    optimizer, scaler = scaled(**options)
    for method in methods:
        getattr(scaler, method)(*(() if method == "update" else (optimizer,)))


def unused_scaler(method):
    optimizer, _ = scaled()
    getattr(fp.amp.GradScaler(), method)(*(() if method == "update" else (optimizer,)))


def step_with_closure():
    optimizer, scaler = scaled()
    scaler.step(optimizer, closure=lambda: None)


def step_without_gradients():
    optimizer, scaler = scaled()
    optimizer.zero_grad()
    scaler.step(optimizer)


def applied_twice():
    net = fp.amp.apply(fp.nn.Linear(1, 1), "O2")
    fp.amp.apply(net, "O3")


def bce_under_autocast():
    with fp.autocast("float16"):
        fp.nn.functional.binary_cross_entropy(fp.tensor([0.5]), [1.0])


def total_of(**which):
    with fp.observe() as report:
        pass
    return report.total(**which)


def shadowed(modules="*", run=lambda: ones(2) / 3):
    with fp.shadow(modules) as report:
        run()
    return report


def layer():
    """Two features to two classes, all weights zero."""
    net = fp.nn.Linear(2, 2)
    net.load_state_dict({"weight": np.zeros((2, 2)), "bias": np.zeros(2)})
    return net


def batch_of(n):
    return np.ones((n, 2)), np.zeros(n, int)


def closed_twice(block):
    with block:
        pass
    block.__exit__(None, None, None)


ROWS = [
    # Formats ---------------------------------------------------------------------------------------------------------
    ("unknown format", lambda: fp.Format("float17"), FormatError,
     "Format: expected a floating-point format, got 'float17'; did you mean float16, float, bfloat16, "
     "float64? Or a split like e5m10."),
    ("format of integers", lambda: fp.Format(np.int32), FormatError,
     "Format: expected a floating-point format, got <class 'numpy.int32'>; did you mean float16, bfloat16, "
     "tfloat32, float32, float64? Or a split like e5m10."),
    ("a number as a format", lambda: fp.Format(16), FormatError,
     "Format: expected a floating-point format, got 16; did you mean f16, fp16, bf16? Or a split like "
     "e5m10."),
    ("too few exponent bits", lambda: fp.Format("e1m2"), FormatError,
     "Format: expected exponent_bits from 2 to 11 and significand_bits from 1 to 52, got exponent_bits=1; "
     "choose a split that float64 holds."),
    ("too many exponent bits", lambda: fp.Format("e12m3"), FormatError,
     "Format: expected exponent_bits from 2 to 11 and significand_bits from 1 to 52, got exponent_bits=12; "
     "choose a split that float64 holds."),
    ("too many significand bits", lambda: fp.Format("e5m60"), FormatError,
     "Format: expected exponent_bits from 2 to 11 and significand_bits from 1 to 52, got "
     "significand_bits=60; choose a split that float64 holds."),
    ("half a bit", lambda: fp.Format(exponent_bits=4.5, significand_bits=3), FormatError,
     "Format: expected exponent_bits from 2 to 11 and significand_bits from 1 to 52, got "
     "exponent_bits=4.5; choose a split that float64 holds."),
    ("no significand bits given", lambda: fp.Format(exponent_bits=4), FormatError,
     "Format: expected exponent_bits from 2 to 11 and significand_bits from 1 to 52, got "
     "significand_bits=None; choose a split that float64 holds."),
    ("range beyond float64", lambda: fp.Format(exponent_bits=4, significand_bits=3, bias=5000), FormatError,
     "Format: expected a range that float64 holds exactly, got bias=5000; use fewer exponent bits."),
    ("name and keywords", lambda: fp.Format("float16", bias=3), FormatError,
     "Format: expected a name or keywords, got 'float16' and keywords; give only one of them."),
    ("unknown specials", lambda: fp.Format(exponent_bits=4, significand_bits=3, specials="ocp"), FormatError,
     "Format: expected specials in ('ieee', 'fn', 'fnuz', 'finite', 'scale'), got specials='ocp'; choose "
     "one."),
    ("scale of another split", lambda: fp.Format(exponent_bits=5, significand_bits=2, specials="scale"), FormatError,
     "Format: expected e8m0 as the only scale, got e5m2 with specials='scale'; take float8_e8m0fnu."),
    ("finfo of an unknown format", lambda: fp.finfo("fp17"), FormatError,
     "Format: expected a floating-point format, got 'fp17'; did you mean fp16, f16, fp64, fp32? Or a split "
     "like e5m10."),
    # Rounding, codes, inspect ----------------------------------------------------------------------------------------
    ("unknown mode", lambda: fp.round(1.0, "float16", mode="nearest"), ArgumentError,
     "round: expected a mode of nearest_even, nearest_away, toward_zero, up, down, stochastic, got "
     "mode='nearest'; choose one of them."),
    ("stochastic without generator", lambda: fp.round(1.0, "float16", mode="stochastic"), ArgumentError,
     "round: expected a generator for stochastic rounding, got rng=None; pass "
     "rng=np.random.default_rng(seed)."),
    ("seed as generator", lambda: fp.round(1.0, "float16", mode="stochastic", rng=3), ArgumentTypeError,
     "round: expected a np.random.Generator, got rng=3; pass np.random.default_rng(seed)."),
    ("text to round", lambda: fp.round("a", "float16"), ArgumentTypeError,
     "round: expected real numbers, got dtype=<U1; convert them to a float array."),
    ("complex to round", lambda: fp.round(1j, "float16"), ArgumentTypeError,
     "round: expected real numbers, got dtype=complex128; convert them to a float array."),
    ("ragged rows to round", lambda: fp.round([[1], [1, 2]], "float16"), ShapeError,
     "round: expected a rectangular array, got rows of different lengths; pad or split them."),
    ("nan for FP4", lambda: fp.round([1, np.nan], "float4_e2m1fn"), FormatError,
     "round: expected numbers that float4_e2m1fn has, got nan at flat index 1; mask it."),
    ("arithmetic in a scale format", lambda: fp.round(1.0, "float8_e8m0fnu"), FormatError,
     "round: expected a format with arithmetic, got fmt=float8_e8m0fnu; it codes scales: use encode and "
     "decode."),
    ("negative scale", lambda: fp.encode([2.0, -1.0], "float8_e8m0fnu"), FormatError,
     "encode: expected positive values, as float8_e8m0fnu has no others, got -1.0 at flat index 1; take "
     "magnitudes."),
    ("floats as codes", lambda: fp.decode(1.5, "float16"), ArgumentTypeError,
     "decode: expected integer codes, got dtype=float64; encode values first."),
    ("code too large", lambda: fp.decode(70000, "float16"), ArgumentError,
     "decode: expected codes from 0 to 2**16 - 1, got codes from 70000 to 70000; float16 has no others."),
    ("negative code", lambda: fp.decode(-1, "float16"), ArgumentError,
     "decode: expected codes from 0 to 2**16 - 1, got codes from -1 to -1; float16 has no others."),
    ("nextafter of unequal shapes", lambda: fp.nextafter([1.0, 2.0], [1.0, 2.0, 3.0], "float16"), ShapeError,
     "nextafter: expected shapes that broadcast, got (2,), (3,); make the sizes equal or 1."),
    ("all values of a wide format", lambda: fp.all_values("float32"), FormatError,
     "all_values: expected a format of at most 16 bits, got float32 of 32; sample its codes instead."),
    ("inspect of text", lambda: fp.inspect("one", "float16"), ArgumentTypeError,
     "inspect: expected one real number, got value='one'; write it like 0.1 or \"0.1\"."),
    ("inspect of many", lambda: fp.inspect([1.0, 2.0], "float16"), ArgumentTypeError,
     'inspect: expected one real number, got value=[1.0, 2.0]; write it like 0.1 or "0.1".'),
    ("inspect of a ratio to zero", lambda: fp.inspect("1/0", "float16"), ArgumentTypeError,
     "inspect: expected one real number, got value='1/0'; write it like 0.1 or \"0.1\"."),
    ("inspect far away", lambda: fp.inspect("1e5000", "float16"), ArgumentError,
     "inspect: expected a number between 1e-1000 and 1e1000, got one far outside; no format reaches that "
     "far."),
    ("inspect nan in FP4", lambda: fp.inspect("nan", "float4_e2m1fn"), FormatError,
     "inspect: expected a number that float4_e2m1fn has, got value=nan; choose a format with NaN."),
    ("inspect a negative scale", lambda: fp.inspect(-1, "float8_e8m0fnu"), FormatError,
     "inspect: expected a positive value for float8_e8m0fnu, got value=-1; it codes scales only."),
    ("inspect a scale in a mode", lambda: fp.inspect(1, "float8_e8m0fnu", "up"), ArgumentError,
     "inspect: expected mode='nearest_even' for float8_e8m0fnu, got mode='up'; it codes scales only."),
    # Accumulators ----------------------------------------------------------------------------------------------------
    ("unknown order", lambda: fp.Accumulator("float16", order="random"), ArgumentError,
     "Accumulator: expected an order of blas, sequential, pairwise, blocked:B, blocked:B@FORMAT, kahan, exact, "
     "tensor_core, got order='random'; choose one; B as in blocked:64."),
    ("blocks without length", lambda: fp.Accumulator("float16", order="blocked"), ArgumentError,
     "Accumulator: expected an order of blas, sequential, pairwise, blocked:B, blocked:B@FORMAT, kahan, exact, "
     "tensor_core, got order='blocked'; choose one; B as in blocked:64."),
    ("blocks in no format", lambda: fp.Accumulator("float32", order="blocked:128@e8"), ArgumentError,
     "Accumulator: expected blocked:B@FORMAT with B of at least 1, got order='blocked:128@e8' (Format: expected a "
     "floating-point format, got 'e8'; did you mean float16, bfloat16, tfloat32, float32, float64? Or a split like "
     "e5m10.); blocked:128@e8m13 sums 128 terms in 14 bits."),
    ("blocks of no length in a format", lambda: fp.Accumulator("float32", order="blocked:0@e8m13"), ArgumentError,
     "Accumulator: expected blocked:B@FORMAT with B of at least 1, got order='blocked:0@e8m13'; blocked:128@e8m13 "
     "sums 128 terms in 14 bits."),
    ("promoted blocks by chance", lambda: fp.Accumulator("float32", order="blocked:4@e8m13", rounding="stochastic"),
     ArgumentError, "Accumulator: expected an order of one format for stochastic rounding, got "
     "order='blocked:4@e8m13'; use blocked:B, or another rounding."),
    ("tensor core without a block", lambda: fp.Accumulator("float32", order="tensor_core:0"), ArgumentError,
     "Accumulator: expected tensor_core, or tensor_core:B+E with B from 1 to 1024 and E up to 12, got "
     "order='tensor_core:0'; tensor_core:8+1 has blocks of 8 and 1 extra bit."),
    ("tensor core misspelt", lambda: fp.Precision("float16", order="tensor_core:8+"), ArgumentError,
     "Accumulator: expected tensor_core, or tensor_core:B+E with B from 1 to 1024 and E up to 12, got "
     "order='tensor_core:8+'; tensor_core:8+1 has blocks of 8 and 1 extra bit."),
    ("tensor core in float64", lambda: fp.Accumulator("float64", order="tensor_core"), PrecisionError,
     "Accumulator: expected an accumulator of at most float32's precision, without a rounding mode, for order "
     "tensor_core, got format=float64, rounding='nearest_even'; use float32 and leave the rounding out."),
    ("tensor core that rounds", lambda: fp.Accumulator("float32", order="tensor_core", rounding="stochastic"),
     PrecisionError,
     "Accumulator: expected an accumulator of at most float32's precision, without a rounding mode, for order "
     "tensor_core, got format=float32, rounding='stochastic'; use float32 and leave the rounding out."),
    ("tensor core with fma", lambda: fp.Accumulator("float32", order="tensor_core", fma=True), ArgumentError,
     "Accumulator: expected order sequential or blocked:B with fma, got order='tensor_core' with fma=True; leave one out."),
    ("tensor core on float64 data", lambda: fp.Accumulator("float32", order="tensor_core").dot([0.1], [1.0]),
     PrecisionError,
     "tensor_core: expected factors that float32 holds, got values that it does not hold; round them first, as with "
     "fp.round."),
    ("fma in another order", lambda: fp.Accumulator("float16", order="kahan", fma=True), ArgumentError,
     "Accumulator: expected order sequential or blocked:B with fma, got order='kahan' with fma=True; leave "
     "one out."),
    ("blas in float16", lambda: fp.Accumulator("float16", order="blas"), PrecisionError,
     "Accumulator: expected a float32 or float64 accumulator that rounds to nearest even for order blas, "
     "got format=float16, rounding='nearest_even', saturate=False; use order='sequential'."),
    ("accumulating scales", lambda: fp.Accumulator("float8_e8m0fnu"), FormatError,
     "Accumulator: expected a format with arithmetic, got format=float8_e8m0fnu; it codes scales only."),
    ("no generator to add with", lambda: fp.Accumulator("float16", rounding="stochastic").sum([1.0]), ArgumentError,
     "Accumulator: expected a generator for stochastic rounding, got rng=None; pass "
     "rng=np.random.default_rng(seed)."),
    ("blas on wider inputs", lambda: fp.Accumulator("float32", order="blas").sum(np.ones(3)), PrecisionError,
     "sum: expected an accumulator that holds its inputs for order blas, got inputs of float64 for "
     "float32; use order='sequential'."),
    ("accumulator axis", lambda: fp.Accumulator("float16").sum(np.ones(3), axis=1), ShapeError,
     "sum: expected different axes of 1, got axis=1; count from 0 or from -1."),
    ("accumulator axis between", lambda: fp.Accumulator("float16").sum(np.ones(3), axis=0.5), ArgumentTypeError,
     "sum: expected integer axes, got axis=0.5; count from 0 or from -1."),
    ("dot of unequal lengths", lambda: fp.Accumulator("float16").dot(np.ones(3), np.ones(4)), ShapeError,
     "dot: expected two 1-D arrays of one length, got x.shape=(3,), y.shape=(4,); use matmul for matrices."),
    ("accumulator matmul sizes", lambda: fp.Accumulator("float16").matmul(np.ones((2, 3)), np.ones((2, 3))), ShapeError,
     "matmul: expected inner sizes that agree, got x.shape=(2, 3), y.shape=(2, 3); transpose one of them."),
    ("accumulator matmul of a number", lambda: fp.Accumulator("float16").matmul(1.0, np.ones(3)), ShapeError,
     "matmul: expected arrays of at least one dimension, got x.shape=(), y.shape=(3,); use * to scale."),
    ("batches added", lambda: fp.Accumulator("float16").matmul(np.ones((2, 3, 3)), np.ones((4, 3, 3))), ShapeError,
     "matmul: expected batch sizes that broadcast, got x.shape=(2, 3, 3), y.shape=(4, 3, 3); make the "
     "leading sizes equal or 1."),
    ("text to accumulate", lambda: fp.Accumulator("float16").sum(["a"]), ArgumentTypeError,
     "sum: expected real numbers, got dtype=<U1; convert them to a float array."),
    # Precisions ------------------------------------------------------------------------------------------------------
    ("two accumulators", lambda: fp.Precision("float16/float32", accumulate="float64"), PrecisionError,
     "Precision: expected one accumulator, got 'float16/float32' and accumulate='float64'; leave one of "
     "the two out."),
    ("unknown accumulator", lambda: fp.Precision("float16/float17"), FormatError,
     "Format: expected a floating-point format, got 'float17'; did you mean float16, float, bfloat16, "
     "float64? Or a split like e5m10."),
    ("storing scales", lambda: fp.Precision("float8_e8m0fnu"), FormatError,
     "Precision: expected formats with arithmetic, got storage=float8_e8m0fnu; it codes scales only."),
    ("unknown rounding", lambda: fp.Precision("float16", rounding="sideways"), ArgumentError,
     "Precision: expected a mode of nearest_even, nearest_away, toward_zero, up, down, stochastic, got "
     "mode='sideways'; choose one of them."),
    ("orders clash", lambda: ones(2, precision=PAIRWISE) + ones(2, dtype="float16"), PrecisionError,
     "promotion: expected one order for tensors of one accumulate format, got order='pairwise' and "
     "order=None; bring one to the other with .to()."),
    ("roundings clash", lambda: ones(2, precision=UPWARD) + ones(2, dtype="float16"), PrecisionError,
     "promotion: expected one rounding for tensors of one storage format, got rounding='up' and "
     "rounding='nearest_even'; bring one to the other with .to()."),
    ("unknown default precision", lambda: fp.default_precision("float17"), FormatError,
     "Format: expected a floating-point format, got 'float17'; did you mean float16, float, bfloat16, "
     "float64? Or a split like e5m10."),
    # Making tensors --------------------------------------------------------------------------------------------------
    ("text in a tensor", lambda: fp.tensor("a"), ArgumentTypeError,
     "tensor: expected real numbers, got dtype=<U1; convert them to a float array."),
    ("nothing in a tensor", lambda: fp.tensor(None), ArgumentTypeError,
     "tensor: expected real numbers, got dtype=object; convert them to a float array."),
    ("ragged tensor", lambda: fp.tensor([[1], [1, 2]]), ShapeError,
     "tensor: expected a rectangular array, got rows of different lengths; pad or split them."),
    ("ragged tensors", lambda: fp.tensor([ones(2), ones(3)]), ShapeError,
     "tensor: expected a rectangular array, got rows of different lengths; pad or split them."),
    ("precision twice", lambda: fp.tensor(1.0, dtype="float16", precision="float16"), ArgumentError,
     "tensor: expected precision or dtype and accumulate, got precision='float16' and dtype='float16', "
     "accumulate=None; give one of the two."),
    ("nan in an FP4 tensor", lambda: fp.tensor(np.nan, dtype="float4_e2m1fn"), FormatError,
     "round: expected numbers that float4_e2m1fn has, got nan at flat index 0; mask it."),
    ("size between", lambda: fp.zeros(2.5), ArgumentTypeError,
     "zeros: expected integer sizes, got (2.5,); convert them with int()."),
    ("negative size", lambda: fp.zeros(2, -1), ShapeError,
     "zeros: expected sizes of at least 0, got (2, -1); check the sizes."),
    ("unknown keyword", lambda: fp.zeros(2, colour="red"), ArgumentTypeError,
     "zeros: expected dtype, accumulate, precision, requires_grad or device, got ['colour']; leave it out."),
    ("full of an array", lambda: fp.full((2,), [1.0, 2.0]), ArgumentTypeError,
     "full: expected one number, got fill_value=[1.0, 2.0]; use tensor for arrays."),
    ("seed as generator of a tensor", lambda: fp.randn(2, rng=3), ArgumentTypeError,
     "randn: expected a np.random.Generator, got rng=3; pass np.random.default_rng(seed)."),
    ("bounds exchanged", lambda: fp.uniform(2, low=2.0, high=1.0), ArgumentError,
     "uniform: expected finite numbers low <= high, got low=2.0, high=1.0; check the bounds."),
    ("arange without step", lambda: fp.arange(0, 1, 0), ArgumentError,
     "arange: expected start, stop and a step that is not 0, got 0, 1, 0; check the numbers."),
    ("strings from numpy", lambda: fp.from_numpy(np.array(["a"])), ArgumentTypeError,
     "from_numpy: expected real numbers, got dtype=<U1; convert them first."),
    ("negative seed", lambda: fp.manual_seed(-1), ArgumentError,
     "manual_seed: expected a non-negative integer, got n=-1; seed with one, like 0."),
    # Out of tensors --------------------------------------------------------------------------------------------------
    ("item of many", lambda: ones(2, 3).item(), ArgumentError,
     "item: expected a tensor of one element, got shape=(2, 3); index it first."),
    ("truth of many", lambda: bool(ones(2)), ArgumentError,
     "item: expected a tensor of one element, got shape=(2,); index it first."),
    ("length of a number", lambda: len(fp.tensor(1.0)), ArgumentTypeError,
     "len: expected a tensor with axes, got a 0-d tensor; use item()."),
    ("to an unknown format", lambda: ones(2).to("float17"), FormatError,
     "Format: expected a floating-point format, got 'float17'; did you mean float16, float, bfloat16, "
     "float64? Or a split like e5m10."),
    ("to FP4 with nan", lambda: fp.tensor([np.nan]).to("float4_e2m1fn"), FormatError,
     "round: expected numbers that float4_e2m1fn has, got nan at flat index 0; mask it."),
    ("numpy of an unknown type", lambda: ones(2).numpy("float17"), ArgumentTypeError,
     "numpy: expected a NumPy or ml_dtypes type, got dtype='float17'; leave it out."),
    # Operations ------------------------------------------------------------------------------------------------------
    ("shapes that do not broadcast", lambda: ones(2, 3) + ones(2), ShapeError,
     "add: expected shapes that broadcast, got (2, 3), (2,); reshape one, or make a size 1."),
    ("compared shapes", lambda: ones(2, 3) < ones(2), ShapeError,
     "less: expected shapes that broadcast, got (2, 3), (2,); reshape one, or make a size 1."),
    ("text added", lambda: ones(2) + "a", ArgumentTypeError,
     "add: expected tensors, numbers or arrays of numbers, got str 'a'; convert it first."),
    ("nothing added", lambda: ones(2) + None, ArgumentTypeError,
     "add: expected tensors, numbers or arrays of numbers, got None; pass a number."),
    ("text alone", lambda: fp.exp("a"), ArgumentTypeError,
     "exp: expected real numbers, got dtype=<U1; convert them to a float array."),
    ("power of unequal shapes", lambda: ones(2, 3) ** ones(2), ShapeError,
     "pow: expected shapes that broadcast, got (2, 3), (2,); reshape one, or make a size 1."),
    ("gelu of another form", lambda: fp.gelu(ones(2), approximate="tanh"), ArgumentError,
     "gelu: expected the erf form, approximate='none', got approximate='tanh'; leave the argument out."),
    ("where on numbers", lambda: fp.where(ones(2), ones(2), ones(2)), ArgumentTypeError,
     "where: expected a bool condition, got condition.dtype=float32; compare: x > 0."),
    ("where of unequal shapes", lambda: fp.where([True, False], ones(2, 3), 0.0), ShapeError,
     "where: expected shapes that broadcast, got (2,), (2, 3), (); reshape one, or make a size 1."),
    ("clip without bounds", lambda: fp.clip(ones(2)), ArgumentError,
     "clip: expected a bound, got min=None and max=None; give min or max."),
    ("clip bounds of another shape", lambda: fp.clip(ones(2, 3), np.zeros(2)), ShapeError,
     "clip: expected shapes that broadcast, got (2, 3), (2,); reshape one, or make a size 1."),
    ("axis too large", lambda: ones(2, 3).sum(2), ShapeError,
     "sum: expected different axes of 2, got dim=(2,); count from 0 or from -1."),
    ("axis twice", lambda: ones(2, 3).sum((0, 0)), ShapeError,
     "sum: expected different axes of 2, got dim=(0, 0); count from 0 or from -1."),
    ("axis by name", lambda: ones(2, 3).sum("rows"), ArgumentTypeError,
     "sum: expected integer axes, got dim=('rows',); count from 0 or from -1."),
    ("dim and axis", lambda: ones(2, 3).sum(0, axis=1), ArgumentError,
     "sum: expected dim or axis, got dim=0 and axis=1; give one of the two."),
    ("correction of text", lambda: ones(2, 3).var(correction="n"), ArgumentTypeError,
     "var: expected a number, got correction='n'; 1 divides by n - 1, 0 by n."),
    ("max of nothing", lambda: ones(0).max(), ShapeError,
     "max: expected at least one element, got shape=(0,); check the batch."),
    ("argmax of nothing", lambda: ones(0, 3).argmax(), ShapeError,
     "argmax: expected at least one element, got shape=(0, 3); check the batch."),
    ("softmax without axis", lambda: ones(2, 3).softmax(), ArgumentError,
     "softmax: expected one axis, got dim=None; name the axis: dim=1."),
    ("softmax over no classes", lambda: ones(2, 0).softmax(1), ShapeError,
     "softmax: expected at least one class, got shape=(2, 0); check the axis."),
    ("matmul sizes", lambda: ones(2, 3) @ ones(2, 3), ShapeError,
     "matmul: expected inner sizes that agree, got x.shape=(2, 3), y.shape=(2, 3); transpose one of them."),
    ("matmul of a number", lambda: ones(2, 3) @ 2.0, ShapeError,
     "matmul: expected at least one axis, got x.shape=(2, 3), y.shape=(); use * to scale."),
    ("matmul batches", lambda: ones(2, 3, 3) @ ones(4, 3, 3), ShapeError,
     "matmul: expected batch sizes that broadcast, got x.shape=(2, 3, 3), y.shape=(4, 3, 3); make the "
     "leading sizes equal or 1."),
    ("dot beyond matrices", lambda: np.dot(ones(2, 3, 4), ones(2, 4, 3)), ShapeError,
     "dot: expected at most two axes, got 3 and 3; use matmul, or einsum for np.dot's outer axes."),
    ("einsum sizes", lambda: fp.einsum("ij,jk->ik", ones(2, 3), ones(2, 3)), ShapeError,
     "einsum: expected one label per axis, equal labels of equal size, got 'ij,jk->ik' for (2, 3), (2, 3); "
     "check the equation."),
    ("einsum without operands", lambda: fp.einsum("ij->i"), ShapeError,
     "einsum: expected one label per axis, equal labels of equal size, got 'ij->i' for no operands; check "
     "the equation."),
    ("einsum result not among the labels", lambda: fp.einsum("ij->ik", ones(2, 3)), ShapeError,
     "einsum: expected one label per axis, equal labels of equal size, got 'ij->ik' for (2, 3); check the "
     "equation."),
    ("einsum without equation", lambda: fp.einsum(ones(2), ones(2)), ArgumentTypeError,
     "einsum: expected an equation first, got equation of type Tensor; write it as text: 'ij,jk->ik'."),
    ("numpy function that is not emulated", lambda: np.sin(ones(2)), ArgumentTypeError,
     "np.sin: expected what fpsim emulates, got a tensor; use x.numpy() to leave the emulation."),
    ("numpy function with out", lambda: np.add(ones(2), ones(2), out=np.ones(2)), ArgumentTypeError,
     "np.add: expected what fpsim emulates, got out=; call it without."),
    ("numpy reduction with out", lambda: np.sum(ones(2), out=np.ones(())), ArgumentTypeError,
     "np.sum: expected what fpsim emulates, got out=; call it without."),
    # Shapes ----------------------------------------------------------------------------------------------------------
    ("reshape to another count", lambda: ones(2, 3).reshape(4), ShapeError,
     "reshape: expected sizes with as many elements, got shape=(4,) for 6 elements of shape (2, 3); use -1 "
     "for one size."),
    ("reshape to negative sizes", lambda: ones(2, 3).reshape(-6), ShapeError,
     "reshape: expected sizes of at least -1, got (-6,); check the sizes."),
    ("flatten backwards", lambda: ones(2, 3, 4).flatten(2, 1), ShapeError,
     "flatten: expected a start before the end, got start_dim=2, end_dim=1; exchange them."),
    ("new axis too far", lambda: ones(2, 3).unsqueeze(5), ShapeError,
     "unsqueeze: expected one of 3 axes, got dim=5; count from 0 or from -1."),
    ("permute too few axes", lambda: ones(2, 3).permute(0), ShapeError,
     "permute: expected each of 2 axes once, got dims=(0,); name them all."),
    ("transpose an axis too far", lambda: ones(2, 3).transpose(0, 3), ShapeError,
     "transpose: expected one of 2 axes, got dim=3; count from 0 or from -1."),
    ("broadcast to a smaller shape", lambda: ones(2, 3).broadcast_to((3, 2)), ShapeError,
     "broadcast_to: expected a shape that x broadcasts to, got shape=(3, 2) for (2, 3); check the sizes."),
    ("expand a new axis by -1", lambda: ones(2, 3).expand(-1, 2, 3), ShapeError,
     "expand: expected -1 only where x has an axis, got sizes=(-1, 2, 3) for (2, 3); give new axes a size."),
    ("concatenate nothing", lambda: fp.cat([]), ArgumentError,
     "concatenate: expected a sequence with at least one tensor, got []; pass a list of tensors."),
    ("concatenate a number", lambda: fp.cat(3), ArgumentError,
     "concatenate: expected a sequence with at least one tensor, got 3; pass a list of tensors."),
    ("concatenate other sizes", lambda: fp.cat([ones(2, 3), ones(2, 4)]), ShapeError,
     "concatenate: expected equal sizes but along axis 0, got (2, 3), (2, 4); check the shapes."),
    ("concatenate along an axis too far", lambda: fp.cat([ones(2, 3), ones(2, 3)], 5), ShapeError,
     "concatenate: expected one of 2 axes, got dim=5; count from 0 or from -1."),
    ("stack other shapes", lambda: fp.stack([ones(2, 3), ones(3)]), ShapeError,
     "stack: expected equal shapes, got (2, 3), (3,); reshape them first."),
    ("pad by reflection", lambda: fp.pad(ones(2, 3), (1, 1), mode="reflect"), ArgumentError,
     "pad: expected mode='constant', got mode='reflect'; pad with a constant."),
    ("pad one side", lambda: fp.pad(ones(2, 3), (1,)), ShapeError,
     "pad: expected a pair for each of the last axes, got pad=(1,) for 2 axes; give left, right, top, "
     "bottom."),
    ("pad a negative width", lambda: fp.pad(ones(2, 3), (-1, 1)), ShapeError,
     "pad: expected sizes of at least 0, got (-1, 1); check the sizes."),
    ("index too large", lambda: ones(2, 3)[5], IndexingError,
     "index: expected an index into shape (2, 3), got 5; index 5 is out of bounds for axis 0 with size 2."),
    ("too many indices", lambda: ones(2, 3)[0, 0, 0], IndexingError,
     "index: expected an index into shape (2, 3), got (0, 0, 0); too many indices for array: array is "
     "2-dimensional, but 3 were indexed."),
    ("index between", lambda: ones(2, 3)[fp.tensor(0.5)], IndexingError,
     "index: expected an index into shape (2, 3), got tensor(0.5, f...es in float32); tensors index with "
     "whole numbers only."),
    ("index by name", lambda: ones(2, 3)["rows"], IndexingError,
     "index: expected an index into shape (2, 3), got 'rows'; only integers, slices (`:`), ellipsis "
     "(`...`), numpy.newaxis (`None`) and integer or boolean arrays are valid indices."),
    ("slice without step", lambda: ones(2, 3)[::0], IndexingError,
     "index: expected an index into shape (2, 3), got slice(None, None, 0); slice step cannot be zero."),
    ("set an index too large", lambda: set_item(ones(3), 5, 1.0), IndexingError,
     "index: expected an index into shape (3,), got 5; index 5 is out of bounds for axis 0 with size 3."),
    ("set other shapes", lambda: set_item(ones(3), slice(None), np.ones(4)), ShapeError,
     "assignment: expected values that broadcast to (3,), got shape=(4,); check the index."),
    ("data of another shape", lambda: set_data(ones(3), np.ones(4)), ShapeError,
     "assignment: expected values of shape (3,), got shape=(4,); make a new tensor instead."),
    # Gradients -------------------------------------------------------------------------------------------------------
    ("backward from a constant", lambda: ones(3).sum().backward(), GradientError,
     "backward: expected a tensor made from a leaf with requires_grad=True, got none; set it on the "
     "weights."),
    ("backward from many", lambda: (leaf(3) * 2).backward(), GradientError,
     "backward: expected a tensor of one element or a gradient, got shape=(3,); sum or mean it first."),
    ("backward with another shape", lambda: (leaf(3) * 2).backward(np.ones(4)), ShapeError,
     "backward: expected a gradient of shape (3,), got gradient.shape=(4,); give one value per element."),
    ("backward twice", backward_twice, GradientError,
     "backward: expected a graph not yet walked, got sum already used; pass retain_graph=True the first "
     "time."),
    ("backward after a change", backward_after_a_change, GradientError,
     "backward: expected the values of the forward pass, got an input of multiply changed since; run the "
     "forward pass again."),
    ("requires_grad of a result", lambda: (leaf(3) * 2).requires_grad_(False), GradientError,
     "requires_grad_: expected a leaf, got an operation's result; use detach()."),
    ("in place on a leaf", lambda: add_in_place(leaf(3)), GradientError,
     "in-place change: expected a leaf under no_grad, got a leaf that requires a gradient; write x = x + "
     "y, or use `with fp.no_grad():`."),
    ("in place on a result", lambda: add_in_place(leaf(3) * 2), GradientError,
     "in-place change: expected a leaf under no_grad, got an operation's result; write x = x + y, or use "
     "`with fp.no_grad():`."),
    ("set an item of a leaf", lambda: set_item(leaf(3), 0, 1.0), GradientError,
     "in-place change: expected a leaf under no_grad, got a leaf that requires a gradient; write x = x + "
     "y, or use `with fp.no_grad():`."),
    # Networks, training, results ------------------------------------------------------------------------------------
    ("unknown recipe", lambda: fp.train("flaot16"), ArgumentError,
     "recipe: expected a recipe's name, got 'flaot16'; did you mean float16, bfloat16, float64, mixed_float16?."),
    ("unknown scenario", lambda: fp.train(scenario="underflw"), ArgumentError,
     "compare: expected a scenario, got 'underflw'; did you mean underflow, overflow?."),
    ("no steps", lambda: fp.train(steps=0), ArgumentError,
     "train: expected a whole number of at least 1, got steps=0; leave it out for the scenario's own."),
    ("half a step", lambda: fp.train(steps=2.5), ArgumentError,
     "train: expected a whole number of at least 1, got steps=2.5; leave it out for the scenario's own."),
    ("negative learning rate", lambda: fp.train(lr=-1), ArgumentError,
     "train: expected a positive number, got lr=-1; leave it out for the scenario's own."),
    ("learning rate nan", lambda: fp.train(lr=float("nan")), ArgumentError,
     "train: expected a positive number, got lr=nan; leave it out for the scenario's own."),
    ("momentum of 2", lambda: fp.train(momentum=2), ArgumentError,
     "train: expected a number from 0 to 1, got momentum=2; leave it out for the scenario's own."),
    ("batches of nothing", lambda: fp.train(batch=0), ArgumentError,
     "train: expected a whole number of at least 1, got batch=0; leave it out for the scenario's own."),
    ("a training seed below 0", lambda: fp.train(seed=-1), ArgumentError,
     "train: expected a seed that is a whole number of at least 0, got seed=-1; use seed=0."),
    ("a text too short", lambda: fp.train("float32", scenario="transformer", data=("abc", "abc")), DataError,
     "train: expected at least 48, for windows of 32, got 3 characters to train; give a longer text, or a smaller "
     "batch."),
    ("a text with an unknown character", lambda: fp.train(scenario="transformer", data=("ab" * 99, "abc")), DataError,
     "train: expected a test part of the training part's characters, got 'c' at 2; put it into the training part too, "
     "or leave it out."),
    ("a text that is not there", lambda: fp.train(scenario="transformer", data="/nowhere.txt"), DataError,
     "train: expected text or a text file, got '/nowhere.txt': No such file or directory; check the path."),
    ("another trouble", lambda: fp.troubles()["x"], fp.ResultsError,
     "troubles: expected one of logits, mask, layer norm, softmax, residual stream, lost updates, got 'x'; choose one."),
    ("a pixel that is nan", lambda: train_on(train_x=with_nan), DataError,
     "train: expected finite pixels, got train_x[3, 0, 1, 2]=nan; replace missing pixels first."),
    ("a label out of range", lambda: train_on(train_y=lambda y: y + 1), DataError,
     "train: expected labels from 0 to 9, got train_y from 1 to 10; number the classes from 0."),
    ("labels that are floats", lambda: train_on(train_y=lambda y: y * 1.0), DataError,
     "train: expected 1437 integer labels, got train_y.shape=(1437,), dtype=float64; give one class per image."),
    ("images of another size", lambda: fp.train("float32", data=tuple(fp.data.digits(size=8))), DataError,
     "train: expected images of shape (n, 1, 32, 32), n at least 1, got train_x.shape=(1437, 1, 8, 8); reshape them."),
    ("no images", lambda: train_on(test_x=lambda x: x[:0]), DataError,
     "train: expected images of shape (n, 1, 8, 8), n at least 1, got test_x.shape=(0, 1, 8, 8); reshape them."),
    ("a folder that is not there", lambda: fp.train(data="/nowhere"), DataError,
     "train: expected digits, fashion or a folder of IDX files, got '/nowhere'; check the path."),
    ("three arrays", lambda: fp.train(data=(1, 2, 3)), DataError,
     "train: expected a name, a folder, or (train_x, train_y, test_x, test_y), got tuple; see fp.data."),
    ("no recipes at all", lambda: fp.compare([]), ArgumentError,
     "compare: expected different recipes, at least one, got []; name each once."),
    ("a recipe twice", lambda: fp.compare(["float16", "float16"]), ArgumentError,
     "compare: expected different recipes, at least one, got ['float16', 'float16']; name each once."),
    ("results that are not there", lambda: fp.load("/nowhere/r.json"), ResultsError,
     "load: expected a file that can be read, got /nowhere/r.json: No such file or directory; check the path."),
    ("results cut short", lambda: load_text('{"kind": "fpsim resul'), ResultsError,
     "load: expected a results file, got r.json, which is damaged or another file; run the command that wrote it again."),
    ("a pickle", lambda: load_text("\x80\x04K\x01."), ResultsError,
     "load: expected a results file, got r.json, which is damaged or another file; run the command that wrote it again."),
    ("foreign results", lambda: load_text('{"loss": [1, 2]}'), ResultsError,
     "load: expected a results file, got r.json, which fpsim did not write; choose one that save() wrote."),
    ("results of another version", lambda: load_text('{"kind": "fpsim results", "version": 99}'), ResultsError,
     "load: expected results of version 1, got r.json of version 99; use the fpsim that wrote it."),
    ("results with a hole", lambda: load_text('{"kind": "fpsim results", "version": 1, "run": {"seed": 1}}'), ResultsError,
     "load: expected complete results, got r.json, in which something is missing; run the command that wrote it again."),
    ("a recipe that did not run", lambda: fp.experiments.Comparison([])["float16"], ResultsError,
     "Comparison: expected a recipe of , got 'float16'; run it with compare()."),
    # Attention and the transformer -----------------------------------------------------------------------------------
    ("a sequence longer than the context", lambda: language_model()(np.zeros((2, 5), int)), ShapeError,
     "TransformerLM: expected tokens (n, t) with t from 1 to the context, 4, got tokens.shape=(2, 5); shorten the "
     "sequences or enlarge context=."),
    ("one sequence without a batch", lambda: language_model()(np.zeros(4, int)), ShapeError,
     "TransformerLM: expected tokens (n, t) with t from 1 to the context, 4, got tokens.shape=(4,); shorten the "
     "sequences or enlarge context=."),
    ("tokens out of range", lambda: language_model()([[0, 7, -1]]), DataError,
     "TransformerLM: expected tokens from 0 to 6, got tokens from -1 to 7; enlarge vocabulary= or correct them."),
    ("tokens that are not integers", lambda: language_model()([[0.0, 1.0]]), ArgumentTypeError,
     "TransformerLM: expected integer tokens, got dtype=float64; convert with .astype(int)."),
    ("a width that the heads do not divide", lambda: fp.nn.TransformerLM(7, width=10, heads=4), ArgumentError,
     "CausalSelfAttention: expected a width that the heads divide, got width=10, heads=4; change one."),
    ("a transformer without layers", lambda: fp.nn.TransformerLM(7, layers=0), ArgumentError,
     "TransformerLM: expected whole numbers of at least 1, got layers=0; correct it."),
    ("an attention of another kind", lambda: fp.nn.TransformerLM(7, attention="flash"), ArgumentError,
     "CausalSelfAttention: expected attention fused or composed, got attention='flash'; choose one."),
    ("a finite mask in fused attention", lambda: fp.nn.TransformerLM(7, mask_value=-1e9), ArgumentError,
     "CausalSelfAttention: expected mask_value -inf in fused attention, got mask_value=-1000000000.0; use "
     "attention='composed'."),
    ("attention of one axis", lambda: attend(ones(2), ones(3, 2), ones(3, 2)), ShapeError,
     "scaled_dot_product_attention: expected at least two axes each, (position, feature), got query.shape=(2,), "
     "key.shape=(3, 2), value.shape=(3, 2); add an axis."),
    ("queries and keys that differ", lambda: attend(ones(3, 2), ones(3, 4), ones(3, 2)), ShapeError,
     "scaled_dot_product_attention: expected queries and keys of as many features, at least one, got query.shape=(3, 2), "
     "key.shape=(3, 4), value.shape=(3, 2); check both."),
    ("values that some keys lack", lambda: attend(ones(3, 2), ones(3, 2), ones(4, 2)), ShapeError,
     "scaled_dot_product_attention: expected one value for each key, got query.shape=(3, 2), key.shape=(3, 2), "
     "value.shape=(4, 2); check key and value."),
    ("attention batches", lambda: attend(ones(2, 3, 2), ones(4, 3, 2), ones(3, 2)), ShapeError,
     "scaled_dot_product_attention: expected leading sizes that broadcast, got query.shape=(2, 3, 2), "
     "key.shape=(4, 3, 2), value.shape=(3, 2); make the leading sizes equal or 1."),
    ("two masks", lambda: attend(ones(3, 2), ones(3, 2), ones(3, 2), np.ones((3, 3), bool), is_causal=True),
     ArgumentError,
     "scaled_dot_product_attention: expected attn_mask or is_causal, got both; put the order into the mask."),
    ("a mask of integers", lambda: attend(ones(3, 2), ones(3, 2), ones(3, 2), np.ones((3, 3), int)), ArgumentTypeError,
     "scaled_dot_product_attention: expected a bool mask or one of floats, got attn_mask of int64; compare: mask != 0."),
    ("a mask of another shape", lambda: attend(ones(3, 2), ones(3, 2), ones(3, 2), np.ones((2, 3), bool)), ShapeError,
     "scaled_dot_product_attention: expected a mask that broadcasts to (3, 3), got attn_mask.shape=(2, 3); give it "
     "(query, key) as last axes."),
    ("attention of arrays", lambda: attend(np.ones((3, 2)), ones(3, 2), ones(3, 2)), ArgumentTypeError,
     "scaled_dot_product_attention: expected a tensor, got ndarray; make one with fp.tensor(x)."),
    ("attention dropped twice over", lambda: attend(ones(3, 2), ones(3, 2), ones(3, 2), None, 2.0), ArgumentError,
     "scaled_dot_product_attention: expected a probability from 0 to 1, got dropout_p=2.0; correct it."),
    ("windows longer than the text", lambda: fp.data.sequences(np.arange(5), 5, 1), ArgumentError,
     "sequences: expected a length of 1 to 4, the characters with a next one there are, got length=5; use an int, "
     "such as 32."),
    ("more windows than there are", lambda: fp.data.sequences(np.arange(5), 3, 3), ArgumentError,
     "sequences: expected a size of 1 to 2, the windows there are, got size=3; use an int, such as 32."),
    ("sequences of text", lambda: fp.data.sequences("alice", 3, 1), DataError,
     "sequences: expected codes from 0 on, as integers in one dimension, got <U5 (); pass codes such as text().train."),
    ("codes that stand for nothing", lambda: fp.data.text().decode([3, 67]), DataError,
     "decode: expected integer codes from 0 to 66, got 3 to 67; pass what encode() gives."),
    ("a character that Alice lacks", lambda: fp.data.text().encode("a+b"), DataError,
     "encode: expected characters of the text, got '+'; see characters."),
    ("too many labels", lambda: fp.nn.functional.cross_entropy(ones(2, 3), np.array([0, 1, 2])), ShapeError,
     "cross_entropy: expected labels of shape (2,), got input.shape=(2, 3), target.shape=(3,); give one label per sample."),
    ("a pattern that matches nothing", lambda: fp.amp.apply(fp.nn.LeNet(), {"convv*": "float16"}), ArgumentError,
     "apply: expected patterns that match a module, got 'convv*'; the modules are conv1, conv2, fc1, fc2."),
    # Mixed precision -------------------------------------------------------------------------------------------------
    ("unscale_ twice", lambda: calls("unscale_", "unscale_"), ScalerError,
     "unscale_: expected one call per optimizer and update(), got a second call after unscale_(); call update() at the "
     "end of each iteration."),
    ("unscale_ after step", lambda: calls("step", "unscale_"), ScalerError,
     "unscale_: expected one call per optimizer and update(), got a second call after step(); call update() at the "
     "end of each iteration."),
    ("step twice", lambda: calls("step", "step"), ScalerError,
     "step: expected one call per optimizer and update(), got a second call; call update() after it."),
    ("unscale_ before scale", lambda: unused_scaler("unscale_"), ScalerError,
     "unscale_: expected an earlier scale(loss), got none yet; call scaler.scale(loss).backward() first."),
    ("step before scale", lambda: unused_scaler("step"), ScalerError,
     "step: expected an earlier scale(loss), got none yet; call scaler.scale(loss).backward() first."),
    ("update before scale", lambda: unused_scaler("update"), ScalerError,
     "update: expected an earlier scale(loss), got none yet; call scaler.scale(loss).backward() first."),
    ("update without a check", lambda: calls("update"), ScalerError,
     "update: expected gradients that were checked, got none since the last update(); call step(optimizer) first."),
    ("a step without gradients", step_without_gradients, ScalerError,
     "step: expected parameters with gradients, got none, so nothing was checked; call backward() on the scaled loss."),
    ("a scaled step with a closure", step_with_closure, ScalerError,
     "step: expected an optimizer step without closure, got a closure; compute the loss before it."),
    ("float16 gradients without masters", lambda: calls("step", dtype="float16"), ScalerError,
     "unscale_: expected gradients with float32's range, got that of parameter 0 in float16; Attempting to unscale FP16 "
     "gradients: keep the weights in float32, or give the optimizer master='float32'."),
    ("an empty scaler state", lambda: fp.amp.GradScaler().load_state_dict({}), ScalerError,
     "load_state_dict: expected a scaler's state, got an empty one; it was saved from a disabled scaler."),
    ("a scaler state with a hole", lambda: fp.amp.GradScaler().load_state_dict({"scale": 1.0}), ScalerError,
     "load_state_dict: expected a scaler's state, got one without growth_factor, backoff_factor, growth_interval, "
     "_growth_tracker; load what state_dict() gave."),
    ("a negative growth tracker",
     lambda: fp.amp.GradScaler().load_state_dict({**fp.amp.GradScaler().state_dict(), "_growth_tracker": -1}), ScalerError,
     "load_state_dict: expected a whole number of at least 0, got _growth_tracker=-1; load what state_dict() gave."),
    ("a new scale that is nan", lambda: scaled()[1].update(float("nan")), ScalerError,
     "update: expected a number as new scale, got new_scale=nan; give a float."),
    ("scaling text", lambda: fp.amp.GradScaler().scale("loss"), ArgumentTypeError,
     "scale: expected a tensor or an iterable of tensors, got str; scale the loss tensor."),
    ("a network as optimizer", lambda: scaled()[1].step(fp.nn.LeNet()), ArgumentTypeError,
     "step: expected an optimizer, got LeNet; call scaler.step(optimizer)."),
    ("growth below 1", lambda: fp.amp.GradScaler(growth_factor=0.5), ArgumentError,
     "scaler: expected growth_factor > 1, got growth_factor=0.5; 2.0 is usual."),
    ("backoff above 1", lambda: fp.amp.GradScaler(backoff_factor=2.0), ArgumentError,
     "scaler: expected backoff_factor between 0 and 1, got backoff_factor=2.0; 0.5 is usual."),
    ("a floor above the ceiling", lambda: fp.amp.GradScaler.preset("torch", floor=2.0, ceiling=1.0), ArgumentError,
     "scaler: expected 0 <= floor <= ceiling, got floor=2.0, ceiling=1.0; exchange them."),
    ("an unknown scaler", lambda: fp.amp.GradScaler.preset("keras3"), ArgumentError,
     "scaler: expected a library's name, got preset='keras3'; did you mean keras, tf_keras?."),
    ("autocast to float64", lambda: fp.autocast("float64"), ArgumentError,
     "autocast: expected a format that float32 holds, got dtype=float64; use float16 or bfloat16."),
    ("autocast to two formats", lambda: fp.autocast("float16", dtype="bfloat16"), ArgumentError,
     "autocast: expected one format, got 'float16' and dtype='bfloat16'; give one of the two."),
    ("binary cross entropy under autocast", bce_under_autocast, PrecisionError,
     "binary_cross_entropy: expected probabilities that no autocast chose, got autocast; use "
     "binary_cross_entropy_with_logits, or leave autocast for it (enabled=False)."),
    ("an opt level with a zero", lambda: fp.amp.apex("02"), ArgumentError,
     "apex: expected an opt level of O0, O1, O2, O3, got opt_level='02'; choose one: with the letter O."),
    ("O1 with master weights", lambda: fp.amp.apex("O1", master_weights=True), ArgumentError,
     "apex: expected overrides that O1 can honour, got master_weights=True with opt_level='O1'; with O1 the weights "
     "themselves are float32; leave it None."),
    ("O1 with batch norm kept wide", lambda: fp.amp.apex("O1", keep_batchnorm_fp32=True), ArgumentError,
     "apex: expected overrides that O1 can honour, got keep_batchnorm_fp32=True with opt_level='O1'; O1 chooses batch "
     "normalisation's format by its list; leave it None."),
    ("O2 that patches functions", lambda: fp.amp.apex("O2", patch_torch_functions=True), ArgumentError,
     "apex: expected functions patched by O1, and by O1 alone, got patch_torch_functions=True with opt_level=O2; "
     "choose opt_level='O1', or another."),
    ("an unknown policy", lambda: fp.amp.policy("mixed_float"), ArgumentError,
     "policy: expected a policy's name, fields or a format, got 'mixed_float'; did you mean mixed_float16, "
     "mixed_bfloat16, float64?."),
    ("a policy with a field twice", lambda: fp.amp.policy("p=f32,params=f16"), ArgumentError,
     "policy: expected different fields as key=value, got 'params=f16' in 'p=f32,params=f16'; the keys are params, p, c, "
     "o, param, compute, output, accumulate, grad, state, masters, batchnorm, autocast, scaling."),
    ("policies applied twice", applied_twice, ArgumentError,
     "apply: expected a network without formats of its own, got one with O2; build the network again, or give all "
     "patterns in one call."),
    ("a schedule told a number", lambda: fp.optim.lr_scheduler.StepLR(scaled()[0], 1).step(3), ArgumentTypeError,
     "step: expected what scaler.step(optimizer) returned, got 3; or leave it out."),
    ("explaining a tensor", lambda: fp.explain(ones(2)), ArgumentTypeError,
     "explain: expected a function or a network first, got Tensor; pass net, then its inputs."),
    # Sweeps ----------------------------------------------------------------------------------------------------------
    ("a grid of nothing known", lambda: fp.sweep({"scal": [1.0]}), ArgumentError,
     "sweep: expected arguments of train, got 'scal'; did you mean scale, scenario?."),
    ("an empty grid", lambda: fp.sweep({}), ArgumentError,
     "sweep: expected a grid with at least one point, got {}; give {'scale': [...]}."),
    ("a grid without values", lambda: fp.sweep({"scale": []}), ArgumentError,
     "sweep: expected a grid with at least one point, got {'scale': []}; give {'scale': [...]}."),
    ("a scale outside of a list", lambda: fp.sweep({"scale": 8.0}), ArgumentTypeError,
     "sweep: expected a list of values for each argument, got scale=8.0; put it in a list."),
    ("steps swept and set", lambda: fp.sweep({"steps": [1, 2]}, steps=3), ArgumentError,
     "sweep: expected each argument once, got steps both swept and set; leave one of the two out."),
    ("an executor that is none", lambda: fp.sweep({"scale": [1.0]}, executor=4), ArgumentTypeError,
     "sweep: expected a concurrent.futures.Executor, 'process', 'process:4', 'serial' or 'dask://host:port', got int; "
     "leave it out for a process on each core."),
    ("an executor's name that is none, of a comparison", lambda: fp.compare(["float32"], "rounding", 1, executor="threads"), ArgumentError,
     "compare: expected 'process', 'process:4', 'serial' or 'dask://host:port', got executor='threads'; leave it out for "
     "a process on each core."),
    ("an executor's name that is none", lambda: fp.sweep({"scale": [1.0]}, executor="threads"), ArgumentError,
     "sweep: expected 'process', 'process:4', 'serial' or 'dask://host:port', got executor='threads'; leave it out for "
     "a process on each core."),
    ("a list of points that are none", lambda: fp.sweep([1.0]), ArgumentTypeError,
     "sweep: expected points that are dicts, got 1.0 among them; as in {'scale': 8.0}."),
    ("an empty list of points", lambda: fp.sweep([]), ArgumentError,
     "sweep: expected a grid with at least one point, got []; give {'scale': [...]}."),
    ("a million points", lambda: fp.sweep({"seed": range(10**6)}), ArgumentError,
     "sweep: expected at most 10,000 points unless confirmed, got 1,000,000; pass yes=True (--yes) if all of them are "
     "meant."),
    ("a file of weights that all points write", lambda: fp.sweep({"seed": [0, 1]}, weights="w.npz"), ArgumentError,
     "sweep: expected a file for each point, got weights='w.npz' for all 2 points; sweep weights too, or leave it out."),
    ("a sweep in which nothing can be trained", lambda: fp.sweep({"seed": [0, 1]}, recipe="flaot16"), ArgumentError,
     "recipe: expected a recipe's name, got 'flaot16'; did you mean float16, bfloat16, float64, mixed_float16?."),
    ("a negative scale", lambda: fp.train(scale=-1.0), ArgumentError,
     "scaler: expected a scale that float32 holds, above 0, got scale=-1.0; try 65536.0."),
    ("a loss factor of 0", lambda: fp.train(loss_factor=0.0), ArgumentError,
     "train: expected a positive number, got loss_factor=0.0; leave it out for the scenario's own."),
    ("observe never", lambda: fp.observe(every=0), ArgumentError,
     "observe: expected every of at least 1, got every=0; count each step: every=1."),
    ("observe every half step", lambda: fp.observe(every=0.5), ArgumentError,
     "observe: expected every of at least 1, got every=0.5; count each step: every=1."),
    ("observe a module object", lambda: fp.observe(fp.nn.Sequential()), ArgumentTypeError,
     "observe: expected a pattern or a list of them, got modules=Sequential(); name modules as in 'conv*'."),
    ("observe no modules", lambda: fp.observe(modules=[]), ArgumentTypeError,
     "observe: expected a pattern or a list of them, got modules=[]; name modules as in 'conv*'."),
    ("observe some accumulators", lambda: fp.observe(accumulators="conv*"), ArgumentTypeError,
     "observe: expected accumulators to be True or False, got accumulators='conv*'; choose one."),
    ("a pattern of modules that never ran", lambda: observed(modules="conv*").table(), ObserverError,
     "observe: expected a pattern that matches a module that ran, got modules='conv*'; there were 0, 1."),
    ("a pattern where no module ran", lambda: observed(run=lambda: fp.sqrt(ones(2)), modules="conv*").table(), ObserverError,
     "observe: expected a pattern that matches a module that ran, got modules='conv*'; there were operations outside "
     "of modules."),
    ("a picture of nothing", lambda: observed(run=lambda: None).plot(), ObserverError,
     "plot: expected a report of something, got nothing was rounded while observed; observe a step first."),
    ("a picture of zeros", lambda: observed(run=lambda: fp.zeros(2) * 1.0, every=2).plot(), ObserverError,
     "plot: expected a number that is not zero, got 4 elements without one; choose other values to draw."),
    ("observe without with", lambda: fp.observe().table(), ObserverError,
     "observe: expected a with block and its report, got its block asked for table; write `with fp.observe() as report:`, "
     "ask the report."),
    ("observe twice with one", observe_again, ObserverError,
     "observe: expected a new block, got one that was used; write `with fp.observe() as report:` again."),
    ("groups of nothing known", lambda: observed().by("colour"), ArgumentError,
     "by: expected keywords of role, phase, module, op, format, step, got ['colour']; use those."),
    ("a count of nothing known", lambda: total_of(colour="red"), ArgumentError,
     "total: expected keywords of role, phase, module, op, format, step, got ['colour']; use those."),
    # Twins, budgets, anomalies ---------------------------------------------------------------------------------------
    ("a shadow of a number", lambda: fp.shadow(3), ArgumentTypeError,
     "shadow: expected a pattern or a list of them, got modules=3; name modules as in 'conv*'."),
    ("a shadow without a with block", lambda: fp.shadow().table(), ObserverError,
     "shadow: expected a with block and its report, got its block asked for table; "
     "write `with fp.shadow() as report:`, ask the report."),
    ("a shadow of no module", lambda: shadowed(modules="conv*").table(), ObserverError,
     "shadow: expected a pattern that matches a module that ran, got modules='conv*'; "
     "there were operations outside of modules."),
    ("a shadow of nothing", lambda: shadowed(run=lambda: None).total(), ObserverError,
     "total: expected a report of something that ran, got none; run the network inside the with block."),
    ("a twin of a stranger", lambda: shadowed().twin(ones(2)), ObserverError,
     "twin: expected a tensor that was made or used inside the block, got one that is not, or that changed since; "
     "make it there."),
    ("a budget of an array", lambda: shadowed().budget(np.ones(2)), ArgumentTypeError,
     "budget: expected a tensor, got ndarray; pass the result itself."),
    ("anomalies by name", lambda: fp.detect_anomaly("nan"), ArgumentTypeError,
     "detect_anomaly: expected True or False, got check_nan='nan'; call it as detect_anomaly()."),
    ("an observation closed twice", lambda: closed_twice(fp.detect_anomaly()), ObserverError,
     "detect_anomaly: expected an open block, got one that is not open; use `with`, which closes it once."),
    # Costs, evaluations, sensitivities -------------------------------------------------------------------------------
    ("the cost of an array", lambda: fp.cost(np.ones(2), (1, 2)), ArgumentTypeError,
     "cost: expected an nn.Module, got ndarray; pass the network first."),
    ("the cost of no shape", lambda: fp.cost(layer(), ()), ArgumentError,
     "cost: expected a shape of whole numbers of at least 1, got input_shape=(); give a batch's, like (32, 1, 32, 32)."),
    ("the cost of an empty batch", lambda: fp.cost(layer(), (0, 2)), ArgumentError,
     "cost: expected a shape of whole numbers of at least 1, got input_shape=(0, 2); give a batch's, like (32, 1, 32, 32)."),
    ("the cost of a number", lambda: fp.cost(layer(), 32), ArgumentError,
     "cost: expected a shape of whole numbers of at least 1, got input_shape=32; give a batch's, like (32, 1, 32, 32)."),
    ("the cost of another input", lambda: fp.cost(layer(), (1, 3)), ShapeError,
     "linear: expected 2 features in the last axis, got x.shape=(1, 3), weight.shape=(2, 2); flatten the input."),
    ("the cost of no policy", lambda: fp.cost(layer(), (1, 2), []), ArgumentError,
     "cost: expected at least one policy, got none; name one, such as 'O2'."),
    ("the cost of an unknown policy", lambda: fp.cost(layer(), (1, 2), "O4"), ArgumentError,
     "recipe: expected a recipe's name, got 'O4'; did you mean float32, float16/float32, mixed_float16?."),
    ("an optimizer that is none", lambda: fp.cost(layer(), (1, 2), optimizer="adamm"), ArgumentError,
     "cost: expected an optimizer's name, or a function that makes one, got optimizer='adamm'; use one of adam, adamw."),
    ("a device that is none", lambda: fp.cost(layer(), (1, 2), devices=["T5"]), ArgumentError,
     "cost: expected a device of the table, or a Device, got device 'T5'; did you mean T4?."),
    ("no device", lambda: fp.cost(layer(), (1, 2), devices=[]), ArgumentError,
     "cost: expected at least one device, got none; leave it out for all of them."),
    ("devices by number", lambda: fp.cost(layer(), (1, 2), devices=3), ArgumentError,
     "cost: expected names of devices, got devices=3; the table has "
     "V100, A100, H100, H200, B200, MI300X, T4, L4, RTX 3090, RTX 4090, Jetson Orin Nano, EPYC 7763."),
    ("a policy that was not counted", lambda: fp.cost(layer(), (1, 2), "O2")["O3"], ArgumentError,
     "Cost: expected a policy of float32, O2, got 'O3'; name it in cost()."),
    ("a mode that is none", lambda: fp.cost(layer(), (1, 2))["float32"].macs("test"), ArgumentError,
     "cost: expected training or inference, got mode='test'; choose one."),
    ("heads that do not divide", lambda: fp.Decoder(2, 30, 4, 10, 8), ArgumentError,
     "Decoder: expected a width that the heads divide, got width=30, heads=4; change one."),
    ("keys that do not divide", lambda: fp.Decoder(2, 32, 4, 10, 8, key_value_heads=3), ArgumentError,
     "Decoder: expected heads that the key_value_heads divide, got heads=4, key_value_heads=3; change one."),
    ("a rotation of an odd number", lambda: fp.Decoder(2, 12, 4, 10, 8, positions="rotary"), ArgumentError,
     "Decoder: expected an even number of features a head for rotary positions, got width=12, heads=4; change one."),
    ("half a layer", lambda: fp.Decoder(2.5, 32, 4, 10, 8), ArgumentError,
     "Decoder: expected whole numbers of at least 1, got layers=2.5; correct it."),
    ("no width", lambda: fp.Decoder(2, "wide", 4, 10, 8), ArgumentError,
     "Decoder: expected whole numbers of at least 1, got width='wide'; correct it."),
    ("an MLP that is none", lambda: fp.Decoder(2, 32, 4, 10, 8, mlp="relu"), ArgumentError,
     "Decoder: expected mlp gelu or swiglu, got mlp='relu'; choose one."),
    ("a bias that is none", lambda: fp.Decoder(2, 32, 4, 10, 8, bias="qkv"), ArgumentError,
     "Decoder: expected bias True or False, got bias='qkv'; choose one."),
    ("a decoder that was not published", lambda: fp.Decoder.named("llama-7b"), ArgumentError,
     "Decoder: expected the name of a published configuration, got 'llama-7b'; "
     "use one of llama-2-7b, llama-3-70b, llama-2-70b, llama-3-8b."),
    ("a change that is none", lambda: fp.Decoder.named("gpt2", depth=3), ArgumentError,
     "Decoder: expected fields of a Decoder, got depth; use one of width."),
    ("more tokens than the context", lambda: fp.cost(DECODER, (1, 9)), ShapeError,
     "cost: expected (batch, tokens) with at most 8 tokens, the context, got input_shape=(1, 9); "
     "shorten it, or enlarge the decoder's context."),
    ("tokens alone", lambda: fp.cost(DECODER, (8,)), ShapeError,
     "cost: expected (batch, tokens) with at most 8 tokens, the context, got input_shape=(8,); "
     "shorten it, or enlarge the decoder's context."),
    ("no batch of tokens", lambda: fp.cost(DECODER, 8), ArgumentError,
     "cost: expected a shape of whole numbers of at least 1, got input_shape=8; give (batch, tokens)."),
    ("an attention that is none", lambda: fp.cost(DECODER, (1, 8), attention="fast"), ArgumentError,
     "cost: expected attention flash, fused or composed, got attention='fast'; choose one."),
    ("logits of the first", lambda: fp.cost(DECODER, (1, 8), logits="first"), ArgumentError,
     "cost: expected logits last or all, got logits='first'; choose one."),
    ("half recomputed", lambda: fp.cost(DECODER, (1, 8), recompute=0.5), ArgumentError,
     "cost: expected recompute True or False, got recompute=0.5; choose one."),
    ("a cache of integers", lambda: fp.cost(DECODER, (1, 8), kv="int8"), ArgumentError,
     "cost: expected a format to store in, got 'int8'; use a format such as float16, or one of mxfp8_e4m3, mxfp8_e5m2, "
     "mxfp6_e3m2, mxfp6_e2m3, mxfp4_e2m1."),
    ("a cache of a network", lambda: fp.cost(layer(), (1, 2), kv="float16"), ArgumentError,
     "cost: expected attention, recompute, kv and logits for a Decoder alone, got one for a Linear; leave it out."),
    ("what fits of a policy that was not counted", lambda: fp.cost(DECODER, (1, 8)).fits(["T4", "H100"])["O3", "T4"], ArgumentError,
     "Fits: expected a policy of float32, mixed_float16 and a device of T4, H100, got 'O3', 'T4'; name both in cost()."),
    ("a roofline of another device", lambda: fp.cost(layer(), (1, 2), devices="T4").plot("V100"), ArgumentError,
     "roofline: expected a device of T4, got device='V100'; name it in cost()."),
    ("evaluate a function", lambda: fp.evaluate(len, np.ones((1, 2))), ArgumentTypeError,
     "evaluate: expected an nn.Module, got builtin_function_or_method; pass the network first."),
    ("evaluate on a path", lambda: fp.evaluate(layer(), "digits"), DataError,
     "evaluate: expected (x, y), images, or an array, got str; see fp.data."),
    ("evaluate on three parts", lambda: fp.evaluate(layer(), (1, 2, 3)), DataError,
     "evaluate: expected (x, y), or images to train and to test, got 3 parts; pass (x, y)."),
    ("evaluate on nothing", lambda: fp.evaluate(layer(), np.ones((0, 2))), DataError,
     "evaluate: expected at least one sample, got x.shape=(0, 2); pass some data."),
    ("evaluate on other labels", lambda: fp.evaluate(layer(), (np.ones((2, 2)), np.ones(2))), DataError,
     "evaluate: expected one integer label a sample, got x.shape=(2, 2), y.shape=(2,), y.dtype=float64; pass (x, y)."),
    ("evaluate on a class too many", lambda: fp.evaluate(layer(), (np.ones((1, 2)), np.array([2]))), DataError,
     "evaluate: expected labels from 0 to 1, got labels from 2 to 2; number the classes from 0."),
    ("evaluate in nothing", lambda: fp.evaluate(layer(), np.ones((1, 2)), []), ArgumentError,
     "evaluate: expected at least one precision, got none; name one, such as 'float16'."),
    ("evaluate in batches of nothing", lambda: fp.evaluate(layer(), np.ones((1, 2)), batch=0), ArgumentError,
     "evaluate: expected a batch of at least 1, got batch=0; use an int, such as 120."),
    ("evaluate what is no classifier", lambda: fp.evaluate(fp.nn.Linear(2, 1), np.ones((1, 2))), ArgumentError,
     "evaluate: expected outputs (n, classes), two classes at least, got outputs of shape (1, 1); flatten them."),
    ("a precision that was not evaluated", lambda: fp.evaluate(layer(), np.ones((1, 2)), "float16")["O2"], ResultsError,
     "Evaluation: expected a precision of float32, float16, got 'O2'; name it in evaluate()."),
    ("the sensitivity of an array", lambda: fp.sensitivity(np.ones(2), batch_of(2)), ArgumentTypeError,
     "sensitivity: expected an nn.Module, got ndarray; pass the network first."),
    ("a role that is none", lambda: fp.sensitivity(layer(), batch_of(2), roles=["bias"]), ArgumentError,
     "sensitivity: expected roles of weight, activation, gradient, accumulator, update, got roles=['bias']; "
     "leave it out for all."),
    ("no role", lambda: fp.sensitivity(layer(), batch_of(2), roles=[]), ArgumentError,
     "sensitivity: expected roles of weight, activation, gradient, accumulator, update, got roles=[]; leave it out for all."),
    ("layers that are none", lambda: fp.sensitivity(fp.nn.Sequential(layer()), batch_of(2), layers="conv*"), ArgumentError,
     "sensitivity: expected patterns that match a layer with parameters, got layers='conv*'; the layers are 0."),
    ("the sensitivity of no parameters", lambda: fp.sensitivity(fp.nn.ReLU(), batch_of(2)), ArgumentError,
     "sensitivity: expected patterns that match a layer with parameters, got layers='*'; pass a network with parameters."),
    ("no tolerance", lambda: fp.sensitivity(layer(), batch_of(2), tolerance=0), ArgumentError,
     "sensitivity: expected a positive number, got tolerance=0; correct it."),
    ("half a step of sensitivity", lambda: fp.sensitivity(layer(), batch_of(2), steps=0.5), ArgumentError,
     "sensitivity: expected a whole number of at least 1, got steps=0.5; correct it."),
    ("the sensitivity on one array", lambda: fp.sensitivity(layer(), np.ones((2, 2))), DataError,
     "sensitivity: expected (x, y), or images with labels, got ndarray; pass (x, y)."),
    ("the sensitivity on nothing", lambda: fp.sensitivity(layer(), batch_of(0)), DataError,
     "sensitivity: expected as many labels as samples, at least one, got x.shape=(0, 2), y.shape=(0,); pass (x, y)."),
    ("a reference that overflows", lambda: fp.sensitivity(layer(), batch_of(1), lr=1.7e308, steps=2), ArgumentError,
     "sensitivity: expected a float64 run that stays finite, got losses 0.693147, nan with lr=1.7e+308; use a smaller lr."),
    ("a cell that was not measured", lambda: fp.sensitivity(layer(), batch_of(1), steps=1)["fc1", "weight"], ArgumentError,
     "Sensitivity: expected a layer and a role, got [('fc1', 'weight')]; layers are ; roles weight, activation, gradient, "
     "accumulator, update."),
    ("a heat map of nothing known", lambda: fp.sensitivity(layer(), batch_of(1), steps=1).plot("colour"), ArgumentError,
     "sensitivity: expected a field of output, loss, gradient, got field='colour'; choose one."),
    ("a copy of nothing", lambda: fp.amp.in_formats(None, "float16"), ArgumentTypeError,
     "in_formats: expected an nn.Module, got NoneType; pass the network first."),
    ("weights of another ending", lambda: fp.train(steps=1, weights="w.pt"), ArgumentError,
     "train: expected a name ending in .npz or .safetensors, got weights='w.pt'; rename it."),
    ("weights into no folder", lambda: fp.train(steps=1, weights="/nowhere/w.npz"), ArgumentError,
     "train: expected a folder that exists, got weights='/nowhere/w.npz'; make the folder first."),
    ("no steps between checkpoints", lambda: fp.train(checkpoint="/nowhere/c", checkpoint_every=0), ArgumentError,
     "train: expected a whole number of steps, at least 1, got checkpoint_every=0; leave it out for ten a run."),
    ("checkpoints without a folder", lambda: fp.train(checkpoint_every=5), ArgumentError,
     "train: expected a folder for the checkpoints, got checkpoint_every=5 alone; add checkpoint='runs/a'."),
    ("resumed from nothing", lambda: fp.train(resume="/nowhere"), CheckpointError,
     "resume: expected a folder with checkpoints, got none in '/nowhere'; name one given as checkpoint=."),
    ("a checkpoint of a step before the first", lambda: fp.save_checkpoint("/nowhere", -1), ArgumentError,
     "save_checkpoint: expected a step of at least 0, got step=-1; count them from 0."),
    ("an object in a checkpoint", lambda: fp.save_checkpoint("/nowhere", 1, net=object()), ArgumentTypeError,
     "checkpoint: expected numbers, texts, arrays and tensors, got object; leave it out."),
    ("a checkpoint that is not there", lambda: fp.load_checkpoint("/nowhere/step-000001.checkpoint"), CheckpointError,
     "resume: expected a folder with checkpoints, got none in '/nowhere/step-000001.checkpoint'; name one given as "
     "checkpoint=."),
    ("a theme that does not exist", lambda: plots.bits(0.1, theme="drak"), ArgumentError,
     "bits: expected a theme of light, dark, got theme='drak'; choose dark."),
    ("bits of nothing", lambda: plots.bits(), ArgumentError,
     "bits: expected a value or a code, got neither; give one of them."),
    ("a line of too many numbers", lambda: plots.number_line("float16", 0, 1), ArgumentError,
     "number_line: expected at most 400 numbers, got 15361 of float16; move low and high closer together."),
    ("a staircase from zero", lambda: plots.ulp_staircase("float16", 0, 1), ArgumentError,
     "ulp_staircase: expected 2**-400 <= low < high <= 2**400, got low=0, high=1; give a range of magnitudes."),
    ("exponents of zeros", lambda: plots.exponents([0.0]), ArgumentError,
     "exponents: expected a number that is not zero, got none in 'values'; choose other values to draw."),
    ("curves of no recipe", lambda: plots.training_curves({}), ArgumentError,
     "training_curves: expected a mapping of recipe to runs, got an empty one; give one series at least."),
    ("curves of no run", lambda: plots.training_curves({"float16": []}), ArgumentError,
     "training_curves: expected a run of 'float16', at least one, got none; train it, or leave it out."),
    ("deviation from a shorter run", lambda: plots.deviation({"float16": [1.0, 2.0]}, [1.0]), ShapeError,
     "deviation: expected a reference of the same steps and seeds, got float16.shape=(1, 2), reference.shape=(1, 1); "
     "train it for as many steps and seeds."),
    ("a timeline without scales", lambda: plots.scale_timeline([1.0]), ArgumentTypeError,
     "scale_timeline: expected a Run, got list without scale; pass what fp.train returns."),
    ("errors of another n", lambda: plots.error_growth([4, 8], {"kahan": [1.0]}, "float16"), ShapeError,
     "error_growth: expected an error for each n, got 1 of 'kahan' for 2 n; give as many."),
    ("a stop that was never reached", lambda: plots.running_sum({"s": [1.0]}, stop={"s": 3}), ArgumentError,
     "running_sum: expected stops of the sums, got stop={'s': 3}; name one of s, and a term that was added."),
    ("percent as a share", lambda: plots.lost_updates({"float16": {"fc1": 25.0}}), ArgumentError,
     "lost_updates: expected shares from 0 to 1, got fc1=25.0; divide the lost by the nonzero updates."),
    ("ratios without updates", lambda: plots.update_ratios([np.inf]), ArgumentError,
     "update_ratios: expected a finite ratio above 0, got none of 'ratios'; divide |weights| by |updates|."),
    ("a map of one number", lambda: plots.error_map({"fc1": 0.1}), ArgumentTypeError,
     "error_map: expected a report or a mapping of mappings, got dict; pass fp.shadow()'s report, or "
     "{module: {pass: error}}."),
    ("a loss scale beyond the slider", lambda: fp.widgets.loss_scale(exponent=30), ArgumentError,
     "loss_scale: expected loss scale of 0, 1, ..., 24, got exponent=30; choose 24."),
    ("an order that was not recorded", lambda: fp.widgets.accumulate(order="pairwize"), ArgumentError,
     "accumulate: expected order of sequential, pairwise, blocked:64, kahan, got order='pairwize'; choose pairwise."),
    ("terms that were not recorded", lambda: fp.widgets.accumulate("1/n"), ArgumentError,
     "accumulate: expected terms of 1, 0.1, 1/k, got terms='1/n'; choose 1/k, 1."),
    ("an outlier of zero", lambda: fp.widgets.amax_history(outlier=0.0), ArgumentError,
     "amax_history: expected two or more positive, finite magnitudes, got outlier=0.0; choose one above 0."),
    ("a block scale's format", lambda: fp.widgets.block_scale("mxfp5"), ArgumentError,
     "block_scale: expected format of mxfp8_e4m3, mxfp6_e3m2, mxfp4_e2m1, got format='mxfp5'; choose "
     "mxfp8_e4m3, mxfp6_e3m2, mxfp4_e2m1."),
    ("bits without a sign", lambda: fp.widgets.bits("1", ["float8_e8m0fnu"]), ArgumentError,
     "bits: expected formats with a sign, at least one, got float8_e8m0fnu; choose another."),
    ("a format of too many bits", lambda: fp.widgets.format_designer(12, 3), ArgumentError,
     "format_designer: expected exponent bits of 2, 3, ..., 8, got exponent_bits=12; choose 8."),
    ("a text as learning rate", lambda: fp.optim.SGD([leaf(2)], lr="0.1"), ArgumentTypeError,
     "SGD: expected a number as lr, got lr='0.1'; give a float."),
    ("one beta", lambda: fp.optim.Adam([leaf(2)], betas=(0.9,)), ArgumentTypeError,
     "Adam: expected two numbers as betas, got betas=(0.9,); the usual are 0.9, 0.999."),
    ("a gradient of another shape", lambda: step_with(fp.ones(3)), ShapeError,
     "SGD: expected a tensor of shape (2,) as gradient of parameter 0, got shape=(3,); let backward() make it."),
    ("an array as gradient", lambda: step_with(np.ones(2)), ShapeError,
     "SGD: expected a tensor of shape (2,) as gradient of parameter 0, got ndarray; let backward() make it."),
    ("clipping an array", lambda: step_with(np.ones(2), lambda ws: fp.optim.clip_grad_norm_(ws, 1.0)),
     ArgumentTypeError, "clip_grad_norm_: expected tensors as gradients, got ndarray; let backward() make them."),
    ("the state of a parameter that there is not", lambda: loaded(fp.optim.SGD([leaf(2)]), state={5: {}}),
     ArgumentError, "load_state_dict: expected state of 1 parameters, got state of parameter 5; check the network."),
    ("an array as an optimizer's state", lambda: loaded(fp.optim.SGD([leaf(2)]), state={0: {"m": np.ones(2)}}),
     ShapeError, "load_state_dict: expected state of the parameters' shapes, got m of parameter 0 with type ndarray; "
     "check the network."),
    ("half a state of Adam's", lambda: loaded(fp.optim.Adam([leaf(2)]), state={0: {"exp_avg": ones(2)}}),
     ArgumentError, "load_state_dict: expected a state of Adam, got one without exp_avg_sq; load what it gave."),
    ("steps that are no number", lambda: loaded(fp.optim.Adam([leaf(2)]), state={0: {
        "step": "1", "exp_avg": ones(2), "exp_avg_sq": ones(2)}}),
     ArgumentError, "load_state_dict: expected a state of Adam, got step='1'; load what it gave."),
    ("a schedule's state from elsewhere",
     lambda: fp.optim.lr_scheduler.StepLR(fp.optim.SGD([leaf(2)]), 2).load_state_dict({"gamma": 1.0}), ArgumentError,
     "load_state_dict: expected what state_dict() of a StepLR gave, got something else; build the schedule as the "
     "saved one."),
    ("nan for weights whose format has none",
     lambda: fp.nn.Linear(1, 1).to("float4_e2m1fn").load_state_dict({"weight": [[1.0]], "bias": [np.nan]}),
     FormatError, "load_state_dict: expected numbers that float4_e2m1fn has, got nan in bias; mask it."),
    ("ragged weights", lambda: fp.nn.Linear(1, 2).load_state_dict({"weight": [[1.0], [1.0, 2.0]], "bias": [1.0, 1.0]}),
     ShapeError,
     "load_state_dict: expected a rectangular array, got rows of different lengths; pad or split them."),
    ("weights under numbers", lambda: fp.nn.Linear(1, 1).load_state_dict({1: 2}), ArgumentError,
     "load_state_dict: expected the network's own names, got missing weight, bias; unknown 1; or pass strict=False."),
    ("an exercise that there is not", lambda: check("ex3.2", 1), ArgumentError,
     "check: expected the name of an exercise, got exercise='ex3.2'; the nearest is ex03.2."),
    ("a number as an exercise", lambda: check(3.2, 1), ArgumentTypeError,
     "check: expected the name of an exercise, got exercise=3.2; write check('ex03.2', answer)."),
    ("a block that does not divide", lambda: fp.mx.round(np.ones((2, 40)), "mxfp8"), ShapeError,
     "mx.round: expected a multiple of the block, 32, got 40 along axis -1 of x.shape=(2, 40); choose another axis or "
     "block=, or fill the last block with zeros by pad=True."),
    ("a block that does not divide, encoded", lambda: fp.mx.encode(np.ones(40), "mxfp8", block=16), ShapeError,
     "mx.encode: expected a multiple of the block, 16, got 40 along axis -1 of x.shape=(40,); choose another axis or "
     "block=, or fill the last block with zeros by pad=True."),
    ("blocks along no axis", lambda: fp.mx.round(np.ones((2, 32)), "mxfp8", axis=2), ShapeError,
     "mx.round: expected an axis of an array of at least one dimension, got axis=2 for x.shape=(2, 32); count from 0 or "
     "from -1."),
    ("an unknown MX format", lambda: fp.mx.round(np.ones(32), "mxfp5"), FormatError,
     "mx: expected an MX format, got 'mxfp5'; did you mean mxfp8, mxfp6, mxfp4, mxfp8_e5m2? Elements of your own: "
     "fp.mx.MXFormat('e3m4')."),
    ("blocks of nothing", lambda: fp.mx.MXFormat("e3m2", block=0), ArgumentError,
     "MXFormat: expected a block of at least 1 element, got block=0; the specification's is 32."),
    ("scales as elements", lambda: fp.mx.MXFormat("e8m0fnu"), FormatError,
     "MXFormat: expected an element format with arithmetic, got element=float8_e8m0fnu; it codes scales only."),
    ("no history", lambda: fp.amp.DelayedScaling(amax_history_len=0), ArgumentError,
     "DelayedScaling: expected a history of 1 to 65536 steps, got amax_history_len=0; take 16."),
    ("an unknown amax rule", lambda: fp.amp.DelayedScaling(amax_compute_algo="mean"), ArgumentError,
     "DelayedScaling: expected 'max' or 'most_recent', got amax_compute_algo='mean'; choose one."),
    ("a margin beyond reason", lambda: fp.amp.CurrentScaling(margin=1000), ArgumentError,
     "CurrentScaling: expected a margin from -100 to 100, got margin=1000; 0 leaves none free."),
    ("FP8 of scales", lambda: fp.amp.CurrentScaling("e8m0fnu"), FormatError,
     "CurrentScaling: expected formats with arithmetic, got forward=float8_e8m0fnu; take FP8."),
    ("saturate as a word", lambda: fp.amp.CurrentScaling(saturate="yes"), ArgumentError,
     "CurrentScaling: expected True or False, got saturate='yes'; choose one."),
    ("MX blocks of an unknown format", lambda: fp.amp.BlockScaling("fp8"), FormatError,
     "mx: expected an MX format, got 'fp8'; did you mean mxfp8, mxfp6, mxfp4? Elements of your own: "
     "fp.mx.MXFormat('e3m4')."),
    ("a scaling by name", lambda: fp.amp.quantize(fp.nn.LeNet(), "fp8"), ArgumentTypeError,
     "quantize: expected a scaling, got scaling='fp8'; pass fp.amp.CurrentScaling(), DelayedScaling() or "
     "BlockScaling()."),
    ("quantising what is no network", lambda: fp.amp.quantize([], fp.amp.CurrentScaling()), ArgumentTypeError,
     "quantize: expected an nn.Module, got list; pass the network first."),
    ("quantising no layer", lambda: fp.amp.quantize(fp.nn.LeNet(), fp.amp.CurrentScaling(), "conv*"), ArgumentError,
     "quantize: expected a pattern that matches an nn.Linear, got pattern='conv*'; the fully connected layers are fc1, "
     "fc2."),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "text"), [pytest.param(*row, id=name) for name, *row in ROWS])
def test_bad_input(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert str(caught.value) == text
    assert re.fullmatch(r"[^:]+: expected .+, got .+; .+\.", text)


def test_every_row_has_a_name_of_its_own():
    names = [name for name, *_ in ROWS]
    assert len(set(names)) == len(names) >= 40
