"""Gradients in FP8 without a scale and with one; and what delayed scaling makes of an outlier.

Layer 10. Scaled and rounded by the quantisers of `fpsim.amp`, drawn on `fpsim.gallery.canvas`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fpsim.amp import CurrentScaling, DelayedScaling
from fpsim.formats import Format
from fpsim.gallery.canvas import canvas
from fpsim.gallery.exhibit import Claim, Exhibit
from fpsim.gallery.sums import uniform
from fpsim.plots.style import colours, legend, tidy
from fpsim.rounding import round as round_array

__all__ = ["FP8_SCALING"]

FORMATS = ("float8_e4m3fn", "float8_e5m2")
RULES = ("max", "most_recent")
#: What E4M3 rounds to more than its largest number, 448: half an ulp beyond.
BEYOND = 464.0


def tensor(n: int, binades: int, seed: int) -> Any:
    """Magnitudes spread evenly over the binades below 1, the largest exactly 1; no function but powers of two."""
    drawn = uniform(2 * n, seed).reshape(2, n)
    x = np.ldexp(1 + drawn[0], -1 - np.floor(binades * drawn[1]).astype(int))
    x[0] = 1
    return x


def compute(n: int, binades: int, below: int, steps: int, at: int, outlier: int, length: int, seed: int) -> Any:
    """Shares of values that become 0 by level and format; shares lost at each step of a tensor with an outlier."""
    x, levels = tensor(n, binades, seed), list(range(below + 1))
    found: dict[str, Any] = {"level": [-k for k in levels], "unscaled": {}, "scaled": {}, "steps": {}}
    for name in FORMATS:
        fmt, quantizer = Format(name), CurrentScaling(name).quantizer()
        small = [np.ldexp(x, -k) for k in levels]
        found["unscaled"][name] = [_share(round_array(y, fmt) == 0) for y in small]
        found["scaled"][name] = [
            _share(quantizer.quantised(y, quantizer.scale_of(y, True), 0).after == 0) for y in small
        ]
    scalings = {rule: DelayedScaling(FORMATS[0], amax_history_len=length, amax_compute_algo=rule) for rule in RULES}
    for rule, scaling in {**scalings, "current": CurrentScaling(FORMATS[0])}.items():
        quantizer, rows = scaling.quantizer(), []
        for step in range(-1, steps):  # the first one, with a scale of 1, is not shown
            y = x * (2.0**outlier if step == at else 1.0)
            scale = quantizer.scale_of(y, True)
            made = quantizer.quantised(y, scale, 0)
            rows.append((float(scale), _share(made.before > BEYOND), _share(made.after == 0)))
        found["steps"][rule] = dict(zip(("scale", "saturated", "zero"), map(list, zip(*rows[1:], strict=True)),
                                        strict=True))  # fmt: skip
    return {**found, "at": at, "outlier": outlier, "length": length}


def _share(true: Any) -> float:
    return float(np.count_nonzero(true) / true.size)


def check(numbers: dict[str, Any]) -> Iterator[Claim]:
    """Where unscaled tensors vanish, that scaled ones do not, and how long an outlier is remembered."""
    for name in FORMATS:
        fmt = Format(name)
        vanishes = fmt.emin - fmt.significand_bits - 1  # half the smallest number is rounded to 0
        unscaled = dict(zip(numbers["level"], numbers["unscaled"][name], strict=True))
        got = max((level for level, share in unscaled.items() if share == 1), default=None)
        yield Claim(f"unscaled {name}: all is 0 at amax 2^{vanishes}", f"2^{got}", got == vanishes)
        scaled = set(numbers["scaled"][name])
        yield Claim(f"scaled {name}: the same share at every level", f"{max(scaled):.4f}", len(scaled) == 1)
    at, steps = numbers["at"], numbers["steps"]
    for rule, remembered in (("max", numbers["length"]), ("most_recent", 1)):
        scale = steps[rule]["scale"]
        low = [k for k, s in enumerate(scale) if s < scale[0]]
        got = f"{len(low)} steps, 2^-{numbers['outlier']}"
        held = low == list(range(at + 1, at + 1 + remembered))
        exact = all(scale[k] == scale[0] * 2.0 ** -numbers["outlier"] for k in low)
        yield Claim(f"{rule}: after the outlier the scale is 2^-{numbers['outlier']} times as large for {remembered} "
                    "step(s)", got, held and exact)  # fmt: skip
    lost = (steps["max"]["saturated"][at], max(steps["current"]["saturated"]))
    yield Claim("the outlier saturates with delayed scaling, not with current", lost, lost[0] > 0.1 and lost[1] == 0)


def draw(numbers: dict[str, Any]) -> Any:
    """Above the share of zeros over the level; below saturated values and zeros over the steps."""
    made, axes = canvas(7.6, 6.0, 2, 2)
    palette = colours().palette
    made.delaxes(axes[0, 1])
    made.delaxes(axes[0, 0])
    top = made.add_subplot(2, 1, 1)
    for name, label, colour, marker in (("float8_e4m3fn", "E4M3", 1, "o"), ("float8_e5m2", "E5M2", 2, "s")):
        unscaled, scaled = ([100 * share for share in numbers[how][name]] for how in ("unscaled", "scaled"))
        look = {"color": palette[colour], "marker": marker, "markersize": 4}
        top.plot(numbers["level"], unscaled, "-", label=f"{label} as it is", **look)
        text = f"{label}, largest value scaled to {Format(name).max:g}"
        top.plot(numbers["level"], scaled, "--", label=text, markerfacecolor=colours().paper, **look)
    top.invert_xaxis()
    tidy(top, "gradients that become 0 in FP8", "largest gradient, exponent of 2", "%")
    legend(top, loc="center right")
    looks = {
        "max": (f"delayed, max of {numbers['length']} steps", 2, "-", 2.6),
        "most_recent": ("delayed, last step", 5, "--", 1.8),
        "current": ("current", 1, ":", 1.8),
    }
    for panel, what, title in zip(axes[1], ("saturated", "zero"), ("saturate at 448", "become 0"), strict=True):
        for rule, (label, colour, line, width) in looks.items():
            shares = [100 * share for share in numbers["steps"][rule][what]]
            steps = [k - numbers["at"] for k in range(len(shares))]
            panel.step(steps, shares, line, where="mid", color=palette[colour], linewidth=width, label=label)
        tidy(panel, f"E4M3: values that {title}", "steps after the outlier", "%" if what == "saturated" else "")
        panel.set_ylim(0, max(10, panel.get_ylim()[1]))
    legend(axes[1, 0], loc="upper right")
    return made


FP8_SCALING = Exhibit(
    name="fp8_scaling",
    title="FP8 needs a scale, and one made from past steps meets outliers too late",
    message="Gradients below FP8's range become 0; scaled by their own largest value the same share is kept at every "
    "level. Delayed scaling takes the scale from earlier steps: an outlier of 64 times saturates, and then, while the "
    "history remembers it, more of the ordinary values become 0. Values spread evenly over 20 binades; the levels of "
    "training differ.",
    must_hit="without a scale all is 0 at 2^-10 in E4M3 and 2^-17 in E5M2; with one the share is the same at every "
    "level; a history of 16 keeps the outlier's scale for exactly 16 steps, the last step alone for 1",
    source="Micikevicius et al. (2022), FP8 formats for deep learning; delayed scaling of NVIDIA's Transformer Engine",
    compute=compute,
    draw=draw,
    check=check,
    settings={
        "n": 4096, "binades": 20, "below": 24, "steps": 28, "at": 5, "outlier": 6, "length": 16, "seed": 0,
    },
)  # fmt: skip
