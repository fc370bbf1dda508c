"""For every operation a few shapes and metadata: what the registry test runs it on; and the numbers it draws.

Tests only. A case says nothing about results; those are `reference`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

import fpsim as fp
from fpsim.amp.quantization import Unquantised
from tests.oracles import rational

#: The formats of the table: native ones, narrow ones with and without infinity, NaN and -0, and unusual splits.
FORMATS = (
    "float16", "bfloat16", "tfloat32", "float32", "float64", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz",
    "float6_e3m2fn", "float4_e2m1fn", "e5m6", "e8m16", "e11m40",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Arguments of an operation: a shape for each array (None: left out), and metadata by keyword.

    `values` names what is drawn, for all arguments or for each; `smooth` cases are differentiable where they are drawn.
    """

    shapes: tuple[tuple[int, ...] | None, ...]
    metadata: dict[str, Any] = field(default_factory=dict)
    values: str | tuple[str, ...] = "ordinary"
    smooth: bool = True

    def draw(self, rng: np.random.Generator, name: str, values: str | None = None) -> list[np.ndarray | None]:
        """One array of the format's values for each argument."""
        kinds = values or self.values
        kinds = (kinds,) * len(self.shapes) if isinstance(kinds, str) else kinds
        return [None if s is None else draw(rng, s, name, kind) for s, kind in zip(self.shapes, kinds, strict=True)]


# Numbers -------------------------------------------------------------------------------------------------------------


def specials(name: str) -> list[float]:
    """What everybody forgets, as far as the format has it."""
    fmt = rational.grid(name)
    ends = [1.0, 0.0, float(fmt.quantum), -float(fmt.quantum), float(fmt.max), -float(fmt.max)]
    ends += [-0.0] * fmt.has_negative_zero + [np.inf, -np.inf] * fmt.has_inf + [np.nan] * fmt.has_nan
    return ends


def draw(rng: np.random.Generator, shape: tuple[int, ...], name: str, values: str) -> np.ndarray:
    """float64 numbers on the grid of the format, some of a thousand of a kind.

    ``wild``: any exponent. ``simple``: few significant bits, any exponent: where ties are. ``ties``: small integers.
    """
    if values in ("special", "special but not extreme"):
        extreme = (float(rational.grid(name).quantum), float(rational.grid(name).max))
        return rng.choice([x for x in specials(name) if values == "special" or abs(x) not in extreme], shape)
    if values == "ties":
        return rng.integers(-2, 3, shape).astype(np.float64)
    return rng.choice(kind(name, values), shape)


@cache
def kind(name: str, values: str) -> np.ndarray:
    """A thousand numbers of a kind, rounded to the format."""
    fmt, rng, count = rational.grid(name), np.random.default_rng(1), 1000
    if values == "ordinary":
        x = rng.normal(size=count)
    elif values == "positive":
        x = np.abs(rng.normal(size=count)) + 0.25
    elif values == "unit":
        x = rng.uniform(size=count)
    else:
        significand = {"wild": rng.uniform(1, 2, count), "simple": rng.integers(1, 64, count) / 16.0}[values]
        exponents = rng.integers(fmt.emin - fmt.significand_bits, rational.floor_log2(fmt.max), count, endpoint=True)
        with np.errstate(over="ignore"):
            x = np.ldexp(rng.choice([-1.0, 1.0], count) * significand, exponents)
    return np.array([rational.round_exact(rational.real(v), fmt, saturate=True) for v in x.tolist()])


def samples(
    rng: np.random.Generator, name: str, arguments: int, count: int, kinds=("wild", "simple", "ordinary")
) -> list[np.ndarray]:
    """Flat arrays for an elementwise operation: wild, simple and ordinary numbers in turn."""
    return [np.concatenate([draw(rng, (count,), name, kind) for kind in kinds]) for _ in range(arguments)]


# Operations ----------------------------------------------------------------------------------------------------------

UNARY = [Case((shape,)) for shape in [(), (1,), (7,), (2, 3), (0,), (2, 0, 3)]]
POSITIVE = [Case(case.shapes, values="positive") for case in UNARY]
BROADCASTING = [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (4,)), ((1, 1, 2), (3, 1)), ((0, 3), (3,)),
                ((0, 3), (1, 1)), ((1,), (1, 1)), ((5, 2, 3), (2, 1))]  # fmt: skip
BINARY = [Case(shapes) for shapes in BROADCASTING]


def mask(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int)).reshape(shape) % 3 != 1


def reductions(**metadata: Any) -> list[Case]:
    """Over one axis, several, all, none left out; of size 1 and 0."""
    axes = [((5,), (0,)), ((3, 4), (0,)), ((3, 4), (1,)), ((2, 3, 4), (0, 2)), ((2, 3), (0, 1)), ((1, 4, 3), (1,)),
            ((1, 5), (0, 1)), ((9, 2), (0,)), ((), ())]  # fmt: skip
    return [
        Case((shape,), {"axis": axis, "keepdims": keepdims, **metadata})
        for shape, axis in axes
        for keepdims in (False, True)
    ]


def of_nothing(*pairs: tuple[tuple[int, ...], tuple[int, ...]], **metadata: Any) -> list[Case]:
    return [Case((shape,), {"axis": axis, "keepdims": False, **metadata}) for shape, axis in pairs]


EXTREMES = [
    *reductions()[:-2],
    *of_nothing(((3, 0), (0,))),  # (of none there is no largest: an error of the caller's)
    *(Case(c.shapes, c.metadata, "ties", smooth=False) for c in reductions()[:-2]),
]
EXTREMES = [c for c in EXTREMES if c.shapes != ((3, 0),) or c.metadata["axis"] != (1,)]


def convolution(x, w, b=None, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1, **more) -> Case:
    metadata = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return Case((x, w, b), metadata, **more)


def pooling(x, kernel, stride, padding=((0, 0), (0, 0)), **more) -> Case:
    return Case((x,), {"kernel": kernel, "stride": stride, "padding": padding}, **more)


MAX_POOLS = [
    Case(c.shapes, {**c.metadata, "dilation": dilation}, values, smooth=values == "ordinary")
    for c, dilation in [
        (pooling((2, 2, 4, 4), (2, 2), (2, 2)), (1, 1)),
        (pooling((1, 2, 5, 4), (3, 2), (1, 1)), (1, 1)),
        (pooling((2, 1, 4, 5), (2, 2), (3, 1), ((1, 1), (0, 1))), (1, 1)),
        (pooling((1, 1, 6, 5), (2, 2), (1, 2)), (2, 1)),
        (pooling((1, 1, 7, 4), (2, 2), (2, 2)), (2, 1)),
        (pooling((1, 1, 1, 1), (1, 1), (1, 1)), (1, 1)),
        (pooling((0, 2, 4, 4), (2, 2), (2, 2)), (1, 1)),
    ]
    for values in ("ordinary", "ties")
]
AVERAGE_POOLS = [
    Case(c.shapes, {**c.metadata, "divisors": np.asarray(divisors, np.float64)}, c.values)
    for c, divisors in [
        (pooling((2, 2, 4, 4), (2, 2), (2, 2)), np.full((2, 2), 4)),
        (pooling((1, 2, 5, 4), (3, 2), (1, 1)), np.full((3, 3), 6)),
        (pooling((2, 1, 4, 4), (3, 3), (2, 2), ((1, 1), (1, 1))), [[4, 6], [6, 9]]),
        (pooling((1, 1, 1, 1), (1, 1), (1, 1)), [[1]]),
        (pooling((0, 2, 4, 4), (2, 2), (2, 2)), np.full((2, 2), 4)),
    ]
]


def losses(extra: dict[str, Any]) -> list[Case]:
    labels = [
        ((4, 3), np.array([2, 0, 1, 1]), None),
        ((3, 4), np.array([3, -100, 0]), np.array([0.1, 2.0, 0.5, 1.0])),
        ((2, 3, 2), np.array([[0, 2], [1, -100]]), None),
        ((1, 1), np.array([0]), None),
        ((0, 3), np.zeros(0, int), None),
    ]
    return [
        Case((shape,), {"labels": y, "weight": weight, "ignored": -100, "reduction": reduction, **extra})
        for shape, y, weight in labels
        for reduction in ("mean", "sum", "none")
    ]


def normalizations(**metadata: Any) -> list[Case]:
    return [
        Case(((4, 6), (6,), (6,)), {"axis": (1,), "eps": 1e-5, **metadata}),
        Case(((4, 6), None, None), {"axis": (1,), "eps": 1e-5, **metadata}),
        Case(((3, 2, 4), (1, 2, 1), (1, 2, 1)), {"axis": (0, 2), "eps": 1e-3, **metadata}),
        Case(((1, 2, 1), (1, 2, 1), None), {"axis": (0, 2), "eps": 1e-3, **metadata}),
        Case(((0, 3), (3,), (3,)), {"axis": (1,), "eps": 1e-5, **metadata}),
    ]


WITH_STATISTICS = {
    "mean": np.array([0.5, -0.25]).reshape(1, 2, 1), "var": np.array([1.5, 0.75]).reshape(1, 2, 1), "eps": 1e-3,
}  # fmt: skip

SOFTMAXES = [
    Case((shape,), {"axis": axis}) for shape, axis in [((5,), 0), ((2, 4), 1), ((3, 2, 2), 1), ((3, 1), 1), ((0, 3), 1)]
]


def attention(q, k, v, mask=None, **more) -> Case:
    usual = {"keep": None, "causal": False, "scale": 0.7, "kept": None, "probability": 0.0}
    return Case((q, k, v, mask), {**usual, **more})


ATTENTIONS = [
    attention((3, 2), (3, 2), (3, 2), causal=True),
    attention((2, 2, 2), (2, 3, 2), (2, 3, 1), keep=np.array([[True, False, True], [False, False, False]])),
    attention((2, 3), (4, 3), (4, 2), (4,), scale=-0.5),
    attention((2, 1, 2), (2, 2), (2, 2, 2), (2, 1, 1), kept=mask(2, 1, 2), probability=0.1),
    attention((2, 2), (2, 2), (3, 2, 1), (2, 2)),
    attention((1, 1), (1, 1), (1, 1)),
    attention((0, 2), (3, 2), (3, 2)),
    attention((2, 2), (0, 2), (0, 3)),
]  # fmt: skip

CASES: dict[str, list[Case]] = {
    "scaled_dot_product_attention": ATTENTIONS,
    "cast": UNARY,
    "add": BINARY,
    "subtract": BINARY,
    "multiply": BINARY,
    "divide": [Case(shapes, values=("ordinary", "positive")) for shapes in BROADCASTING],
    "maximum": [*BINARY, *(Case(c.shapes, values="ties", smooth=False) for c in BINARY)],
    "minimum": [*BINARY, *(Case(c.shapes, values="ties", smooth=False) for c in BINARY)],
    "power": [Case(shapes, values=("positive", "ordinary")) for shapes in BROADCASTING],
    "power_integer": [Case(c.shapes, {"n": n}, "positive") for c, n in zip(UNARY, (3, 2, -1, 0, 1, -2), strict=True)],
    "negative": UNARY,
    "exp": UNARY,
    "log": POSITIVE,
    "sqrt": POSITIVE,
    "tanh": UNARY,
    "sigmoid": UNARY,
    "gelu": UNARY,
    "relu": [*UNARY, Case(((9,),), values="ties", smooth=False)],
    "abs": [*UNARY, Case(((9,),), values="ties", smooth=False)],
    "where": [
        Case(shapes, {"condition": mask(*np.broadcast_shapes(*shapes))})
        for shapes in BROADCASTING
    ],
    "clip": [
        *(Case((shape, (), None)) for shape in [(4,), (2, 0)]),
        Case(((2, 5), None, ()), values="ties", smooth=False),
        Case(((2, 5), (5,), ()), values=("ties", "unit", "ties"), smooth=False),
    ],
    "dropout": [Case((s,), {"kept": mask(*s), "probability": p}) for s, p in [((7,), 0.25), ((2, 3), 0.1), ((0,), 0.5)]],
    "sum": [*reductions(), *of_nothing(((0,), (0,)), ((3, 0), (1,)), ((0, 3), (1,)))],
    "mean": [*reductions(), *of_nothing(((3, 0), (0,)))],
    "var": [*reductions(correction=0)[:-2], *reductions(correction=1)[2:5], *of_nothing(((3, 0), (0,)), correction=1),
            *(Case(c.shapes, c.metadata, smooth=False) for c in of_nothing(((0, 3), (0,)), ((1, 2), (0,)), correction=2))],
    "max": EXTREMES,
    "min": EXTREMES,
    "reshape": [Case((a,), {"shape": b}) for a, b in [((2, 6), (3, 4)), ((4,), (2, 2)), ((), (1, 1)), ((0, 3), (3, 0))]],
    "transpose": [Case((s,), {"axes": a}) for s, a in [((2, 3), (1, 0)), ((2, 3, 4), (2, 0, 1)), ((0, 2), (1, 0)), ((), ())]],
    "broadcast_to": [
        Case((a,), {"shape": b})
        for a, b in [((3,), (2, 3)), ((2, 1), (4, 2, 3)), ((), (5,)), ((1, 3), (0, 3)), ((2,), (2,)), ((1,), (1, 1))]
    ],
    "getitem": [
        Case((shape,), {"index": index})
        for shape, index in [
            ((5,), np.array([0, 3, 3, -1, 3])),
            ((4, 3), (slice(None, None, -2), slice(1, None))),
            ((4, 3), (np.array([[0, 1], [1, 0]]), slice(None))),
            ((4, 3), (Ellipsis, None, 2)),
            ((6,), np.array([True, False, True, True, False, False])),
            ((3, 2), (1, 1)),
            ((3, 2), np.zeros(0, int)),
            ((0, 2), slice(None)),
        ]
    ],
    "concatenate": [
        Case(shapes, {"axis": axis})
        for shapes, axis in [(((2, 3), (1, 3)), 0), (((2, 1), (2, 2), (2, 0)), 1), (((2, 3, 1), (2, 3, 2)), 2)]
    ],
    "stack": [Case(((2, 3),) * 3, {"axis": axis}) for axis in (0, 1, 2)] + [Case(((), ()), {"axis": 0})],
    "pad": [
        Case((shape,), {"widths": widths, "value": 0.5})
        for shape, widths in [((3,), ((1, 2),)), ((2, 2), ((0, 1), (2, 0))), ((0, 2), ((1, 0), (0, 0)))]
    ],
    "matmul": [
        Case(shapes)
        for shapes in [
            ((2, 5), (5, 3)), ((1, 1), (1, 1)), ((2, 2, 3), (3, 2)), ((2, 1, 2, 3), (3, 3, 2)), ((1, 2, 3), (4, 3, 2)),
            ((2, 0), (0, 3)), ((0, 2), (2, 3)), ((0, 2, 3), (3, 2)),
        ]
    ],
    "linear": [
        Case(shapes)
        for shapes in [((3, 5), (2, 5), (2,)), ((2, 2, 3), (4, 3), None), ((4,), (2, 4), (2,)), ((0, 3), (2, 3), (2,))]
    ],
    # with operands as they are it is `linear`; scales and quantised operands: tests/amp/test_fp8.py
    "quantized_linear": [
        Case(shapes, {"quantized": Unquantised()})
        for shapes in [((3, 5), (2, 5), (2,)), ((2, 2, 3), (4, 3), None), ((0, 3), (2, 3), (2,))]
    ],
    "einsum": [
        Case(shapes, {"labels": labels})
        for shapes, labels in [
            (((2, 3), (3, 4)), ("ij", "jk", "ik")),
            (((2, 3), (2, 3)), ("bi", "bi", "b")),
            (((3,), (4,)), ("i", "j", "ji")),
            (((2, 3), (3,)), ("ij", "j", "")),
            (((2, 3, 2), (2, 4)), ("bij", "bk", "ik")),
            (((0, 3), (3, 2)), ("ij", "jk", "ik")),
        ]
    ],
    "conv2d": [
        convolution((2, 2, 4, 4), (3, 2, 3, 3), (3,)),
        convolution((1, 2, 5, 4), (2, 2, 2, 3), (2,), stride=(2, 1), padding=((1, 0), (1, 2))),
        convolution((2, 4, 4, 3), (4, 2, 2, 2), groups=2, padding=((1, 1), (0, 0))),
        convolution((1, 1, 5, 5), (2, 1, 2, 2), dilation=(2, 3), stride=(2, 1), padding=((0, 1), (1, 1))),
        convolution((1, 2, 4, 4), (2, 1, 1, 1), (2,), groups=2, stride=(3, 3)),
        convolution((0, 2, 3, 3), (2, 2, 2, 2), (2,)),
    ],
    "max_pool2d": MAX_POOLS,
    "avg_pool2d": AVERAGE_POOLS,
    "softmax": SOFTMAXES,
    "log_softmax": SOFTMAXES,
    "layer_norm": normalizations(),
    "batch_norm": normalizations(),
    "normalize_with": [
        Case(((3, 2, 2), (1, 2, 1), (1, 2, 1)), WITH_STATISTICS),
        Case(((3, 2, 2), None, None), WITH_STATISTICS),
        Case(((0, 2, 2), (1, 2, 1), None), WITH_STATISTICS),
    ],
    "nll": losses({}),
    "cross_entropy": [*losses({"smoothing": 0.0}), *losses({"smoothing": 0.1})[1:5]],
    "bce": [
        Case((s, s, more), {"reduction": reduction}, values=("unit", "unit", "positive"), smooth=s != (3, 2))
        for s, more in [((5,), None), ((3, 2), (3, 2)), ((2, 2), (2,)), ((0, 2), None)]  # (3, 2): a p near 0, too steep
        for reduction in ("mean", "sum", "none")
    ],
    "bce_with_logits": [
        Case((s, s, *more), {"reduction": reduction}, values=("ordinary", "unit", "positive", "positive"))
        for s, more in [((5,), (None, None)), ((3, 2), ((3, 2), (2,))), ((2, 2), (None, (2,))), ((0, 2), (None, None))]
        for reduction in ("mean", "sum", "none")
    ],
}  # fmt: skip


# Precisions ----------------------------------------------------------------------------------------------------------

#: Beside each storage format: an accumulator that holds it, one that does not, and another gradient format.
BESIDE = {
    "float16": ("float32", "bfloat16", "float32"),
    "bfloat16": ("float32", "float16", "float32"),
    "tfloat32": ("float32", "bfloat16", "float16"),
    "float32": ("float64", "float16", "float16"),
    "float64": ("float64", "float32", "float32"),
    "float8_e4m3fn": ("float16", "float8_e5m2", "float8_e5m2"),
    "float8_e5m2": ("float32", "float8_e4m3fn", "float16"),
    "float8_e4m3fnuz": ("float16", "float8_e5m2fnuz", "float32"),
    "float6_e3m2fn": ("float16", "float4_e2m1fn", "float8_e5m2"),
    "float4_e2m1fn": ("float32", "float6_e2m3fn", "float6_e3m2fn"),
    "e5m6": ("float16", "e4m7", "bfloat16"),
    "e8m16": ("float32", "float16", "tfloat32"),
    "e11m40": ("float64", "e8m30", "e11m50"),
}


def precisions(name: str) -> list[fp.Precision]:
    """How sums into tensors of a format are accumulated, and gradients kept, in the registry test."""
    wide, other, grad = BESIDE[name]
    return [
        fp.Precision(name, wide, order="sequential"),
        fp.Precision(name, order="pairwise", grad=grad),
        fp.Precision(name, other, order="blocked:3"),
        fp.Precision(name, order="sequential", fma=True, rounding="up", acc_rounding="down",
                     grad_rounding="toward_zero", saturate=True),
        fp.Precision(name, wide, order="exact", rounding="nearest_away", grad=grad),
    ]  # fmt: skip
