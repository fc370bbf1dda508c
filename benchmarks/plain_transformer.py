"""One training step of the small language model in plain NumPy: what `nn.TransformerLM`'s speed is measured against.

Layer: none; imports NumPy alone, and nothing of fpsim. It must not know a format, round, or count anything: it is what
a careful NumPy user would write. NumPy has no erf, so GELU takes Abramowitz and Stegun's 7.1.26 (error 1.5e-7), whose
exponential is the density that the gradient needs.
"""

from __future__ import annotations

import math

import numpy as np

Array = np.ndarray
Saved = tuple

EPS = np.float32(1e-5)


def linear(x: Array, w: Array, b: Array) -> Array:
    """``x @ w.T + b``."""
    out = x @ w.T
    out += b
    return out


def linear_gradients(g: Array, x: Array, w: Array, grad: dict[str, Array], name: str) -> Array:
    """Loss by x; those by weight and bias go into `grad`. All arrays are (tokens, features)."""
    grad[f"{name}.weight"], grad[f"{name}.bias"] = g.T @ x, g.sum(axis=0)
    return g @ w


def layer_norm(x: Array, w: Array, b: Array) -> tuple[Array, Saved]:
    """Over the last axis; saves the standardized x and its divisor."""
    d = x - x.mean(axis=-1, keepdims=True)
    r = np.sqrt(np.mean(d * d, axis=-1, keepdims=True) + EPS)
    d /= r
    out = d * w
    out += b
    return out, (d, r)


def layer_norm_gradients(g: Array, saved: Saved, w: Array, grad: dict[str, Array], name: str) -> Array:
    """Loss by x; those by weight and bias go into `grad`."""
    y, r = saved
    grad[f"{name}.weight"], grad[f"{name}.bias"] = (g * y).sum(axis=0), g.sum(axis=0)
    g = g * w
    out = g - g.mean(axis=-1, keepdims=True)
    out -= y * np.mean(g * y, axis=-1, keepdims=True)
    out /= r
    return out


def gelu(x: Array) -> tuple[Array, Saved]:
    """``x * Phi(x)``; saves x, Phi(x) and ``exp(-x * x / 2)``."""
    z = np.abs(x)
    z *= np.float32(math.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * z)
    z *= z
    e = np.exp(-z)
    tail = np.full_like(x, 1.061405429)
    for c in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail *= t
        tail += np.float32(c)
    tail *= t
    tail *= e
    tail *= np.float32(0.5)  # share of the normal distribution above |x|
    phi = np.where(x < 0, tail, 1 - tail)
    return x * phi, (x, phi, e)


def gelu_gradient(g: Array, saved: Saved) -> Array:
    """Loss by x."""
    x, phi, e = saved
    slope = x * e
    slope *= np.float32(1 / math.sqrt(2 * math.pi))
    slope += phi
    slope *= g
    return slope


def attention(q: Array, k: Array, v: Array, later: Array) -> tuple[Array, Saved]:
    """Causal, for (n, heads, t, d); `later` (t, t) is true where a query may not look."""
    w = q @ k.swapaxes(-1, -2)
    w *= np.float32(1 / math.sqrt(q.shape[-1]))
    np.copyto(w, -np.inf, where=later)
    w -= w.max(axis=-1, keepdims=True)
    np.exp(w, out=w)
    w /= w.sum(axis=-1, keepdims=True)
    return w @ v, (q, k, v, w)


def attention_gradients(g: Array, saved: Saved) -> tuple[Array, Array, Array]:
    """Loss by q, k and v."""
    q, k, v, w = saved
    h = g @ v.swapaxes(-1, -2)
    h -= np.sum(h * w, axis=-1, keepdims=True)
    h *= w
    h *= np.float32(1 / math.sqrt(q.shape[-1]))
    return h @ k, h.swapaxes(-1, -2) @ q, w.swapaxes(-1, -2) @ g


def heads_of(qkv: Array, n: int, t: int, heads: int) -> Array:
    """(tokens, 3 * width) as (3, n, heads, t, d)."""
    return np.ascontiguousarray(qkv.reshape(n, t, 3, heads, -1).transpose(2, 0, 3, 1, 4))


def loss_and_gradients(p: dict[str, Array], x: Array, y: Array, heads: int) -> tuple[float, dict[str, Array]]:
    """The mean cross entropy of tokens `x` (n, t) with the next ones `y`, and its gradients; `p` as in fpsim."""
    n, t = x.shape
    layers = 1 + max(int(name.split(".")[1]) for name in p if name.startswith("blocks."))
    later = ~np.tri(t, dtype=bool)
    h = p["tokens.weight"][x] + p["positions.weight"][:t]
    h = h.reshape(n * t, -1)
    saved = []
    for i in range(layers):
        b = f"blocks.{i}."
        a, norm1 = layer_norm(h, p[b + "norm1.weight"], p[b + "norm1.bias"])
        qkv = linear(a, p[b + "attention.qkv.weight"], p[b + "attention.qkv.bias"])
        mixed, attended = attention(*heads_of(qkv, n, t, heads), later)
        mixed = mixed.transpose(0, 2, 1, 3).reshape(n * t, -1)
        h = h + linear(mixed, p[b + "attention.out.weight"], p[b + "attention.out.bias"])
        m, norm2 = layer_norm(h, p[b + "norm2.weight"], p[b + "norm2.bias"])
        u, active = gelu(linear(m, p[b + "mlp.up.weight"], p[b + "mlp.up.bias"]))
        h = h + linear(u, p[b + "mlp.down.weight"], p[b + "mlp.down.bias"])
        saved.append((norm1, a, attended, mixed, norm2, m, active, u))
    f, norm = layer_norm(h, p["norm.weight"], p["norm.bias"])
    z = f @ p["tokens.weight"].T
    z -= z.max(axis=-1, keepdims=True)
    e = np.exp(z)
    total = e.sum(axis=-1, keepdims=True)
    at = np.arange(n * t), y.reshape(-1)
    loss = float(np.mean(np.log(total[:, 0]) - z[at]))

    grad: dict[str, Array] = {}
    e /= total
    e[at] -= 1
    e *= np.float32(1 / (n * t))
    of_tokens = e.T @ f
    g = layer_norm_gradients(e @ p["tokens.weight"], norm, p["norm.weight"], grad, "norm")
    for i in reversed(range(layers)):
        b = f"blocks.{i}."
        norm1, a, attended, mixed, norm2, m, active, u = saved[i]
        of_u = linear_gradients(g, u, p[b + "mlp.down.weight"], grad, b + "mlp.down")
        of_m = linear_gradients(gelu_gradient(of_u, active), m, p[b + "mlp.up.weight"], grad, b + "mlp.up")
        g = g + layer_norm_gradients(of_m, norm2, p[b + "norm2.weight"], grad, b + "norm2")
        of_mixed = linear_gradients(g, mixed, p[b + "attention.out.weight"], grad, b + "attention.out")
        of_mixed = of_mixed.reshape(n, t, heads, -1).transpose(0, 2, 1, 3)
        of_qkv = np.empty((n, t, 3, heads, of_mixed.shape[-1]), g.dtype)
        for j, part in enumerate(attention_gradients(of_mixed, attended)):
            of_qkv[:, :, j] = part.transpose(0, 2, 1, 3)
        of_qkv = of_qkv.reshape(n * t, -1)
        of_a = linear_gradients(of_qkv, a, p[b + "attention.qkv.weight"], grad, b + "attention.qkv")
        g = g + layer_norm_gradients(of_a, norm1, p[b + "norm1.weight"], grad, b + "norm1")
    np.add.at(of_tokens, x.reshape(-1), g)
    grad["tokens.weight"] = of_tokens
    grad["positions.weight"] = np.zeros_like(p["positions.weight"])
    grad["positions.weight"][:t] = g.reshape(n, t, -1).sum(axis=0)
    return loss, grad


def adamw(
    p: dict[str, Array], grad: dict[str, Array], state: dict[str, tuple[Array, Array]], step: int, lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.01,
) -> None:  # fmt: skip
    """Step number `step`, from 1 on, in place."""
    first, second = betas
    rate, root = lr / (1 - first**step), math.sqrt(1 - second**step)
    for name, (m, v) in state.items():
        g = grad[name]
        p[name] *= 1 - lr * weight_decay
        m *= first
        m += (1 - first) * g
        v *= second
        v += (1 - second) * g * g
        p[name] -= rate * m / (np.sqrt(v) / root + eps)


class Training:
    """Weights and AdamW's moments, step by step."""

    def __init__(self, weights: dict[str, Array], heads: int, dtype: str = "float32") -> None:
        self.p = {name: w.astype(dtype) for name, w in weights.items()}
        self.state = {name: (np.zeros_like(w), np.zeros_like(w)) for name, w in self.p.items()}
        self.heads, self.steps = heads, 0

    def step(self, x: Array, y: Array) -> float:
        """One step; the loss before it."""
        loss, grad = loss_and_gradients(self.p, x, y, self.heads)
        self.steps += 1
        adamw(self.p, grad, self.state, self.steps)
        return loss
