"""Networks under PyTorch's names, so that a PyTorch snippet runs after changing its imports.

Layer 5. `module` is the base, `functional` the functions, `layers` and `losses` what holds their settings.
"""

from fpsim.nn import functional, init, utils
from fpsim.nn.layers import *  # noqa: F403
from fpsim.nn.lenet import LeNet
from fpsim.nn.losses import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss, NLLLoss
from fpsim.nn.module import Module, Parameter
from fpsim.nn.saving import load_weights, save_weights
