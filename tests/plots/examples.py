"""One call of each plot, for the tests that hold for all of them; small and with names that need room."""

from types import SimpleNamespace

import numpy as np

import fpsim as fp
from fpsim import plots

STEPS = 40


def losses(rate, seeds=3):
    """Losses that fall, not all alike."""
    step = np.arange(STEPS)
    return [2.3 * np.exp(-rate * step) + 0.05 * np.sin(step + seed) for seed in range(seeds)]


def scaled_run():
    """A run whose scale starts too high."""
    scale = [2.0 ** max(24 - i, 13) for i in range(STEPS)]
    return SimpleNamespace(
        recipe="mixed_float16", scenario="overflow", scale=scale, skipped=list(range(11)), loss=losses(0.02)[0].tolist()
    )


def shadowed():
    """What a shadow sees of one step of a network of two layers."""
    with fp.seed(0):
        net = fp.nn.Sequential(fp.nn.Linear(6, 5), fp.nn.ReLU(), fp.nn.Linear(5, 2))
        fp.amp.apply(net, "float16")
        optimizer = fp.optim.SGD(net.parameters(), lr=0.1)
        with fp.shadow() as report:
            net(fp.randn(4, 6, dtype="float16")).sum().backward()
            optimizer.step()
    return report


def failing():
    """Losses of three seeds, of which one is no longer finite from step 25 on."""
    found = losses(0.01)
    found[1][25:] = np.nan
    return found


N = 2 ** np.arange(2, 11)
RECIPES = {
    "float32": losses(0.05),
    "float16": failing(),
    "float16_masters": losses(0.049),
    "float8_e4m3fn": losses(0.02),
}
ERRORS = {
    "sequential": np.sqrt(N) * np.array([[1e-4], [3e-4]]),
    "blocked:64": np.full((2, N.size), 2e-4),
    "kahan": np.where(N < 16, 0.0, 1e-4),
    "float8_e4m3fn": np.where(N > 256, np.inf, 1e-2),
}
HARMONIC = {
    "float16": np.minimum(np.cumsum(1 / np.arange(1.0, 900)), 7.0859375),
    "float32": np.cumsum(1 / np.arange(1.0, 900)),
}
SHARES = {
    "float32": {"conv1": 0.0, "fc1": 1e-6},
    "float16": {"conv1": 0.93, "fc1": 1.0},
    "float16_stochastic": {"conv1": 0.5, "fc1": 0.2},
}
GRADIENTS = np.exp2(-np.linspace(2, 32, 500))

#: Each plot that takes plain data, with data that show all that it can show.
EXAMPLES = {
    "bits": lambda **t: plots.bits("0.1", ["float64", "float16", "float8_e4m3fn", "float8_e8m0fnu"], **t),
    "bits of one": lambda **t: plots.bits(70000, "float4_e2m1fn", **t),
    "number_line": lambda **t: plots.number_line("float16", mark="0.1", **t),
    "number_line, all": lambda **t: plots.number_line("float6_e3m2fn", mark=-0.3, mode="toward_zero", **t),
    "number_line, overflow": lambda **t: plots.number_line("float16", 65300, 65700, mark=65519, **t),
    "ulp_staircase": lambda **t: plots.ulp_staircase(["float16", "bfloat16", "float32", "float8_e4m3fn"], **t),
    "exponents": lambda **t: plots.exponents(
        {"gradients": GRADIENTS}, format="float16", scale=2.0**10, thresholds=(-24, -27), **t
    ),
    "training_curves": lambda **t: plots.training_curves(RECIPES, **t),
    "deviation": lambda **t: plots.deviation(RECIPES, losses(0.05), **t),
    "scale_timeline": lambda **t: plots.scale_timeline(scaled_run(), **t),
    "error_growth": lambda **t: plots.error_growth(N, ERRORS, "float16", **t),
    "running_sum": lambda **t: plots.running_sum(HARMONIC, exact=HARMONIC["float32"], **t),
    "lost_updates": lambda **t: plots.lost_updates(SHARES, **t),
    "lost_updates, steps": lambda **t: plots.lost_updates(
        {recipe: {k: v * np.linspace(0.2, 1, 9) for k, v in layers.items()} for recipe, layers in SHARES.items()}, **t
    ),
    "update_ratios": lambda **t: plots.update_ratios(
        {"conv1": 1 / GRADIENTS[:200], "fc1": np.append(1 / GRADIENTS, np.inf)}, formats=["float16", "bfloat16"], **t
    ),
    "error_map": lambda **t: plots.error_map(shadowed(), **t),
    "error_map, plain": lambda **t: plots.error_map(
        {"fc1": {"forward": 1e-3, "backward": 0.0}, "fc2": {"forward": np.inf}}, **t
    ),
}
