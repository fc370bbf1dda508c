"""`cost_of_decoder`: what a decoder costs under one policy, counted from its configuration.

Layer 7. Records the operations of `decoder_network` for `Workload` to count; the weights of no network are made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from fpsim.errors import ArgumentError, expected
from fpsim.formats import Format
from fpsim.observe.decoder import Decoder
from fpsim.observe.decoder_network import ATTENTION, grow, network_of
from fpsim.observe.policy_cost import (
    PolicyCost,
    accumulators,
    buffer_bytes,
    bytes_of_training,
    in_training,
    leave_sums_to_blas,
    name_of,
    recording,
    unscaled_bytes,
    updates_of,
)
from fpsim.observe.storage import Storage
from fpsim.observe.workload import Step, Workload

__all__ = ["Carried", "DecoderPolicyCost", "Growth", "cost_of_decoder"]


@dataclass(frozen=True)
class Carried:
    """How a decoder is carried out, whatever its policy.

    Attributes
    ----------
    attention : str
        ``flash``: no scores in memory; one number a query is kept and backward computes the scores again. ``fused``:
        fpsim's `scaled_dot_product_attention`, which keeps the weights of the values in the accumulator's format.
        ``composed``: product, scale, mask, softmax and product one by one, each storing its t x t result.
    recompute : bool
        Whether each block keeps its input alone and runs forward again when backward reaches it.
    kv : Storage, optional
        Of the cache of keys and values; as attention computes, unless given.
    logits : str
        Of a prompt: ``last``, which is all that the next token needs, or ``all``, as the network gives them.
    """

    attention: str = "flash"
    recompute: bool = False
    kv: Storage | None = None
    logits: str = "last"

    def __post_init__(self) -> None:
        for name, choices in (("attention", ATTENTION), ("logits", ("last", "all"))):
            if (value := getattr(self, name)) not in choices:
                invariant = f"{name} {', '.join(choices[:-1])} or {choices[-1]}"
                raise ArgumentError(expected("cost", invariant, f"{name}={value!r}", "choose one"))
        if self.recompute not in (True, False):
            got = f"recompute={self.recompute!r}"
            raise ArgumentError(expected("cost", "recompute True or False", got, "choose one"))


@dataclass(frozen=True)
class DecoderPolicyCost(PolicyCost):
    """What one policy costs for a decoder; `PolicyCost` and further:

    Attributes
    ----------
    inference : dict
        Bytes, also of the ``kv cache`` of all tokens. ``activations`` are the most alive at once in the prompt.
    inference_steps : tuple of Step
        Of the prompt (the prefill).
    decoding_steps : tuple of Step
        Of one more token a sequence, with the cache as long as the prompt.
    kv : Storage
        The cache's format.
    growth : Growth
        Bytes at any other batch and length.
    """

    decoding_steps: tuple[Step, ...]
    kv: Storage
    growth: Growth

    modes: ClassVar[tuple[str, ...]] = ("training", "inference", "decoding")

    @property
    def model_state(self) -> int:
        """Bytes of weights, masters, gradients and optimizer state in training."""
        return sum(self.training[part] for part in ("weights", "masters", "gradients", "state"))


@dataclass(frozen=True)
class Growth:
    """How the bytes that a decoder needs grow with batch and length."""

    counted: _Counted
    training: int
    inference: int
    #: what was counted before
    known: dict[tuple[str, int, int], int] = field(default_factory=dict, compare=False, repr=False)

    def held(self, mode: str, batch: int, tokens: int) -> int:
        """Bytes in ``training`` or ``inference``."""
        key = mode, batch, tokens
        if key not in self.known:
            self.known[key] = self._held(*key)
        return self.known[key]

    def _held(self, mode: str, batch: int, tokens: int) -> int:
        if mode == "training":
            return self.training + sum(self.counted.kept(batch, tokens).values())
        cached = self.counted.cache_bytes(batch, tokens)
        return self.inference + cached + self.counted.alive(batch, tokens)

    def largest(self, mode: str, memory: float, *, batch: int | None = None, tokens: int | None = None) -> int:
        """The largest batch at `tokens`, or the longest sequence at `batch`, that `memory` bytes hold; 0 for none.

        No longer than the context.
        """
        decoder = self.counted.decoder

        def held(n: int) -> int:
            return self.held(mode, n if batch is None else batch, n if tokens is None else tokens)

        if held(1) > memory:
            return 0
        if batch is not None:
            longest = decoder.context
            return longest if held(longest) <= memory else _last_that_fits(held, memory, 1, longest)
        fits, fails = 1, 2
        while held(fails) <= memory:
            each = max(1, (held(fails) - held(fits)) // (fails - fits))
            fits, fails = fails, fails + 1 + int((memory - held(fails)) // each)
        return _last_that_fits(held, memory, fits, fails)


def _last_that_fits(held: Callable[[int], int], memory: float, fits: int, fails: int) -> int:
    """Between a number that fits and one that does not: where a line would cross, and beside; else by halves."""
    while fails - fits > 1:
        crossing = fits + int((memory - held(fits)) / (held(fails) - held(fits)) * (fails - fits))
        for middle in (crossing, crossing + 1, (fits + fails) // 2):
            if fits < middle < fails:
                fits, fails = (middle, fails) if held(middle) <= memory else (fits, middle)
    return fits


@dataclass(frozen=True)
class _Counted:
    """A decoder under one policy, with as many blocks as it takes to know them all."""

    decoder: Decoder
    carried: Carried
    #: in its formats, grown
    net: Any
    accumulator: Callable[..., Format]

    @property
    def repeats(self) -> int:
        """How many blocks each block of `net` stands for."""
        return self.decoder.layers // len(self.net.blocks)

    def training(self, batch: int, tokens: int) -> Workload:
        """The forward pass that training records."""
        return self._traced((batch, tokens))

    def prompt(self, batch: int, tokens: int) -> Workload:
        """The forward pass of inference."""
        return self._traced((batch, tokens), scores=self.carried.logits)

    def one_token(self, batch: int, length: int) -> Workload:
        """The forward pass of one more token, with a cache of `length` positions."""
        return self._traced((batch, 1), cache=self.kv, length=length)

    def _traced(self, shape: tuple[int, int], **options: Any) -> Workload:
        tokens = np.broadcast_to(np.int64(0), shape)
        with recording(self.net) as trained:
            return Workload(self.net(tokens, **options), trained, self.accumulator)

    def kept(self, batch: int, tokens: int) -> dict[str, int]:
        """Bytes kept for backward.

        With recomputation: what is kept outside the blocks, each block's input, and what the largest block keeps.
        """
        return self.kept_of(self.training(batch, tokens))

    def kept_of(self, work: Workload) -> dict[str, int]:
        """The same of a forward pass that was recorded."""
        outside = work.kept(n for n in work.nodes if not n.module.startswith("blocks."))
        blocks = [work.kept(nodes) for nodes in _of_blocks(work, len(self.net.blocks))]
        if not self.carried.recompute:
            return {part: outside[part] + self.repeats * sum(b[part] for b in blocks) for part in outside}
        largest = max(blocks, key=lambda b: sum(b.values()))
        inputs = self.repeats * sum(inputs_of_blocks(work, len(self.net.blocks)))
        total = {part: outside[part] + largest[part] for part in outside}
        return {**total, "activations": total["activations"] + inputs}

    def alive(self, batch: int, tokens: int) -> int:
        """The most bytes of results alive at once in the prompt."""
        return self.prompt(batch, tokens).alive_at_once()

    @cached_property
    def kv(self) -> Storage:
        """The cache's format: unless given, that of the keys."""
        if self.carried.kv is not None:
            return self.carried.kv
        work = self._traced((1, 1))
        attends = next(n for n in work.nodes if n.module.endswith("attention") and n.op.name in _ATTENDING)
        keys = attends.inputs[1]
        assert keys is not None
        return Storage.parse(keys.dtype)

    def cache_bytes(self, batch: int, tokens: int) -> int:
        """Bytes of the keys and values of all layers."""
        each = self.kv.nbytes(batch * tokens * self.decoder.key_value_width, self.decoder.head_width)
        return 2 * self.decoder.layers * each

    def filling(self, batch: int, tokens: int, work: Workload) -> list[Step]:
        """The keys and values of some tokens put into the cache."""
        size = batch * tokens * self.decoder.key_value_width
        steps = []
        for i, nodes in enumerate(_of_blocks(work, self.decoder.layers)):
            computed = next(n for n in nodes if n.op.name.endswith("linear")).precision.storage
            read, written = 2 * -(-size * computed.bits // 8), 2 * self.kv.nbytes(size, self.decoder.head_width)
            module, fmt = f"blocks.{i}.attention", self.kv.format
            steps.append(Step("kv cache", module, "forward", 0, fmt, fmt, read, written))
        return steps


_ATTENDING = ("flash_attention", "scaled_dot_product_attention", "matmul")


def _of_blocks(work: Workload, blocks: int) -> list[list[Any]]:
    """The operations of each block."""
    found: list[list[Any]] = [[] for _ in range(blocks)]
    for node in work.nodes:
        room, _, rest = node.module.partition(".")
        if room == "blocks":
            found[int(rest.partition(".")[0])].append(node)
    return found


def inputs_of_blocks(work: Workload, blocks: int) -> list[int]:
    """Bytes of what enters each block: the first argument of its first addition."""
    added = [next(n for n in nodes if n.op.name == "add") for nodes in _of_blocks(work, blocks)]
    return [0 if n.inputs[0] is None else n.inputs[0].nbytes for n in added]


def _counted(decoder: Decoder, carried: Carried, how: Any, make: Callable[..., Any]) -> tuple[_Counted, Any, Any]:
    net, made, recipe = in_training(network_of(decoder, carried.attention), how, make)
    grow(net, made)
    accumulator = accumulators(net)
    leave_sums_to_blas(net)
    return _Counted(decoder, carried, net, accumulator), made, recipe


def cost_of_decoder(
    how: Any, decoder: Decoder, shape: tuple[int, int], make: Callable[..., Any], optimizer: str, carried: Carried
) -> DecoderPolicyCost:
    """Count a decoder in the formats that `how` names, for a batch of sequences of some tokens."""
    counted, made, recipe = _counted(decoder, carried, how, make)
    net, (batch, tokens) = counted.net, shape
    training = bytes_of_training(net, made)
    work, alone = counted.training(*shape), counted.prompt(*shape)
    weights, buffers = alone.weights_read(), buffer_bytes(net)
    recomputed = [replace(s, phase="recompute") for s in work.forward() if s.module.startswith("blocks.")]
    one = counted.one_token(*shape)
    few = counted
    if not isinstance(how, Mapping):  # one policy for all blocks: one block tells what each of them keeps
        shallow, *_ = _counted(replace(decoder, layers=1), carried, how, make)
        few = replace(shallow, decoder=decoder)
    return DecoderPolicyCost(
        name=name_of(how, recipe),
        columns={} if recipe is None else recipe.columns(),
        optimizer=optimizer,
        parameters=sum(p.size for p in net.parameters()),
        training={**training, **counted.kept_of(work), "buffers": buffers},
        inference={
            "weights": weights, "kv cache": counted.cache_bytes(*shape), "activations": alone.alive_at_once(),
            "buffers": buffers,
        },
        training_steps=(
            *work.forward(), *(recomputed if carried.recompute else ()), *work.backward(), *updates_of(net, made)
        ),
        inference_steps=(*alone.forward(casts=False), *counted.filling(batch, tokens, alone)),
        unscaled=unscaled_bytes(net, recipe),
        decoding_steps=(*one.forward(casts=False), *counted.filling(batch, 1, one)),
        kv=counted.kv,
        growth=Growth(few, sum(training.values()) + buffers, weights + buffers),
    )  # fmt: skip
