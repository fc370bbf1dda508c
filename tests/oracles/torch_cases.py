"""What is compared with PyTorch: layers, functions and losses as expressions over named inputs.

Tests only. Data alone: imports neither fpsim nor torch, so that both can run it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: Every case: `calls` are evaluated with the inputs' names bound, and `layer`, where there is one.
CASES: list[dict[str, Any]] = []

_rs = np.random.RandomState(20)


def case(*calls: str, layer="", torch="", fixed: dict | None = None, bits=False, **inputs: np.ndarray) -> None:
    """Add a case; `torch` is its call in PyTorch's spelling where fpsim's differs.

    Floating `inputs` are differentiated; labels, masks and what is `fixed` are not. Every call's result is
    multiplied by an array of its shape and summed, and the sum is differentiated. `bits`: nothing rounds, and
    equality is exact.
    """
    arrays = {**inputs, **(fixed or {})}
    shapes = " ".join(f"{name}={'x'.join(map(str, a.shape)) or 'scalar'}" for name, a in arrays.items())
    name = f"{layer or calls[0]} {shapes}"
    again = sum(other["id"].split(" again")[0] == name for other in CASES)
    differentiated = {name: a for name, a in inputs.items() if a.dtype == np.float32}
    CASES.append({
        "id": f"{name} again{again}" if again else name,
        "layer": layer,
        "calls": calls,
        "torch": (torch,) if torch else calls,
        "inputs": differentiated,
        "fixed": {name: a for name, a in arrays.items() if name not in differentiated},
        "bits": bits,
    })  # fmt: skip


def layer(make: str, *calls: str, **inputs) -> None:
    case(*(calls or ("layer(x)",)), layer=make, **inputs)


# Inputs are float32 numbers, so that float64 and float32 runs start from the same.


def normal(*shape: int) -> np.ndarray:
    return _rs.normal(size=shape).astype(np.float32)


def positive(*shape: int) -> np.ndarray:
    return _rs.uniform(0.5, 2.5, shape).astype(np.float32)


def whole(*shape: int) -> np.ndarray:
    """-2, -1, 0, 1 or 2: full of ties."""
    return _rs.randint(-2, 3, shape).astype(np.float32)


def labels(classes: int, *shape: int) -> np.ndarray:
    return _rs.randint(0, classes, shape)


def these(*values) -> np.ndarray:
    return np.array(values, np.float32)


def ignoring(target: np.ndarray, index: int) -> np.ndarray:
    """`target` with every third label `index`."""
    target = target.copy()
    target.flat[::3] = index
    return target


# --- linear and convolution -------------------------------------------------------------------------------

layer("nn.Linear(5, 3)", x=normal(5))
layer("nn.Linear(5, 3)", x=normal(4, 5))
layer("nn.Linear(5, 3)", x=normal(2, 4, 5))
layer("nn.Linear(5, 3, bias=False)", x=normal(4, 5))
layer("nn.Linear(5, 3)", "layer(x)", "layer(layer.weight)", x=normal(4, 5))
case("F.linear(x, w)", x=normal(4, 5), w=normal(3, 5))
case("F.linear(x, w, b)", x=normal(4, 5), w=normal(3, 5), b=normal(3))

layer("nn.Conv2d(1, 2, 3)", x=normal(2, 1, 5, 5))
layer("nn.Conv2d(2, 3, 3)", x=normal(2, 5, 6))
layer("nn.Conv2d(2, 3, 3, stride=2)", x=normal(2, 2, 7, 8))
layer("nn.Conv2d(2, 3, 3, padding=1)", x=normal(2, 2, 4, 5))
layer("nn.Conv2d(2, 3, 3, padding='same')", x=normal(1, 2, 4, 5))
layer("nn.Conv2d(2, 3, 3, dilation=2)", x=normal(2, 2, 6, 7))
layer("nn.Conv2d(4, 6, 3, groups=2)", x=normal(2, 4, 5, 5))
layer("nn.Conv2d(3, 6, 3, groups=3)", x=normal(2, 3, 5, 5))
layer("nn.Conv2d(2, 3, 3, bias=False)", x=normal(2, 2, 5, 5))
layer("nn.Conv2d(2, 3, (2, 3))", x=normal(2, 2, 4, 7))
layer("nn.Conv2d(2, 3, (3, 1), stride=(1, 2), padding=(2, 0), dilation=(2, 1))", x=normal(2, 2, 6, 5))
layer("nn.Conv2d(4, 4, (1, 3), stride=2, padding=(0, 1), groups=2, bias=False)", x=normal(2, 4, 5, 6))
layer("nn.Conv2d(2, 3, 1)", x=normal(2, 2, 3, 4))
case("F.conv2d(x, w)", x=normal(2, 2, 5, 5), w=normal(3, 2, 3, 3))
case("F.conv2d(x, w, b, stride=2, padding=1, dilation=1, groups=2)", x=normal(2, 4, 5, 6),
     w=normal(2, 2, 3, 3), b=normal(2))  # fmt: skip

# --- pooling ----------------------------------------------------------------------------------------------

ties = whole(1, 2, 4, 6)
gaps = these(0.0, -0.0, np.nan, 1.0, -0.0, 0.0, 2.0, -np.inf, -np.inf, -np.inf, np.inf, 3.0,
             -np.inf, -np.inf, np.inf, 3.0).reshape(1, 1, 4, 4)  # fmt: skip

layer("nn.MaxPool2d(2)", x=normal(2, 2, 4, 6))
layer("nn.MaxPool2d(2)", x=normal(2, 5, 7))
layer("nn.MaxPool2d(3, stride=1)", x=normal(2, 2, 5, 6))
layer("nn.MaxPool2d(3, stride=2, padding=1)", x=normal(2, 2, 5, 7))
layer("nn.MaxPool2d((2, 3), stride=(1, 2), padding=(1, 0))", x=normal(2, 2, 4, 7))
layer("nn.MaxPool2d(2, stride=1, dilation=2)", x=normal(1, 2, 5, 5))
layer("nn.MaxPool2d(3, stride=2, ceil_mode=True)", x=normal(1, 2, 6, 6))
layer("nn.MaxPool2d(2)", bits=True, x=ties)
layer("nn.MaxPool2d(2, stride=1)", x=ties)
layer("nn.MaxPool2d(2)", bits=True, x=gaps)
case("F.max_pool2d(x, 2)", x=normal(2, 2, 4, 6))
case("F.max_pool2d(x, 3, stride=2, padding=1)", x=normal(2, 2, 5, 7))
layer("nn.AvgPool2d(2)", x=normal(2, 2, 4, 6))
layer("nn.AvgPool2d(2)", x=normal(2, 5, 7))
layer("nn.AvgPool2d(3, stride=1)", x=normal(2, 2, 5, 6))
layer("nn.AvgPool2d(3, stride=2, padding=1)", x=normal(2, 2, 5, 7))
layer("nn.AvgPool2d((2, 3), stride=(1, 2), padding=(1, 0))", x=normal(2, 2, 4, 7))
layer("nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)", x=normal(1, 2, 5, 7))
layer("nn.AvgPool2d(3, stride=2, ceil_mode=True)", x=normal(1, 2, 6, 6))
layer("nn.AvgPool2d(2, divisor_override=3)", x=normal(1, 2, 4, 4))
case("F.avg_pool2d(x, 2)", x=normal(2, 2, 4, 6))
case("F.avg_pool2d(x, 3, stride=2, padding=1)", x=normal(2, 2, 5, 7))

# --- normalisation ----------------------------------------------------------------------------------------

batches = {"x1": normal(4, 3, 2, 3), "x2": 2 * normal(5, 3, 2, 2) + 1, "x3": normal(2, 3, 4, 3)}
three = ("layer(x1)", "layer(x2)", "layer.eval()(x3)")

layer("nn.BatchNorm2d(3)", x=normal(4, 3, 2, 3))
layer("nn.BatchNorm2d(3)", *three, **batches)
layer("nn.BatchNorm2d(3, eps=0.125, momentum=0.375)", *three, **batches)
layer("nn.BatchNorm2d(3, momentum=None)", *three, **batches)
layer("nn.BatchNorm2d(3, affine=False)", *three, **batches)
layer("nn.BatchNorm2d(3, track_running_stats=False)", *three, **batches)
layer("nn.BatchNorm2d(3)", "layer.eval()(x)", x=normal(4, 3, 2, 3))
case("F.batch_norm(x, None, None, w, b, training=True)", x=normal(4, 3, 2, 3), w=normal(3), b=normal(3))
case("F.batch_norm(x, mean, var, w, b)", x=normal(4, 3, 2, 3), w=normal(3), b=normal(3),
     fixed={"mean": normal(3), "var": positive(3)})  # fmt: skip

layer("nn.LayerNorm(6)", x=normal(4, 6))
layer("nn.LayerNorm(6)", x=normal(6))
layer("nn.LayerNorm((6,), eps=0.125)", x=normal(2, 3, 6))
layer("nn.LayerNorm((3, 6))", x=normal(2, 3, 6))
layer("nn.LayerNorm([2, 3, 4])", x=normal(3, 2, 3, 4))
layer("nn.LayerNorm(6, elementwise_affine=False)", x=normal(4, 6))
layer("nn.LayerNorm(6, bias=False)", x=normal(4, 6))
case("F.layer_norm(x, (6,))", x=normal(4, 6))
case("F.layer_norm(x, (3, 6), w, b, eps=0.125)", x=normal(2, 3, 6), w=normal(3, 6), b=normal(3, 6))

# --- embedding, dropout, flatten --------------------------------------------------------------------------

layer("nn.Embedding(5, 3)", x=labels(5, 7))
layer("nn.Embedding(5, 3)", x=labels(5, 2, 4))
layer("nn.Embedding(5, 3, padding_idx=1)", x=ignoring(labels(5, 2, 4), 1))
layer("nn.Embedding(5, 3, padding_idx=-1)", x=ignoring(labels(5, 2, 4), 4))
case("F.embedding(i, w)", i=labels(5, 2, 4), w=normal(5, 3))
case("F.embedding(i, w, padding_idx=0)", i=ignoring(labels(5, 2, 4), 0), w=normal(5, 3))
layer("nn.Dropout(0.0)", x=normal(3, 4))
layer("nn.Dropout(1.0)", x=normal(3, 4))
layer("nn.Dropout(0.5)", "layer.eval()(x)", x=normal(3, 4))
case("F.dropout(x, 0.5, training=False)", x=normal(3, 4))
layer("nn.Flatten()", bits=True, x=normal(2, 3, 4))
layer("nn.Flatten(0, 1)", bits=True, x=normal(2, 3, 4))
layer("nn.Flatten(start_dim=2)", bits=True, x=normal(2, 3, 2, 2))
case("torch.flatten(x, 1)", bits=True, x=normal(2, 3, 4))
case("x.flatten()", bits=True, x=normal(2, 3, 4))
layer("nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))", x=normal(3, 4))

# --- activations ------------------------------------------------------------------------------------------

specials = these(-0.0, 0.0, np.nan, -1.0, 1.0, np.inf, -np.inf)
far = these(-90.0, -12.0, -3.5, -0.0, 0.0, 1e-4, 3.5, 12.0, 90.0)
steep = np.float32(40) * normal(3, 4)

for name in ("ReLU", "Tanh", "Sigmoid", "GELU"):
    layer(f"nn.{name}()", x=normal(3, 4))
    layer(f"nn.{name}()", x=far)
    case(f"F.{name.lower()}(x)", x=normal(3, 4))
case("F.relu(x)", bits=True, x=specials)
for name in ("Softmax", "LogSoftmax"):
    function = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}[name]
    for dim in (0, 1, -1):
        layer(f"nn.{name}(dim={dim})", x=normal(3, 4))
    layer(f"nn.{name}(dim=1)", x=normal(2, 3, 2, 2))
    layer(f"nn.{name}(dim=-1)", x=steep)
    case(f"F.{function}(x, dim=-1)", x=normal(3, 4))
    case(f"torch.{function}(x, dim=0)", x=normal(3, 4))
    case(f"x.{function}(dim=1)", x=normal(3, 4))
case("F.softmax(x, dim=1)", x=these((1.0, -np.inf, 0.5), (-np.inf, 2.0, -1.0)))

# --- losses -----------------------------------------------------------------------------------------------

reductions = ("mean", "sum", "none")

for loss, logits in (("CrossEntropyLoss", normal), ("NLLLoss", lambda *shape: -positive(*shape))):
    for r in reductions:
        layer(f"nn.{loss}(reduction='{r}')", "layer(x, t)", x=logits(5, 4), t=labels(4, 5))
        case(f"nn.{loss}(weight=w, ignore_index=1, reduction='{r}')(x, t)", x=logits(5, 4),
             t=ignoring(labels(4, 5), 1), fixed={"w": positive(4)})  # fmt: skip
        layer(f"nn.{loss}(reduction='{r}')", "layer(x, t)", x=logits(2, 3, 2, 3), t=labels(3, 2, 2, 3))
        case(f"nn.{loss}(weight=w, ignore_index=0, reduction='{r}')(x, t)", x=logits(2, 3, 2, 3),
             t=ignoring(labels(3, 2, 2, 3), 0), fixed={"w": positive(3)})  # fmt: skip
    case(f"nn.{loss}(weight=w)(x, t)", x=logits(5, 4), t=labels(4, 5), fixed={"w": positive(4)})
    layer(f"nn.{loss}()", "layer(x, t)", x=logits(5, 4), t=ignoring(labels(4, 5), -100))
    layer(f"nn.{loss}()", "layer(x, t)", x=logits(4), t=labels(4))
for r in reductions:
    smooth = f"label_smoothing=0.25, reduction='{r}'"
    layer(f"nn.CrossEntropyLoss({smooth})", "layer(x, t)", x=normal(5, 4), t=labels(4, 5))
    case(f"nn.CrossEntropyLoss(weight=w, ignore_index=1, {smooth})(x, t)", x=normal(5, 4),
         t=ignoring(labels(4, 5), 1), fixed={"w": positive(4)})  # fmt: skip
case("nn.CrossEntropyLoss(weight=w, label_smoothing=0.125)(x, t)", x=normal(2, 3, 2, 3), t=labels(3, 2, 2, 3),
     fixed={"w": positive(3)})  # fmt: skip
layer("nn.CrossEntropyLoss()", "layer(x, t)", x=steep, t=labels(4, 3))
layer("nn.CrossEntropyLoss()", "layer(F.log_softmax(x, dim=1), t)", x=normal(5, 4), t=labels(4, 5))
case("F.cross_entropy(x, t, weight=w, ignore_index=1, reduction='sum', label_smoothing=0.25)", x=normal(5, 4),
     t=ignoring(labels(4, 5), 1), fixed={"w": positive(4)})  # fmt: skip
case("F.nll_loss(F.log_softmax(x, dim=1), t, weight=w, ignore_index=1)", x=normal(5, 4),
     t=ignoring(labels(4, 5), 1), fixed={"w": positive(4)})  # fmt: skip
for r in reductions:
    layer(f"nn.MSELoss(reduction='{r}')", "layer(x, y)", x=normal(3, 4), y=normal(3, 4))
    zero_one = these((0, 1, 1, 0), (1, 0.25, 0, 1), (0, 0, 1, 0.75))
    layer(f"nn.BCEWithLogitsLoss(reduction='{r}')", "layer(x, y)", x=normal(3, 4), fixed={"y": zero_one})
    case(f"nn.BCEWithLogitsLoss(weight=w, pos_weight=p, reduction='{r}')(x, y)", x=normal(3, 4),
         fixed={"y": zero_one, "w": positive(3, 4), "p": positive(4)})  # fmt: skip
case("nn.BCEWithLogitsLoss(pos_weight=p)(x, y)", x=normal(3, 4), fixed={"y": zero_one, "p": positive(4)})
case("nn.BCEWithLogitsLoss(weight=w)(x, y)", x=normal(3, 4), fixed={"y": zero_one, "w": positive(4)})
layer("nn.BCEWithLogitsLoss()", "layer(x, y)", x=far, fixed={"y": these(1, 0, 1, 0, 1, 0, 1, 1, 0)})
case("F.mse_loss(x, y, reduction='sum')", x=normal(3, 4), y=normal(3, 4))
case("F.binary_cross_entropy_with_logits(x, y, weight=w, pos_weight=p)", x=normal(3, 4),
     fixed={"y": zero_one, "w": positive(3, 4), "p": positive(4)})  # fmt: skip

# --- operators and functions ------------------------------------------------------------------------------

for text in ("x + y", "x - y", "x * y", "x / y"):
    case(text, x=normal(3, 4), y=positive(3, 4))
    case(text, x=normal(3, 1), y=positive(2, 1, 4))
    case(text, x=normal(3, 4), y=positive())
for text in ("-x", "x + 0.5", "0.5 - x", "x * 3", "x / 4", "1 / x", "x ** 2", "x ** 3", "x ** -1", "x ** 0.5",
             "2.0 ** x"):  # fmt: skip
    case(text, x=positive(3, 4))
case("x ** y", x=positive(3, 4), y=normal(3, 4))
case("x ** y", x=positive(3, 4), y=normal(4))
case("x * x + x", x=normal(3, 4))

for name in ("exp", "tanh", "sigmoid", "relu", "abs", "log", "sqrt"):
    case(f"torch.{name}(x)", x=positive(3, 4) if name in ("log", "sqrt") else normal(3, 4))
    case(f"x.{name}()", x=positive(3, 4))
for name in ("exp", "tanh", "abs", "log", "sqrt"):
    case(f"np.{name}(x)", torch=f"torch.{name}(x)", x=positive(3, 4))
case("torch.sqrt(x)", x=these(0.0, 0.25, 4.0, np.inf))
case("torch.log(x)", x=these(0.0, 0.25, 4.0, np.inf))
case("torch.abs(x)", bits=True, x=specials)
for name in ("maximum", "minimum"):
    case(f"torch.{name}(x, y)", bits=True, x=whole(4, 5), y=whole(4, 5))
    case(f"torch.{name}(x, y)", x=whole(4, 1), y=whole(5))
    case(f"np.{name}(x, y)", torch=f"torch.{name}(x, y)", bits=True, x=whole(4, 5), y=whole(4, 5))
case("torch.where(x > 0, x, y)", bits=True, x=normal(3, 4), y=normal(3, 4))
case("torch.where(m, x, y)", x=normal(3, 1), y=normal(2, 1, 4), m=labels(2, 3, 4).astype(bool))
case("np.where(m, x, y)", torch="torch.where(m, x, y)", bits=True, x=normal(3, 4), y=normal(3, 4),
     m=labels(2, 3, 4).astype(bool))  # fmt: skip
case("torch.clip(x, -1, 1)", bits=True, x=whole(4, 5))
case("torch.clip(x, min=-0.5)", bits=True, x=normal(4, 5))
case("torch.clip(x, max=0.5)", bits=True, x=normal(4, 5))
case("x.clip(-0.5, 0.75)", bits=True, x=normal(4, 5))
case("np.clip(x, -0.5, 0.75)", torch="torch.clip(x, -0.5, 0.75)", bits=True, x=normal(4, 5))

# --- reductions -------------------------------------------------------------------------------------------

block = normal(2, 3, 4)
for name in ("sum", "mean", "var", "std"):
    for arguments in ("", "dim=0", "dim=-1, keepdim=True", "dim=(0, 2)", "dim=(1, 2), keepdim=True"):
        case(f"x.{name}({arguments})", x=block)
    case(f"torch.{name}(x, dim=1)", x=block)
    case(f"x.{name}(axis=1, keepdims=True)", x=block)
for name in ("var", "std"):
    case(f"x.{name}(unbiased=False)", x=block)
    case(f"x.{name}(dim=1, unbiased=False, keepdim=True)", x=block)
    case(f"torch.{name}(x, dim=(0, 2), unbiased=False)", x=block)
    case(f"np.{name}(x, axis=1)", torch=f"torch.{name}(x, dim=1, unbiased=False)", x=block)
    case(f"np.{name}(x, axis=1, ddof=1)", torch=f"torch.{name}(x, dim=1)", x=block)
for name in ("sum", "mean"):
    case(f"np.{name}(x)", torch=f"torch.{name}(x)", x=block)
    case(f"np.{name}(x, axis=(0, 2))", torch=f"torch.{name}(x, dim=(0, 2))", x=block)
# PyTorch's max(dim) gives one of the equals all of the gradient; its max() and amax(dim) split it by count.
for name in ("max", "min"):
    for x in (normal(3, 4), whole(4, 5), np.ones((2, 3), np.float32)):
        case(f"x.{name}()", x=x)
        case(f"x.{name}(dim=1)", torch=f"x.a{name}(dim=1)", x=x)
        case(f"x.{name}(dim=0, keepdim=True)", torch=f"x.a{name}(dim=0, keepdim=True)", x=x)
    case(f"torch.{name}(x, dim=0)", torch=f"torch.{name}(x, dim=0).values", bits=True, x=normal(3, 4))
    case(f"np.{name}(x, axis=1)", torch=f"x.a{name}(dim=1)", bits=True, x=normal(3, 4))
case("x.argmax()", bits=True, x=normal(3, 4))
case("x.argmax(dim=0)", bits=True, x=normal(3, 4))
case("x.argmax(dim=1, keepdim=True)", bits=True, x=normal(3, 4))
case("torch.argmax(x, dim=1)", bits=True, x=these((1, 2, 2), (3, 3, 3), (np.nan, 1, np.nan)))

# --- shapes -----------------------------------------------------------------------------------------------

for text in (
    "x.reshape(2, 6)", "x.reshape(-1)", "x.view(-1, 6)", "x.view(4, 3)", "x.transpose(0, 1)", "x.T",
    "x.unsqueeze(1)", "x.unsqueeze(-1)", "x.reshape(3, 1, 4).squeeze(1)", "x.reshape(1, 3, 4, 1).squeeze()",
    "torch.reshape(x, (6, 2))", "torch.transpose(x, 0, 1)", "torch.unsqueeze(x, 0)",
    "torch.broadcast_to(x, (2, 3, 4))", "torch.broadcast_to(x.reshape(3, 1, 4), (3, 2, 4))",
    "x[1]", "x[-1, 2]", "x[:, 1:3]", "x[::2, None]", "x[..., -1]", "x[1:, ::3]", "x[x > 0]",
):  # fmt: skip
    case(text, x=normal(3, 4))
case("x[i]", i=np.array([0, 2, 2, 0, 2]), x=normal(3, 4))
case("x[:, i]", i=np.array([[1, 1], [3, -1]]), x=normal(3, 4))
case("x[i, j]", i=np.array([0, 2, 0, 0]), j=np.array([1, 3, 1, 2]), x=normal(3, 4))
case("x[m]", bits=True, m=np.array([True, False, True]), x=normal(3, 4))
for module, dim in (("torch", "dim"), ("np", "axis")):
    for text in (f"concatenate((x, y), {dim}=0)", f"concatenate([x, y, x], {dim}=1)",
                 f"stack((x, y), {dim}=0)", f"stack([x, y, x], {dim}=-1)"):  # fmt: skip
        case(f"{module}.{text}", torch=f"torch.{text.replace('axis', 'dim')}", x=normal(3, 4), y=normal(3, 4))
case("torch.concatenate((x, y))", bits=True, x=normal(1, 4), y=normal(3, 4))
case("np.pad(x, ((1, 0), (0, 2)))", torch="F.pad(x, (0, 2, 1, 0))", bits=True, x=normal(3, 4))
case("np.pad(x, 1)", torch="F.pad(x, (1, 1, 1, 1))", bits=True, x=normal(3, 4))
case("F.pad(x, (1, 2))", bits=True, x=normal(3, 4))
case("F.pad(x, (1, 0, 0, 2), value=0.5)", bits=True, x=normal(3, 4))
case("np.transpose(x, (2, 0, 1))", torch="x.permute(2, 0, 1)", bits=True, x=normal(2, 3, 4))
case("np.reshape(x, (2, 6))", torch="x.reshape(2, 6)", bits=True, x=normal(3, 4))
case("np.broadcast_to(x, (2, 3, 4))", torch="torch.broadcast_to(x, (2, 3, 4))", x=normal(3, 4))

# --- products ---------------------------------------------------------------------------------------------

for a, b in [((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 2)), ((3, 4), (4, 2)), ((2, 3, 4), (4, 2)),
             ((2, 1, 3, 4), (5, 4, 2)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3))]:  # fmt: skip
    case("x @ y", x=normal(*a), y=normal(*b))
case("torch.matmul(x, y)", x=normal(3, 4), y=normal(4, 2))
case("np.matmul(x, y)", torch="torch.matmul(x, y)", x=normal(2, 3, 4), y=normal(2, 4, 2))
for pattern, *shapes in [
    ("ij,jk->ik", (3, 4), (4, 2)), ("ij,kj->ik", (3, 4), (2, 4)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 2)),
    ("bhqd,bhkd->bhqk", (1, 2, 3, 4), (1, 2, 5, 4)), ("ij,ij->", (3, 4), (3, 4)),
    ("ij,ij->i", (3, 4), (3, 4)), ("i,j->ij", (3,), (4,)), ("ij,j->ij", (3, 4), (4,)),
    ("ij,kl->il", (3, 4), (2, 5)), ("ij,jk", (3, 4), (4, 2)), ("...ij,...jk->...ik", (2, 3, 4), (4, 2)),
    ("ij->ji", (3, 4)), ("ij->j", (3, 4)), ("ijk->", (2, 3, 4)), ("ii->i", (3, 3)), ("ii->", (3, 3)),
    ("i,ij,j->", (3,), (3, 4), (4,)), ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
]:  # fmt: skip
    names = "xyz"[: len(shapes)]
    call = f"torch.einsum('{pattern}', {', '.join(names)})"
    case(call, **{name: normal(*shape) for name, shape in zip(names, shapes, strict=True)})
case("np.einsum('ij,jk->ik', x, y)", torch="torch.einsum('ij,jk->ik', x, y)", x=normal(3, 4), y=normal(4, 2))

# --- attention --------------------------------------------------------------------------------------------

some_of = np.arange(15).reshape(3, 5) % 4 != 2
some_of[1] = False  # a query that may look nowhere
inf_of = np.where(some_of, np.float32(0.25), np.float32(-np.inf))
attend = "F.scaled_dot_product_attention(q, k, v{})"

for q, k, v, more, given in [
    ((3, 4), (3, 4), (3, 4), "", {}),
    ((2, 3, 4), (2, 3, 4), (2, 3, 4), ", is_causal=True", {}),
    ((2, 2, 7, 8), (2, 2, 7, 8), (2, 2, 7, 8), ", is_causal=True", {}),
    ((2, 5, 4), (2, 3, 4), (2, 3, 6), ", is_causal=True", {}),
    ((2, 3, 4), (2, 5, 4), (2, 5, 6), ", is_causal=True, scale=0.3", {}),
    ((2, 3, 4), (2, 5, 4), (2, 5, 6), "", {}),
    ((2, 3, 4), (2, 5, 4), (2, 5, 2), ", scale=-1.5", {}),
    ((2, 3, 4), (2, 5, 4), (2, 5, 2), ", scale=0.0", {}),
    ((2, 3, 4), (2, 5, 4), (2, 5, 2), ", attn_mask=m", {"m": some_of}),
    ((2, 3, 3, 4), (2, 3, 5, 4), (2, 3, 5, 4), ", attn_mask=m", {"m": some_of[:, None, :].transpose(1, 0, 2)}),
    ((2, 3, 4), (2, 5, 4), (2, 5, 2), ", attn_mask=m", {"fixed": {"m": inf_of}}),
    ((2, 3, 4), (2, 5, 4), (2, 5, 2), ", attn_mask=m, scale=0.7", {"m": normal(2, 3, 5)}),
    ((2, 3, 4), (2, 5, 4), (2, 5, 2), ", attn_mask=m", {"m": normal(1, 5)}),
    ((3, 4), (2, 5, 4), (2, 5, 2), "", {}),
    ((2, 3, 4), (5, 4), (2, 5, 2), "", {}),
    ((2, 3, 4), (2, 5, 4), (5, 2), ", attn_mask=m", {"m": normal(5)}),
]:
    case(attend.format(more), q=normal(*q), k=normal(*k), v=normal(*v), **given)
case(attend.format(""), q=3 * normal(2, 3, 4), k=3 * normal(2, 5, 4), v=normal(2, 5, 2))
