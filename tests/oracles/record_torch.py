"""Run PyTorch and record what fpsim is compared with; start it by ``python -m tests.oracles.record_torch``.

Names of parts (``layers optim network transformer``) record these alone.
Tests only, needs torch, and no test runs it: it writes ``torch_*.npz`` beside itself. Imports no fpsim.
"""

from __future__ import annotations

import datetime
import sys
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.oracles import classic_network, torch_transformer
from tests.oracles.small_transformer import OPTIMIZERS as OPTIMIZERS_OF_LM
from tests.oracles.torch_cases import CASES
from tests.oracles.torch_optim_cases import CLIPPING, OPTIMIZERS, SCALED_LR, SCALED_START, SCALERS, SCHEDULES
from tests.oracles.torch_values import save

RECORDED = {
    "torch": torch.__version__,
    "numpy": np.__version__,
    "date": datetime.date.today().isoformat(),
    "cpu": torch.backends.cpu.get_cpu_capability(),
}
FORMATS = {"float64": torch.float64, "float32": torch.float32, "float16": torch.float16}
MODULES = {"torch": torch, "nn": nn, "F": F}


def tensor(array: np.ndarray, fmt: str, requires_grad: bool = False) -> torch.Tensor:
    """A tensor of the format, or of the array's own dtype where that is not floating."""
    x = torch.tensor(array)
    return x.to(FORMATS[fmt]).requires_grad_(requires_grad) if x.is_floating_point() else x


def array(x: torch.Tensor) -> np.ndarray:
    return x.detach().numpy().copy()


# --- layers, functions and losses -------------------------------------------------------------------------


def layer_of(case: dict[str, Any], fmt: str, rs: np.random.RandomState) -> nn.Module:
    """The case's layer; its parameters are drawn once, in the first format."""
    layer = eval(case["layer"], dict(MODULES)).to(FORMATS[fmt])
    if "weights" not in case:
        case["weights"] = {name: (rs.normal(size=p.shape) / 2).astype(np.float32)
                           for name, p in layer.named_parameters()}  # fmt: skip
    layer.load_state_dict({name: tensor(w, fmt) for name, w in case["weights"].items()}, strict=False)
    return layer


def run(case: dict[str, Any], fmt: str, rs: np.random.RandomState) -> dict[str, Any]:
    inputs = {name: tensor(x, fmt, requires_grad=True) for name, x in case["inputs"].items()}
    names = MODULES | inputs | {name: tensor(x, fmt) for name, x in case["fixed"].items()}
    learnt = {}
    if case["layer"]:
        names["layer"] = layer_of(case, fmt, rs)
        learnt = dict(names["layer"].named_parameters())
    upstream = case.setdefault("upstream", [])
    outs = []
    for k, call in enumerate(case["torch"]):
        out = eval(call, names)
        outs.append(array(out))
        if out.requires_grad:
            if k == len(upstream):
                upstream.append(rs.normal(size=out.shape).astype(np.float32))
            (out * tensor(upstream[k], fmt)).sum().backward()
    gradients = {name: array(x.grad) for name, x in {**inputs, **learnt}.items() if x.grad is not None}
    state = names["layer"].state_dict() if case["layer"] else {}
    buffers = {name: array(b) for name, b in state.items() if name not in learnt and b.is_floating_point()}
    return {"outs": outs, "gradients": gradients, "buffers": buffers}


def record_layers() -> None:
    cases = []
    for k, case in enumerate(CASES):
        rs = np.random.RandomState(k)
        results = {fmt: run(case, fmt, rs) for fmt in ("float64", "float32")}
        cases.append({key: value for key, value in case.items() if key != "torch"} | results)
    assert len({case["id"] for case in cases}) == len(cases), "two cases have the same id"
    print(save("layers", {"recorded": RECORDED, "cases": cases}), len(cases), "cases")


# --- optimizers, schedulers, clipping, loss scaling -------------------------------------------------------


def run_optimizer(case: dict[str, Any], fmt: str) -> dict[str, np.ndarray]:
    """Every parameter after each step: (steps, *shape)."""
    params = {name: tensor(x, fmt, requires_grad=True) for name, x in case["start"].items()}
    optimizer = eval(case["make"], MODULES | params)
    for group in optimizer.param_groups:
        group["foreach"] = group["fused"] = False
    history = []
    for k in range(len(case["gradients"]["p"])):
        for name, p in params.items():
            p.grad = tensor(case["gradients"][name][k], fmt)
        optimizer.step()
        history.append({name: array(p) for name, p in params.items()})
    return {name: np.stack([after[name] for after in history]) for name in params}


def run_schedule(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """Learning rate and momentum (Adam: first beta), at first and after each step: (steps + 1, groups)."""
    p, q = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer = eval(case["make"], MODULES | {"p": p, "q": q})
    schedule = eval(case["schedule"], MODULES | {"optimizer": optimizer})
    rates, momenta = [], []
    for k in range(case["steps"] + 1):
        if k:
            optimizer.step()
            schedule.step()
        groups = optimizer.param_groups
        rates.append([group["lr"] for group in groups])
        momenta.append([group["betas"][0] if "betas" in group else group["momentum"] for group in groups])
    return {"lr": np.array(rates), "momentum": np.array(momenta)}


def run_clipping(case: dict[str, Any], fmt: str) -> dict[str, Any]:
    params = {name: torch.zeros(g.shape, dtype=FORMATS[fmt]) for name, g in case["gradients"].items()}
    for name, p in params.items():
        p.grad = tensor(case["gradients"][name], fmt)
    result = eval(case["call"], vars(nn.utils) | params)
    norm = {} if result is None else {"norm": array(result)}
    return {"gradients": {name: array(p.grad) for name, p in params.items()}} | norm


def run_scaler(case: dict[str, Any]) -> list[dict[str, Any]]:
    """State after each `update()`: the scale, the tracker, and each parameter with its unscaled gradient."""
    scaler = torch.amp.GradScaler("cpu", **case["arguments"])
    count = len(case["script"][0]["gradients"])
    params = [tensor(SCALED_START, "float32", requires_grad=True) for _ in range(count)]
    optimizers = [torch.optim.SGD([p], lr=SCALED_LR) for p in params]
    history = []
    for step in case["script"]:
        for p, optimizer, g in zip(params, optimizers, step["gradients"], strict=True):
            optimizer.zero_grad()
            scaler.scale((p * tensor(g, "float32")).sum()).backward()
        for optimizer in optimizers:
            if case["unscale_first"]:
                scaler.unscale_(optimizer)
            scaler.step(optimizer)
        scaler.update(step["new_scale"])
        history.append({
            "scale": scaler.get_scale(),
            "tracker": scaler.state_dict().get("_growth_tracker", 0),
            "gradients": [array(p.grad) for p in params],
            "params": [array(p) for p in params],
        })  # fmt: skip
    return history


def record_optim() -> None:
    optimizers = [case | {fmt: run_optimizer(case, fmt) for fmt in FORMATS} for case in OPTIMIZERS]
    schedules = [case | run_schedule(case) for case in SCHEDULES]
    clipping = [case | {fmt: run_clipping(case, fmt) for fmt in ("float64", "float32")}
                for case in CLIPPING]  # fmt: skip
    scalers = [case | {"history": run_scaler(case)} for case in SCALERS]
    kinds = {"optimizers": optimizers, "schedules": schedules, "clipping": clipping, "scalers": scalers}
    print(save("optim", {"recorded": RECORDED, **kinds}), {kind: len(cases) for kind, cases in kinds.items()})


# --- the classic network ----------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 64, 5)
        self.fc1 = nn.Linear(64 * 5 * 5, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, 64 * 5 * 5)
        x = F.relu(self.fc1(x))
        x = self.fc2(x)
        return F.log_softmax(x, dim=1)


def run_network(fmt: str) -> dict[str, Any]:
    net = Net().to(FORMATS[fmt])
    net.load_state_dict({name: tensor(w, fmt) for name, w in classic_network.weights().items()})
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.5)
    x, y = classic_network.batches()
    losses, gradients = [], []
    for k in range(classic_network.STEPS):
        optimizer.zero_grad()
        loss = criterion(net(tensor(x[k], fmt)), tensor(y[k], fmt))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        gradients.append({name: classic_network.brief(array(p.grad)) for name, p in net.named_parameters()})
    return {"losses": np.array(losses), "gradients": gradients}


def record_network() -> None:
    runs = {fmt: run_network(fmt) for fmt in ("float64", "float32")}
    print(save("network", {"recorded": RECORDED, **runs}))


# --- the small language model -----------------------------------------------------------------------------


def record_transformer() -> None:
    runs = {
        fmt: {name: torch_transformer.run(fmt, name) for name in OPTIMIZERS_OF_LM} for fmt in ("float64", "float32")
    }
    print(save("transformer", {"recorded": RECORDED, **runs}))


RECORDS = {
    "layers": record_layers,
    "optim": record_optim,
    "network": record_network,
    "transformer": record_transformer,
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or RECORDS:
        RECORDS[name]()
