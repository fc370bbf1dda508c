"""`nn.utils`: gradient clipping under the path where PyTorch code looks for it.

Layer 5. The functions are those of `fpsim.optim`.
"""

from fpsim.optim.clipping import clip_grad_norm_, clip_grad_value_

__all__ = ["clip_grad_norm_", "clip_grad_value_"]
