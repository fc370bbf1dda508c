"""fpsim: see overflow, underflow and rounding in a network trained in any mix of floating-point formats.

The public names; each lives in the room that its import names. Importing fpsim needs NumPy alone.
"""

from typing import TYPE_CHECKING, Any

from fpsim import amp, data, nn, optim, utils
from fpsim.accumulate import Accumulator
from fpsim.amp import autocast
from fpsim.autograd import Tensor, as_tensor, default_precision, enable_grad, manual_seed, no_grad, seed, tensor
from fpsim.autograd.tensor import Device as device
from fpsim.errors import *  # noqa: F403
from fpsim.experiments import compare, load, train
from fpsim.formats import *  # noqa: F403
from fpsim.nn import load_weights, save_weights
from fpsim.observe import observe
from fpsim.ops.functions import (
    abs,
    add,
    amax,
    amin,
    arange,
    argmax,
    broadcast_to,
    cat,
    clamp,
    clip,
    concatenate,
    div,
    divide,
    einsum,
    exp,
    expand,
    flatten,
    from_numpy,
    full,
    gelu,
    log,
    log_softmax,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    mul,
    multiply,
    neg,
    negative,
    ones,
    ones_like,
    pad,
    permute,
    pow,
    rand,
    randn,
    relu,
    reshape,
    sigmoid,
    softmax,
    sqrt,
    square,
    squeeze,
    stack,
    std,
    sub,
    subtract,
    sum,
    tanh,
    transpose,
    uniform,
    unsqueeze,
    var,
    where,
    zeros,
    zeros_like,
)  # fmt: skip
from fpsim.precision import Precision
from fpsim.rounding import all_values, decode, encode, nextafter, round, spacing, ulp
from fpsim.torch_names import (
    accelerator,
    backends,
    cuda,
    double,
    half,
    int32,
    int64,
    is_floating_point,
    is_tensor,
    long,
    set_default_dtype,
    uint8,
)
from fpsim.torch_names import bool_ as bool
from fpsim.torch_names import float_ as float
from fpsim.torch_names import int_ as int

if TYPE_CHECKING:
    from fpsim import mx, widgets
    from fpsim.experiments import sweep
    from fpsim.experiments.checkpoints import load_checkpoint, save_checkpoint
    from fpsim.experiments.evaluating import evaluate
    from fpsim.experiments.troubles import troubles
    from fpsim.gallery import figures, verify
    from fpsim.observe.anomaly import detect_anomaly
    from fpsim.observe.cost import cost
    from fpsim.observe.decoder import Decoder
    from fpsim.observe.explain import Explanation, explain
    from fpsim.observe.sensitivity import sensitivity
    from fpsim.observe.shadow import shadow
    from fpsim.rounding import Anatomy, inspect

#: Names that are imported on first use, and where they live: their modules take a while to import.
_ON_FIRST_USE = {
    "Anatomy": "fpsim.rounding",
    "Decoder": "fpsim.observe.decoder",
    "Explanation": "fpsim.observe.explain",
    "cost": "fpsim.observe.cost",
    "detect_anomaly": "fpsim.observe.anomaly",
    "evaluate": "fpsim.experiments.evaluating",
    "explain": "fpsim.observe.explain",
    "figures": "fpsim.gallery",
    "inspect": "fpsim.rounding",
    "load_checkpoint": "fpsim.experiments.checkpoints",
    "save_checkpoint": "fpsim.experiments.checkpoints",
    "sensitivity": "fpsim.observe.sensitivity",
    "shadow": "fpsim.observe.shadow",
    "sweep": "fpsim.experiments.sweeping",
    "troubles": "fpsim.experiments.troubles",
    "verify": "fpsim.gallery",
}

#: Rooms that are imported on first use.
_ROOMS = ("mx", "widgets")


def __getattr__(name: str) -> Any:
    if name in _ON_FIRST_USE:
        from importlib import import_module

        return getattr(import_module(_ON_FIRST_USE[name]), name)
    if name in _ROOMS:
        from importlib import import_module

        return import_module(f"fpsim.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_FIRST_USE, *_ROOMS})
