"""Networks under PyTorch's names, so that a PyTorch snippet runs after changing its imports.

Layer 5. `module` is the base, `functional` the functions; `layers`, `plain_layers`, `containers`, `losses` the rest;
`lenet` and `transformer` are whole networks.
"""

from fpsim.nn import functional, init, utils
from fpsim.nn.containers import ModuleDict, ModuleList, Sequential
from fpsim.nn.layers import BatchNorm2d, Conv2d, Embedding, LayerNorm, Linear
from fpsim.nn.lenet import LeNet
from fpsim.nn.losses import BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, MSELoss, NLLLoss
from fpsim.nn.module import Module, Parameter
from fpsim.nn.plain_layers import (
    GELU,
    AvgPool2d,
    Dropout,
    Flatten,
    Identity,
    LogSoftmax,
    MaxPool2d,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)  # fmt: skip
from fpsim.nn.saving import load_weights, save_weights
from fpsim.nn.transformer import MLP, CausalSelfAttention, TiedHead, TransformerBlock, TransformerLM

__all__ = [
    "GELU", "MLP", "AvgPool2d", "BCELoss", "BCEWithLogitsLoss", "BatchNorm2d", "CausalSelfAttention", "Conv2d",
    "CrossEntropyLoss", "Dropout", "Embedding", "Flatten", "Identity", "LayerNorm", "LeNet", "Linear", "LogSoftmax",
    "MSELoss", "MaxPool2d", "Module", "ModuleDict", "ModuleList", "NLLLoss", "Parameter", "ReLU", "Sequential",
    "Sigmoid", "Softmax", "Tanh", "TiedHead", "TransformerBlock", "TransformerLM", "functional", "init",
    "load_weights", "save_weights", "utils",
]  # fmt: skip
