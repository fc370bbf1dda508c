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
# **Question.** A network learns in single precision. You store the same network in half precision, same weights,
# same data, and it stops learning. Where did the learning go?
#
# **Numbers you will hit.** 0.1 is stored as 0.0999755859375. 1 + 0.0001, ten thousand times, is 1. A sum of ones
# stops at 2048. A gradient of 1e-8 is 0. About 80 % of the updates of a small network leave its weights as they were.
#
# **What is emulated.** Every stored number, every sum, every gradient and every update, each rounded as hardware
# with that format would round it: once, from the exact value.
#
# **What is not.** Time. How long a cell takes says nothing about hardware.

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

# %% [markdown]
# ## 1. A number is a place on a grid
#
# float16 has one sign bit, 5 exponent bits and 10 significand bits. 0.1 is not on its grid; the nearest number is.

# %%
fp.inspect("0.1", "float16")

# %% [markdown]
# ## 2. A sum can stop
#
# **Predict.** Add 0.0001 to 1 ten thousand times in float16. The true result is 2. And ones, ten thousand of them?

# %%
import numpy as np

half = fp.Accumulator("float16")
print("1 + 0.0001 + 0.0001 + ... =", half.sum(np.concatenate([[1.0], np.full(10_000, 0.0001)])))
print("1 + 1 + 1 + ...           =", half.sum(np.ones(10_000)))
print("the spacing at 1 is", fp.ulp(1.0, "float16"), "and at 2048 it is", fp.ulp(2048.0, "float16"))

# %% [markdown]
# An addend below half the spacing of the running sum changes nothing. A wider **accumulator** cures it: data in
# float16, sums in float32, which is what tensor cores do. fpsim writes that as `"float16/float32"`.

# %%
ones = fp.ones(10_000, dtype="float16")
print("stored and summed in float16:       ", ones.sum().item())
print("stored in float16, summed in float32:", ones.to("float16/float32").sum().item())

# %% [markdown]
# ## 3. A gradient can vanish, and a value overflow
#
# **Predict.** y = x², x = 300 and x = 0.0001, in float16. Its largest number is 65504, its smallest 6e-8.

# %%
x = fp.tensor([300.0, 1e-4, 2.0], dtype="float16", requires_grad=True)
with fp.observe() as report:
    y = x * x
    (y * 2.0**-20).sum().backward()
print("y  =", y.numpy())
print("dy =", x.grad.numpy())
print(report.table())

# %% [markdown]
# The table counts what each rounding did, forward and backward: nothing is hidden in an `inf` or a 0.
#
# ## 4. A network that stops learning
#
# A network of 64-32-10 units learns real 8x8 digits (UCI, 1998) by plain gradient descent. It is trained three
# times from the same weights on the same batches: in float32, in float16, and in float16 with one float32 copy
# of the weights ("master weights", Micikevicius et al. 2018).
#
# **Predict.** Which of the two float16 runs learns as float32 does?

# %%
from dataclasses import replace

scenario = replace(fp.experiments.SCENARIOS["rounding"], pixel_factor=16.0, steps=1200, lr=1e-4)
recipes = ["float32", "float16/float32", "float16/float32_masters"]
runs = {recipe: fp.train(recipe, scenario=scenario) for recipe in recipes}
for recipe, run in runs.items():
    print(f"{recipe:24} accuracy {run.accuracy:6.1%}   updates lost {run.lost_updates:6.1%}")

# %%
import matplotlib.pyplot as plt

from fpsim.plots.style import colour_of, tidy

figure, axes = plt.subplots(figsize=(7, 4))
for place, (recipe, run) in enumerate(runs.items()):
    smooth = np.convolve(run.loss, np.ones(30) / 30, mode="valid")
    colour, line = colour_of(recipe.removesuffix("_masters") if place < 2 else "float16_masters")
    axes.plot(smooth, line, color=colour, label=recipe)
tidy(axes, "the same network, three ways to store it", "step", "training loss (cross entropy)")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# The gradients are the same. What differs is the last addition, `weight - lr * gradient`: in float16 most updates
# are smaller than half the spacing at the weight, and rounding takes them back. A float32 copy remembers them.
#
# ## 5. Small gradients need a scale
#
# **Predict.** A gradient of 1e-8 in float16, and the same gradient of a loss multiplied by 1024 and divided again
# in float32?

# %%
gradient = 1e-8
scaled = fp.round(gradient * 1024, "float16")
print("as it is:       ", fp.round(gradient, "float16"))
print("scaled, unscaled:", scaled / 1024)

# %% [markdown]
# That is loss scaling; `fp.amp.GradScaler` finds the factor while it trains. Mixed precision in three lines, as
# PyTorch writes it:

# %%
net, digits = fp.nn.LeNet(), fp.data.digits()
optimizer, scaler = fp.optim.SGD(net.parameters(), lr=0.01, momentum=0.5), fp.amp.GradScaler()
for images, labels in fp.data.batches(digits.train_x, digits.train_y, size=32, seed=0).take(4):
    with fp.autocast("float16"):
        loss = fp.nn.functional.cross_entropy(net(fp.tensor(images)), labels)
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    print(f"loss {loss.item():.4f}  {scaler.step(optimizer)}")
    scaler.update()

# %% [markdown]
# ## What to remember
#
# - A stored number is the nearest place on a grid whose spacing grows with the number.
# - An addend below half the spacing of a sum is lost: in a long sum, and in `weight - lr * gradient`.
# - The learning went into the rounding of the updates. One float32 copy of the weights brings it back; float32
#   accumulators do the same for sums, and a loss scale for gradients too small to store.
#
# Next: `fpsim compare` runs the four scenarios of mixed precision side by side; `03_summation_and_accumulators`
# is about sums.
