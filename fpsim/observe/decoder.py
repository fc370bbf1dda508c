"""`Decoder`: a language model described by its sizes alone, and published ones by name.

Layer 7. Counts parameters; `decoder_cost` counts the rest. Nothing is built here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, expected, nearest

__all__ = ["PUBLISHED", "Decoder", "Published"]

_CHOICES = {"mlp": ("gelu", "swiglu"), "positions": ("learned", "rotary"), "norm": ("layer", "rms")}


@dataclass(frozen=True)
class Decoder:
    """A decoder-only transformer with pre-norm blocks, by its sizes; `fp.cost` takes it in place of a network.

    Parameters
    ----------
    layers, width, heads, vocabulary, context : int
        Blocks, features, attention heads, tokens, longest sequence.
    hidden : int, optional
        Features inside an MLP. Unless given ``4 * width`` for gelu, and for swiglu ``8/3 * width`` rounded up to a
        multiple of 256 (Touvron and others 2023, LLaMA).
    key_value_heads : int, optional
        Heads of keys and values; each serves as many query heads (Ainslie and others 2023, grouped-query attention).
        As many as `heads` unless given.
    mlp : str
        ``gelu``: two matrices. ``swiglu``: three, ``down(silu(gate(x)) * up(x))``.
    positions : str
        ``learned``: an embedding of `context` rows. ``rotary``: no parameters.
    norm : str
        ``layer``: weight and bias (without where `bias` is false). ``rms``: a weight alone.
    bias : bool
        Of linear layers and layer norms. The head never has one.
    tied : bool
        Whether the head is the token embedding.
    name : str
        For titles; says nothing about the network.

    Raises
    ------
    ArgumentError
        Sizes that are not whole numbers from 1 on; heads that do not divide the width; key_value_heads that do not
        divide the heads; an odd number of features a head under rotary positions; an unknown choice or name.

    Notes
    -----
    The defaults are `nn.TransformerLM`'s, and GPT-2's.

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.Decoder(layers=12, width=768, heads=12, vocabulary=50257, context=1024).parameters
    124439808
    >>> llama = fp.Decoder.named("llama-2-7b")
    >>> llama.parameters, llama.hidden, llama.head_width
    (6738415616, 11008, 128)
    """

    layers: int
    width: int
    heads: int
    vocabulary: int
    context: int
    hidden: int = None  # type: ignore[assignment]  # always a number after __post_init__, like the next one
    key_value_heads: int = None  # type: ignore[assignment]
    mlp: str = "gelu"
    positions: str = "learned"
    norm: str = "layer"
    bias: bool = True
    tied: bool = True
    name: str = "Decoder"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                raise _wrong(f"{name} {' or '.join(choices)}", f"{name}={value!r}", "choose one")
        for name in ("bias", "tied"):
            if (value := getattr(self, name)) not in (True, False):
                raise _wrong(f"{name} True or False", f"{name}={value!r}", "choose one")
        if self.key_value_heads is None:
            object.__setattr__(self, "key_value_heads", self.heads)
        if self.hidden is None and _is_size(self.width):
            hidden = 4 * self.width if self.mlp == "gelu" else -(-8 * self.width // (3 * 256)) * 256
            object.__setattr__(self, "hidden", hidden)
        for name in SIZES:
            if not _is_size(value := getattr(self, name)):
                raise _wrong("whole numbers of at least 1", f"{name}={value!r}", "correct it")
        if self.width % self.heads:
            raise _wrong("a width that the heads divide", f"width={self.width}, heads={self.heads}", "change one")
        if self.heads % self.key_value_heads:
            got = f"heads={self.heads}, key_value_heads={self.key_value_heads}"
            raise _wrong("heads that the key_value_heads divide", got, "change one")
        if self.positions == "rotary" and self.head_width % 2:
            got = f"width={self.width}, heads={self.heads}"
            raise _wrong("an even number of features a head for rotary positions", got, "change one")

    @classmethod
    def named(cls, name: str, **changes: Any) -> Decoder:
        """A published configuration (of the table `PUBLISHED`), with changes if any.

        With another width, `hidden` is that width's default unless given; with other heads, so are `key_value_heads`.

        >>> import fpsim as fp
        >>> fp.Decoder.named("gpt2", layers=24).layers
        24
        """
        if name not in PUBLISHED:
            near = nearest(name, PUBLISHED, otherwise=PUBLISHED)
            raise _wrong("the name of a published configuration", repr(name), f"use one of {near}")
        if unknown := sorted(set(changes) - set(FIELDS)):
            raise _wrong("fields of a Decoder", unknown[0], f"use one of {nearest(unknown[0], FIELDS)}")
        for cause, effect in (("width", "hidden"), ("heads", "key_value_heads")):
            if cause in changes:
                changes.setdefault(effect, None)
        return replace(PUBLISHED[name].decoder, **changes)

    @property
    def head_width(self) -> int:
        """Features of one head."""
        return self.width // self.heads

    @property
    def key_value_width(self) -> int:
        """Features of the keys of one position, over all heads; the values have as many."""
        return self.key_value_heads * self.head_width

    @property
    def parameters(self) -> int:
        """How many, exactly; a tied head counts once."""
        norm = self.width * (2 if self.norm == "layer" and self.bias else 1)
        linears = [
            (self.width, self.width + 2 * self.key_value_width),
            (self.width, self.width),
            *[(self.width, self.hidden)] * (1 if self.mlp == "gelu" else 2),
            (self.hidden, self.width),
        ]
        block = 2 * norm + sum(inside * outside + self.bias * outside for inside, outside in linears)
        learned = self.positions == "learned"
        tables = self.vocabulary * (1 if self.tied else 2) + (self.context if learned else 0)
        return self.layers * block + norm + tables * self.width


SIZES = ("layers", "width", "heads", "vocabulary", "context", "hidden", "key_value_heads")
#: The fields of a decoder, and those that have no default.
FIELDS = tuple(f.name for f in fields(Decoder))
REQUIRED = SIZES[:5]


def _is_size(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 1)


def _wrong(invariant: str, got: str, remedy: str) -> ArgumentError:
    return ArgumentError(expected("Decoder", invariant, got, remedy))


@dataclass(frozen=True)
class Published:
    """A configuration, where it stands, and the number of parameters published."""

    decoder: Decoder
    #: as published: exact where `exact`, else rounded in the paper
    parameters: int
    exact: bool
    source: str


def _gpt(name: str, layers: int, width: int, heads: int, context: int) -> Decoder:
    return Decoder(layers, width, heads, 50257, context, name=name)


def _llama(name: str, layers: int, width: int, heads: int, vocabulary: int, context: int, **others: Any) -> Decoder:
    style: dict[str, Any] = {"mlp": "swiglu", "positions": "rotary", "norm": "rms", "bias": False, "tied": False}
    return Decoder(layers, width, heads, vocabulary, context, name=name, **style, **others)


_GPT2 = "Radford and others 2019, Language Models are Unsupervised Multitask Learners, table 2; parameters: those of \
the published weights (its own figures, 117M and 1542M, were corrected by its authors)"
_GPT3 = "Brown and others 2020, Language Models are Few-Shot Learners, table 2.1; vocabulary of GPT-2. Its sparse \
attention layers have the same parameters and are counted as dense ones"
_LLAMA2 = "Touvron and others 2023, Llama 2, and config.json of the published weights; parameters: of the weights"
_LLAMA3 = "Llama Team 2024, The Llama 3 Herd of Models, table 3, and config.json of the published weights (Llama 3, \
context 8192); parameters: of the weights"
_MISTRAL = "Jiang and others 2023, Mistral 7B, table 1 (context_len 8192; its sliding window of 4096 is not modelled); \
parameters: of the published weights"

#: Published configurations by name, with their sources.
PUBLISHED: dict[str, Published] = {
    entry.decoder.name: entry
    for entry in (
        Published(_gpt("gpt2", 12, 768, 12, 1024), 124_439_808, True, _GPT2),
        Published(_gpt("gpt2-xl", 48, 1600, 25, 1024), 1_557_611_200, True, _GPT2),
        Published(_gpt("gpt3-175b", 96, 12288, 96, 2048), 175_000_000_000, False, _GPT3),
        Published(_llama("llama-2-7b", 32, 4096, 32, 32000, 4096), 6_738_415_616, True, _LLAMA2),
        Published(_llama("llama-2-13b", 40, 5120, 40, 32000, 4096), 13_015_864_320, True, _LLAMA2),
        Published(
            _llama("llama-2-70b", 80, 8192, 64, 32000, 4096, hidden=28672, key_value_heads=8),
            68_976_648_192, True, _LLAMA2,
        ),
        Published(
            _llama("llama-3-8b", 32, 4096, 32, 128256, 8192, hidden=14336, key_value_heads=8),
            8_030_261_248, True, _LLAMA3,
        ),
        Published(
            _llama("llama-3-70b", 80, 8192, 64, 128256, 8192, hidden=28672, key_value_heads=8),
            70_553_706_496, True, _LLAMA3,
        ),
        Published(
            _llama("mistral-7b", 32, 4096, 32, 32000, 8192, hidden=14336, key_value_heads=8),
            7_241_732_096, True, _MISTRAL,
        ),
    )
}  # fmt: skip
