"""Keras 3's own words: `LossScaleOptimizer` around an optimizer, `DTypePolicyMap` from paths to policies.

Layer 6. Over the scalers and `layers`; policies' names are `policy`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from fpsim.amp.layers import assign, check_policy_of_layer, check_untouched, layer_precision
from fpsim.amp.policy import Policy, policy
from fpsim.amp.scaler import GradScaler
from fpsim.amp.unscaling import StepReport
from fpsim.autograd.tensor import Tensor
from fpsim.errors import ArgumentError, ArgumentTypeError, ShapeError, expected

__all__ = ["DTypePolicyMap", "LossScaleOptimizer"]


class LossScaleOptimizer:
    """An optimizer with Keras's dynamic loss scale: gradients are divided by it, a step with inf or NaN is skipped.

    ``optimizer.scale_loss(loss).backward(); optimizer.step()``, or with Keras's ``apply(grads)`` for the last call.

    Parameters
    ----------
    inner_optimizer : optim.Optimizer
    initial_scale : float
    dynamic_growth_steps : int
        Finite steps in a row before the scale doubles.

    Attributes
    ----------
    scaler : GradScaler
        Keras's: see ``fp.amp.PRESETS["keras"]``.

    Examples
    --------
    >>> import fpsim as fp
    >>> w = fp.tensor([1.0], requires_grad=True)
    >>> optimizer = fp.amp.keras.LossScaleOptimizer(fp.optim.SGD([w], lr=0.5))
    >>> for factor in (1.0, float("inf")):
    ...     optimizer.zero_grad()
    ...     optimizer.scale_loss((w * fp.tensor(factor)).sum()).backward()
    ...     print(optimizer.step())
    stepped at scale 32768
    skipped at scale 32768, next 16384: the gradient of parameter 0 is inf at (0,)
    >>> w.item(), optimizer.dynamic_scale
    (0.5, 16384.0)
    """

    def __init__(self, inner_optimizer: Any, initial_scale: float = 2.0**15, dynamic_growth_steps: int = 2000) -> None:
        if not hasattr(inner_optimizer, "param_groups"):
            got = type(inner_optimizer).__name__
            raise ArgumentTypeError(
                expected("LossScaleOptimizer", "an optimizer to wrap", got, "pass fp.optim.SGD(...)")
            )
        self.inner_optimizer = inner_optimizer
        self.scaler = GradScaler.preset("keras", initial=initial_scale, interval=dynamic_growth_steps)
        self.scaler.scale([])  # Keras divides whether or not the loss was scaled

    def __repr__(self) -> str:
        return f"LossScaleOptimizer({self.inner_optimizer!r}, dynamic_scale={self.dynamic_scale:g})"

    @property
    def dynamic_scale(self) -> float:
        """The scale in force."""
        return self.scaler.get_scale()

    @property
    def learning_rate(self) -> float:
        """The wrapped optimizer's, of its first group."""
        return float(self.inner_optimizer.param_groups[0]["lr"])

    @learning_rate.setter
    def learning_rate(self, learning_rate: float) -> None:
        for group in self.inner_optimizer.param_groups:
            group["lr"] = learning_rate

    def scale_loss(self, loss: Any) -> Any:
        """The loss times the scale."""
        return self.scaler.scale(loss)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        self.inner_optimizer.zero_grad(set_to_none)

    def step(self) -> StepReport:
        """Divide the gradients by the scale and step, unless one is not finite; then move the scale."""
        report = self.scaler.step(self.inner_optimizer)
        self.scaler.update()
        return report

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> StepReport:
        """`step` with these gradients, still scaled: one for each variable (all of the optimizer's), or None."""
        own = [p for group in self.inner_optimizer.param_groups for p in group["params"]]
        variables = own if trainable_variables is None else list(trainable_variables)
        grads = list(grads)
        if len(grads) != len(variables):
            got = f"{len(grads)} for {len(variables)} variables"
            raise ArgumentError(expected("apply", "a gradient or None for each variable", got, "count them"))
        for p, g in zip(variables, grads, strict=True):
            if g is not None and (not isinstance(g, Tensor) or g.shape != p.shape):
                got = f"{getattr(g, 'shape', type(g).__name__)} for {p.shape}"
                raise ShapeError(expected("apply", "tensors of the variables' shapes", got, "check their order"))
        for p in own:
            p.grad = None
        for p, g in zip(variables, grads, strict=True):
            p.grad = None if g is None else g.detach().to(p.precision.gradient, copy=True)
        return self.step()


class DTypePolicyMap(MutableMapping[str, Policy]):
    """Policies by the path of a layer: the key itself, else the one key that is found in it as a regular expression.

    Give it to `fp.amp.apply` in place of a policy; paths are dotted, ``"block1.conv"``.

    Parameters
    ----------
    default_policy : str or Policy, optional
        Of all paths that no key is found in; float32 unless given.
    policy_map : dict, optional

    Examples
    --------
    >>> import fpsim as fp
    >>> policies = fp.amp.keras.DTypePolicyMap("float32", {"conv": "mixed_float16"})
    >>> net = fp.amp.apply(fp.nn.LeNet(), policies)
    >>> net.conv1.precision.storage.name, net.fc1.precision.storage.name
    ('float16', 'float32')
    """

    def __init__(self, default_policy: Any = None, policy_map: Mapping[str, Any] | None = None) -> None:
        if policy_map is not None and not isinstance(policy_map, Mapping):
            got = type(policy_map).__name__
            raise ArgumentTypeError(expected("DTypePolicyMap", "a dict of policies", got, "give {path: policy}"))
        self.default_policy = policy("float32" if default_policy is None else default_policy)
        self._policies: dict[str, Policy] = {}
        for key, like in (policy_map or {}).items():
            self[key] = like

    def __getitem__(self, key: str) -> Policy:
        if key in self._policies:
            return self._policies[key]
        found = [pattern for pattern in self._policies if re.search(pattern, key)]
        if len(found) > 1:
            got = f"{key!r} with {', '.join(map(repr, found))}"
            raise ArgumentError(expected("DTypePolicyMap", "at most one key for each path", got, "make a key narrower"))
        return self._policies[found[0]] if found else self.default_policy

    def __setitem__(self, key: str, like: Any) -> None:
        if key in self._policies:
            raise ArgumentError(expected("DTypePolicyMap", "each key once", repr(key), "delete it first"))
        try:
            re.compile(key)
        except re.error as error:
            got = f"{key!r}: {error}"
            raise ArgumentError(expected("DTypePolicyMap", "regular expressions as keys", got, "escape it")) from None
        made = policy(like)
        check_policy_of_layer(key, made)
        self._policies[key] = made

    def __delitem__(self, key: str) -> None:
        del self._policies[key]

    def __contains__(self, key: object) -> bool:
        return key in self._policies

    def __iter__(self) -> Iterator[str]:
        return iter(self._policies)

    def __len__(self) -> int:
        return len(self._policies)

    def __repr__(self) -> str:
        parts = ", ".join(f"{key!r}: {str(like)!r}" for key, like in self._policies.items())
        return f"DTypePolicyMap({str(self.default_policy)!r}, {{{parts}}})"

    def apply(self, net: Any, optimizer: Any = None) -> Any:
        """What ``fp.amp.apply(net, self, optimizer)`` does: every module by its own path."""
        check_untouched(net)
        wanted = {module: layer_precision(self[path]).of(module) for path, module in net.named_modules()}
        return assign(net, wanted, optimizer, name=repr(self))
