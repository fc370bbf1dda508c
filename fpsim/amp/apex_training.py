"""Apex's own words: `initialize` a network and its optimizer, `scale_loss` around backward, `master_params`.

Layer 6. Over `apex`, `apply` and the scalers; each loss has a scaler of its own, kept by the optimizers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from fpsim.amp.apex import apex
from fpsim.amp.apply import apply
from fpsim.amp.scale_rule import PRESETS
from fpsim.amp.scaler import GradScaler
from fpsim.amp.unscaling import StepReport
from fpsim.autograd.context import stored
from fpsim.autograd.tensor import Tensor, round_into
from fpsim.errors import ArgumentError, ScalerError, expected
from fpsim.formats import float32
from fpsim.rounding.work import run, work_for

__all__ = ["initialize", "master_params", "scale_loss"]


def initialize(
    models: Any,
    optimizers: Any = None,
    enabled: bool = True,
    opt_level: str = "O1",
    *,
    num_losses: int = 1,
    min_loss_scale: float | None = None,
    max_loss_scale: float = 2.0**24,
    verbosity: int = 1,
    **overrides: Any,
) -> Any:
    """Bring networks and their optimizers into an Apex opt level, in place.

    Parameters
    ----------
    models, optimizers
        One each, or a list; the optimizers of a network are those that have its parameters, at most one.
    enabled : bool
        Where False, everything stays as it is, and `scale_loss` gives the loss itself.
    opt_level : str
        ``O0 O1 O2 O3``.
    num_losses : int
        How many losses have a scale of their own: see `scale_loss`.
    min_loss_scale, max_loss_scale : float
        Floor and ceiling of a dynamic scale.
    **overrides
        ``cast_model_type patch_torch_functions keep_batchnorm_fp32 master_weights loss_scale``: see `fp.amp.apex`.

    Returns
    -------
    tuple
        What was given: ``model, optimizer``; the model alone if there was no optimizer.

    Examples
    --------
    >>> import fpsim as fp
    >>> net = fp.nn.Linear(2, 1, bias=False)
    >>> net, optimizer = fp.amp.initialize(net, fp.optim.SGD(net.parameters(), lr=0.1), opt_level="O2")
    >>> with fp.amp.scale_loss(net(fp.full((8, 2), 0.1)).mean(), optimizer) as scaled_loss:
    ...     scaled_loss.backward()
    >>> optimizer.step()
    >>> net.weight.dtype.name, net.weight.master.dtype.name
    ('float16', 'float32')
    """
    policy = apex(opt_level, **overrides)
    if not isinstance(num_losses, int) or num_losses < 1:
        got = f"num_losses={num_losses!r}"
        raise ArgumentError(expected("initialize", "at least one loss", got, "count the calls of scale_loss"))
    nets, all_optimizers = _listed(models), [] if optimizers is None else _listed(optimizers)
    rule = replace(PRESETS["apex"], floor=min_loss_scale or 0.0, ceiling=max_loss_scale)
    if enabled:
        owners = [_owners_of(net, all_optimizers) for net in nets]
        for net, own in zip(nets, owners, strict=True):
            apply(net, policy, *own)
    dynamic = isinstance(policy.scaling, str)
    scalers = [GradScaler(enabled=enabled, rule=rule) if dynamic else policy.scaler() for _ in range(num_losses)]
    for optimizer in all_optimizers:
        optimizer.loss_scalers = scalers
    return models if optimizers is None else (models, optimizers)


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else [given]


def _owners_of(net: Any, optimizers: list[Any]) -> list[Any]:
    """The optimizer that has the network's parameters; none, or one."""
    own = {id(p) for p in net.parameters()} if hasattr(net, "parameters") else set()
    found = [o for o in optimizers if any(id(p) in own for group in o.param_groups for p in group["params"])]
    if len(found) > 1:
        got, remedy = f"{len(found)}", "give it groups in place of optimizers"
        raise ArgumentError(expected("initialize", "at most one optimizer of each network", got, remedy))
    return found


@contextmanager
def scale_loss(
    loss: Any, optimizers: Any, loss_id: int = 0, *, delay_unscale: bool = False, model: Any = None
) -> Iterator[Any]:
    """``with scale_loss(loss, optimizer) as scaled_loss: scaled_loss.backward()``, as in Apex.

    Gives float32(loss) times the scale of the loss. At the end of the block the gradients that backward made are
    unscaled and added to those from before; if one was not finite the next ``optimizer.step()`` is skipped (and returns
    the report). Then the scale moves.

    Parameters
    ----------
    loss : Tensor
    optimizers
        One, or a list: all whose parameters the loss reaches; those that `initialize` was given.
    loss_id : int
        Which of `num_losses` scales.
    delay_unscale : bool
        For all but the last of several losses whose gradients are added: they are added still scaled, nothing is
        looked at. The scale must not move in between, so the blocks must have one `loss_id`.
    model
        Ignored.
    """
    chosen = _listed(optimizers)
    scalers = getattr(chosen[0], "loss_scalers", None) if chosen else None
    if scalers is None:
        got = "one that is not"
        raise ScalerError(expected("scale_loss", "an optimizer that was initialized", got, "call initialize first"))
    if not isinstance(loss_id, int) or not 0 <= loss_id < len(scalers):
        got = f"loss_id={loss_id!r}"
        remedy = "pass num_losses= to initialize"
        raise ArgumentError(expected("scale_loss", f"a loss_id below {len(scalers)}", got, remedy))
    scaler: GradScaler = scalers[loss_id]
    wide = loss if loss.dtype.holds(float32) else loss.to(float32)
    if not scaler.is_enabled():
        yield wide if scaler.rule.check == "never" else loss
        return
    added = any(getattr(o, "gradients_are_scaled", False) for o in chosen)
    before = {} if added else _set_aside(chosen)
    try:
        yield scaler.scale(wide)
    except BaseException:
        for owner, g in before.items():
            owner.grad = g
        raise
    for optimizer in chosen:
        optimizer.gradients_are_scaled = delay_unscale
    if not delay_unscale:
        _end_iteration(scaler, chosen, before)


def _end_iteration(scaler: GradScaler, optimizers: list[Any], before: dict[Tensor, Tensor]) -> None:
    """Unscale, add the gradients from before, move the scale; let the next step be skipped where there was an inf."""
    for optimizer in optimizers:
        scaler.unscale_(optimizer)
    reports = (scaler.found(optimizer) for optimizer in optimizers)
    found = next((report for report in reports if report is not None), None)
    scaler.update()
    _add_back(before)
    if found is not None:
        found.scale_after = scaler.get_scale()
        for optimizer in optimizers:
            _skip_next(optimizer, found)


def _parameters(optimizers: list[Any]) -> list[Tensor]:
    return [p for o in optimizers for group in o.param_groups for p in group["params"]]


def _set_aside(optimizers: list[Any]) -> dict[Tensor, Tensor]:
    """The unscaled gradients from earlier blocks; the parameters are left without, for backward."""
    aside: dict[Tensor, Tensor] = {}
    for p in _parameters(optimizers):
        owner = p if p.master is None else p.master
        if owner.grad is not None:
            aside[owner] = owner.grad
        p.forget_gradient()
    return aside


def _add_back(aside: dict[Tensor, Tensor]) -> None:
    """Add the gradients from earlier blocks, rounded once."""
    for owner, g in aside.items():
        if owner.grad is None:
            owner.grad = g
            continue
        precision = owner.grad.precision
        work = work_for("elementary", precision.storage, [g.dtype, precision.storage], precision.rounding)
        total = round_into(precision, run(work, np.add, g._data, owner.grad._data))
        owner.grad = stored(Tensor(total, precision), total, "add gradients")


def _skip_next(optimizer: Any, report: StepReport) -> None:
    """Let the next step do nothing but return the report."""

    def skip(*args: Any, **kwargs: Any) -> StepReport:
        del optimizer.step  # the class's own from here on
        return report

    optimizer.step = skip


def master_params(optimizer: Any) -> Iterator[Tensor]:
    """What the optimizer updates: the masters, or the parameters that have none.

    >>> import fpsim as fp
    >>> net = fp.nn.Linear(2, 1)
    >>> net, optimizer = fp.amp.initialize(net, fp.optim.SGD(net.parameters(), lr=0.1), opt_level="O2")
    >>> [p.dtype.name for p in fp.amp.master_params(optimizer)]
    ['float32', 'float32']
    """
    return (p if p.master is None else p.master for p in _parameters([optimizer]))
