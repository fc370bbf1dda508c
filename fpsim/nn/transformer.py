"""`TransformerLM`: a language model as GPT-2 is built, in any size; and the parts that it is made of.

Layer 5.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fpsim.autograd.tensor import Tensor
from fpsim.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError, expected
from fpsim.nn import functional as F
from fpsim.nn import init
from fpsim.nn.containers import ModuleList
from fpsim.nn.layers import Embedding, LayerNorm, Linear, check_sizes
from fpsim.nn.module import Module
from fpsim.nn.plain_layers import Dropout, Softmax

__all__ = ["MLP", "CausalSelfAttention", "TiedHead", "TransformerBlock", "TransformerLM"]


class CausalSelfAttention(Module):
    """Every position looks at itself and those before it: ``out(attention(q, k, v))`` with ``q, k, v = qkv(x)``.

    Parameters
    ----------
    width, heads : int
        Each head has ``width / heads`` features.
    dropout : float
        Of the attention weights and of the result.
    attention : str
        ``fused``: one operation, `F.scaled_dot_product_attention`. ``composed``: product, scale, mask, softmax and
        product as operations of their own, each rounded to storage; the softmax is the module ``softmax``.
    scale : float, optional
        ``1 / sqrt(width / heads)`` unless given.
    mask_value : float
        -inf: later positions are left out. A finite number (composed only) is added to their scores.

    Raises
    ------
    ArgumentError
    """

    def __init__(
        self, width: int, heads: int, *, dropout: float = 0.0, attention: str = "fused", scale: float | None = None,
        mask_value: float = -math.inf,
    ) -> None:  # fmt: skip
        super().__init__()
        check_sizes("CausalSelfAttention", width=width, heads=heads)
        if width % heads:
            got = f"width={width}, heads={heads}"
            raise ArgumentError(expected("CausalSelfAttention", "a width that the heads divide", got, "change one"))
        if attention not in ("fused", "composed"):
            got = f"attention={attention!r}"
            raise ArgumentError(expected("CausalSelfAttention", "attention fused or composed", got, "choose one"))
        if mask_value != -math.inf and attention == "fused":
            got = f"mask_value={mask_value!r}"
            remedy = "use attention='composed'"
            raise ArgumentError(expected("CausalSelfAttention", "mask_value -inf in fused attention", got, remedy))
        self.heads, self.attention, self.mask_value = heads, attention, mask_value
        self.scale = 1 / math.sqrt(width // heads) if scale is None else scale
        self.qkv, self.out = Linear(width, 3 * width), Linear(width, width)
        if attention == "composed":
            self.softmax = Softmax(-1)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, t, width)`` to the same."""
        n, t, width = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        attend = self._fused if self.attention == "fused" else self._composed
        mixed = attend(q, k, v).transpose(1, 2).reshape(n, t, width)
        return self.dropout(self.out(mixed))

    def _fused(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        p = self.dropout.p if self.training else 0.0
        return F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True, scale=self.scale)

    def _composed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.transpose(-2, -1)
        if self.scale != 1:
            scores = scores * self.scale
        t = scores.shape[-1]
        before = np.arange(t) <= np.arange(t)[:, None]
        if self.mask_value == -math.inf:
            scores = F.where(before, scores, -math.inf)
        else:
            scores = scores + np.where(before, 0.0, self.mask_value)
        return self.dropout(self.softmax(scores)) @ v

    def extra_repr(self) -> str:
        """What is not seen from the parts."""
        shown = f"heads={self.heads}, attention={self.attention!r}, scale={self.scale:g}"
        return shown if self.mask_value == -math.inf else f"{shown}, mask_value={self.mask_value:g}"


class MLP(Module):
    """``down(gelu(up(x)))``, at every position alone."""

    def __init__(self, width: int, hidden: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.up, self.down = Linear(width, hidden), Linear(hidden, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., width)`` to the same."""
        return self.dropout(self.down(F.gelu(self.up(x))))


class TransformerBlock(Module):
    """``x = x + attention(norm1(x))``, ``x + mlp(norm2(x))``: the residual stream and what is added to it.

    `options` are those of `CausalSelfAttention`.
    """

    def __init__(self, width: int, heads: int, hidden: int, *, dropout: float = 0.0, **options: Any) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width)
        self.attention = CausalSelfAttention(width, heads, dropout=dropout, **options)
        self.norm2 = LayerNorm(width)
        self.mlp = MLP(width, hidden, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, t, width)`` to the same."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TiedHead(Module):
    """Scores ``x @ weight.T`` by the rows of an embedding, which is another module's parameter."""

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """``(..., width)`` to ``(..., vocabulary)``."""
        return F.linear(x, weight)


class TransformerLM(Module):
    """A decoder that gives, for every position, scores of the next token: embedding, blocks, norm, tied head.

    Pre-norm blocks, learned positions, GELU in its erf form. Weights start from N(0, 0.02), those that write into the
    residual stream from ``N(0, 0.02 / sqrt(2 * layers))``, biases from 0 (Radford and others 2019, GPT-2).

    Parameters
    ----------
    vocabulary : int
        Number of tokens.
    width, heads, layers, context : int
        Features, attention heads, blocks, and the longest sequence.
    hidden : int, optional
        Features inside the MLPs: ``4 * width`` unless given.
    dropout : float
        Of embeddings, attention weights and of what is added to the residual stream.
    attention, scale, mask_value
        As in `CausalSelfAttention`.

    Raises
    ------
    ArgumentError
        Sizes that are not whole numbers from 1 on, or a width that the heads do not divide.

    Examples
    --------
    >>> import numpy as np, fpsim as fp
    >>> net = fp.nn.TransformerLM(vocabulary=67, width=32, heads=4, layers=2, context=16)
    >>> net(np.zeros((5, 16), int)).shape
    (5, 16, 67)
    >>> sum(p.size for p in net.parameters())
    28128
    """

    def __init__(
        self, vocabulary: int, width: int = 64, heads: int = 4, layers: int = 2, context: int = 64, *,
        hidden: int | None = None, dropout: float = 0.0, attention: str = "fused", scale: float | None = None,
        mask_value: float = -math.inf,
    ) -> None:  # fmt: skip
        super().__init__()
        hidden = 4 * width if hidden is None else hidden
        check_sizes("TransformerLM", vocabulary=vocabulary, width=width, heads=heads, layers=layers,
                    context=context, hidden=hidden)  # fmt: skip
        self.vocabulary, self.context = vocabulary, context
        self.tokens, self.positions = Embedding(vocabulary, width), Embedding(context, width)
        self.dropout = Dropout(dropout)
        self.blocks = ModuleList(
            TransformerBlock(
                width, heads, hidden, dropout=dropout, attention=attention, scale=scale, mask_value=mask_value
            )
            for _ in range(layers)
        )
        self.norm = LayerNorm(width)
        self.head = TiedHead()
        self._start(layers)

    def _start(self, layers: int) -> None:
        for name, p in self.named_parameters():
            if name.endswith("bias"):
                init.zeros_(p)
            elif p.ndim == 2:  # (those of norms are ones)
                into_residual = name.endswith(("attention.out.weight", "mlp.down.weight"))
                init.normal_(p, 0.0, 0.02 / math.sqrt(2 * layers) if into_residual else 0.02)

    def forward(self, tokens: Any) -> Tensor:
        """Scores (n, t, vocabulary) of the token after each of `tokens`, integers (n, t).

        Raises
        ------
        ShapeError
            A sequence longer than the context, or not two axes.
        DataError
            Tokens out of range.
        ArgumentTypeError
            Tokens that are not integers.
        """
        tokens = self._checked(tokens)
        x = self.dropout(self.tokens(tokens) + self.positions(np.arange(tokens.shape[1])))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x), self.tokens.weight)

    def _checked(self, tokens: Any) -> np.ndarray:
        tokens = np.asarray(tokens)
        if tokens.dtype.kind not in "iu":
            got = f"dtype={tokens.dtype}"
            raise ArgumentTypeError(expected("TransformerLM", "integer tokens", got, "convert with .astype(int)"))
        if tokens.ndim != 2 or not 1 <= tokens.shape[1] <= self.context:
            got = f"tokens.shape={tokens.shape}"
            invariant = f"tokens (n, t) with t from 1 to the context, {self.context}"
            raise ShapeError(expected("TransformerLM", invariant, got, "shorten the sequences or enlarge context="))
        if tokens.size and not 0 <= tokens.min() <= tokens.max() < self.vocabulary:
            got = f"tokens from {tokens.min()} to {tokens.max()}"
            remedy = "enlarge vocabulary= or correct them"
            raise DataError(expected("TransformerLM", f"tokens from 0 to {self.vocabulary - 1}", got, remedy))
        return tokens
