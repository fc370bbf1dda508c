"""`network_of`: a decoder as a network that records its operations without carrying them out.

Layer 7. Its modules have the names, parameters and operations of `nn.TransformerLM`, so that policies reach them and
`Workload` counts them; of every array only the shape is real.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim import nn
from fpsim.autograd import Tensor
from fpsim.autograd.context import current
from fpsim.autograd.engine import Node
from fpsim.autograd.op import OPS, Kind, Op, Rule
from fpsim.observe.decoder import Decoder
from fpsim.observe.storage import Storage
from fpsim.precision import Precision, promote

__all__ = ["ATTENTION", "grow", "network_of"]

#: How attention may be carried out; see `fpsim.observe.decoder_cost`.
ATTENTION = ("flash", "fused", "composed")

# Recording -----------------------------------------------------------------------------------------------------------


def blank(shape: tuple[int, ...], carrier: Any = np.float32) -> Any:
    """An array of that shape that takes no memory: one zero, seen everywhere."""
    return np.broadcast_to(np.zeros((), carrier), shape)


class Unrun(Tensor):
    """A result of which only shape, precision and origin are known."""

    __slots__ = ()

    def to(self, precision: Precision) -> Unrun:  # type: ignore[override]  # what a module's border asks for
        """The same, cast."""
        return cast(self, precision)


def cast(x: Tensor, precision: Precision) -> Unrun:
    """A tensor in another precision."""
    return _made(OPS["cast"], (x,), x.shape, precision)


def _foreign(name: str, arity: int, saves: bool = False) -> Op:
    """An operation that decoders have and fpsim has not: nothing can carry it out, but it can be counted."""
    return Op(name, Rule(lambda *_, **__: None, Kind.FUSED, "formula"), arity, saves)


_FOREIGN = {
    "flash_attention": _foreign("flash_attention", 3, saves=True),
    "rms_norm": _foreign("rms_norm", 2, saves=True),
    "rotary": _foreign("rotary", 1),
    "silu": _foreign("silu", 1),
}


def record(
    name: str, inputs: tuple[Tensor | None, ...], shape: tuple[int, ...], saved: tuple[tuple[int, ...], ...] = (),
    **metadata: Any,
) -> Unrun:  # fmt: skip
    """What the engine would record: the precision that it would choose, casts where an input does not fit into it."""
    context = current()
    of_inputs = [x.precision for x in inputs if x is not None and not isinstance(x, Cache)]
    precision = None
    if context.autocast is not None:
        precision = context.autocast.precision_for(name, of_inputs)
    elif context.precision is not None:
        precision = context.precision
    if precision is None:
        precision = promote(of_inputs)
    fitting = tuple(
        x if x is None or precision.storage.holds(x.dtype) or isinstance(x, Cache) else cast(x, precision)
        for x in inputs
    )
    return _made(_FOREIGN.get(name) or OPS[name], fitting, shape, precision, saved, metadata)


def _made(
    op: Op, inputs: tuple[Tensor | None, ...], shape: tuple[int, ...], precision: Precision,
    saved: tuple[tuple[int, ...], ...] = (), metadata: dict[str, Any] | None = None,
) -> Unrun:  # fmt: skip
    out = Unrun(blank(shape, precision.storage.carrier), precision)
    arrays = tuple(None if x is None else x._data for x in inputs)
    kept = tuple(map(blank, saved))
    out._node = Node(op, inputs, arrays, metadata or {}, out._data, kept, precision, current().module)
    return out


def view(x: Tensor, shape: tuple[int, ...], op: str = "reshape") -> Unrun:
    """The same memory in another shape."""
    return record(op, (x,), shape, index=...)  # (read where the operation is getitem)


class Cache(Tensor):
    """Keys or values of the positions so far, in the cache's own format; whoever reads them converts on the way."""

    __slots__ = ("storage",)

    def __init__(self, shape: tuple[int, ...], storage: Storage) -> None:
        super().__init__(blank(shape, storage.format.carrier), Precision(storage.format))
        self.storage = storage

    @property
    def nbytes(self) -> int:
        """Bytes, those of block scales among them."""
        return self.storage.nbytes(self.size, self.shape[-1])


# Modules -------------------------------------------------------------------------------------------------------------


class _Sized:
    """Mixin: parameters of one element, whose real shapes stand in `shapes`."""

    shapes: dict[str, tuple[int, ...]]


class _Linear(_Sized, nn.Linear):
    def __init__(self, inside: int, outside: int, bias: bool) -> None:
        super().__init__(1, 1, bias)
        self.shapes = {"weight": (outside, inside), "bias": (outside,)}

    def forward(self, x: Tensor) -> Tensor:
        shape = (*x.shape[:-1], self.weight.shape[0])
        if self.quantization is None:
            return record("linear", (x, self.weight, self.bias), shape)
        return record("quantized_linear", (x, self.weight, self.bias), shape, quantized=self.quantization.of_call())


class _Embedding(_Sized, nn.Embedding):
    def __init__(self, rows: int, width: int) -> None:
        super().__init__(1, 1)
        self.shapes = {"weight": (rows, width)}

    def forward(self, indices: Any) -> Tensor:
        return record("getitem", (self.weight,), (*indices.shape, self.weight.shape[1]), index=indices)


class _Norm(_Sized, nn.LayerNorm):
    def __init__(self, decoder: Decoder) -> None:
        super().__init__(1, bias=decoder.bias and decoder.norm == "layer")
        self.shapes = {"weight": (decoder.width,), "bias": (decoder.width,)}
        self.rms = decoder.norm == "rms"

    def forward(self, x: Tensor) -> Tensor:
        saved = (x.shape, (*x.shape[:-1], 1))  # the normalised values, and what they were divided by
        if self.rms:
            return record("rms_norm", (x, self.weight), x.shape, saved)
        return record("layer_norm", (x, self.weight, self.bias), x.shape, saved)


class _Softmax(nn.Softmax):
    def forward(self, x: Tensor) -> Tensor:
        return record("softmax", (x,), x.shape)


class _Attention(nn.Module):
    def __init__(self, decoder: Decoder, attention: str) -> None:
        super().__init__()
        self.decoder, self.kind = decoder, attention
        width, bias = decoder.width, decoder.bias
        self.qkv = _Linear(width, width + 2 * decoder.key_value_width, bias)
        self.out = _Linear(width, width, bias)
        if attention == "composed":
            self.softmax = _Softmax(-1)

    def forward(self, x: Tensor, cached: tuple[Cache, Cache] | None = None) -> Tensor:
        decoder, (n, t, width) = self.decoder, x.shape
        packed = self.qkv(x)
        of_heads = (decoder.heads, decoder.key_value_heads, decoder.key_value_heads)
        q, k, v = (
            view(view(packed, (n, h, t, decoder.head_width)), (n, h, t, decoder.head_width), "getitem")
            for h in of_heads
        )
        if decoder.positions == "rotary":
            q, k = (record("rotary", (y,), y.shape) for y in (q, k))
        keys, values = (k, v) if cached is None else cached
        return self.out(view(self._attend(q, keys, values), (n, t, width)))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = (*q.shape[:-1], k.shape[-2])
        if self.kind == "flash":
            return record("flash_attention", (q, k, v), q.shape, (q.shape[:-1],))
        if self.kind == "fused":
            options = {"keep": None, "causal": True, "scale": 1.0, "kept": None, "probability": 0.0}
            return record("scaled_dot_product_attention", (q, k, v, None), q.shape, (scores,), **options)
        x: Tensor = record("matmul", (q, k), scores)
        if self.decoder.head_width > 1:  # (of one feature, the scale is 1)
            x = record("multiply", (x, None), scores)
        x = record("where", (x, None), scores, condition=blank(scores[-2:], np.bool_))
        return record("matmul", (self.softmax(x), v), q.shape)


class _MLP(nn.Module):
    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        width, hidden, bias = decoder.width, decoder.hidden, decoder.bias
        if decoder.mlp == "swiglu":
            self.gate = _Linear(width, hidden, bias)
        self.up, self.down = _Linear(width, hidden, bias), _Linear(hidden, width, bias)
        self.gated = decoder.mlp == "swiglu"

    def forward(self, x: Tensor) -> Tensor:
        if not self.gated:
            up = self.up(x)
            return self.down(record("gelu", (up,), up.shape))
        gate, up = self.gate(x), self.up(x)
        return self.down(record("multiply", (record("silu", (gate,), gate.shape), up), up.shape))


class _Block(nn.Module):
    def __init__(self, decoder: Decoder, attention: str) -> None:
        super().__init__()
        self.norm1, self.attention = _Norm(decoder), _Attention(decoder, attention)
        self.norm2, self.mlp = _Norm(decoder), _MLP(decoder)

    def forward(self, x: Tensor, cached: tuple[Cache, Cache] | None = None) -> Tensor:
        x = record("add", (x, self.attention(self.norm1(x), cached)), x.shape)
        return record("add", (x, self.mlp(self.norm2(x))), x.shape)


class _TiedHead(nn.Module):
    def border(self, weight: Tensor) -> Tensor:
        """The table as it passes the head's border."""
        wanted = self.precision if current().autocast is None else None
        same = wanted is None or (weight.dtype, weight.accumulate) == (wanted.storage, wanted.accumulate)
        return weight if same or wanted is None else cast(weight, wanted)

    def forward(self, x: Tensor, table: list[Tensor]) -> Tensor:  # (in a list, which the real border leaves alone)
        (weight,) = table
        return record("linear", (x, weight, None), (*x.shape[:-1], weight.shape[0]))


class _Decoder(nn.Module):
    """`nn.TransformerLM` and its relatives, to be counted."""

    def __init__(self, decoder: Decoder, attention: str) -> None:
        super().__init__()
        self.decoder = decoder
        self.tokens = _Embedding(decoder.vocabulary, decoder.width)
        if decoder.positions == "learned":
            self.positions = _Embedding(decoder.context, decoder.width)
        self.blocks = nn.ModuleList(_Block(decoder, attention) for _ in range(decoder.layers))
        self.norm = _Norm(decoder)
        self.head = _TiedHead() if decoder.tied else _Linear(decoder.width, decoder.vocabulary, False)

    def forward(self, tokens: Any, cache: Storage | None = None, length: int = 0, scores: str = "all") -> Tensor:
        """Scores of `tokens` (n, t); with a `cache`, attention reads keys and values of `length` positions from it.

        `scores`: ``all``, or ``last`` for those of the last position alone.
        """
        n, t = tokens.shape
        x = self.tokens(tokens)
        if self.decoder.positions == "learned":
            x = record("add", (x, self.positions(tokens[0])), x.shape)
        shape = (n, self.decoder.key_value_heads, length, self.decoder.head_width)
        for block in self.blocks:
            x = block(x, None if cache is None else (Cache(shape, cache), Cache(shape, cache)))
        if scores == "last" and t > 1:
            x = view(x, (n, 1, self.decoder.width), "getitem")
        x = self.norm(x)
        if isinstance(self.head, _TiedHead):
            return self.head(x, [self.head.border(self.tokens.weight)])
        return self.head(x)


def network_of(decoder: Decoder, attention: str = "flash") -> nn.Module:
    """The decoder as a network: bring it into formats as any other, then `grow` it, then call it with tokens."""
    return _Decoder(decoder, attention)


def grow(net: nn.Module, optimizer: Any = None) -> None:
    """Give each parameter its real shape, and so its master, its gradient and what an optimizer keeps for it."""
    for module in net.modules():
        for name, p in module._parameters.items():
            if p is None or not isinstance(module, _Sized):
                continue
            state = {} if optimizer is None else optimizer.state.get(p, {})
            for x in (p, p.master, p.grad, *state.values()):
                if isinstance(x, Tensor) and x.ndim:
                    x._data = blank(module.shapes[name], x._data.dtype)
