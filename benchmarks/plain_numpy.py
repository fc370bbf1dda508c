"""One training step of the classic network in plain NumPy: what fpsim's speed is measured against.

Layer: none; imports NumPy alone, and nothing of fpsim. From the top: ``python -m benchmarks.plain_numpy``.
It must not know a format, round, or count anything: it is what a careful NumPy user would write.

Activations lie as (channel, row, column, sample), "CHWN". Then im2col copies runs of `columns * samples`
values, a convolution is one product `w (o, k) @ cols (k, p)` with no transposition before or after, pooling
works on contiguous samples, and flattening is free. Measured against NCHW, CNHW and NHWC: see README.md
beside this file.
"""

import argparse
import time
import tracemalloc
from collections.abc import Iterator

import numpy as np

Array = np.ndarray


def im2col(x: Array, kh: int, kw: int) -> Array:
    """All patches of `x` (c, h, w, n) as columns: (c * kh * kw, oh * ow * n)."""
    c, h, w, n = x.shape
    oh, ow = h - kh + 1, w - kw + 1
    cols = np.empty((c, kh, kw, oh, ow, n), x.dtype)
    for i in range(kh):
        for j in range(kw):
            cols[:, i, j] = x[:, i : i + oh, j : j + ow]
    return cols.reshape(c * kh * kw, oh * ow * n)


def col2im(cols: Array, shape: tuple[int, ...], kh: int, kw: int) -> Array:
    """Add the columns back to where `im2col` took them from: its transpose."""
    c, h, w, n = shape
    oh, ow = h - kh + 1, w - kw + 1
    taps = cols.reshape(c, kh, kw, oh, ow, n)
    x = np.zeros(shape, cols.dtype)
    for i in range(kh):
        for j in range(kw):
            x[:, i : i + oh, j : j + ow] += taps[:, i, j]
    return x


def conv2d(x: Array, weight: Array, bias: Array) -> tuple[Array, Array]:
    """The convolution (o, oh, ow, n), and its columns for the weight gradient."""
    o, _, kh, kw = weight.shape
    cols = im2col(x, kh, kw)
    out = weight.reshape(o, -1) @ cols
    out += bias[:, None]
    return out.reshape(o, x.shape[1] - kh + 1, x.shape[2] - kw + 1, x.shape[3]), cols


def conv2d_weight_gradient(g: Array, cols: Array, shape: tuple[int, ...]) -> Array:
    """Loss by weight: the output gradient times the transposed columns."""
    return (g.reshape(len(g), -1) @ cols.T).reshape(shape)


def conv2d_input_gradient(g: Array, weight: Array, shape: tuple[int, ...]) -> Array:
    """Loss by input: the transposed weight times the output gradient, folded back."""
    o, _, kh, kw = weight.shape
    return col2im(weight.reshape(o, -1).T @ g.reshape(o, -1), shape, kh, kw)


def taps(x: Array) -> Iterator[Array]:
    """The four strided views that a 2x2 pooling compares, row-major."""
    for i in range(2):
        for j in range(2):
            yield x[:, i::2, j::2]


def max_pool(x: Array) -> Array:
    """The largest of each 2x2 window."""
    a, b, c, d = taps(x)
    return np.maximum(np.maximum(a, b), np.maximum(c, d))


def max_pool_gradient(g: Array, x: Array, out: Array) -> Array:
    """`g` goes to the first of the window's values that equals its maximum."""
    gx = np.empty_like(x)
    free = np.ones(out.shape, bool)
    for tap, gx_tap in zip(taps(x), taps(gx), strict=True):
        hit = tap == out
        hit &= free
        free ^= hit
        np.multiply(g, hit, out=gx_tap)
    return gx


def log_softmax(z: Array) -> Array:
    """Over the classes, which are axis 0."""
    d = z - z.max(axis=0)
    d -= np.log(np.exp(d).sum(axis=0))
    return d


def loss_and_gradients(p: dict[str, Array], x: Array, y: Array) -> tuple[float, dict[str, Array]]:
    """The mean cross entropy of images `x` (n, 1, 32, 32) with labels `y` (n,), and its gradients."""
    n = len(y)
    x0 = np.ascontiguousarray(x.transpose(1, 2, 3, 0))
    c1, cols1 = conv2d(x0, p["conv1.weight"], p["conv1.bias"])
    r1 = np.maximum(c1, 0, out=c1)
    p1 = max_pool(r1)
    c2, cols2 = conv2d(p1, p["conv2.weight"], p["conv2.bias"])
    r2 = np.maximum(c2, 0, out=c2)
    p2 = max_pool(r2)
    flat = p2.reshape(-1, n)
    f1 = p["fc1.weight"] @ flat
    f1 += p["fc1.bias"][:, None]
    r3 = np.maximum(f1, 0, out=f1)
    f2 = p["fc2.weight"] @ r3
    f2 += p["fc2.bias"][:, None]
    logp = log_softmax(f2)
    loss = -logp[y, np.arange(n)].mean()

    grad: dict[str, Array] = {}
    g = np.exp(logp)
    g[y, np.arange(n)] -= 1
    g /= n
    grad["fc2.weight"], grad["fc2.bias"] = g @ r3.T, g.sum(axis=1)
    g = p["fc2.weight"].T @ g
    g *= r3 > 0
    grad["fc1.weight"], grad["fc1.bias"] = g @ flat.T, g.sum(axis=1)
    g = (p["fc1.weight"].T @ g).reshape(p2.shape)
    g = max_pool_gradient(g, r2, p2)
    g *= r2 > 0
    grad["conv2.weight"] = conv2d_weight_gradient(g, cols2, p["conv2.weight"].shape)
    grad["conv2.bias"] = g.reshape(len(g), -1).sum(axis=1)
    del cols2  # as large as the columns of the input gradient, which come next
    g = conv2d_input_gradient(g, p["conv2.weight"], p1.shape)
    g = max_pool_gradient(g, r1, p1)
    g *= r1 > 0
    grad["conv1.weight"] = conv2d_weight_gradient(g, cols1, p["conv1.weight"].shape)
    grad["conv1.bias"] = g.reshape(len(g), -1).sum(axis=1)
    return float(loss), grad


def sgd(p: dict[str, Array], grad: dict[str, Array], velocity: dict[str, Array], lr: float, momentum: float) -> None:
    """``v = momentum * v + g; p -= lr * v``, in place."""
    for name, v in velocity.items():
        v *= momentum
        v += grad[name]
        p[name] -= lr * v


def step(p: dict[str, Array], velocity: dict[str, Array], x: Array, y: Array) -> float:
    """One step of SGD (lr 0.01, momentum 0.5); the loss before it."""
    loss, grad = loss_and_gradients(p, x, y)
    sgd(p, grad, velocity, 0.01, 0.5)
    return loss


def main() -> None:
    """Print the median time of a step of batch 64, and its peak memory beyond weights and velocity."""
    from tests.oracles.classic_network import batches, weights

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"])
    parser.add_argument("--steps", type=int, default=50)
    args = parser.parse_args()
    for dtype in args.dtype:
        p = {name: w.astype(dtype) for name, w in weights().items()}
        velocity = {name: np.zeros_like(w) for name, w in p.items()}
        x, y = batches()
        x = x.astype(dtype)
        times = []
        for k in range(args.steps):
            start = time.perf_counter()
            step(p, velocity, x[k % 10], y[k % 10])
            times.append(1e3 * (time.perf_counter() - start))
        tracemalloc.start()
        step(p, velocity, x[0], y[0])
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        print(f"{dtype}: median {np.median(times):.1f} ms, fastest {min(times):.1f} ms, peak {peak:.1f} MiB")


if __name__ == "__main__":
    main()
