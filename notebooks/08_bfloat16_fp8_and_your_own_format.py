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
# # 08 bfloat16, FP8 and your own format
#
# **Question.** A format of 16 or of 8 bits has to be divided: exponent bits buy range, significand bits buy
# accuracy. float16 divides 16 bits into 5 and 10, bfloat16 into 8 and 7, and FP8 comes in two kinds. Which
# division do weights, activations and gradients ask for, and what would you build?
#
# **Numbers you will hit.** bfloat16 has 2.41 digits and needs no loss scale: a loss times 2^-20 costs it none
# of its gradients. E4M3 ends at 448 and E5M2 at 57344. Measured on a network, the best division of 8 bits for
# weights and for activations is 4 and 3, for gradients 5 and 2; of 16 bits for gradients, 6 and 9.
#
# **What is emulated.** Any format up to 11 exponent bits, with its subnormals, infinities (or none) and ties;
# sums are accumulated in float32, as matrix units do. **What is not.** Time, and how a particular chip packs
# its blocks.

# %% [markdown]
# The library is `fpsim-lab` (`pip install fpsim-lab`) and is imported as `fpsim`. The package index also
# holds an unrelated project called `fpsim`, so this cell checks which one is here.

# %%
from importlib.metadata import version

try:
    import fpsim as fp

    fp.Accumulator  # the other project has none
    print("fpsim-lab", version("fpsim-lab"))
except (ImportError, AttributeError):
    raise ImportError("this is not fpsim-lab: pip uninstall fpsim, then pip install fpsim-lab") from None

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

import fpsim.nn.functional as F
from fpsim.course import check
from fpsim.plots.style import PALETTE, tidy

# %% [markdown]
# ## 1. How bits are divided
#
# **Predict.** bfloat16 and float16 both have 16 bits. Before you look: the largest number of each, and how
# many decimal digits?

# %%
names = ("float32", "float16", "bfloat16", "e6m9", "float8_e5m2", "float8_e4m3fn", "float4_e2m1fn")
print(f"{'format':>14} bits exp. stored digits    largest   smallest   1 + eps")
for name in names:
    fmt = fp.Format(name)
    print(f"{name:>14} {fmt.bits:4} {fmt.exponent_bits:4} {fmt.significand_bits:6} {fmt.decimal_digits:6.2f} ", end="")
    print(f"{fmt.max:10.4g} {fmt.smallest_subnormal:10.2g} {1 + fmt.eps:11.9g}")

# %% [markdown]
# ("stored" counts the significand bits that are stored; the leading 1 comes on top.) bfloat16 is float32 without
# its last 16 bits: the same exponents, 8 significant bits, 7 of them stored. `e6m9` is a division
# that nobody standardised but some have used (Wang et al., 2018; IBM's DLFloat, 2019); here it is one string:
# `fp.Format("e6m9")`.
#
# **Predict.** Plot the relative spacing of each format (how far to the next number, as a part of the number)
# against the number, both on logarithmic axes. Flat parts? Where do they end, and how?

# %%
x = 2.0 ** np.arange(-60, 60)
figure, axes = plt.subplots(figsize=(8.5, 4.2), layout="constrained")
styles = ((0, ":"), (2, "-"), (1, "-"), (3, "--"), (4, "-"), (5, "--"))
for name, (colour, line) in zip(names, styles, strict=False):
    fmt = fp.Format(name)
    there = (x >= fmt.smallest_subnormal) & (x <= fmt.max)
    axes.loglog(x[there], fp.spacing(x[there], fmt) / x[there], line, base=2, color=PALETTE[colour], label=name)
tidy(axes, "range across, accuracy down", "a number", "relative spacing")
axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# Each is a tray: flat where all significant bits are in use, rising to the left where the subnormals run out
# of them, and cut off at the right. Equal bits cannot buy a tray that is both wider and lower.
#
# ## 2. bfloat16: no scale, but...
#
# The two ways to fail that the last two notebooks were about. First a loss times 2^-20 without any loss
# scale, then small updates to the weights themselves (no float32 masters).
#
# **Predict.** For each experiment, which of the two 16-bit formats fails, and how badly?

# %%
small_loss = {"scenario": "underflow", "loss_factor": 2.0**-20, "lr": 0.03 * 2**20, "momentum": 0.9, "steps": 30}
small_steps = {"scenario": "rounding", "steps": 1000}
to_zero = {}
for name, experiment in (("loss times 2^-20", small_loss), ("small updates", small_steps)):
    for recipe in ("float32", "float16/float32", "bfloat16/float32"):
        run = fp.train(recipe, **experiment)
        to_zero.setdefault(recipe, run.share("to_zero"))
        print(f"{name:>16}, {recipe:>16}: {run.share('to_zero'):6.1%} of the gradients to 0, ", end="")
        print(f"{run.lost_updates:6.1%} of the updates lost, loss {run.loss[0]:.3f} to {run.final_loss:.3f}")

# %% [markdown]
# bfloat16 keeps every gradient and loses more updates: its spacing is eight times float16's. So it needs no
# loss scaling, and needs float32 master weights all the more (Kalamkar et al., 2019).
#
# ## 3. Eight bits
#
# With 256 codes one can look at all of them. OCP's FP8 (2023) has two formats: E5M2 is divided like IEEE's,
# E4M3 (`float8_e4m3fn`) has no infinity and one NaN, so that its largest number is 448 rather than 240.
#
# **Predict.** How many of the 256 are finite in each? Where on the line from 0 to 20 are they dense?

# %%
figure, axes = plt.subplots(figsize=(8.5, 2.4), layout="constrained")
for place, name in enumerate(("float8_e5m2", "float8_e4m3fn", "float8_e4m3")):
    values = fp.all_values(name)
    finite = np.unique(values[np.isfinite(values)])
    print(f"{name:>14}: {finite.size} finite numbers, largest {finite.max():.0f}, ", end="")
    print(f"{np.sum(np.abs(finite) < 1)} of them within (-1, 1)")
    seen = finite[(finite >= 0) & (finite <= 20)]
    axes.plot(seen, np.full(seen.size, place), "|", color=PALETTE[(4, 5, 0)[place]], markersize=18)
axes.set_yticks((0, 1, 2), ("E5M2", "E4M3 (OCP)", "E4M3 as IEEE would"))
axes.set_ylim(-0.6, 2.6)
tidy(axes, "8-bit numbers from 0 to 20", "value")
plt.show()
for x in (448.0, 464.0, 465.0, 1e9):
    print(f"{x:>13,.0f} in float8_e4m3fn: {fp.round(x, 'float8_e4m3fn'):5}, ", end="")
    print(f"saturating {fp.round(x, 'float8_e4m3fn', saturate=True)}")

# %% [markdown]
# Almost half of them lie between -1 and 1, as in most formats. Beyond the end E4M3 has only NaN to offer, so
# that conversions to FP8 usually *saturate*: too large becomes the largest.
#
# ## 4. Which division?
#
# A network (LeNet) trained in float32 for 30 steps; its weights, its activations, and the gradients of its
# weights, on one batch.

# %%
digits = fp.data.digits(size=32)
with fp.seed(0):
    net = fp.nn.LeNet()
optimizer = fp.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
for x, y in fp.data.batches(digits.train_x, digits.train_y, size=32, seed=0).take(31):
    optimizer.zero_grad()
    F.cross_entropy(net(fp.tensor(x)), y).backward()
    gradients = np.concatenate([p.grad.numpy().ravel() for p in net.parameters()])
    weights = np.concatenate([p.numpy().ravel() for p in net.parameters()])
    optimizer.step()
h1 = F.max_pool2d(F.relu(net.conv1(fp.tensor(x))), 2)
h2 = F.max_pool2d(F.relu(net.conv2(h1)), 2)
h3 = F.relu(net.fc1(F.flatten(h2, 1)))
activations = np.concatenate([h.numpy().ravel() for h in (h1, h2, h3)])
tensors = {"weights": weights, "activations": activations, "weight gradients": gradients}
for name, x in tensors.items():
    low, middle, high = np.log2(np.quantile(np.abs(x[x != 0]), (0.01, 0.5, 1)))
    print(f"{name:>16}: 1 % below 2^{low:.0f}, median 2^{middle:.0f}, largest 2^{high:.1f}")

# %% [markdown]
# FP8 is used with a scale per tensor, a power of two that takes the largest element to the top of the format.
# It moves the tensor to where the format is; it cannot make the tensor narrower.
#
# **Predict.** Scale and round each of the three to every division of 8 bits and take the mean relative error.
# Each curve has a valley. At how many exponent bits, and will the three agree? Then the same with 16 bits.


# %%
def mean_error(x, fmt, scaled=True):
    """Mean relative error of the nonzero elements; one that becomes 0 or overflows counts as 100 %."""
    x = x[x != 0].astype(float)
    if scaled:
        x = x * 2.0 ** (fmt.emax - np.floor(np.log2(np.abs(x).max())))
    rounded = fp.round(x, fmt)
    error = np.abs(rounded - x) / np.abs(x)
    return np.mean(np.where(np.isfinite(rounded), error, 1.0))


figure, both = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
best = {}
for axes, bits, exponents in zip(both, (8, 16), (range(2, 7), range(3, 9)), strict=True):
    divided = [f"e{e}m{bits - 1 - e}" for e in exponents]
    formats = [fp.Format(name) for name in divided]
    for (name, x), colour, line in zip(tensors.items(), (1, 3, 2), ("o-", "s--", "^:"), strict=True):
        errors = [mean_error(x, fmt) for fmt in formats]
        axes.semilogy(exponents, errors, line, color=PALETTE[colour], markersize=5, label=name)
        best[name, bits] = divided[int(np.argmin(errors))]
        unscaled = [mean_error(x, fmt, scaled=False) for fmt in formats]
        print(f"{bits:2} bits, {name:>16}: best {best[name, bits]:6} {min(errors):8.3%}; ", end="")
        print(f"without a scale {divided[int(np.argmin(unscaled))]:6} {min(unscaled):8.3%}")
    axes.set_xticks(list(exponents))
    tidy(axes, f"{bits} bits, divided", "exponent bits", "mean relative error")
both[0].legend(frameon=False)
plt.show()

# %% [markdown]
# Left of its valley a format is too narrow for the tensor, right of it too coarse. Gradients spread over more
# powers of two than weights or activations, so their valley lies further right. The two formats that FP8 has
# are the two valleys: E4M3 for weights and activations, E5M2 for gradients (Micikevicius et al., 2022). And
# 16 bits for gradients would be divided into 6 and 9, as Wang et al. (2018) did.

# %% [markdown]
# ## 5. Training in eight bits
#
# The network of the scenario `rounding` with a larger learning rate. Weights, activations and gradients are
# FP8; sums are accumulated in float32. In one row the weights are *updated* in FP8 too, in the others in
# float32 copies.
#
# **Predict.** Four significant bits, three of them stored: up to 12 % from number to number. Which rows learn?

# %%
scenario = replace(fp.experiments.SCENARIOS["rounding"], lr=0.1, momentum=0.5, steps=150)
eight = "params=float32,compute=float8_e4m3fn,output=float32"
recipes = {
    "float32": "float32",
    "E4M3": eight,
    "E4M3, weight gradients E5M2": eight + ",grad=float8_e5m2",
    "E5M2": eight.replace("e4m3fn", "e5m2"),
    "E4M3, no masters": "float8_e4m3fn/float32",
}
for name, recipe in recipes.items():
    run = fp.train(recipe, scenario=scenario)
    print(f"{name:>28}: loss {run.final_loss:.3f}, accuracy {run.accuracy:.0%}, ", end="")
    print(f"{run.share('to_zero'):5.1%} of the gradients to 0, {run.lost_updates:5.1%} of the updates lost")

# %% [markdown]
# This task is easy, and that is the point: what a few bits do to activations and gradients is noise, and
# averages out; what they do to updates does not. (Large models need more care: scales per tensor or per
# block, some layers wider.)
#
# ## 6. A scale for every block
#
# A tensor whose parts differ in size does not fit one scale. OCP's MX formats (2023) give every 32 numbers a
# scale of their own, a power of two: 2^(floor(log2 largest) - emax), where emax is the exponent of the
# format's largest number. The scale takes 8 bits more, shared by 32.
#
# **Predict.** 64 rows of 32 numbers, each row twice as large as the last but one. E2M1 has 4 bits: 0, 0.5, 1,
# 1.5, 2, 3, 4, 6 and their negatives. How large is the mean error with one scale for all, and with one per
# row?

# %%
element = fp.Format("float4_e2m1fn")
rows = np.random.default_rng(0).normal(size=(64, 32)) * 2.0 ** (np.arange(64) / 2)[:, None]
for name, largest in (("one scale", np.abs(rows).max()), ("a scale per 32", np.abs(rows).max(axis=1, keepdims=True))):
    scale = 2.0 ** (np.floor(np.log2(largest)) - element.emax)
    stored = fp.round(rows / scale, element) * scale
    print(f"{name:>14}: mean relative error {np.mean(np.abs(stored - rows) / np.abs(rows)):.0%}, ", end="")
    print(f"{np.mean(stored == 0):.0%} of the numbers are 0")

# %% [markdown]
# ## 7. Yours
#
# Move the dividing line yourself, and see what it does to numbers you know.

# %%
fp.widgets.format_designer()

# %% [markdown]
# ## The numbers promised above

# %%
assert (round(fp.bfloat16.decimal_digits, 2), to_zero["bfloat16/float32"]) == (2.41, 0)
assert (fp.float8_e4m3fn.max, fp.float8_e5m2.max) == (448, 57344)
assert best["weights", 8] == best["activations", 8] == "e4m3"
assert (best["weight gradients", 8], best["weight gradients", 16]) == ("e5m2", "e6m9")
print("found, all of them")

# %% [markdown]
# ## Exercises
#
# Each cell below is yours. `check` says whether it is right, or gives a hint; it needs only `fp` and `np`.
#
# **8.1.** What is the largest finite number of `e6m9`, laid out as IEEE formats are? (By hand; then compare.)

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = (2 - 2.0**-9) * 2.0**31
### END SOLUTION
check("ex08.1", answer)

# %% [markdown]
# **8.2.** What does OCP's E4M3 (`float8_e4m3fn`) make of 300?

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = fp.round(300.0, "float8_e4m3fn")
### END SOLUTION
check("ex08.2", answer)

# %% [markdown]
# **8.3.** Some gradients lie between 2^-30 and 2^3; rounding may change each by at most 1 %. Which format, as
# a string like `"e5m10"`, does it with the fewest bits?

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = "e6m6"  # emin = -30; half of 2^-6 is 0.8 %
### END SOLUTION
check("ex08.3", answer)

# %% [markdown]
# **8.4.** The largest number of a block of 32 is 100. Which scale does MX give the block if its elements are
# E2M1?

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = 2.0 ** (np.floor(np.log2(100)) - fp.Format("float4_e2m1fn").emax)
### END SOLUTION
check("ex08.4", answer)

# %% [markdown]
# ## What to remember
#
# - Exponent bits buy range, significand bits buy accuracy. Weights and activations lie close together and
#   want accuracy; gradients spread and want range.
# - bfloat16 needs no loss scale, and loses more updates than float16: keep float32 weights.
# - FP8 is two formats because there are two valleys: E4M3 forward, E5M2 for gradients, each with a scale per
#   tensor. Saturate.
# - Noise in activations and gradients averages out; lost updates do not.
# - Below 8 bits the scale has to be local: one for every 32 numbers.
#
# **Sources.** Open Compute Project, *OCP 8-bit floating point specification*, 2023, and *Microscaling formats
# (MX) specification*, 2023. P. Micikevicius et al., *FP8 formats for deep learning*, 2022. D. Kalamkar et
# al., *A study of bfloat16 for deep learning training*, 2019. N. Wang et al., *Training deep neural networks
# with 8-bit floating point numbers*, 2018. A. Agrawal et al., *DLFloat*, 2019.
