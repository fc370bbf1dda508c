"""`apply`: bring a network into formats, whole or layer by layer, in one call.

Layer 6. Decides what the arguments mean; `layers` carries it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fpsim.amp.layers import assign_patterns, assign_policy
from fpsim.amp.policy import Policy
from fpsim.amp.recipes import Recipe, recipe
from fpsim.precision import Precision

__all__ = ["apply"]


def apply(net: Any, how: Any, optimizer: Any = None) -> Any:
    """Bring a network into formats, in place: masters, parameters, what layers compute in, the output's format.

    Parameters
    ----------
    net : nn.Module
    how : str, dict, Policy, Recipe or Precision
        A string names a recipe: ``"O2"``, ``"mixed_float16"``, ``"float16/float32"``, ``"conv16_fc32"``,
        ``"p=f32,c=f16,o=f32"``; a format alone is pure, ``"float16"`` accumulates in float16. (Keras's policy of that
        name, which accumulates in float32, is ``fp.amp.policy("float16")``.) A dict gives precisions per layer: its
        keys are `fnmatch` patterns over dotted module names (``*`` also crosses dots), each match holds for all
        inside it, and of several matches the last one given wins. Keras's rules: `fp.amp.keras.DTypePolicyMap`.
    optimizer : optim.Optimizer, optional
        Of the network's parameters: gets the masters, the state's format and the rounding of updates. Without it the
        network is ready to run; masters can then still be asked of an optimizer, but of weights already rounded.

    Returns
    -------
    nn.Module
        The network itself.

    Raises
    ------
    ArgumentError
        A pattern that matches no module (the names are listed); an unknown recipe; a network that apply has changed
        before.

    Notes
    -----
    Precision: every parameter is rounded once, from the value it has or from its master, which has that value. At a
    layer's border tensors are cast to what it computes in; gradients pass these casts backward. Running statistics of
    batch normalisation stay as they are.

    Examples
    --------
    >>> import fpsim as fp
    >>> net = fp.amp.apply(fp.nn.LeNet(), {"conv*": "float16/float32", "fc*": "float32"})
    >>> net.conv1.weight.dtype.name, net.fc1.weight.dtype.name, net(fp.zeros(1, 1, 32, 32)).dtype.name
    ('float16', 'float32', 'float32')
    """
    if hasattr(how, "default_policy"):  # Keras's DTypePolicyMap
        return how.apply(net, optimizer)
    if isinstance(how, Mapping):
        return assign_patterns(net, how, optimizer)
    if isinstance(how, str | Policy | Recipe):
        return recipe(how).apply(net, optimizer)
    precision = Precision.parse(how)
    return assign_policy(net, precision, optimizer, name=str(precision))
