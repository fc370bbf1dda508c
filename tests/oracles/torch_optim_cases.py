"""What of training is compared with PyTorch: optimizers, schedules, clipping, loss scaling.

Tests only. Data alone: imports neither fpsim nor torch, so that both can run it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_rs = np.random.RandomState(21)


def halves(*shape: int) -> np.ndarray:
    """Numbers of float16 between 2^-4 and 8 in size: every format starts from the same."""
    sign = _rs.choice([-1.0, 1.0], shape)
    size = _rs.uniform(1, 2, shape) * 2.0 ** _rs.randint(-4, 3, shape)
    return (sign * size).astype(np.float16).astype(np.float32)


# --- optimizers: two parameters, six gradients each -------------------------------------------------------

# Sizes are multiples of 32: PyTorch's float16 `add(x, alpha)` is a fused multiply-add with one rounding in
# full vectors (16 or 32 elements) only; the elements left over round the product first, then the sum.

STEPS = 6
START = {"p": halves(4, 8), "q": halves(32)}
GRADIENTS = {name: halves(STEPS, *x.shape) for name, x in START.items()}

#: In float16 the square of such a gradient, times 1 - beta2, is 0, and so is Adam's epsilon: 0 / 0 and x / 0.
TINY_START = {"p": np.tile(np.array([1, -1, 2, 0.5], np.float32), 8)}
TINY = {"p": np.tile(np.array([0, 1e-4, -1e-4, 1], np.float16), (STEPS, 8)).astype(np.float32)}

OPTIMIZERS: list[dict[str, Any]] = []


def optimizer(make: str, start=START, gradients=GRADIENTS) -> None:
    name = make.removeprefix("torch.optim.")
    OPTIMIZERS.append({"id": name, "make": make, "start": start, "gradients": gradients})


for arguments in (
    "lr=0.1",
    "lr=0.01, momentum=0.9",
    "lr=0.1, momentum=0.5, dampening=0.3",
    "lr=0.1, momentum=0.9, nesterov=True",
    "lr=0.1, weight_decay=0.01",
    "lr=0.01, momentum=0.9, weight_decay=0.1",
    "lr=0.01, momentum=0.9, weight_decay=0.1, nesterov=True",
    "lr=0.01, momentum=0.9, dampening=0.1, weight_decay=0.1",
    "lr=0.1, momentum=0.9, maximize=True",
):
    optimizer(f"torch.optim.SGD([p, q], {arguments})")
for name in ("Adam", "AdamW"):
    optimizer(f"torch.optim.{name}([p, q])")
    for arguments in (
        "lr=0.01",
        "lr=0.1, betas=(0.75, 0.5)",
        "lr=0.01, eps=0.3",
        "lr=0.01, weight_decay=0.1",
        "lr=0.01, amsgrad=True",
        "lr=0.01, eps=1e-3, weight_decay=0.1, amsgrad=True",
        "lr=0.01, maximize=True",
    ):
        optimizer(f"torch.optim.{name}([p, q], {arguments})")
optimizer("torch.optim.SGD([{'params': [p], 'lr': 0.1}, {'params': [q]}], lr=0.01, momentum=0.9)")
optimizer("torch.optim.Adam([{'params': [p], 'lr': 0.1}, {'params': [q], 'weight_decay': 0.1}], lr=0.01)")
optimizer("torch.optim.Adam([p], lr=0.01)", TINY_START, TINY)

# --- schedules --------------------------------------------------------------------------------------------

SCHEDULES: list[dict[str, Any]] = []

SGD = "torch.optim.SGD([p], lr=0.1, momentum=0.9)"
ADAM = "torch.optim.Adam([p], lr=0.1)"
GROUPS = "torch.optim.SGD([{'params': [p], 'lr': 1.0}, {'params': [q]}], lr=0.1, momentum=0.9)"

for make, schedule, steps in [
    (SGD, "StepLR(optimizer, step_size=3)", 10),
    (SGD, "StepLR(optimizer, 1, gamma=0.5)", 10),
    (GROUPS, "StepLR(optimizer, step_size=4, gamma=0.3)", 10),
    (SGD, "CosineAnnealingLR(optimizer, T_max=8)", 8),
    (SGD, "CosineAnnealingLR(optimizer, T_max=5, eta_min=0.01)", 14),
    (GROUPS, "CosineAnnealingLR(optimizer, T_max=6)", 6),
    (SGD, "OneCycleLR(optimizer, max_lr=1.0, total_steps=12)", 11),
    (SGD, "OneCycleLR(optimizer, max_lr=1.0, epochs=3, steps_per_epoch=4)", 11),
    (SGD, "OneCycleLR(optimizer, 1.0, 12, pct_start=0.5, anneal_strategy='linear')", 11),
    (SGD, "OneCycleLR(optimizer, 1.0, 15, three_phase=True, div_factor=10, final_div_factor=100)", 14),
    (SGD, "OneCycleLR(optimizer, 1.0, 12, base_momentum=0.5, max_momentum=0.8)", 11),
    (SGD, "OneCycleLR(optimizer, 1.0, 12, cycle_momentum=False)", 11),
    (ADAM, "OneCycleLR(optimizer, max_lr=1.0, total_steps=12)", 11),
    (GROUPS, "OneCycleLR(optimizer, max_lr=[1.0, 2.0], total_steps=12)", 11),
]:
    SCHEDULES.append({"id": f"{schedule} of {make.removeprefix('torch.optim.')}", "make": make,
                      "schedule": f"torch.optim.lr_scheduler.{schedule}", "steps": steps})  # fmt: skip

# --- clipping ---------------------------------------------------------------------------------------------

CLIPPED = {"p": halves(4, 5), "q": halves(7)}
BROKEN = {"p": np.array([1, np.inf, -2], np.float32), "q": np.array([3.0], np.float32)}

CLIPPING: list[dict[str, Any]] = [
    {"id": call, "call": call, "gradients": CLIPPED}
    for call in (
        "clip_grad_norm_([p, q], 1.0)",
        "clip_grad_norm_([p, q], max_norm=1e4)",
        "clip_grad_norm_(p, 1.0)",
        "clip_grad_norm_([p, q], 1.0, norm_type=1)",
        "clip_grad_norm_([p, q], 1.0, norm_type=3.0)",
        "clip_grad_norm_([p, q], 1.0, norm_type=float('inf'))",
        "clip_grad_value_([p, q], 0.5)",
        "clip_grad_value_(p, clip_value=1.0)",
    )
] + [
    {"id": f"{call} with an infinite gradient", "call": call, "gradients": BROKEN}
    for call in ("clip_grad_norm_([p, q], 1.0)", "clip_grad_value_([p, q], 0.5)")
]

# --- loss scaling: one letter is one optimizer's gradient in one step -------------------------------------

SCALED_START = np.array([1, -2, 0.3], np.float32)
SCALED_LR = 0.125
LETTERS = {
    "G": np.array([0.5, 1.5, -0.7], np.float32),
    "I": np.array([0.5, np.inf, -0.7], np.float32),
    "N": np.array([np.nan, 1.5, -0.7], np.float32),
    "L": np.array([0.5, 2.0**119, -0.7], np.float32),  # overflows at scales from 2^9
}  # fmt: skip

SCALERS: list[dict[str, Any]] = []


def scaler(script: str, unscale_first: bool = False, **arguments) -> None:
    """A script's words are steps, its letters optimizers; ``=`` sets the scale by `update(new_scale)`."""
    steps = []
    for word in script.split():
        letters, _, new_scale = word.partition("=")
        steps.append({"gradients": [LETTERS[letter] for letter in letters],
                      "new_scale": float(new_scale) if new_scale else None})  # fmt: skip
    spelt = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    SCALERS.append({"id": f"{script} [{spelt}]" + " unscaled first" * unscale_first, "arguments": arguments,
                    "script": steps, "unscale_first": unscale_first})  # fmt: skip


scaler("G G I G G G I I G G G G G I G G G", init_scale=1024.0, growth_interval=3)
scaler("G G I G G G I I G G G G G I G G G", init_scale=1024.0, growth_interval=3, unscale_first=True)
scaler("G N G G N N G", init_scale=8.0, growth_interval=2, growth_factor=4.0, backoff_factor=0.25)
scaler("G G G G G G", init_scale=1000.0 / 3, growth_interval=2, growth_factor=1.1)
scaler("I I G G I G", init_scale=1000.0 / 3, growth_interval=2, backoff_factor=0.7)
scaler("L L L L L L L L L L", growth_interval=3)
scaler("GG IG GI GG GG II GG GG GG", init_scale=1024.0, growth_interval=2)
scaler("GG LG GL GG", init_scale=1024.0, growth_interval=1, unscale_first=True)
scaler("G G=512 G G G I=2048 G G", init_scale=64.0, growth_interval=3)
scaler("G G G G", init_scale=2.0**125, growth_interval=1)
scaler("I I I G I I G", init_scale=2.0**-124, growth_interval=1000)
scaler("I " * 28 + "G", init_scale=2.0**-123, growth_interval=1000)
scaler("G I G", enabled=False)
