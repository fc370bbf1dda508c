"""A comparison as text: a row per recipe, and the sentence that names what parted them.

Layer 8. Every number comes from the runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from fpsim.experiments.results import Comparison, Run
from fpsim.experiments.scenario import SCENARIOS

__all__ = ["cause", "percent", "table"]

HEADS = (
    ("recipe", "weights", "compute", "accumulate", "update", "scaling"),
    ("loss", "accuracy", "from float64", "overflow", "to zero", "lost updates", "skipped", "MB in training"),
)


def percent(share: float, digits: int = 1) -> str:
    """A share in percent; what is not zero never reads as zero.

    >>> percent(0.25), percent(0.00001), percent(0.0)
    ('25.0 %', '<0.1 %', '0')
    """
    if share == 0 or math.isnan(share):
        return "0" if share == 0 else "nan"
    text = f"{100 * share:.{digits}f} %"
    return text if float(text[:-2]) else f"<{10.0**-digits:.{digits}f} %"


def table(comparison: Comparison) -> str:
    """A table per scenario, each followed by its cause, and one line with the time of simulation."""
    parts = []
    for name in comparison.scenarios:
        part = comparison.of_scenario(name)
        first = part.runs[0]
        question = SCENARIOS[name].question if name in SCENARIOS else ""
        head = f"{name}: {question}  ({first.steps} steps, batch {first.batch}, lr {first.lr:g})"
        parts += [head, _rows(part), cause(part), ""]
    seconds = sum(run.seconds for run in (*comparison.runs, *comparison.references))
    parts.append(f"Simulated in {seconds:.0f} s; the time of a simulation says nothing about hardware.")
    return "\n".join(parts)


def _rows(part: Comparison) -> str:
    seeds = len({run.seed for run in part.runs}) > 1
    heads = HEADS[0] + (("seed",) if seeds else ()) + HEADS[1]
    baseline = {run.seed: run for run in part.runs if run.recipe == "float32"}
    rows = [heads]
    for run in part.runs:
        reference, plain = part.reference(run), baseline.get(run.seed)
        deviation = run.deviation(reference) if reference else math.nan
        rows.append(
            (
                run.recipe,
                *(run.columns[c] for c in HEADS[0][1:]),
                *((str(run.seed),) if seeds else ()),
                f"{run.final_loss:.4f}",
                f"{100 * run.accuracy:.1f} %",
                "reference" if reference is run else f"{deviation:.1e}" if deviation == deviation else "-",
                _share_beside(run, plain, "overflow"),
                _share_beside(run, plain, "to_zero"),
                percent(run.lost_updates),
                str(len(run.skipped)),
                f"{sum(run.nbytes.values()) / 1e6:.2f}",
            )
        )
    return aligned(rows, left=6)


def _share_beside(run: Run, plain: Run | None, what: str) -> str:
    """A share, float32's in brackets beside it."""
    return percent(run.share(what)) + (f" ({percent(plain.share(what))})" if plain and plain is not run else "")


def aligned(rows: Sequence[Sequence[str]], left: int) -> str:
    """Cells in columns, the first `left` of them flush left, a rule below the first row."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(w) if i < left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([lines[0].rstrip(), "-" * len(lines[0]), *(line.rstrip() for line in lines[1:])])


def cause(part: Comparison) -> str:
    """What parted the recipes of one scenario, from its counters, in a sentence or two."""
    explain = _CAUSES.get(part.runs[0].scenario)
    return explain(part) if explain and _has(part, "float32") else ""


def _has(part: Comparison, *recipes: str) -> bool:
    return set(recipes) <= set(part.recipes)


def _accuracy(run: Run) -> str:
    return f"{100 * run.accuracy:.1f} %"


def _published(part: Comparison) -> str:
    plain = part["float32"]
    seeds = [plain, *(r for r in part.references if r.recipe == "float32")]
    accuracies, losses = [r.accuracy for r in seeds], [r.test_loss for r in seeds]
    wide = [r for r in part.runs if r.columns["accumulate"] in ("float32", "float64") and r.seed == plain.seed] or [
        plain
    ]
    apart = max(r.accuracy for r in wide) - min(r.accuracy for r in wide)
    spread = max(accuracies) - min(accuracies)
    text = f"{len(wide)} recipes that accumulate in float32 or wider end within {100 * apart:.1f} points of accuracy"
    if len(seeds) > 1:
        text += f"; float32 alone differs by {100 * spread:.1f} points and {max(losses) - min(losses):.3f} of test loss"
        text += f" over {len(seeds)} seeds, so " + (
            "the formats differ less than the seeds do"
            if apart <= spread
            else "the formats differ by more than the seeds"
        )
    text += "."
    if _has(part, "float16"):
        half = part["float16"]
        text += f" float16 throughout ends at {_accuracy(half)}: sums rounded to float16 at every step,"
        text += f" {percent(half.share('to_zero'))} of nonzero gradients stored as 0,"
        text += f" {percent(half.lost_updates)} of updates lost."
    return text


def _rounding(part: Comparison) -> str:
    plain, text = part["float32"], ""
    if _has(part, "float16"):
        half = part["float16"]
        text = f"float16 loses {percent(half.lost_updates)} of its updates, smaller than half an ulp of the weight"
        text += f" (float32: {percent(plain.lost_updates)}), and ends at {_accuracy(half)} against {_accuracy(plain)}."
    cures = [r for r in part.runs if r.recipe in ("float16_masters", "float16_stochastic") and r.seed == plain.seed]
    if cures:
        text += " " + " and ".join(f"{r.recipe} at {_accuracy(r)}" for r in cures)
        text += ": the same gradients, but small updates add up in a float32 copy or survive on average."
    return text.strip()


def _underflow(part: Comparison) -> str:
    plain, text = part["float32"], ""
    if _has(part, "float16/float32"):
        half = part["float16/float32"]
        text = f"Gradients 2**-16 times as large: {percent(half.share('to_zero'))} of the nonzero ones become 0 in"
        text += (
            f" float16/float32 (float32: {percent(plain.share('to_zero'))}); it ends at {_accuracy(half)}, float32 at"
        )
        text += f" {_accuracy(plain)}."
    if _has(part, "mixed_float16"):
        mixed = part["mixed_float16"]
        text += f" With its loss scaled by {mixed.scale[-1]:g} mixed_float16 loses {percent(mixed.share('to_zero'))}"
        text += f" and ends at {_accuracy(mixed)}."
    return text.strip()


def _overflow(part: Comparison) -> str:
    text = ""
    if _has(part, "float16/float32"):
        half = part["float16/float32"]
        lost = next((i for i, loss in enumerate(half.loss) if not math.isfinite(loss)), None)
        beyond = half.counts["overflow"] + half.activations["overflow"]
        text = f"Raw pixels, a loss 2**12 times as large: {beyond:,} gradients and activations of float16 overflow"
        text += f", and its loss is nan from step {lost} on." if lost is not None else "."
    if _has(part, "mixed_float16"):
        mixed = part["mixed_float16"]
        text += f" mixed_float16 skips {len(mixed.skipped)} of {mixed.steps} steps, its scale falls from"
        text += f" {mixed.scale[0]:g} and settles at {mixed.scale[-1]:g}; it ends at {_accuracy(mixed)},"
        text += f" float32 at {_accuracy(part['float32'])}."
    return text.strip()


def _transformer(part: Comparison) -> str:
    plain = part["float32"]
    losses = {run.recipe: run.test_loss for run in part.runs}
    best, worst = min(losses, key=lambda name: losses[name]), max(losses, key=lambda name: losses[name])
    text = f"float32 falls from {plain.loss[0]:.2f} to {plain.final_loss:.2f} nats a character; on the test part"
    text += f" {best} is best with {losses[best]:.3f}, {worst} last with {losses[worst]:.3f}."
    if _has(part, "float16", "bfloat16"):
        half, brain = part["float16"], part["bfloat16"]
        text += f" Without a loss scale float16 stores {percent(half.share('to_zero'))} of its gradients as 0, bfloat16"
        text += f" {percent(brain.share('to_zero'))}; but bfloat16 loses {percent(brain.lost_updates)} of its updates,"
        text += f" float16 {percent(half.lost_updates)}."
    return text


_CAUSES: dict[str, Callable[[Comparison], str]] = {
    "published": _published,
    "rounding": _rounding,
    "underflow": _underflow,
    "overflow": _overflow,
    "transformer": _transformer,
}
