"""Carrying formats out: which precision each module of a network gets, then masters, casts, the output's format.

Layer 6. Changes networks and optimizers in place; what is wanted comes from `policy`, `recipes` and `apply`.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fpsim.amp.autocast import autocast
from fpsim.amp.policy import MIXED_POLICIES, Policy, policy, wider
from fpsim.autograd.context import stored
from fpsim.autograd.tensor import store
from fpsim.errors import ArgumentError, expected
from fpsim.formats import Format, float32
from fpsim.nn import BatchNorm2d, Linear, Module
from fpsim.precision import Precision

__all__ = ["LayerPrecision", "assign", "assign_patterns", "assign_policy", "layer_precision"]


@dataclass(frozen=True)
class LayerPrecision:
    """Of one module: how its parameters are stored, in what it computes, to what its result is cast (or None)."""

    param: Precision
    compute: Precision
    output: Precision | None = None
    batchnorm: str = "policy"

    def of(self, module: Module) -> LayerPrecision:
        """The same for a module inside: batch normalisation may stay wide, and the output's cast is the outer one's."""
        if not isinstance(module, BatchNorm2d) or self.batchnorm == "policy":
            return replace(self, output=None)
        param = _widened(self.param) if self.batchnorm == "wide" else self.param
        return LayerPrecision(param, _widened(self.compute))

    def in_order(self, order: str | None) -> LayerPrecision:
        """The same with another order of accumulation."""
        if order is None:
            return self
        output = None if self.output is None else replace(self.output, order=order)
        return replace(self, compute=replace(self.compute, order=order), output=output)


def _widened(precision: Precision) -> Precision:
    """At least float32."""
    storage, accumulate = wider(float32, precision.storage), wider(float32, precision.accumulate)
    return replace(precision, storage=storage, accumulate=accumulate)


def layer_precision(like: Any) -> LayerPrecision:
    """What a policy, a Precision or a ``"storage/accumulate"`` string means for one module and all inside it.

    A format alone is pure: stored, computed and accumulated in it.
    """
    if isinstance(like, str):
        text = like.strip()
        like = policy(text) if "=" in text or text in MIXED_POLICIES else Precision.parse(text)
    if not isinstance(like, Policy):
        precision = Precision.parse(like)
        return LayerPrecision(precision, precision)
    output = None
    if like.output != like.compute:
        output = Precision(like.output, wider(like.accumulate, like.output))
    return LayerPrecision(like.param_precision, like.precision, output, like.batchnorm)


# Networks ------------------------------------------------------------------------------------------------------------


def assign(
    net: Module,
    wanted: Mapping[Module, LayerPrecision],
    optimizer: Any = None,
    *,
    name: str,
    masters: Format | None = None,
    state: Format | None = None,
    update_rounding: str | None = None,
) -> Module:
    """Give modules their precisions: masters first, from the values before the cast; parameters are rounded masters."""
    if optimizer is not None:
        check_optimizer(net, optimizer)
        if masters is not None:
            optimizer.use_masters(masters)
        if state is not None:
            optimizer.state_format = state
        if update_rounding is not None:
            optimizer.update_rounding = update_rounding
    for module, layer in wanted.items():
        for p in module._parameters.values():  # its own, not its children's
            if p is not None:
                values = p._data if p.master is None else p.master._data
                p.replace_values(store(values, layer.param))
                p.precision = layer.param
                stored(p, p if p.master is None else p.master, "cast", before=values)
        module.precision = layer.compute
        module.output_precision = layer.output
    for module in net.modules():
        object.__setattr__(module, "_amp", name)
    return net


def assign_patterns(net: Module, patterns: Mapping[str, Any], optimizer: Any = None) -> Module:
    """Give the modules whose dotted name matches a pattern, and all inside them, its precision; the last match wins."""
    check_untouched(net)
    modules = dict(net.named_modules())
    wanted: dict[Module, LayerPrecision] = {}
    for pattern, like in patterns.items():
        names = [name for name in modules if fnmatch.fnmatchcase(name, pattern)]
        if not names:
            got = f"{pattern!r}"
            known = ", ".join(name for name in modules if name)
            raise ArgumentError(expected("apply", "patterns that match a module", got, f"the modules are {known}"))
        check_policy_of_layer(pattern, like)
        layer = layer_precision(like)
        for name in names:
            for inside in modules[name].modules():
                wanted[inside] = layer.of(inside)
        for name in names:
            wanted[modules[name]] = replace(wanted[modules[name]], output=layer.output)
    spelt = ", ".join(f"{pattern}: {like}" for pattern, like in patterns.items())
    return assign(net, wanted, optimizer, name=f"{{{spelt}}}")


def assign_policy(
    net: Module,
    whole: Policy | Precision,
    optimizer: Any = None,
    *,
    linear: Policy | None = None,
    update_rounding: str | None = None,
    order: str | None = None,
    name: str,
) -> Module:
    """Give a whole network one policy; with `linear` two: fully connected layers its, the other layers `whole`.

    With two policies only layers with parameters get one; what stands between them runs in its inputs' formats.
    """
    check_untouched(net)
    layer = layer_precision(whole).in_order(order)
    options: dict[str, Any] = {"name": name, "update_rounding": update_rounding}
    if isinstance(whole, Policy):
        options.update(masters=whole.masters, state=whole.state)
    if linear is not None:
        of_linear = layer_precision(linear).in_order(order)
        wanted = {
            module: (of_linear if isinstance(module, Linear) else layer).of(module)
            for module in net.modules()
            if module._parameters
        }
        return assign(net, wanted, optimizer, **options)
    by_op = autocast(layer.compute).rules if isinstance(whole, Policy) and whole.autocast else None
    if by_op is not None:
        layer = replace(layer, compute=replace(layer.param, grad=None))  # where autocast is switched off
    wanted = {module: layer.of(module) for module in net.modules()}
    wanted[net] = replace(wanted[net], output=layer.output)
    assign(net, wanted, optimizer, **options)
    net.autocast = by_op
    return net


def check_untouched(net: Any) -> None:
    """Refuse what is not a network, and a network that already has formats of its own."""
    if not isinstance(net, Module):
        raise ArgumentError(expected("apply", "an nn.Module", f"{type(net).__name__}", "pass the network first"))
    for module in net.modules():
        if (before := getattr(module, "_amp", None)) is not None:
            remedy = "build the network again, or give all patterns in one call"
            raise ArgumentError(expected("apply", "a network without formats of its own", f"one with {before}", remedy))


def check_policy_of_layer(pattern: str, like: Any) -> None:
    """Refuse a policy that says something about the whole network."""
    if isinstance(like, Policy) and (like.autocast or like.masters or like.state):
        got = f"{pattern!r}: {like}"
        remedy = "give such a policy to the whole network"
        raise ArgumentError(expected("apply", "layers' policies without autocast, masters or state", got, remedy))


def check_optimizer(net: Module, optimizer: Any) -> None:
    """Refuse an optimizer of other parameters."""
    own = {id(p) for p in net.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        got = "one of others"
        remedy = "make it with net.parameters()"
        raise ArgumentError(expected("apply", "an optimizer of the network's parameters", got, remedy))
