"""What Hypothesis calls when it is imported: ``st.from_type(fp.Tensor)`` and its like then work everywhere.

Layer 13. The entry point ``hypothesis`` of the package; it imports the strategies only once one is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["register"]


def register() -> None:
    """Tell Hypothesis how to draw tensors, formats, precisions and policies."""
    from hypothesis import strategies as st

    from fpsim.amp import Policy
    from fpsim.autograd import Tensor
    from fpsim.formats import Format
    from fpsim.precision import Precision

    for kind, name in ((Tensor, "tensors"), (Format, "formats"), (Precision, "precisions"), (Policy, "policies")):
        st.register_type_strategy(kind, _drawing(name))


def _drawing(name: str) -> Callable[[Any], Any]:
    """The strategy of that name, made when a type is first asked for."""

    def draw(kind: Any) -> Any:
        from fpsim.testing import strategies

        return getattr(strategies, name)()

    return draw
