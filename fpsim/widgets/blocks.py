"""`block_scale`: two blocks of 32 values, an outlier in one, stored in MX and with one scale for the whole tensor.

Layer 10. Blocks are encoded by `fpsim.mx`, the tensor by the quantiser of `fpsim.amp.CurrentScaling`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim import mx
from fpsim.amp import CurrentScaling
from fpsim.plots.style import PALETTE, colours, figure, tidy
from fpsim.rounding import decode
from fpsim.widgets.panel import Frame, Panel, choice, slider

__all__ = ["block_scale", "stored_values", "two_blocks"]

FORMATS = ("mxfp8_e4m3", "mxfp6_e3m2", "mxfp4_e2m1")
#: Binades over which the values are spread, and powers of two of the outlier.
SPREADS, OUTLIERS = (0, 2, 4, 6, 8, 10), (0, 2, 4, 6, 8, 10, 12)
BLOCK = 32
#: Which value is the outlier, counted from 0.
AT = 9


def two_blocks(spread: int, outlier: int) -> Any:
    """64 values whose magnitudes lie over `spread` binades below 2, the tenth multiplied by ``2**outlier``.

    >>> x = two_blocks(4, 0)
    >>> x.shape, bool(abs(x).max() < 2), bool(abs(x).min() >= 2.0**-4)
    ((64,), True, True)
    """
    place = np.arange(2 * BLOCK)
    evenly = (place * 0.6180339887498949) % 1.0  # golden section: spread without chance
    x = np.where(place * 7 % 5 < 2, -1.0, 1.0) * np.exp2(spread * (evenly - 1)) * (1 + (place * 0.3819660112501051) % 1)
    x[AT] *= 2.0**outlier
    return x.astype(np.float32)


def stored_values(x: Any, format: str) -> dict[str, Any]:
    """The values as MX stores them and with one scale of all; scales, elements and relative errors.

    Examples
    --------
    >>> found = stored_values(two_blocks(4, 8), "mxfp4_e2m1")
    >>> found["scales"].tolist(), float(found["elements"][9]), int((found["values"][:32] == 0).sum())
    ([16.0, 0.125], 6.0, 31)
    """
    packed = mx.encode(x, format)
    tensor = CurrentScaling(packed.fmt.element).quantizer()
    whole = tensor.quantised(x, tensor.scale_of(x, True), 0)
    values, of_tensor = packed.values(), whole.after / np.float64(whole.scale)
    return {
        "values": values,
        "codes": packed.codes,
        "elements": decode(packed.codes, packed.fmt.element),
        "e8m0": packed.scales,
        "scales": np.exp2(packed.scales.astype(np.float64) - 127),
        "errors": np.abs(values - x) / np.abs(x),
        "tensor_values": of_tensor,
        "tensor_scale": float(whole.scale),
        "tensor_errors": np.abs(of_tensor - x) / np.abs(x),
    }


def frame(format: str, spread: int, outlier: int) -> Frame:
    """Magnitudes as they are and as they are stored, on the numbers of each block, and the relative errors below."""
    x = two_blocks(spread, outlier)
    found = stored_values(x, format)
    made = figure(7.6, 4.4)
    top, bottom = made.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (1.7, 1)})
    place, low = np.arange(1, 2 * BLOCK + 1), 2.0 ** (-spread - 2.5)
    element = mx.MXFormat.parse(format).element
    numbers = decode(np.arange(1, 2 ** (element.bits - 1)), element).astype(np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if len(numbers) > 40:
        numbers = numbers[np.frexp(numbers)[0] == 0.5]
    for block, scale in enumerate(found["scales"]):
        ends = block * BLOCK + 0.5, (block + 1) * BLOCK + 0.5
        shown = numbers[numbers * scale > low] * scale
        top.hlines(np.log2(shown), *ends, color=colours().pale, linewidth=0.6, zorder=0)
        text = f"block {block + 1}: scale 2^{int(found['e8m0'][block]) - 127}"
        top.text(ends[0] + 0.4, 1.03, text, fontsize=8.5, transform=top.get_xaxis_transform())
    looks = (("as they are", x, "o", "none", 6), ("in MX", found["values"], "s", PALETTE[1], 3),
             ("one scale for all", found["tensor_values"], "x", PALETTE[2], 4))  # fmt: skip
    for label, values, marker, face, size in looks:
        edge = colours().ink if face == "none" else face
        shown = np.maximum(np.abs(values), low)
        top.plot(
            place, np.log2(shown), marker, color=edge, markerfacecolor=face, markersize=size, label=label, linewidth=0
        )
    top.set_ylim(np.log2(low) - 0.5, outlier + 1.6)
    for errors, colour, side in ((found["errors"], PALETTE[1], -0.2), (found["tensor_errors"], PALETTE[2], 0.2)):
        bottom.vlines(place + side, 0, 100 * errors, color=colour, linewidth=2.6)
    bottom.set_ylim(0, max(4.0, 110 * max(found["errors"].max(), found["tensor_errors"].max())))
    for axes in (top, bottom):
        axes.axvline(BLOCK + 0.5, color=colours().faint, linewidth=0.8)
        axes.set_xlim(0.5, 2 * BLOCK + 0.5)
    lines = "its numbers" if len(numbers) <= 40 and element.bits < 8 else "its powers of two"
    tidy(top, "", "", "exponent of 2 (lowest: 0)")
    tidy(bottom, "relative error of each value", "value", "%")
    top.grid(visible=False)
    made.text(0.085, 0.955, f"{format} (lines: {lines})", fontsize=9)
    top.legend(frameon=False, fontsize=8, ncols=3, loc="lower right", bbox_to_anchor=(1, 1.06))
    made.subplots_adjust(left=0.085, right=0.985, top=0.86, bottom=0.1, hspace=0.25)
    return Frame(made, _in_words(x, found, format, spread, outlier))


def _in_words(x: Any, found: dict[str, Any], format: str, spread: int, outlier: int) -> str:
    """Scales, the outlier's code, and the errors of both blocks."""
    first, second = slice(0, BLOCK), slice(BLOCK, None)
    mean = [f"{100 * found[of][block].mean():.1f} %" for of in ("errors", "tensor_errors") for block in (first, second)]
    zeros = [int((found[of] == 0).sum()) for of in ("values", "tensor_values")]
    scales = " and ".join(f"2^{int(code) - 127} (E8M0 code {code})" for code in found["e8m0"])
    code, element, value = (found[what][AT] for what in ("codes", "elements", "values"))
    return (
        f"{format}, spread over {spread} binades, outlier times 2^{outlier}: the scales of the blocks are {scales}; "
        f"the outlier {x[AT]:.6g} has the code {int(code):#04x}, element {element:g}, and is stored as {value:g}. "
        f"Mean relative error of the two blocks: {mean[0]} and {mean[1]}, "
        f"{zeros[0]} of 64 values become 0; with one scale of {found['tensor_scale']:.4g} for all, {mean[2]} and "
        f"{mean[3]}, {zeros[1]} become 0."
    )


def block_scale(format: str = "mxfp8_e4m3", spread: int = 4, outlier: int = 0) -> Panel:
    """Spread the values of a block and let one grow; see the block's scale and each value's error.

    Two blocks of 32 values, the outlier in the first; beside MX the same elements with one scale for both blocks.

    Parameters
    ----------
    format : str
        ``mxfp8_e4m3``, ``mxfp6_e3m2`` or ``mxfp4_e2m1``.
    spread : int
        Over how many binades the values lie.
    outlier : int
        The power of two by which one of them is multiplied.

    Returns
    -------
    Panel

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.widgets.block_scale("mxfp4_e2m1").frame(outlier=8).sentence
    'mxfp4_e2m1, spread over 4 binades, outlier times 2^8: the scales of the blocks are 2^...'
    """
    controls = [
        choice("format", "format", FORMATS, format),
        slider("spread", "spread, binades", SPREADS, spread),
        slider("outlier", "outlier", OUTLIERS, outlier, [f"x 2^{k}" for k in OUTLIERS]),
    ]
    return Panel("block_scale", controls, frame)
