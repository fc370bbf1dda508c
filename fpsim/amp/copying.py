"""`in_formats`: a copy of a network, whole or in other formats; the original stays as it is.

Layer 6. Copies and forgets formats; `apply` gives the new ones.
"""

from __future__ import annotations

import copy
from typing import Any

from fpsim.amp.apply import apply
from fpsim.amp.policy import wider
from fpsim.autograd.tensor import store
from fpsim.errors import ArgumentTypeError, expected
from fpsim.formats import float32
from fpsim.nn import Module
from fpsim.precision import Precision

__all__ = ["in_formats"]


def in_formats(net: Any, how: Any = None, optimizer: Any = None, op: str = "in_formats") -> tuple[Module, Any]:
    """A copy of a network in the formats that `how` names (see `apply`), and an optimizer of its parameters.

    Parameters
    ----------
    net : nn.Module
        In any formats. A parameter with a master gives the master's value, which it was rounded from.
    how : str, dict, Policy, Recipe or Precision, optional
        None: the formats that the network has; masters are then kept.
    optimizer : callable, optional
        Makes the copy's optimizer from its parameters; masters and state get the formats that `how` asks for.
    op : str
        On whose behalf, for the error.

    Returns
    -------
    (nn.Module, optimizer or None)

    Raises
    ------
    ArgumentTypeError
        What is not a network.

    Examples
    --------
    >>> import fpsim as fp
    >>> net = fp.nn.Linear(2, 1)
    >>> half, _ = fp.amp.in_formats(net, "float16")
    >>> half.weight.dtype.name, net.weight.dtype.name
    ('float16', 'float32')
    """
    if not isinstance(net, Module):
        raise ArgumentTypeError(expected(op, "an nn.Module", type(net).__name__, "pass the network first"))
    copied = copy.deepcopy(net)
    copied.zero_grad()
    if how is not None:
        forget_formats(copied)
    made = None if optimizer is None else optimizer(list(copied.parameters()))
    if how is not None:
        apply(copied, how, made)
    return copied, made


def forget_formats(net: Module) -> None:
    """Let go of what `apply` gave a network, in place: the same numbers (of masters where there are) in float32.

    In float64 where float32 does not hold them.
    """
    for module in net.modules():
        own = [p for p in module._parameters.values() if p is not None]
        for p in own:
            values = p if p.master is None else p.master
            precision = Precision(wider(float32, values.dtype))
            data, p.master = store(values._data, precision), None
            p.precision = precision
            p.replace_values(data)
        object.__setattr__(module, "precision", own[0].precision if own else None)
        for name in ("_amp", "output_precision", "autocast"):
            object.__setattr__(module, name, None)
        if getattr(module, "quantization", None) is not None:
            module.quantization = None
