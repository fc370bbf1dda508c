"""All exhibits, in the order of the gallery.

Layer 10. To add one, write a file like `harmonic` and name it here.
"""

from __future__ import annotations

from fpsim.errors import ArgumentError, expected, nearest
from fpsim.gallery.adam import ADAM
from fpsim.gallery.attention import ATTENTION
from fpsim.gallery.dynamic_scale import DYNAMIC_SCALE
from fpsim.gallery.error_growth import ERROR_GROWTH
from fpsim.gallery.exhibit import Exhibit
from fpsim.gallery.fp8_scaling import FP8_SCALING
from fpsim.gallery.harmonic import HARMONIC
from fpsim.gallery.loss_scaling import LOSS_SCALING
from fpsim.gallery.lost_updates import LOST_UPDATES
from fpsim.gallery.master_weights import MASTER_WEIGHTS
from fpsim.gallery.mx_blocks import MX_BLOCKS
from fpsim.gallery.promotion import PROMOTION
from fpsim.gallery.ratios import RATIOS
from fpsim.gallery.swamping import SWAMPING
from fpsim.gallery.tensor_core import TENSOR_CORE

__all__ = ["EXHIBITS", "exhibit"]

_ALL = (
    HARMONIC, SWAMPING, ERROR_GROWTH, LOST_UPDATES, MASTER_WEIGHTS, LOSS_SCALING, DYNAMIC_SCALE, ADAM, TENSOR_CORE,
    RATIOS, ATTENTION, FP8_SCALING, MX_BLOCKS, PROMOTION,
)  # fmt: skip

EXHIBITS: dict[str, Exhibit] = {one.name: one for one in _ALL}


def exhibit(name: str, op: str = "figures") -> Exhibit:
    """An exhibit by name.

    Raises
    ------
    ArgumentError
        An unknown name; the nearest ones are listed.
    """
    if isinstance(name, str) and name in EXHIBITS:
        return EXHIBITS[name]
    raise ArgumentError(expected(op, "a figure's name", repr(name), f"did you mean {nearest(name, EXHIBITS, 3)}?"))
