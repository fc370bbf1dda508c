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
# # 07 Master weights and stochastic rounding
#
# **Question.** A weight of 1, and ten thousand updates of 0.0001, all in half precision. Afterwards the
# weight is 1. The gradients were right, nothing overflowed, nothing underflowed. What was lost, and must the
# weight really be kept in more bits to repair it, or will a coin do?
#
# **Numbers you will hit.** In float16 the weight stays at 1. With a float32 master weight it ends at 2; with
# stochastic rounding two hundred such weights end at 2.00 on average. A network loses more than 90 % of its
# updates, and learns as if it had lost none when it loses 86 % of them at random. Adam's epsilon is 0 in
# float16; its running mean with beta 0.999 stands still in bfloat16.
#
# **What is emulated.** The optimizers round where PyTorch's do: at the end of each elementary step.
# Stochastic rounding takes the exact result and one random number per element. **What is not.** Time and
# memory; what they cost is counted, not measured.

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
import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from fpsim.course import check
from fpsim.plots.style import PALETTE, tidy

# %% [markdown]
# ## 1. Ten thousand small steps
#
# `optim.SGD` on 200 weights, all 1; the gradient is always -1, the learning rate 0.0001. `master="float32"`
# lets the optimizer update a float32 copy of each weight, and round it into the float16 weight after each
# step (Micikevicius et al., 2018). `update_rounding="stochastic"` keeps float16 alone, but rounds each
# updated weight up or down at random, the nearer neighbour more often (Gupta et al., 2015).
#
# **Predict.** Draw the weight against the number of steps for all three.


# %%
def steps_taken(dtype, **options):
    """200 weights before each of 100 stretches of 100 steps, and at the end."""
    w = fp.tensor(np.ones(200), dtype=dtype, requires_grad=True)
    optimizer = fp.optim.SGD([w], lr=0.0001, **options)
    w.grad = fp.tensor(-np.ones(200), dtype=dtype)
    seen = [w.numpy().astype(float)]
    for _ in range(100):
        for _ in range(100):
            optimizer.step()
        seen.append(w.numpy().astype(float))
    return np.array(seen)


ways = {
    "float16": steps_taken("float16"),
    "float16, float32 master": steps_taken("float16", master="float32"),
    "float16, stochastic": steps_taken("float16", update_rounding="stochastic", rng=np.random.default_rng(0)),
    "float32": steps_taken("float32"),
}

# %%
n = np.arange(0, 10_001, 100)
figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
axes.plot(n, ways["float16, stochastic"][:, :20], color=PALETTE[4], linewidth=0.5, alpha=0.6)
for (name, w), colour, line in zip(ways.items(), (2, 3, 4, 0), ("-", "-", "-", ":"), strict=True):
    thick = {"linewidth": 5, "alpha": 0.4} if colour == 3 else {}
    label = name + (", mean of 200" if colour == 4 else "")
    axes.plot(n, w.mean(axis=1), line, color=PALETTE[colour], label=label, **thick)
tidy(axes, "w = 1, then 10,000 times w += 0.0001", "step", "weight")
axes.legend(frameon=False)
plt.show()
for name, w in ways.items():
    print(f"{name:>24}: mean {w[-1].mean():.5f}, standard deviation over the 200 weights {w[-1].std():.5f}")

# %% [markdown]
# The thin lines are single weights under stochastic rounding: each wanders, none is lost, and they are right
# on average. (float32 is not exact either: it drifts by 0.0002, all its roundings here erring the same way.)
#
# ## 2. When is an update lost?
#
# If it is less than half the spacing at the weight. The spacing grows with the weight, so what matters is
# their *ratio*. With 11 significant bits an update is lost from weight / update = 2^11 = 2048 on if the
# weight is a power of two (the number that Micikevicius et al. give), and at 2^12 at the latest.
#
# **Predict.** For weights between 1 and 4, plot the largest update that is lost against the weight. Where
# does it jump, and by how much?

# %%
w = np.linspace(1, 4, 400, endpoint=False)
w = np.unique(fp.round(w, "float16"))
half = fp.spacing(w, "float16") / 2
figure, axes = plt.subplots(figsize=(7.5, 3.4), layout="constrained")
axes.plot(w, half, color=PALETTE[2], label="half the spacing: less is lost")
axes.plot(w, w / 2048, ":", color=PALETTE[0], label="weight / 2048")
axes.plot(w, w / 4096, "--", color=PALETTE[0], label="weight / 4096")
tidy(axes, "the smallest update that float16 notices", "weight", "update")
axes.legend(frameon=False)
plt.show()
for weight, ratio in ((1.0, 2000), (1.0, 2100), (2 - 2**-10, 4000), (2 - 2**-10, 4200)):
    after = fp.round(weight + weight / ratio, "float16")
    print(f"weight {weight:.6f}, update a {ratio}th of it: {'lost' if after == weight else f'becomes {after:.6f}'}")

# %% [markdown]
# ## 3. The updates of a network
#
# One hidden layer, 8x8 digits (pixels 0 to 16), plain gradient descent with a small learning rate. Before
# training: how large are its first updates, compared with the weights?
#
# **Predict.** Which share of the updates lies beyond 4096, and so is lost for certain?


# %%
def network():
    return fp.nn.Sequential(fp.nn.Flatten(), fp.nn.Linear(64, 128), fp.nn.ReLU(), fp.nn.Linear(128, 10))


scenario = replace(fp.experiments.SCENARIOS["rounding"], network=network, pixel_factor=16.0, lr=5e-5)
digits = scenario.images()
with fp.seed(0):
    net = network()
fp.nn.functional.cross_entropy(net(fp.tensor(digits.train_x[:64] * 16)), digits.train_y[:64]).backward()
w = np.concatenate([p.numpy().ravel() for p in net.parameters()])
update = scenario.lr * np.concatenate([p.grad.numpy().ravel() for p in net.parameters()])
w, update = fp.round(w[update != 0], "float16"), update[update != 0]
ratio = np.log2(np.abs(w) / np.abs(update))

figure, axes = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
axes.hist(ratio, bins=np.arange(0, 32, 0.5), weights=np.full(ratio.size, 100 / ratio.size), color=PALETTE[1])
axes.axvspan(12, 32, color=PALETTE[2], alpha=0.15, linewidth=0)
axes.axvspan(11, 12, color=PALETTE[5], alpha=0.25, linewidth=0)
axes.text(22, axes.get_ylim()[1] * 0.92, "always lost", ha="center")
axes.text(10.8, axes.get_ylim()[1] * 0.92, "it depends", ha="right")
tidy(axes, "one step of the network: weight / update", "log2 of |weight / update|", "% of updates")
plt.show()
lost = fp.round(w.astype(float) - update, "float16") == w
print(f"beyond 2048: {np.mean(ratio >= 11):.1%}, beyond 4096: {np.mean(ratio >= 12):.1%}, lost: {lost.mean():.1%}")

# %% [markdown]
# ## 4. Four ways to store the weights
#
# All four start from the same weights and see the same batches. All but float32 store activations and
# gradients in float16; they differ in one thing, the update.
#
# **Predict.** Rank the four final losses. And which share of the updates will stochastic rounding leave
# without effect: none, half, most?

# %%
recipes = ("float32", "float16/float32", "float16/float32_masters", "float16/float32_stochastic")
runs = [fp.train(recipe, scenario=scenario, steps=1000) for recipe in recipes]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained", width_ratios=(1.6, 1))
for run, colour, line in zip(runs, (0, 2, 3, 4), ("-", "-", "--", "-."), strict=True):
    smooth = np.convolve(run.loss, np.ones(50) / 50, mode="valid")
    left.plot(np.arange(50, run.steps + 1), smooth, line, color=PALETTE[colour], label=run.recipe)
    right.barh([run.recipe], [100 * run.lost_updates], color=PALETTE[colour], height=0.6)
tidy(left, "the same network, four updates", "step", "cross entropy, mean of 50 steps")
tidy(right, "updates that left their weight as it was", "%")
right.invert_yaxis()
left.legend(frameon=False, fontsize=8)
plt.show()
for run in runs:
    print(f"{run.recipe:>26}: accuracy {run.accuracy:.0%}, updates lost {run.lost_updates:.1%}")

# %% [markdown]
# Nearly as many updates are without effect under stochastic rounding as under rounding to nearest. The
# difference is *which*: to nearest it is the same small ones every time; at random it is a different draw
# every time, and those that get through move the weight by a whole spacing, which makes up for the others.
#
# Watch it happen: tick the recipes, press start, stop when you have seen enough (the scenario `rounding`: a
# smaller network, and float16 accumulators too).

# %%
fp.widgets.compare(steps=1500)

# %% [markdown]
# ## 5. Right on average
#
# x between two neighbours a < b becomes b with probability (x - a) / (b - a). The mean is then exactly x:
# stochastic rounding is *unbiased*. Rounding to nearest has the smaller error each time, and the same one
# each time.
#
# **Predict.** 1 + 0.0001 lies 0.0001 / 2^-10 of the way to the next number. What share of 100,000 goes up?

# %%
x = 1 + 0.0001
drawn = fp.round(np.full(100_000, x), "float16", mode="stochastic", rng=np.random.default_rng(1))
print(f"went up: {np.mean(drawn > 1):.4f}, expected {0.0001 / 2**-10:.4f}; mean {drawn.mean():.7f}, exactly {x}")
for n in (100, 1000, 10_000):
    w = ways["float16, stochastic"][n // 100]
    p = 0.0001 / 2**-10
    spread = 2**-10 * np.sqrt(n * p * (1 - p))
    print(f"after {n:>6,} steps: off by {w.mean() - 1 - n * 0.0001:+.4f} on average, each by {w.std():.4f}; ", end="")
    print(f"coin tosses would give {spread:.4f}")

# %% [markdown]
# The price is noise: each weight is off by a spacing times sqrt(n p (1 - p)), as n tosses of an uneven coin
# (above 2 the spacing doubles, and so does the noise). It grows like sqrt(n), the loss of rounding to nearest
# like n (Gupta et al., 2015; Connolly, Higham and Mary, 2021).
#
# ## 6. Adam keeps numbers of its own
#
# Adam divides by sqrt(v) + epsilon, where v is a running mean of squared gradients. In the format of the
# weights, both are in danger.
#
# **Predict.** A weight of 1, one step of Adam with learning rate 0.001. In exact arithmetic the first step is
# 0.001 whatever the gradient. What does float16 make of the gradients 0.01, 0.0001 and 0?


# %%
def adam_step(gradient, **options):
    w = fp.tensor([1.0], dtype="float16", requires_grad=True)
    w.grad = fp.tensor([gradient], dtype="float16")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fp.HyperparameterRoundingWarning)  # fpsim says that eps is 0
        fp.optim.Adam([w], lr=0.001, **options).step()
    return w.item()


g = fp.all_values("float16").astype(float)
g = g[np.isfinite(g)]
largest = g[fp.round(0.001 * g**2, "float16") == 0].max()
print(f"in float16 epsilon, 1e-8, is {fp.round(1e-8, 'float16')}, and 0.001 g^2 is 0 for |g| up to {largest:.3g}")
for options in ({}, {"eps": 1e-7}, {"eps": 1e-4}, {"state": "float32"}, {"master": "float32"}):
    after = "   ".join(f"{gradient:g}: {adam_step(gradient, **options):.6f}" for gradient in (0.01, 0.001, 0.0001, 0.0))
    print(f"Adam {options!s:24} gradient {after}")

# %% [markdown]
# v = 0.001 g^2 underflows for gradients that are not even small, and 1e-8 is below half of the smallest
# number: the step is m / 0, or 0 / 0. Keras's 1e-7 avoids the nan and takes a huge step instead. A larger eps,
# 1e-4, is no cure either: with v = 0 the step is lr m / eps, three times too long at 0.0003 and ten times at 0.001,
# and right only where the gradient happens to be eps. What helps is to keep the optimizer's state (or the whole
# update) in float32.
#
# The running mean itself is an accumulator: v = 0.999 v + 0.001 g^2 adds a thousandth at a time.
#
# **Predict.** g^2 is 1 for 3000 steps and 0.01 for another 3000. Half of bfloat16's spacing is 0.2 to 0.4 %
# of a number. Does 0.999 v ever get smaller than v?


# %%
def running_mean(fmt, squares, beta=0.999):
    """v = beta * v + (1 - beta) * g^2, rounded after the product and after the sum."""
    v, seen = 0.0, []
    for square in squares:
        v = float(fp.round(v * beta, fmt))
        v = float(fp.round(v + (1 - beta) * square, fmt))
        seen.append(v)
    return seen


squares = np.repeat([1.0, 0.01], 3000)
figure, axes = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
for fmt, colour, line in (("float32", 0, ":"), ("float16", 2, "-"), ("bfloat16", 1, "--")):
    v = running_mean(fmt, squares)
    axes.plot(v, line, color=PALETTE[colour], label=fmt)
    print(f"{fmt:>8}: v after 3000 steps {v[2999]:.4f}, after 6000 {v[-1]:.4f}; should be 1 - 0.999^3000 ", end="")
    print(f"= {1 - 0.999**3000:.4f}, then {0.999**3000 * (1 - 0.999**3000) + 0.01 * (1 - 0.999**3000):.4f}")
tidy(axes, "a running mean with beta = 0.999", "step", "v")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# bfloat16 stops at 0.5 and stays there: 0.999 * 0.5 rounds back to 0.5, and 0.001 is lost beside it. Its
# range does not help; like the weight, a running mean needs bits. (float16 stops short as well, only later.)
#
# ## 7. What it costs
#
# **Predict.** Bytes per weight while training with Adam: everything in float32; and float16 with float32
# masters.

# %%
cost = fp.cost(network(), (32, 1, 8, 8), ["float16_masters", "float16_stochastic"], optimizer="adam")
for name in ("float32", "float16_masters", "float16_stochastic"):
    parts = cost[name].bytes_per_parameter()
    print(f"{name:>18}: " + " + ".join(f"{n:.0f} {part}" for part, n in parts.items() if n), end="")
    print(f" = {sum(parts.values()):.0f} bytes a weight")

# %% [markdown]
# Master weights cost what half precision saves on weights and gradients; stochastic rounding keeps the
# saving, if its noise can be borne and a random number for each update is cheap.

# %% [markdown]
# ## The numbers promised above

# %%
assert (ways["float16"][-1] == 1).all()
assert (ways["float16, float32 master"][-1] == 2).all()
assert round(ways["float16, stochastic"][-1].mean(), 2) == 2.00
assert runs[1].lost_updates > 0.9
assert round(runs[3].lost_updates, 2) == 0.86
assert abs(runs[3].final_loss / runs[0].final_loss - 1) < 0.01
assert (fp.round(1e-8, "float16"), running_mean("bfloat16", squares)[-1]) == (0, 0.5)
print("found, all of them")

# %% [markdown]
# ## Exercises
#
# Each cell below is yours. `check` says whether it is right, or gives a hint; it needs only `fp` and `np`.
#
# **7.1.** A float16 weight of 0.5. What is the largest float16 number that is lost when it is **added** to
# the weight?

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = fp.spacing(0.5, "float16") / 2  # a tie, and 0.5 is the even neighbour
### END SOLUTION
check("ex07.1", answer)

# %% [markdown]
# **7.2.** A float32 master weight of 1 gets 0.0001 added at each step; the network sees its float16 copy.
# After which step does the copy change for the first time?

# %% tags=["exercise"]
### BEGIN SOLUTION
master, answer = np.float32(1), 0
while fp.round(master, "float16") == 1:
    master, answer = np.float32(master + np.float32(0.0001)), answer + 1
### END SOLUTION
check("ex07.2", answer)

# %% [markdown]
# **7.3.** 1.001 is rounded stochastically to bfloat16. With which probability does it go up?

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = 0.001 / fp.spacing(1.0, "bfloat16")
### END SOLUTION
check("ex07.3", answer)


# %% [markdown]
# **7.4.** Write stochastic rounding to float16: `x` is an array of numbers, `draws` as many random numbers in
# [0, 1). (`fp.round(x, "float16", mode="down")` and `mode="up"` give the neighbours.)


# %% tags=["exercise"]
def stochastic(x, draws):
    """x rounded to one of its two neighbours in float16, right on average."""
    ### BEGIN SOLUTION
    down, up = (fp.round(x, "float16", mode=mode) for mode in ("down", "up"))
    return np.where(draws * (up - down) < x - down, up, down)
    ### END SOLUTION


check("ex07.4", stochastic)

# %% [markdown]
# ## What to remember
#
# - A weight update is an addition, and half precision loses what is below half the spacing of the weight:
#   from weight / update = 2048 on for some weights, from 4096 on for all.
# - A float32 master weight remembers what the float16 copy cannot show. It costs 4 bytes a weight.
# - Stochastic rounding keeps no memory and is right on average: its noise grows like sqrt(n), the loss of
#   rounding to nearest like n. Most updates still change nothing.
# - An optimizer's own numbers are in the same danger: an epsilon that is 0, a running mean that stands still.
#   Keep them in float32.
#
# **Next.** `08_bfloat16_fp8_and_your_own_format`: fewer significand bits still.
#
# **Sources.** P. Micikevicius et al., *Mixed precision training*, 2018. S. Gupta et al., *Deep learning with
# limited numerical precision*, 2015. M. Connolly, N. Higham and T. Mary, *Stochastic rounding and its
# probabilistic backward error analysis*, 2021. D. Kingma and J. Ba, *Adam*, 2015. PyTorch and Keras
# documentation (Adam's epsilon: 1e-8, 1e-7).
