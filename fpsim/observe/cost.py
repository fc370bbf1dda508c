"""`cost`: bytes, multiply-adds, traffic and roofline times of a network under a policy, in training and inference.

Layer 7. Reads the arguments; `policy_cost` counts networks, `decoder_cost` decoders that are not built.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from fpsim import optim
from fpsim.autograd import Tensor, using
from fpsim.errors import ArgumentError, ShapeError, expected, nearest
from fpsim.formats import float32
from fpsim.observe.cost_report import Cost
from fpsim.observe.decoder import Decoder
from fpsim.observe.decoder_cost import Carried, cost_of_decoder
from fpsim.observe.decoder_report import DecoderReport
from fpsim.observe.devices import devices_named
from fpsim.observe.policy_cost import PolicyCost, RooflineTime, cost_under
from fpsim.observe.storage import Storage
from fpsim.precision import Precision

__all__ = ["OPTIMIZERS", "PolicyCost", "RooflineTime", "cost"]

#: Optimizers by name: what each keeps for a parameter is counted after a step of its own.
OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "sgd": partial(optim.SGD, lr=0.01),
    "momentum": partial(optim.SGD, lr=0.01, momentum=0.9),
    "adam": optim.Adam,
    "adamw": optim.AdamW,
}


def cost(
    net: Any,
    input_shape: Any,
    policy: Any = "mixed_float16",
    *,
    optimizer: Any = "adam",
    devices: Any = None,
    attention: str = "flash",
    recompute: bool = False,
    kv: Any = None,
    logits: str = "last",
) -> Cost:
    """Count what a network costs under one policy, or several, with float32 beside.

    Parameters
    ----------
    net : nn.Module or Decoder
        A network stays as it is. A `Decoder` is counted from its sizes; nothing of them is built.
    input_shape : tuple of int
        Of a batch, ``(n, channel, row, column)``; or a batch as array, for networks that take indices. For a decoder
        ``(batch, tokens)``: of sequences in training, of prompts, and of the cache in decoding.
    policy : str, dict, Policy, Recipe, Precision, or a list of these
        See `fp.amp.apply`.
    optimizer : str or callable
        ``sgd momentum adam adamw``, or a function of the parameters: ``partial(fp.optim.Adam, amsgrad=True)``.
    devices : str, Device or a list, optional
        Of the table `fpsim.observe.devices`; all unless given.
    attention : str
        Of a decoder: ``flash`` keeps no scores, ``fused`` and ``composed`` as `nn.TransformerLM` (see `Carried`).
    recompute : bool
        Whether a decoder's blocks keep their inputs alone and run forward again in backward (checkpointing).
    kv : format or str, optional
        Of a decoder's cache of keys and values, MX formats included (``"mxfp8_e4m3"``); as computed unless given.
    logits : str
        Of a decoder's prompt: ``last`` (all that the next token needs) or ``all``.

    Returns
    -------
    Cost
        ``cost["mixed_float16"].training["activations"]`` are bytes; ``table() to_dict() to_json() plot()``. Of a
        decoder a `DecoderReport`, with ``fits()``: what fits on which device.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        An unknown policy, optimizer or device; what is not a network; a shape that the network does not take; options
        of decoders for a network.

    Notes
    -----
    Precision: sizes are exact, ``ceil(elements * bits / 8)`` in each tensor's format. Kept for backward is what the
    gradient formulas of the network's operations read (`operations.READ_BY_BACKWARD`), each piece of memory once; views
    share their source's; the loss, outside the network, is not counted. Times are rooflines (Williams, Waterman and
    Patterson 2009), operation by operation: the larger of 2 * multiply-adds / peak and bytes / bandwidth. There is no
    fusion, no cache and no launch overhead in them.

    Mixed precision does not shrink the model's state: with Adam a parameter takes 16 bytes in float32 (weight 4,
    gradient 4, two moments 4 + 4) and 16 with float16 weights and float32 masters (weight 2, gradient 2, master 4, two
    moments 4 + 4; Rajbhandari and others 2020, ZeRO), so 7e9 parameters take 112 GB either way. What it halves is
    activations, traffic and, in inference, weights and cache. A layer's activations, 16-bit, come to ``tokens * width
    * (34 + 5 * heads * tokens / width)`` bytes in Korthikanti and others (2022). Here dropout's masks are missing
    (there is none), a norm keeps its normalised values in the accumulator's format instead of its input, and ``flash``
    leaves out the scores. A decoder's products are counted in full, causal or not.

    Examples
    --------
    >>> import fpsim as fp
    >>> found = fp.cost(fp.nn.Linear(64, 10), (32, 64), "O2")
    >>> found["O2"].training["masters"], found["O2"].macs("inference")
    (2600, {'float16/float32': 20480})
    >>> llama = fp.cost(fp.Decoder.named("llama-2-7b"), (1, 4096), ["O2", "float16/float32"], devices="A100")
    >>> [llama[name].model_state / 1e9 for name in ("float32", "O2")]
    [107.814649856, 107.814649856]
    >>> llama["float16/float32"].inference["kv cache"]  # 2 * 32 layers * 4096 tokens * 4096 features * 2 bytes
    2147483648
    """
    listed = list(policy) if isinstance(policy, list | tuple) else [policy]
    if not listed:
        raise ArgumentError(expected("cost", "at least one policy", "none", "name one, such as 'O2'"))
    chosen = devices_named(devices)
    make, named = _optimizer(optimizer)
    carried = Carried(attention, recompute, None if kv is None else Storage.parse(kv), logits)
    if not isinstance(net, Decoder):
        if carried != Carried():
            got = f"one for a {type(net).__name__}"
            invariant = "attention, recompute, kv and logits for a Decoder alone"
            raise ArgumentError(expected("cost", invariant, got, "leave it out"))
        example = _example(input_shape)
        with _alone():
            costs = tuple(cost_under(how, net, example, make, named) for how in _with_baseline(listed))
        return Cost(type(net).__name__, tuple(example.shape), costs, chosen)
    shape = _sequences(net, input_shape)
    with _alone():
        of_decoder = tuple(cost_of_decoder(how, net, shape, make, named, carried) for how in _with_baseline(listed))
    return DecoderReport(net.name, shape, of_decoder, chosen, net, carried)


@contextmanager
def _alone() -> Iterator[None]:
    """Away from whatever precision, observer or generator is in force around."""
    surroundings = {
        "observers": (), "autocast": None, "precision": None, "module": "", "grad_enabled": True,
        "rng": np.random.default_rng(0), "default": Precision(float32),
    }  # fmt: skip
    with using(**surroundings), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of eps and lr in narrow formats: nothing is trained here
        yield


def _with_baseline(policies: list[Any]) -> list[Any]:
    return policies if any(isinstance(p, str) and p == "float32" for p in policies) else ["float32", *policies]


def _optimizer(like: Any) -> tuple[Callable[..., Any], str]:
    if isinstance(like, str) and like.lower() in OPTIMIZERS:
        return OPTIMIZERS[like.lower()], like.lower()
    if callable(like):
        function = getattr(like, "func", like)
        return like, getattr(function, "__name__", str(function))
    near = nearest(like, OPTIMIZERS, otherwise=OPTIMIZERS)
    got = f"optimizer={like!r}"
    raise ArgumentError(
        expected("cost", "an optimizer's name, or a function that makes one", got, f"use one of {near}")
    )


def _example(input_shape: Any) -> np.ndarray[Any, Any]:
    """A batch of zeros of that shape, or the batch itself."""
    if isinstance(input_shape, Tensor):
        return np.asarray(input_shape.numpy())
    if isinstance(input_shape, np.ndarray):
        return input_shape
    return np.zeros(_sizes(input_shape, "give a batch's, like (32, 1, 32, 32)"), np.float32)


def _sizes(shape: Any, remedy: str) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, Iterable) and not isinstance(shape, str) else None
    if not sizes or not all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n > 0 for n in sizes):
        got = f"input_shape={shape!r}"
        raise ArgumentError(expected("cost", "a shape of whole numbers of at least 1", got, remedy))
    return tuple(map(int, sizes))


def _sequences(decoder: Decoder, shape: Any) -> tuple[int, int]:
    """Batch and tokens; an array's shape."""
    sizes = _sizes(shape.shape if isinstance(shape, np.ndarray | Tensor) else shape, "give (batch, tokens)")
    if len(sizes) != 2 or sizes[1] > decoder.context:
        invariant = f"(batch, tokens) with at most {decoder.context} tokens, the context"
        got = f"input_shape={sizes}"
        raise ShapeError(expected("cost", invariant, got, "shorten it, or enlarge the decoder's context"))
    return sizes[0], sizes[1]
