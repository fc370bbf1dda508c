# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 00 A tour
#
# **Question.** A network learns in single precision. Stored in half precision, from the same weights and on
# the same data, it learns far less; with one float32 copy of its weights it learns as before. Where did the
# learning go?
#
# **Numbers you will hit.** 0.1 is stored as 0.0999755859375. 1 + 0.0001, ten thousand times, is 1. Ones stop
# at 2048. 300² is infinite. More than 90 % of a network's updates leave its weights as they were.
#
# **What is emulated.** Every stored number, sum, gradient and update is rounded as its format demands: once,
# from the exact value. **What is not.** Time: how long a cell takes says nothing about hardware.
#
# The library is `fpsim-lab` (`pip install fpsim-lab`) and is imported as `fpsim`. The package index also
# holds an unrelated project called `fpsim`, so this cell checks which one is here.

# %%
from dataclasses import replace
from importlib.metadata import version

try:
    import fpsim as fp

    fp.Accumulator  # the other project has none
    print("fpsim-lab", version("fpsim-lab"))
except (ImportError, AttributeError):
    raise ImportError("this is not fpsim-lab: pip uninstall fpsim, then pip install fpsim-lab") from None

import matplotlib.pyplot as plt
import numpy as np

from fpsim.course import check
from fpsim.plots.style import PALETTE, tidy

# %% [markdown]
# ## 1. A number is a place on a grid
#
# float16 has 1 sign bit, 5 exponent bits and 10 significand bits. Is 0.1 one of its numbers?

# %%
fp.inspect("0.1", "float16")

# %% [markdown]
# ## 2. Rounding
#
# **Predict.** bfloat16 has 8 exponent bits and 7 significand bits. For each number below, which of the two
# 16-bit formats comes closer?

# %%
print(f"{'':>10} {'float16':>14} {'bfloat16':>14} {'float32':>14}")
for x in (0.1, np.pi, 2049.0, 70_000.0, 1e-8):
    print(f"{x:10.7g}", *(f"{fp.round(x, fmt):14.8g}" for fmt in ("float16", "bfloat16", "float32")))

# %% [markdown]
# float16 is the finer grid and bfloat16 the wider: float16 ends at 65504 and has nothing between 0 and 6e-8.
#
# ## 3. A sum can stop
#
# **Predict.** Add 0.0001 to 1 ten thousand times in float16; the true result is 2. Then add ten thousand
# ones. Then add the same ones, stored in float16, with a running sum in float32.

# %%
small = np.concatenate([[1.0], np.full(10_000, 0.0001)])
print("1 + 0.0001 + ..., accumulated in float16:", fp.Accumulator("float16").sum(small))
for precision in ("float16/float16", "float16/float32"):
    ones = fp.tensor(np.ones(10_000), precision=precision)
    print(f"1 + 1 + ..., stored/accumulated in {precision}:", ones.sum().item())
print("float16 spacing at 1:", fp.spacing(1.0, "float16"), " at 2048:", fp.spacing(2048.0, "float16"))

# %% [markdown]
# An addend below half the spacing of the running sum changes nothing. The format of the **accumulator**
# decides, not that of the data; `03_summation_and_accumulators` is about nothing else.
#
# ## 4. Values overflow, gradients vanish
#
# **Predict.** y = x² in float16 for x = 300 and x = 0.0001. Then the gradient of y / 2^20. Which of the four
# numbers survive?

# %%
x = fp.tensor([300.0, 1e-4], dtype="float16", requires_grad=True)
with fp.observe() as report:
    y = x * x
    (y * 2.0**-20).sum().backward()
print("y  =", y.numpy(), "  exactly:", np.array([300.0, 1e-4]) ** 2)
print("dx =", x.grad.numpy(), "  exactly:", 2 * np.array([300.0, 1e-4]) / 2**20)
print(report.table())

# %% [markdown]
# `fp.observe()` counts what every rounding did, forward and backward: the infinity is an overflow, the zeros
# are values that were not zero before they were stored.
#
# ## 5. The same network, side by side
#
# 8x8 digits (UCI, 1998; pixels 0 to 16), one hidden layer, plain gradient descent. Each recipe starts from
# the same weights and sees the same batches. `float16/float32` stores in float16 and sums in float32;
# `_masters` keeps a float32 copy of the weights that takes the updates (Micikevicius et al., 2018).
#
# **Predict.** Both float16 recipes round all activations and gradients to float16. Which of them follows
# float32, if any?


# %%
def network():
    return fp.nn.Sequential(fp.nn.Flatten(), fp.nn.Linear(64, 128), fp.nn.ReLU(), fp.nn.Linear(128, 10))


scenario = replace(fp.experiments.SCENARIOS["rounding"], network=network, pixel_factor=16.0, lr=5e-5)
runs = fp.compare(["float32", "float16/float32", "float16/float32_masters"], scenario=scenario, steps=1200)

# %%
figure, axes = plt.subplots(figsize=(7, 4))
for run, colour, line in zip(runs, (PALETTE[0], PALETTE[2], PALETTE[3]), ("-", "-", "--"), strict=True):
    smooth = np.convolve(run.loss, np.ones(50) / 50, mode="valid")
    axes.plot(np.arange(50, run.steps + 1), smooth, line, color=colour, label=run.recipe)
    print(f"{run.recipe:>24}: accuracy {run.accuracy:.0%}, updates lost {run.lost_updates:.1%}")
tidy(axes, "the same network in three recipes", "step", "cross entropy, mean of 50 steps")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# The learning went into one addition: `weight - lr * gradient`. It is the sum of section 3: an update below
# half the spacing of the weight is lost. A float32 copy of the weights remembers it.
#
# ## 6. Gradients need a scale
#
# Multiply the loss by a power of two, and every gradient is multiplied too; divide afterwards, in float32.
# This is *loss scaling*.
#
# **Predict.** For scales from 2^-24 to 2^32: which share of the gradients that float32 finds becomes 0 in
# float16, and which becomes infinite? Draw both curves.

# %%
digits = fp.data.digits(size=8)
images, labels = fp.tensor(digits.train_x[:64]), digits.train_y[:64]
with fp.seed(0):
    net = network()


def gradients(scale, half):
    net.zero_grad()
    with fp.autocast("float16", enabled=half):
        loss = fp.nn.functional.cross_entropy(net(images), labels)
    (loss * scale).backward()
    return np.concatenate([weight.grad.numpy().ravel() for weight in net.parameters()])


scales = 2.0 ** np.arange(-24, 33, 4)
there = gradients(1.0, half=False) != 0
found = np.array([gradients(scale, half=True)[there] for scale in scales])
zero, lost = 100 * np.mean(found == 0, axis=1), 100 * np.mean(~np.isfinite(found), axis=1)

# %%
figure, axes = plt.subplots(figsize=(7, 4))
axes.plot(scales, zero, "o-", color=PALETTE[1], markersize=4, label="stored as 0")
axes.plot(scales, lost, "s-", color=PALETTE[2], markersize=4, label="infinite or nan")
axes.set_xscale("log", base=2)
axes.set_xticks(scales[::2])
tidy(axes, "weight gradients of one batch in float16", "loss scale", "% of float32's nonzero gradients")
axes.legend(frameon=False)
plt.show()
whole = np.log2(scales[(zero == 0) & (lost == 0)])
print(f"nothing lost from 2^{whole.min():.0f} to 2^{whole.max():.0f}; at scale 1: {zero[6]:.3f} % stored as 0")

# %% [markdown]
# In the valley between, nothing is lost on either side, and it is many powers of two wide: the scale need not
# be exact.
#
# ## 7. All of it, as PyTorch writes it
#
# `autocast` chooses a format for each operation, `GradScaler` finds the scale while the network trains: it
# skips a step whose gradients are not finite and halves the scale. The names and rules are PyTorch's.
#
# **Predict.** Weights are float32. In which format does a linear layer's output come, and in which the loss?

# %%
optimizer, scaler = fp.optim.SGD(net.parameters(), lr=0.1), fp.amp.GradScaler(init_scale=2.0**23)
for x, y in fp.data.batches(digits.train_x, digits.train_y, size=64, seed=0).take(5):
    with fp.autocast("float16"):
        out = net(fp.tensor(x))
        loss = fp.nn.functional.cross_entropy(out, y)
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    print(f"output {out.dtype}, loss {loss.item():.4f} {loss.dtype}; {scaler.step(optimizer)}")
    scaler.update()

# %% [markdown]
# ## Exercises
#
# Each cell below is yours. `check` says whether it is right, or gives a hint; it needs only `fp` and `np`.
#
# **0.1.** 300² is infinite in float16. Which is the largest whole number whose square is finite?

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = max(n for n in range(300) if np.isfinite(fp.round(float(n) ** 2, "float16")))
### END SOLUTION
check("ex00.1", answer)

# %% [markdown]
# **0.2.** A float16 weight is 1. Each step subtracts 0.0003 from it. Where is it after 1000 steps? (Decide first: at 1,
# at 0.7, or elsewhere?)

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = fp.round(1.0, "float16")
for _ in range(1000):
    answer = fp.round(answer - fp.round(0.0003, "float16"), "float16")
### END SOLUTION
check("ex00.2", answer)

# %% [markdown]
# **0.3.** The gradients of a network lie between 1e-9 and 0.5. In float16 the smallest *normal* number, the last with
# all its bits, is 2^-14, and the largest is 65504. For which k does a loss scale of 2^k keep all bits of all gradients?

# %% tags=["exercise"]
### BEGIN SOLUTION
(answer,) = [k for k in range(40) if 1e-9 * 2.0**k >= 2.0**-14 and 0.5 * 2.0**k <= 65504]
### END SOLUTION
check("ex00.3", answer)

# %% [markdown]
# ## What to remember
#
# - A stored number is the nearest place on a grid whose spacing grows with the number.
# - An addend below half the spacing of a sum is lost: in a long sum, and in `weight - lr * gradient`. That is
#   where the learning went, and one float32 copy of the weights brings it back.
# - Three cures, for three losses: float32 accumulators for sums, float32 weights for updates, a loss scale
#   for small gradients. Together they are *mixed precision*.
#
# **Next.** `01_anatomy_of_a_float`; on the command line `fpsim compare`, four scenarios side by side.
#
# **Sources.** P. Micikevicius et al., *Mixed precision training*, 2018. E. Alpaydin and C. Kaynak, *Optical
# recognition of handwritten digits*, UCI, 1998.
