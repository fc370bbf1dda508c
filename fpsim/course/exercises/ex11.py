"""The exercises of 11_transformers_fp8_mx.

Layer 11. What is right is computed by the formats, the quantisers and the decoder's sizes themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.accumulate import Accumulator
from fpsim.amp import DelayedScaling
from fpsim.course.checks import Exercise
from fpsim.formats import Format
from fpsim.mx import MXFormat
from fpsim.observe.decoder import Decoder
from fpsim.rounding import round as rounded

__all__ = ["EXERCISES"]

#: Scores on which a student's masked softmax is tried: a usual row, one position, nothing to look at, large scores.
SCORES = np.array([[1.0, 2.0, 0.5], [3.0, 1.0, 4.0], [2.0, 2.0, 1.0], [60000.0, 59000.0, 60000.0]], np.float16)
KEEP = np.array([[True, True, False], [True, False, False], [False, False, False], [True, True, True]])


def _largest_feature(features: int) -> int:
    """The largest whole number m such that the score of (m, m, ...) with itself is finite in float16."""
    m = 1
    while np.isfinite(rounded(float(features * (m + 1) ** 2), "float16")):
        m += 1
    return m


def _scale_in_force(amaxes: list[float], history: int) -> float:
    """The scale that the last tensor meets."""
    quantizer = DelayedScaling(amax_history_len=history).quantizer()
    return [float(quantizer.scale_of(np.array([amax], np.float32), True)) for amax in amaxes][-1]


def _cache(decoder: Decoder, batch: int, tokens: int, bytes_each: int) -> int:
    return 2 * decoder.layers * batch * tokens * decoder.key_value_width * bytes_each


def _weights(function: Any) -> Any:
    """What a masked softmax makes of the scores."""
    found = function(SCORES.copy(), KEEP.copy())
    return None if found is None else np.round(np.asarray(found, np.float64), 2)


def _selects(scores: Any, keep: Any) -> Any:
    scores = np.where(keep, scores.astype(np.float32), -np.inf)
    top = scores.max(-1, keepdims=True)
    e = np.exp(scores - np.where(np.isfinite(top), top, 0))
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def _adds(scores: Any, keep: Any) -> Any:
    scores = scores + np.where(keep, 0, -1e9).astype(np.float16)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _uniform_if_nothing(scores: Any, keep: Any) -> Any:
    scores = np.where(keep, scores.astype(np.float32), -1e9)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _no_maximum(scores: Any, keep: Any) -> Any:
    e = np.where(keep, np.exp(scores.astype(np.float32)), 0)
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


EXERCISES = (
    Exercise(
        "ex11.1",
        right=lambda: _largest_feature(256),
        hint="the score is 256 m^2. From which number on does float16 store infinity?",
        wrong=[
            (16, "its score is 2^16. Is there such a number in float16?"),
            (255, "this is for a single product; a score is a sum of 256 of them"),
            (63, "this holds if the score is divided by sqrt(256) before it is stored; here it is not"),
        ],
        misconception="a score is as large as its largest product",
    ),
    Exercise(
        "ex11.2",
        right=lambda: _weights(_selects),
        measure=_weights,
        hint="select, do not add. Subtract each row's largest score before exp, in float32; and in a row in "
        "which nothing is kept, what is the largest score, and what the sum to divide by? (such a row gets zeros)",
        wrong=[
            (_adds, "a row that may look nowhere is nan: -1e9 is -inf in float16, and inf - inf is nan"),
            (_uniform_if_nothing, "a row that may look nowhere must be zeros; this one looks at everything alike"),
            (_no_maximum, "exp of a large score is infinite: softmax is the same after subtracting the row's largest"),
        ],
        misconception="a large negative number does what a mask does",
    ),
    Exercise(
        "ex11.3",
        right=lambda: _scale_in_force([3.0, 1.0, 12.0, 2.0, 2.0, 2.0], 3),
        hint="write the history down as it is *before* the sixth tensor comes: three numbers. E4M3 ends at 448",
        wrong=[
            (448 / 2, "this is current scaling, by the tensor itself. Which larger number is still in the history?"),
            (448 / 3, "the first tensor's amax has long left a history of three"),
            (57344 / 12, "the history is right; but activations are E4M3, not E5M2"),
            (448 / 16, "the largest in the history is taken as it is, not rounded up to a power of two"),
        ],
        misconception="a tensor meets a scale that was made for it",
        within=1e-3,
    ),
    Exercise(
        "ex11.4",
        right=lambda: Accumulator(Format("e8m13"), order="sequential").sum(np.ones(20000)),
        hint="where does the spacing of this format become 2? (The leading bit is not stored.)",
        wrong=[
            (8192, "at this number the neighbours are still 1 apart: 13 bits are stored, and one more is hidden"),
            (20000, "this needs a spacing of 1 or finer up to the end; a format of 14 significant bits stops before"),
            (2048, "this is where float16 stops; the format here has 14 significant bits"),
        ],
        misconception="a wide exponent keeps a sum from stopping",
    ),
    Exercise(
        "ex11.5",
        right=lambda: 4096 * 4096 * MXFormat.parse("mxfp4", block=16).bits_per_element / 8,
        hint="the bits of an element, and its share of the 8 bits of a scale; then all elements, and 8 bits a byte",
        wrong=[
            (4096 * 4096 * 4.25 / 8, "this is with blocks of 32; here 16 numbers share a scale"),
            (4096 * 4096 * 4 / 8, "these are the elements alone; where are the scales?"),
            (4096 * 4096 * 4.5, "these are bits; a byte has 8 of them"),
            (4096 * 4096 * 6 / 8, "a scale is E8M0, 8 bits, not a float32"),
        ],
        misconception="scales cost nothing, or as much as a number",
    ),
    Exercise(
        "ex11.6",
        right=lambda: _cache(Decoder.named("llama-3-70b"), 4, 8192, 1),
        hint="keys *and* values, for every layer, sequence and token: key-value heads times the features of a head. "
        "How many bytes has an FP8 number?",
        wrong=[
            (_cache(Decoder.named("llama-3-70b"), 4, 8192, 1) // 2, "keys alone, or values alone; both are kept"),
            (_cache(Decoder.named("llama-3-70b"), 4, 8192, 2), "this is for two bytes a number"),
            (
                _cache(Decoder.named("llama-3-70b"), 4, 8192, 1) * 8,
                "this is for 64 heads; 8 hold keys and values",
            ),
            (_cache(Decoder.named("llama-3-70b"), 1, 8192, 1), "this is for one sequence; there are four"),
        ],
        misconception="the cache grows with the number of parameters",
    ),
)
