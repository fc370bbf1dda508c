"""Optimizers, learning-rate schedules and gradient clipping, under PyTorch's names.

Layer 5. `steps` says where each elementary step rounds; `optimizer` is the base.
"""

from fpsim.optim import lr_scheduler
from fpsim.optim.adam import Adam, AdamW
from fpsim.optim.clipping import clip_grad_norm_, clip_grad_value_
from fpsim.optim.optimizer import Optimizer
from fpsim.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "clip_grad_norm_", "clip_grad_value_", "lr_scheduler"]
