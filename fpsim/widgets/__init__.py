"""Controls for notebooks: move one, and see at once what it does to numbers.

Layer 10. Thin covers over functions ``settings -> Frame``; ipywidgets and anywidget are imported where one is made.
"""

from fpsim.widgets.adding import accumulate
from fpsim.widgets.bit_box import bits
from fpsim.widgets.blocks import block_scale
from fpsim.widgets.designing import format_designer
from fpsim.widgets.histories import amax_history
from fpsim.widgets.lines import number_line
from fpsim.widgets.racing import compare
from fpsim.widgets.scaling import loss_scale

__all__ = [
    "accumulate", "amax_history", "bits", "block_scale", "compare", "format_designer", "loss_scale", "number_line",
]  # fmt: skip
