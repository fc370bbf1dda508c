"""`quantize`: fully connected layers whose operands are brought into FP8 or MX before every product.

Layer 6. What a layer holds for it, and what the operation `quantized_linear` is handed; `quantizers` scales and rounds.
"""

from __future__ import annotations

import fnmatch
from typing import Any

import numpy as np

from fpsim.amp.quantizers import BlockScaling, CurrentScaling, Quantised, Scaling
from fpsim.autograd.context import Rounded, current
from fpsim.errors import ArgumentError, ArgumentTypeError, expected
from fpsim.nn import Linear, Module
from fpsim.rounding.kernel import Array

__all__ = ["Quantization", "quantize"]

#: The operands: what they are to observers. Of a layer's input nobody knows here whether the data are it.
ROLES = {"x": "activation", "w": "weight", "g": "gradient"}


class Quantization(Module):
    """The quantisers of a layer's input `x`, its weight `w` and the gradient `g` of its result, part of the layer."""

    x: Any
    w: Any
    g: Any

    def __init__(self, scaling: Scaling) -> None:
        super().__init__()
        self.scaling = scaling
        for name in ROLES:
            setattr(self, name, scaling.quantizer(backward=name == "g"))

    def of_call(self) -> QuantizedCall:
        """What one call of the layer hands to `quantized_linear`."""
        return QuantizedCall(self)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}: {getattr(self, name).extra_repr()}" for name in ROLES)
        return f"{self.scaling!r} ({shown})"


class QuantizedCall:
    """The operands of one call and its gradients: scaled once, rounded once for each axis, and told to observers.

    The weight is rounded once forward and used again in backward. Formulas that are evaluated anew, by observers,
    meet the scales that the call had, and leave the history alone.
    """

    def __init__(self, quantization: Quantization) -> None:
        context = current()
        self._quantization, self._module, self._update = quantization, context.module, context.grad_enabled
        #: by operand: the array, its scale, and as it is along each axis
        self._held: dict[str, tuple[Array, np.float32, dict[int, Quantised]]] = {}

    def x(self, x: Array, axis: int) -> Quantised:
        """The input, rows of it, for sums along `axis`."""
        return self._operand("x", x, axis)

    def w(self, w: Array, axis: int) -> Quantised:
        """The weight, for sums along `axis`."""
        return self._operand("w", w, axis)

    def g(self, g: Array, axis: int) -> Quantised:
        """The gradient of the result, rows of it, for sums along `axis`."""
        return self._operand("g", g, axis)

    @property
    def formats(self) -> dict[str, Any]:
        """The format, or MX format, of each operand."""
        return {name: getattr(self._quantization, name).format for name in ROLES}

    @property
    def in_words(self) -> str:
        """What the operands are brought into."""
        return str(self._quantization.scaling.in_words)

    @property
    def unrounded(self) -> Unquantised:
        """In its place for twins, which round nothing."""
        return Unquantised()

    def _operand(self, name: str, array: Array, axis: int) -> Quantised:
        quantizer = getattr(self._quantization, name)
        held = self._held.get(name)
        if held is None or (name == "g" and held[0] is not array):  # (another backward pass)
            held = self._held[name] = array, quantizer.scale_of(array, self._update), {}
        rows = array.reshape(-1, array.shape[-1])
        if held[0] is not array:  # somebody looks again
            return quantizer.quantised(rows, held[1], axis)
        along = held[2]
        key = axis if isinstance(self._quantization.scaling, BlockScaling) else 0
        if key not in along:
            along[key] = made = quantizer.quantised(rows, held[1], axis)
            self._tell(name, made, quantizer.format, axis)
            along[key] = made._replace(before=made.after)
        return along[key]

    def _tell(self, name: str, made: Quantised, fmt: Any, axis: int) -> None:
        """Tell observers of the rounding, in the element format."""
        context = current()
        if context.observers and context.listening("rounded"):
            fmt = getattr(fmt, "element", fmt)
            phase = "forward" if axis == 1 and name != "g" else "backward"  # (blocks along the other axis)
            event = Rounded(made.before, made.after, fmt, "quantize", ROLES[name], phase, self._module)
            context.tell("rounded", event)


class Unquantised:
    """Operands as they are."""

    in_words = "as they are"

    def _operand(self, x: Array, axis: int) -> Quantised:
        rows = x.reshape(-1, x.shape[-1])
        return Quantised(rows, np.float32(1), rows, rows)

    x = w = g = _operand


def quantize(net: Any, scaling: Any, pattern: str = "*") -> Any:
    """Quantise the operands of fully connected layers, in place: input and weight forward, and the gradient backward.

    Parameters
    ----------
    net : nn.Module
    scaling : CurrentScaling, DelayedScaling or BlockScaling
    pattern : str
        An `fnmatch` pattern over dotted names; every `nn.Linear` that matches is quantised.

    Returns
    -------
    nn.Module
        The network itself. ``net.fc1.quantization`` shows formats and scales; its quantisers ``.x``, ``.w`` and ``.g``
        have ``.scale``, ``.amax`` and, with delayed scaling, ``.history``.

    Raises
    ------
    ArgumentError
        A pattern that matches no fully connected layer.

    Notes
    -----
    Precision: a product sums the quantised values in the layer's accumulator; the sum is multiplied by
    ``1 / (scale * scale)``, a float32 number, in one step of the accumulator's, the bias is added in another, then
    comes the one rounding to storage. The gradients pass the quantisation as if it were not there. The bias's gradient
    sums the gradient as it came.

    Examples
    --------
    >>> import fpsim as fp
    >>> net = fp.amp.quantize(fp.nn.LeNet(), fp.amp.CurrentScaling(), "fc*")
    >>> net.fc2.quantization.g
    Quantizer(float8_e5m2, scale=1)
    >>> _ = net(fp.ones(2, 1, 32, 32))
    >>> bool(net.fc1.quantization.w.scale > 1000)
    True
    """
    if not isinstance(net, Module):
        raise ArgumentTypeError(expected("quantize", "an nn.Module", type(net).__name__, "pass the network first"))
    if not isinstance(scaling, CurrentScaling | BlockScaling):
        got = f"scaling={scaling!r}"
        remedy = "pass fp.amp.CurrentScaling(), DelayedScaling() or BlockScaling()"
        raise ArgumentTypeError(expected("quantize", "a scaling", got, remedy))
    layers = {name: module for name, module in net.named_modules() if isinstance(module, Linear)}
    chosen = [name for name in layers if fnmatch.fnmatchcase(name, pattern)]
    if not chosen:
        known = ", ".join(layers) or "none"
        got = f"pattern={pattern!r}"
        remedy = f"the fully connected layers are {known}"
        raise ArgumentError(expected("quantize", "a pattern that matches an nn.Linear", got, remedy))
    for name in chosen:
        layers[name].quantization = Quantization(scaling)
    return net
