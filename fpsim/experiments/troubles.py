"""`troubles`: what formats do to a transformer, six times, each measured without and with its cure.

Layer 8. Every number comes from the operations themselves and from the observers; nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fpsim import amp, nn
from fpsim.autograd import Tensor, default_precision, no_grad, tensor, using
from fpsim.errors import ResultsError, expected
from fpsim.nn import functional as F
from fpsim.observe import observe
from fpsim.observe.report_forms import Column, ReportForms, percent, plain

__all__ = ["Trouble", "Troubles", "troubles"]


@dataclass(frozen=True)
class Trouble:
    """One thing that goes wrong, in a number, and the same number with the cure.

    Attributes
    ----------
    name, fmt : str
        In which format, ``storage/accumulate``.
    wrong : str
        What goes wrong, and why.
    measured : str
        What the two numbers are.
    without, cured : float
    cure : str
    """

    name: str
    fmt: str
    wrong: str
    measured: str
    without: float
    cure: str
    cured: float


@dataclass(frozen=True, repr=False)
class Troubles(ReportForms):
    """What `troubles` measured: ``found["lost updates"].cured``; ``table() to_dict() to_json()``."""

    all: tuple[Trouble, ...]

    def __iter__(self) -> Iterator[Trouble]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    def __getitem__(self, name: str) -> Trouble:
        for trouble in self.all:
            if trouble.name == name:
                return trouble
        have = ", ".join(trouble.name for trouble in self.all)
        raise ResultsError(expected("troubles", f"one of {have}", repr(name), "choose one"))

    def rows(self) -> list[dict[str, Any]]:
        """One dict a trouble."""
        return [asdict(trouble) for trouble in self.all]

    def columns(self) -> list[Column]:
        """The explanations stand below."""
        return [
            Column("name", "trouble"), Column("fmt", "format"), Column("measured", "measured"),
            Column("without", "without"), Column("cured", "with"), Column("cure", "cure", left=True),
        ]  # fmt: skip

    def title(self) -> str:
        """What they have in common."""
        return "What formats do to a transformer, without and with the cure"

    def notes(self) -> list[str]:
        """What goes wrong in each."""
        return [f"{trouble.name}: {trouble.wrong}" for trouble in self.all]

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain dicts and lists."""
        return plain({"title": self.title(), "rows": self.rows()})


def troubles() -> Troubles:
    """Measure six troubles of transformers in narrow formats, each without and with its cure.

    Attention scores and masks that leave float16's range, layer norm's variance, softmax in half precision, residual
    streams that absorb what is added to them, and the updates that bfloat16 loses.

    Returns
    -------
    Troubles
        ``table() to_dict() to_json()``; the same numbers each time.

    Notes
    -----
    Precision: errors are relative, ``|y - y64| / |y64|`` in the Euclidean norm, the reference in float64.

    Examples
    --------
    >>> import fpsim as fp
    >>> found = fp.troubles()
    >>> found["mask"].without, found["mask"].cured
    (8.0, 0.0)
    """
    measured = (logits, mask, layer_norm, softmax, residual, lost_updates)
    surroundings = {"observers": (), "autocast": None, "precision": None, "module": "", "grad_enabled": True}
    with using(**surroundings):
        return Troubles(tuple(measure() for measure in measured))


def drawn(*shape: int, seed: int = 0) -> Any:
    """Normal numbers in float64."""
    return np.random.default_rng(seed).standard_normal(shape)


def relative_error(y: Tensor, exact: Tensor) -> float:
    """|y - exact| / |exact|."""
    apart = y.numpy().astype(np.float64) - exact.numpy()
    return float(np.linalg.norm(apart) / np.linalg.norm(exact.numpy()))


def logits(features: int = 64, magnitude: float = 48.0) -> Trouble:
    """Scores of queries and keys as large as badly normalised layers make them."""
    q, k = (tensor(magnitude * drawn(64, features, seed=s), precision="float16/float32") for s in (0, 1))

    def infinite(scale: float) -> float:
        with observe() as seen:
            _ = (q * scale) @ k.transpose(-2, -1)
        return float(seen.total(op="matmul").overflow)

    return Trouble(
        name="logits",
        fmt="float16/float32",
        wrong=f"A score is a sum of {features} products and leaves float16's range at 65504; softmax(inf) is nan.",
        measured=f"scores of {64 * 64} that are inf",
        without=infinite(1.0),
        cure="multiply q by 1/sqrt(d) before the product",
        cured=infinite(1 / np.sqrt(features)),
    )


def mask(positions: int = 8) -> Trouble:
    """A sequence whose first position may look nowhere, as padding makes it."""
    q = k = v = tensor(drawn(positions, positions), precision="float16/float32")
    keep = np.tril(np.ones((positions, positions), bool), -1)

    def missing(y: Tensor) -> float:
        return float(np.isnan(y.numpy()).sum())

    scores = (q * (1 / np.sqrt(positions))) @ k.transpose(-2, -1)
    added = F.softmax(scores + tensor(np.where(keep, 0.0, -1e9), precision="float16/float32"), dim=-1) @ v
    return Trouble(
        name="mask",
        fmt="float16/float32",
        wrong="-1e9 is -inf in float16; where all of a row is masked, its softmax is inf - inf: nan.",
        measured=f"outputs of {positions**2} that are nan",
        without=missing(added),
        cure="a bool mask in scaled_dot_product_attention, which selects",
        cured=missing(F.scaled_dot_product_attention(q, k, v, attn_mask=keep)),
    )


def layer_norm(features: int = 64, magnitude: float = 300.0) -> Trouble:
    """Layer norm of activations beyond 256, whose squares are beyond 65504."""
    x = magnitude * drawn(16, features)

    def error(precision: str) -> float:
        with default_precision("float64"):
            exact, norm = nn.LayerNorm(features), amp.apply(nn.LayerNorm(features), precision)
        start = tensor(x, precision="float16")  # the same numbers in both
        return relative_error(norm(start), exact(start.to("float64")))

    return Trouble(
        name="layer norm",
        fmt="float16",
        wrong="Squares of deviations beyond 256 overflow, so the variance is inf and every output 0.",
        measured="relative error of the outputs",
        without=error("float16"),
        cure="accumulate in float32",
        cured=error("float16/float32"),
    )


def softmax(positions: int = 4096) -> Trouble:
    """The weights of queries that look at many positions; of a model in float16 the softmax alone is in float32."""
    scores = tensor(drawn(16, positions), precision="float16")
    exact = F.softmax(scores.to("float64"), dim=-1)

    def error(**of_softmax: str) -> float:
        net = nn.TransformerLM(2, width=8, heads=1, layers=1, context=2, attention="composed")
        amp.apply(net, {"*": "float16", **of_softmax})
        return relative_error(net.blocks[0].attention.softmax(scores), exact)

    return Trouble(
        name="softmax",
        fmt="float16",
        wrong=f"The sum of {positions} exponentials in float16 stops growing: the weights add to more than 1.",
        measured="relative error of attention weights",
        without=error(),
        cure='a float32 island: {"*": "float16", "*.softmax": "float32"}',
        cured=error(**{"*.softmax": "float32"}),
    )


def residual(width: int = 32, magnitude: float = 3000.0) -> Trouble:
    """A block that adds about as much as 1 to a residual stream beyond 2048, where float16's ulp is 2."""
    x = magnitude * np.sign(drawn(1, 16, width)) + drawn(1, 16, width, seed=1)

    def absorbed(stream: str) -> float:
        with using(rng=np.random.default_rng(2)), default_precision("float64"):
            block = nn.TransformerBlock(width, 4, 4 * width)
        amp.apply(block, {part: "float16/float32" for part in ("norm1", "attention", "norm2", "mlp")})
        before = tensor(x, precision="float16").to(stream)
        with no_grad():
            after = block(before)
        return float((after.numpy() == before.numpy()).mean())

    return Trouble(
        name="residual stream",
        fmt="float16/float32",
        wrong="Beyond 2048 numbers of float16 are 2 apart: what a block adds is rounded away.",
        measured="share of the stream that a block leaves as it was",
        without=absorbed("float16/float32"),
        cure="keep the stream in float32",
        cured=absorbed("float32"),
    )


def lost_updates(steps: int = 6) -> Trouble:
    """Some steps of the scenario `transformer` in bfloat16, which needs no loss scale."""
    from fpsim.experiments.training import train  # which knows scenarios, which know this

    settings: dict[str, Any] = {"scenario": "transformer", "steps": steps, "batch": 4}
    plain, masters = (train(recipe, **settings) for recipe in ("bfloat16/float32", "bfloat16/float32_masters"))
    half = train("float16/float32", **settings)
    vanish, vanish_in_half = (percent(run.share("to_zero"), 1) for run in (plain, half))
    return Trouble(
        name="lost updates",
        fmt="bfloat16/float32",
        wrong=f"bfloat16 needs no loss scale: {vanish} of its gradients become 0 (float16: {vanish_in_half}). But "
        "updates below half an ulp, some 2**-9 of the weight, are lost.",
        measured="share of updates that left their weight as it was",
        without=plain.lost_updates,
        cure="float32 masters, or stochastic rounding",
        cured=masters.lost_updates,
    )
