"""How soon the notebooks' controls answer: each moved through its settings, as a reader moves it.

Layer: none. ``python -m benchmarks.controls``. Processor time beside wall time: on a busy machine only the first holds.
"""

from __future__ import annotations

import time

import fpsim as fp

PANELS = ("number_line", "accumulate", "loss_scale", "format_designer", "amax_history", "block_scale")
#: Seconds within which a control has to answer.
LIMIT = 0.5


def answers(name: str, moves: int = 6) -> tuple[list[float], list[float]]:
    """Wall and processor seconds of each answer of one control."""
    panel = getattr(fp.widgets, name)()
    inputs = panel.widget.children[: len(panel.controls)]
    wall, processor = [], []
    for made, control in zip(inputs, panel.controls, strict=True):
        for place in {round(k * (len(control.values) - 1) / moves) for k in range(moves + 1)} - {made.index}:
            begun = time.perf_counter(), time.process_time()
            made.index = place
            wall.append(time.perf_counter() - begun[0])
            processor.append(time.process_time() - begun[1])
    return wall, processor


def main() -> None:
    """Print a row for each control."""
    print(f"| {'control':<16} | answers | median, s | slowest, s | slowest, processor s | within {LIMIT} s |")
    print("|---|--:|--:|--:|--:|---|")
    for name in PANELS:
        wall, processor = answers(name)
        median, fits = sorted(wall)[len(wall) // 2], "yes" if max(processor) < LIMIT else "no"
        print(f"| {name:<16} | {len(wall)} | {median:.2f} | {max(wall):.2f} | {max(processor):.2f} | {fits} |")
    begun = time.perf_counter()
    race = fp.widgets.compare(["float32"], steps=100)
    race.start()
    while not race.losses.get("float32"):
        time.sleep(0.001)
    print(f"| compare, first step | 1 | {time.perf_counter() - begun:.2f} | | | |")
    race.stop()
    race.wait()


if __name__ == "__main__":
    main()
