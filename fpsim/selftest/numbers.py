"""What is tested of numbers: formats, rounding, codes, and sums in every order.

Layer 10. Each function yields (entry, digest), an entry being a readable name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple

import numpy as np

from fpsim import rounding
from fpsim.accumulate import Accumulator
from fpsim.formats import MODES, NAMED, Format, finfo
from fpsim.selftest.inputs import digest, integers, real, values

__all__ = ["codes", "formats", "roundings", "sums"]

#: Named formats with arithmetic, and splits that take other paths: a wider exponent, more bits than float32 has.
FORMATS = (*(f for f in NAMED if f.specials != "scale"), *map(Format, ("e5m6", "e8m16", "e8m30", "e11m40")))
ORDERS = ("sequential", "pairwise", "blocked:4", "kahan", "exact", "sequential fma", "blocked:4 fma")


def formats() -> Iterator[tuple[str, str]]:
    """Figures, the table of all values, and numbers taken apart."""
    for fmt in (*NAMED, *FORMATS[-4:]):
        figures = [float(figure).hex() for figure in astuple(finfo(fmt))[1:]]
        table = [rounding.all_values(fmt)] if fmt.bits <= 16 else []
        yield fmt.name, digest(" ".join(figures), *table)
    for fmt in FORMATS:
        texts = (repr(rounding.inspect(x, fmt)) for x in ("0.1", "-1/3", "1e-8", "65519", "inf"))
        yield f"inspect, {fmt.name}", digest(*texts)


def roundings() -> Iterator[tuple[str, str]]:
    """Every mode in every format, from float64 and from float32; saturated, flushed; neighbours."""
    for fmt in FORMATS:
        x = real(f"round {fmt.name}", 2000, fmt)
        with np.errstate(over="ignore", invalid="ignore"):
            single = x.astype(np.float32)
        for mode in MODES:
            rounded = []
            for source in (x, single):
                for options in ({}, {"saturate": True}, {"flush_subnormals": True}):
                    rng = np.random.default_rng(7) if mode == "stochastic" else None
                    rounded.append(rounding.round(source, fmt, mode, rng=rng, **options))
            yield f"{mode}, {fmt.name}", digest(*rounded)
        towards = x[::-1]
        beside = rounding.ulp(x, fmt), rounding.spacing(x, fmt), rounding.nextafter(x, towards, fmt)
        yield f"neighbours, {fmt.name}", digest(*beside)


def codes() -> Iterator[tuple[str, str]]:
    """Codes of numbers, numbers of codes: all of them up to 16 bits."""
    for fmt in (*NAMED, *FORMATS[-4:]):
        if fmt.bits <= 16:
            every = np.arange(2**fmt.bits, dtype=np.uint64)
        else:
            every = integers(f"codes {fmt.name}", 4000) >> np.uint64(64 - fmt.bits)
        decoded = rounding.decode(every, fmt)
        yield f"decode, {fmt.name}", digest(decoded)
        yield f"encode, {fmt.name}", digest(rounding.encode(decoded, fmt))


def sums() -> Iterator[tuple[str, str]]:
    """Sums and matrix products in every order and format, and in every mode where they are cheap."""
    for fmt in FORMATS:
        x, y = values(f"x {fmt.name}", (6, 37), fmt), values(f"y {fmt.name}", (37, 5), fmt)
        wide = real(f"sum {fmt.name}", 60, fmt)
        wide = wide[np.isfinite(wide)].reshape(-1)
        for order in ORDERS:
            name, _, fma = order.partition(" ")
            for mode in MODES if fmt.name in ("float16", "float32", "float8_e4m3fn", "e8m30") else ("nearest_even",):
                rng = np.random.default_rng(11) if mode == "stochastic" else None
                acc = Accumulator(fmt, name, fma=bool(fma), rounding=mode, rng=rng)
                results = [acc.matmul(x, y), acc.sum(x, axis=0), acc.sum(y, axis=0), acc.dot(wide, wide[::-1])]
                yield f"{order}, {fmt.name}, {mode}", digest(*results)
