"""The losses as modules, under PyTorch's names.

Layer 5. Each holds its settings; what it computes is a function of `functional`.
"""

from __future__ import annotations

from typing import Any

from fpsim.autograd.tensor import Tensor
from fpsim.nn import functional as F
from fpsim.nn.module import Module

__all__ = ["BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "MSELoss", "NLLLoss"]


class _Loss(Module):
    """Settings by name, handed to a function of `functional` with every call."""

    function: Any

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        settings = self.__dict__.get("_settings", {})
        return settings[name] if name in settings else super().__getattr__(name)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """The loss."""
        return type(self).function(input, target, **self._settings)


class CrossEntropyLoss(_Loss):
    """log_softmax over the classes, then negative log likelihood.

    >>> import fpsim as fp
    >>> fp.nn.CrossEntropyLoss()(fp.zeros(1, 4), [2]).item() == fp.tensor(1.3862943611198906).item()
    True
    """

    function = staticmethod(F.cross_entropy)

    def __init__(
        self, weight: Any = None, size_average: Any = None, ignore_index: int = -100, reduce: Any = None,
        reduction: str = "mean", label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(
            weight=weight, size_average=size_average, ignore_index=ignore_index, reduce=reduce, reduction=reduction,
            label_smoothing=label_smoothing,
        )  # fmt: skip


class NLLLoss(_Loss):
    """Negative log likelihood of log probabilities."""

    function = staticmethod(F.nll_loss)

    def __init__(
        self, weight: Any = None, size_average: Any = None, ignore_index: int = -100, reduce: Any = None,
        reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(
            weight=weight, size_average=size_average, ignore_index=ignore_index, reduce=reduce, reduction=reduction
        )


class MSELoss(_Loss):
    """Mean squared error."""

    function = staticmethod(F.mse_loss)

    def __init__(self, size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> None:
        super().__init__(size_average=size_average, reduce=reduce, reduction=reduction)


class BCELoss(_Loss):
    """Binary cross entropy of probabilities."""

    function = staticmethod(F.binary_cross_entropy)

    def __init__(
        self, weight: Any = None, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
    ) -> None:
        super().__init__(weight=weight, size_average=size_average, reduce=reduce, reduction=reduction)


class BCEWithLogitsLoss(_Loss):
    """Binary cross entropy on logits."""

    function = staticmethod(F.binary_cross_entropy_with_logits)

    def __init__(
        self, weight: Any = None, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
        pos_weight: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            weight=weight, size_average=size_average, reduce=reduce, reduction=reduction, pos_weight=pos_weight
        )
