"""Training loops from PyTorch's notes on mixed precision, as functions of the namespace: fpsim's or PyTorch's.

Tests only. Each returns plain numbers, so that the two can be compared; the numbers are powers of two or exact in
float32, so that equality is of bits.
"""

from __future__ import annotations

import math
from typing import Any

INF = math.inf


def parameter(torch: Any, *values: float) -> Any:
    return torch.tensor(values, dtype=torch.float32, requires_grad=True)


def data(torch: Any, *values: float) -> Any:
    return torch.tensor(values, dtype=torch.float32)


def accumulation(torch: Any) -> list[Any]:
    """Gradients of four small batches are added, still scaled; the third effective batch holds an inf."""
    w = parameter(torch, 1.0, -2.0)
    optimizer = torch.optim.SGD([w], lr=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
    accumulate, history = 4, []
    batches = [data(torch, 0.5, k) for k in range(8)] + [data(torch, INF if k == 1 else 1.0, 1.0) for k in range(4)]
    for i, x in enumerate(batches):
        loss = (w * x).sum() / accumulate
        scaler.scale(loss).backward()
        if (i + 1) % accumulate == 0:
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            history.append((w.tolist(), scaler.get_scale()))
    return history


def several_losses_and_optimizers(torch: Any) -> list[Any]:
    """Two networks, two losses of both, two optimizers, one scaler; the second step spoils one of them."""
    w = [parameter(torch, 1.0), parameter(torch, 2.0)]
    optimizers = [torch.optim.SGD([p], lr=0.25) for p in w]
    scaler, history = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=1), []
    for factor in (1.0, INF, 1.0):
        for optimizer in optimizers:
            optimizer.zero_grad()
        outputs = [w[0] * data(torch, factor), w[1] * 0.5]
        loss0 = (2 * outputs[0]).sum() + (3 * outputs[1]).sum()
        loss1 = (3 * outputs[0]).sum() - (5 * outputs[1]).sum()
        scaler.scale(loss0).backward(retain_graph=True)
        scaler.scale(loss1).backward()
        scaler.unscale_(optimizers[0])
        for optimizer in optimizers:
            scaler.step(optimizer)
        scaler.update()
        history.append(([p.item() for p in w], scaler.get_scale()))
    return history


def clipping(torch: Any, by: str) -> list[Any]:
    """Clipped between unscaling and the step, by norm or by value (a norm only once: (3, 4), which all sum alike)."""
    w = parameter(torch, 3.0, 4.0)
    optimizer = torch.optim.SGD([w], lr=1.0)
    scaler, history = torch.amp.GradScaler("cpu"), []
    for _ in range(1 if by == "norm" else 3):
        optimizer.zero_grad()
        scaler.scale((w * w).sum() / 2).backward()
        scaler.unscale_(optimizer)
        if by == "norm":
            torch.nn.utils.clip_grad_norm_([w], 2.5)
        else:
            torch.nn.utils.clip_grad_value_([w], 1.5)
        scaler.step(optimizer)
        scaler.update()
        history.append((w.tolist(), w.grad.tolist()))
    return history


def schedule(torch: Any) -> list[Any]:
    """The schedule goes on only where the scale did not fall: PyTorch's way to know of a skipped step."""
    w = parameter(torch, 1.0)
    optimizer = torch.optim.SGD([w], lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    scaler, history = torch.amp.GradScaler("cpu", init_scale=16.0), []
    for factor in (1.0, INF, INF, 1.0):
        optimizer.zero_grad()
        scaler.scale((w * data(torch, factor)).sum()).backward()
        scaler.step(optimizer)
        before = scaler.get_scale()
        scaler.update()
        if before <= scaler.get_scale():
            scheduler.step()
        history.append((w.item(), scheduler.get_last_lr(), scaler.get_scale()))
    return history


LOOPS = {
    "accumulation": accumulation,
    "several losses and optimizers": several_losses_and_optimizers,
    "clipping by norm": lambda torch: clipping(torch, "norm"),
    "clipping by value": lambda torch: clipping(torch, "value"),
    "schedule": schedule,
}
