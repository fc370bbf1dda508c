"""fpsim beside the libraries that round arrays and emulate accumulators, in one run, on one thread, wrong bits counted.

Layer: none. ``pip install -r benchmarks/requirements-peers.txt && python -m benchmarks.peers``; a library that is not
installed is left out. Each is used as its documentation says, on numbers of mixed magnitude.
"""

from __future__ import annotations

import os

for variable in ("OPENBLAS_NUM_THREADS", "FPSIM_THREADS"):
    os.environ.setdefault(variable, "1")

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import fpsim as fp

Way = Callable[[np.ndarray], Any]


def roundings() -> dict[str, Way]:
    """Every way to round float32 to float16 that is installed; each returns what NumPy can compare."""
    ways: dict[str, Way] = {
        "numpy astype and back": lambda x: x.astype(np.float16).astype(np.float32),
        "fpsim": lambda x: fp.round(x, "float16"),
    }
    try:
        import gfloat
        from gfloat import formats

        ways["gfloat"] = lambda x: gfloat.round_ndarray(formats.format_info_binary16, x.astype(np.float64))
    except ImportError:
        pass
    try:
        import pychop

        chop = pychop.Chop(exp_bits=5, sig_bits=10, rmode=1, subnormal=True)
        ways["pychop"] = lambda x: chop(x.astype(np.float64))
    except ImportError:
        pass
    try:
        import apytypes

        ways["apytypes"] = lambda x: apytypes.APyFloatArray.from_float(x, 5, 10).to_numpy()
    except ImportError:
        pass
    return ways


def products() -> dict[str, Callable[[np.ndarray, np.ndarray], Any]]:
    """Every way to multiply float16 matrices with products and sums rounded to float16, in order."""

    def numpy_loop(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        x, y = x.astype(np.float16), y.astype(np.float16)
        s = np.zeros((len(x), y.shape[1]), np.float16)
        for k in range(x.shape[1]):
            s = s + x[:, k, None] * y[k]
        return s

    ways: dict[str, Callable[[np.ndarray, np.ndarray], Any]] = {
        "float32 BLAS": lambda x, y: x @ y,
        "numpy float16, loop over k": numpy_loop,
        "fpsim": lambda x, y: fp.Accumulator("float16").matmul(x, y),
    }
    try:
        import apytypes

        def by_apytypes(x: np.ndarray, y: np.ndarray) -> Any:
            a, b = (apytypes.APyFloatArray.from_float(z, 5, 10) for z in (x, y))
            with apytypes.APyFloatAccumulatorContext(exp_bits=5, man_bits=10):
                return (a @ b).to_numpy()

        ways["apytypes, accumulator context"] = by_apytypes
    except ImportError:
        pass
    return ways


def fastest(function: Callable[[], Any], rounds: int = 3) -> float:
    """Seconds of the fastest of some calls, the first not counted."""
    function()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return min(taken)


def main() -> None:
    """Print both tables."""
    rng = np.random.default_rng(0)
    n = 1_000_000
    x = (rng.normal(size=n) * 2.0 ** rng.integers(-30, 17, n)).astype(np.float32)
    with np.errstate(all="ignore"):
        right = x.astype(np.float16).astype(np.float64)
        print(f"rounding {n} float32 to float16: ns an element, wrong")
        for name, way in roundings().items():
            wrong = int((np.asarray(way(x), np.float64) != right).sum())
            print(f"  {name:32} {1e9 * fastest(lambda way=way: way(x)) / n:8.2f} {wrong:8d}")
    a, b = (fp.round(rng.normal(size=s).astype(np.float32), "float16") for s in ((256, 256), (256, 256)))
    expected = None
    print("256 x 256 x 256 in float16, product and sum rounded, in order: ns a multiply-add, wrong")
    for name, way in products().items():
        result = np.asarray(way(a, b), np.float64)
        expected = result if name.startswith("numpy") else expected
        wrong = "" if expected is None else int((result != expected).sum())
        print(f"  {name:32} {1e9 * fastest(lambda way=way: way(a, b)) / 256**3:8.3f} {wrong!s:>8}")


if __name__ == "__main__":
    main()
