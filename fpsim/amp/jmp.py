"""jmp's own words: its three loss scales, which are values and not objects that change, and its functions of trees.

Layer 6. A tree is a tensor, an array, a number, or dicts, lists and tuples of trees. The rule is `scale_rule`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fpsim.amp.policy import Policy, policy
from fpsim.amp.scale_rule import ScaleRule
from fpsim.amp.unscaling import reciprocal
from fpsim.autograd.engine import apply
from fpsim.autograd.tensor import Tensor
from fpsim.errors import ArgumentError, expected
from fpsim.formats import float32
from fpsim.ops import elementwise
from fpsim.precision import Precision, promote

__all__ = ["DynamicLossScale", "NoOpLossScale", "StaticLossScale", "all_finite", "get_policy", "select_tree"]


def tree_map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The tree with every leaf (None apart) replaced by the function of the leaves at its place."""
    if tree is None:
        return None
    if isinstance(tree, Mapping):
        return {key: tree_map(function, part, *(other[key] for other in others)) for key, part in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)([tree_map(function, *parts) for parts in zip(tree, *others, strict=True)])
    return function(tree, *others)


def _times(x: Any, factor: np.float32) -> Any:
    """A tensor times a float32 array, promoted as arrays are; anything else as NumPy does it."""
    if not isinstance(x, Tensor):
        return x * factor
    precision = promote([x.precision, Precision(float32)])
    return apply(elementwise.multiply, (x, Tensor(np.asarray(factor), Precision(float32))), {}, precision)


@dataclass(frozen=True)
class NoOpLossScale:
    """No scaling, with the methods of the others."""

    loss_scale = 1.0

    def scale(self, tree: Any) -> Any:
        """The tree itself."""
        return tree

    def unscale(self, tree: Any) -> Any:
        """The tree itself."""
        return tree

    def adjust(self, grads_finite: Any) -> NoOpLossScale:
        """The loss scale for the next step: this one."""
        return self


@dataclass(frozen=True)
class StaticLossScale:
    """A constant loss scale: the loss is multiplied by it, gradients by its reciprocal.

    >>> from fpsim.amp import jmp
    >>> scale = jmp.StaticLossScale(1024.0)
    >>> float(scale.scale(0.5)), float(scale.unscale(512.0))
    (512.0, 0.5)
    """

    loss_scale: float

    def __post_init__(self) -> None:
        ScaleRule(self.loss_scale)  # checks the number

    def scale(self, tree: Any) -> Any:
        """Every leaf times the scale."""
        return tree_map(lambda x: _times(x, np.float32(self.loss_scale)), tree)

    def unscale(self, tree: Any) -> Any:
        """Every leaf times float32(1 / scale)."""
        return tree_map(lambda x: _times(x, reciprocal(np.float32(self.loss_scale))), tree)

    def adjust(self, grads_finite: Any) -> StaticLossScale:
        """The loss scale for the next step: this one."""
        return self


@dataclass(frozen=True)
class DynamicLossScale(StaticLossScale):
    """jmp's dynamic scale, a value: `adjust` gives the next one.

    Parameters
    ----------
    loss_scale : float
    counter : int
        Finite steps since the scale last moved.
    period : int
        Finite steps in a row before it grows.
    factor : float
        By which it grows, and is divided after a step that was not finite.
    min_loss_scale : float

    Examples
    --------
    >>> from fpsim.amp import jmp
    >>> scale = jmp.DynamicLossScale(2.0**15, period=2)
    >>> for finite in (True, True, False):
    ...     scale = scale.adjust(finite)
    ...     print(scale.loss_scale, scale.counter)
    32768.0 1
    65536.0 0
    32768.0 0
    """

    counter: int = 0
    period: int = 2000
    factor: float = 2
    min_loss_scale: float = 1

    def __post_init__(self) -> None:
        self._rule  # noqa: B018 (checks the numbers)

    @property
    def _rule(self) -> ScaleRule:
        if not self.factor > 1:
            got = f"factor={self.factor!r}"
            raise ArgumentError(expected("DynamicLossScale", "a factor above 1", got, "2 is usual"))
        return ScaleRule(
            self.loss_scale, self.factor, 1 / self.factor, self.period, self.min_loss_scale, check="unscaled"
        )

    def adjust(self, grads_finite: Any) -> DynamicLossScale:
        """The loss scale for the next step, given whether this step's gradients were finite."""
        scale, counter = self._rule.moved(np.float32(self.loss_scale), self.counter, not bool(grads_finite))
        return replace(self, loss_scale=float(scale), counter=counter)


def all_finite(tree: Any) -> bool:
    """Whether no leaf holds an infinity or NaN; None counts as finite.

    >>> import fpsim as fp
    >>> fp.amp.jmp.all_finite({"w": fp.ones(2), "b": [fp.tensor(70000.0, dtype="float16")]})
    False
    """
    found: list[bool] = []
    tree_map(lambda x: found.append(bool(np.isfinite(x._data if isinstance(x, Tensor) else x).all())), tree)
    return all(found)


def select_tree(pred: Any, a: Any, b: Any) -> Any:
    """`a` where `pred` holds, else `b`: a step that is not finite leaves the parameters as they were."""
    tree_map(lambda x, y: None, a, b)  # the trees must be alike, whichever is taken
    return a if bool(pred) else b


def get_policy(policy_name: str) -> Policy:
    """``fp.amp.policy``, under jmp's name."""
    return policy(policy_name)
