"""The tour: what bare ``fpsim`` shows in ten seconds.

Layer 8. Prints; every number is computed here and now.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from fpsim.accumulate import Accumulator
from fpsim.experiments.scenario import SCENARIOS, DigitMLP, ImageScenario
from fpsim.experiments.table import percent
from fpsim.experiments.training import train
from fpsim.formats import float16
from fpsim.rounding import inspect

__all__ = ["tour"]

#: The network of the scenario `rounding`, wider and on raw pixel counts 0..16, so that fewer steps show it.
HIDDEN, STEPS, LR, PIXELS = 128, 1000, 5e-5, 16.0


def tour() -> int:
    """Print what float16 does to a sum, to 0.1, and to a network; the exit status."""
    half = Accumulator(float16)
    print("fpsim: what a floating-point format does to numbers, and to a network\n")
    small = half.sum(np.concatenate([[1.0], np.full(10_000, 0.0001)]))
    print(f"1 + 0.0001, ten thousand times, in float16:  {small:.1f}   (0.0001 is less than half an ulp of 1)")
    ones = half.sum(np.ones(10_000))
    print(f"1 + 1 + 1 ..., ten thousand times:           {ones:.0f}  (2049 lies between two numbers and rounds back)\n")
    print(f"{inspect('0.1', 'float16')!r}\n", flush=True)
    network = partial(DigitMLP, HIDDEN)
    rounding = SCENARIOS["rounding"]
    assert isinstance(rounding, ImageScenario)
    scenario = replace(rounding, network=network, pixel_factor=PIXELS, steps=STEPS, lr=LR)
    print(
        f"A 64-{HIDDEN}-10 network learns real digits, {STEPS} steps of gradient descent, three times ...", flush=True
    )
    wide = train("float32", scenario=scenario)
    narrow = train("float16/float32", scenario=scenario)
    masters = train("float16/float32_masters", scenario=scenario)
    print(
        f"same network, same data: float32 {percent(wide.accuracy, 0)}, float16 {percent(narrow.accuracy, 0)}, "
        f"float16 with one float32 copy of the weights {percent(masters.accuracy, 0)}"
    )
    print(
        f"float16 lost {percent(narrow.lost_updates, 0)} of its updates: smaller than half an ulp of the weight, "
        "they round away.\n"
    )
    print("Next: fpsim compare (four scenarios, side by side), fpsim inspect 0.1 --format bfloat16, fpsim formats")
    return 0
