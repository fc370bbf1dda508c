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
# # 05 The network side by side
#
# **Question.** A tutorial keeps a network's convolutions in half precision and its fully connected layers in
# single, "because that is where the precision is needed". What does that split cover, of the work and of the
# memory? And does it matter to what the network learns, or would the other way round do as well?
#
# **Numbers you will hit.** The convolutions do 82 % of the multiply-adds and hold 4 % of the weights. The
# losses of seven recipes agree to the eye; in the first steps they are 10^-7 (float32) to 10^-2 (bfloat16)
# away from float64's. Another *seed* changes the test loss more than all of these recipes do.
#
# **What is emulated.** Every activation, gradient and weight is stored in the recipe's format, rounded once
# from its accumulator's sum. Work and memory are counted. **What is not.** Time: how long a cell takes says
# nothing about hardware.

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
import matplotlib.pyplot as plt
import numpy as np

import fpsim.nn as nn
import fpsim.nn.functional as F
from fpsim.course import check
from fpsim.plots.style import PALETTE, colour_of, tidy

# %% [markdown]
# ## 1. The network, as a PyTorch user would write it
#
# After LeCun et al. (1998): two convolutions, two fully connected layers. Only the imports above differ from
# PyTorch's.


# %%
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 64, 5)
        self.fc1 = nn.Linear(64 * 5 * 5, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(x, 2)
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(x, 2)
        x = x.view(-1, 64 * 5 * 5)
        x = F.relu(self.fc1(x))
        x = self.fc2(x)
        return F.log_softmax(x, dim=1)


with fp.seed(0):
    net = Net()
digits = fp.data.digits(size=32)
print("log probabilities of one image:", net(fp.tensor(digits.test_x[:1])).numpy().round(2))

# %% [markdown]
# ## 2. Where the work is, and where the weights are
#
# **Predict.** Of all weights, which share is in the two convolutions? And of all multiply-adds of a forward
# pass?

# %%
layers = ("conv1", "conv2", "fc1", "fc2")
steps = fp.cost(net, (1, 1, 32, 32), "float32", optimizer="sgd")["float32"].steps("inference")
weights = np.array([sum(p.size for p in getattr(net, layer).parameters()) for layer in layers])
work = np.array([sum(step.macs for step in steps if step.module == layer) for layer in layers])
for layer, w, macs in zip(layers, weights, work, strict=True):
    print(f"{layer:>5}: {w:>8,} weights {w / weights.sum():6.1%}   {macs:>10,} multiply-adds {macs / work.sum():6.1%}")
conv_weights, conv_work = weights[:2].sum() / weights.sum(), work[:2].sum() / work.sum()
print(f"convolutions: {conv_weights:.0%} of {weights.sum():,} weights, {conv_work:.0%} of {work.sum():,} multiply-adds")

# %%
figure, axes = plt.subplots(figsize=(8, 2.6), layout="constrained")
for name, counts in (("weights", weights), ("multiply-adds", work)):
    left = 0.0
    for place, share in enumerate(100 * counts / counts.sum()):
        bar = {"color": PALETTE[(5, 2, 1, 6)[place]], "hatch": ("", "//", "", "xx")[place], "edgecolor": "white"}
        axes.barh([name], share, left=left, label=layers[place] if name == "weights" else None, **bar)
        left += share
tidy(axes, "one image through the network", "%")
axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.25))
plt.show()

# %% [markdown]
# A convolution uses each of its weights at every place of the image, a fully connected layer each weight
# once. So the split is a split of *work*: convolutions in half move most of the arithmetic to half, and leave
# almost all weights in single.
#
# ## 3. Drawing the border
#
# `fp.amp.apply` gives each layer, by the pattern of its name, a precision: `storage/accumulator`. At the
# border values are cast. `fp.explain` says what ran in which format.
#
# **Predict.** ReLU, pooling and `view` were assigned nothing. What will they run in?

# %%
split = fp.amp.apply(nn.LeNet(), {"conv*": "float16/float32", "fc*": "float32"})
fp.explain(split, fp.tensor(digits.test_x[:1]))

# %% [markdown]
# ## 4. Side by side
#
# Seven recipes, the same initial weights (drawn in float64, rounded once), the same batches. `mixed_float16`
# computes in float16 from float32 weights and scales the loss; `conv16_fc32` is the tutorial's split,
# `conv32_fc16` its mirror.
#
# **Predict.** Which of the curves will you be able to tell apart?

# %%
recipes = ("float64", "float32", "mixed_float16", "conv16_fc32", "conv32_fc16", "float16/float32", "bfloat16/float32")
runs = fp.compare(recipes, steps=40, lr=0.02, momentum=0.9)
figure, axes = plt.subplots(figsize=(8, 3.8), layout="constrained")
for place, run in enumerate(runs):
    colour, line = colour_of(run.recipe, place)
    axes.plot(run.loss, line, color=colour, linewidth=1.3, label=f"{run.recipe} ({run.accuracy:.0%})")
tidy(axes, "seven recipes, from the same weights on the same batches", "step", "cross entropy")
axes.legend(frameon=False, fontsize=8, title="recipe (accuracy on test images)", title_fontsize=8)
plt.show()

# %% [markdown]
# One curve, more or less. The differences are there, only not on this scale.
#
# **Predict.** Now the relative deviation of each loss from float64's, on a logarithmic axis. Which recipe is
# closest? Does the deviation stay where it starts?

# %%
reference = np.array(runs["float64"].loss)
deviation = {run.recipe: np.abs(np.array(run.loss) - reference) / reference for run in runs if run.recipe != "float64"}
figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
for place, (recipe, off) in enumerate(deviation.items()):
    colour, line = colour_of(recipe, place)
    axes.semilogy(np.where(off > 0, off, np.nan), line, color=colour, linewidth=1.3, label=recipe)
for name, u in (("float32", 2.0**-24), ("float16", 2.0**-11), ("bfloat16", 2.0**-8)):
    axes.axhline(u, color="0.6", linewidth=0.8, linestyle=":")
    axes.text(40, u, f" u of {name}", va="center", fontsize=8, color="0.4")
tidy(axes, "how far from float64", "step", "relative deviation of the loss")
axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.12, 1))
plt.show()
for recipe, off in deviation.items():
    print(f"{recipe:>16}: after 5 steps {off[:5].max():.0e}, after 40 {off.max():.0e}")

# %% [markdown]
# Each starts near the unit roundoff u of its narrowest format (the most that one rounding changes a number,
# relatively; dotted) or below, and those in half precision grow: training amplifies differences, whatever
# made them. The split starts lower than its mirror, since in the mirror the last layers and the loss itself
# are in half. In the end it hardly matters which is which.
#
# ## 5. Is that much?
#
# Compared with what? Another seed means other initial weights and other batches, and nobody would call the
# result wrong.
#
# **Predict.** Three float32 runs from different seeds: do they differ less or more than the seven recipes?

# %%
seeds = [run for run in (*runs, *runs.references) if run.recipe == "float32"]
for name, group in (("7 recipes, one seed", list(runs)), ("float32, 3 seeds", seeds)):
    accuracy, loss = ([getattr(run, what) for run in group] for what in ("accuracy", "test_loss"))
    print(f"{name:>20}: accuracy {min(accuracy):.1%} to {max(accuracy):.1%}, ", end="")
    print(f"test loss {min(loss):.3f} to {max(loss):.3f}")

# %% [markdown]
# So a claim like "precision X is better than Y by half a percent" needs several seeds and an interval; see
# `10_claims_checked`.
#
# ## 6. What each recipe costs
#
# Training with momentum, batch 32; bytes are counted in the formats that hold them.
#
# **Predict.** Which recipe takes least memory? Does the tutorial's split save more than its mirror?

# %%
kinds = ("float32", "conv16_fc32", "conv32_fc16", "mixed_float16", "float16/float32")
cost = fp.cost(net, (32, 1, 32, 32), list(kinds), optimizer="momentum")
parts = ("weights", "cast weights", "gradients", "state", "activations")
figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
left = np.zeros(len(kinds))
for part, colour in zip(parts, (1, 6, 2, 3, 5), strict=True):
    megabytes = np.array([cost[kind].training[part] / 1e6 for kind in kinds])
    axes.barh(kinds, megabytes, left=left, color=PALETTE[colour], edgecolor="white", label=part)
    left += megabytes
axes.invert_yaxis()
tidy(axes, "training, by what is held in memory", "MB")
axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()
for kind, total in zip(kinds, left, strict=True):
    macs = cost[kind].macs()
    half = macs.get("float16/float32", 0) / sum(macs.values())
    moved = sum(cost[kind].traffic().values()) / 1e6
    print(f"{kind:>16}: {total:5.2f} MB held, {moved:5.1f} MB moved a step, {half:4.0%} of multiply-adds in half")

# %% [markdown]
# The split puts most multiply-adds into half and saves activations; its mirror saves weights. `mixed_float16`
# computes everything in half and holds two copies of the weights: it saves work and activations, not weights.
# Which is worth it depends on what the machine is short of.
#
# ## 7. The accumulator, once more
#
# All recipes so far sum in float32, as GPUs do. What if the sums are float16 too
# (`03_summation_and_accumulators`)?
#
# **Predict.** How much further from float64 will the losses of five steps be?

# %%
pure = np.array(fp.train("float16", steps=5, lr=0.02, momentum=0.9).loss)
pure = np.abs(pure - reference[:5]) / reference[:5]
for step, (wide, narrow) in enumerate(zip(deviation["float16/float32"], pure, strict=False)):
    print(f"step {step}: summed in float32 {wide:.1e}, in float16 {narrow:.1e}")

# %% [markdown]
# Further, but not by much: these sums have terms of both signs and stay near 0, so that no term is swamped.
# Sums of positive terms (means, variances, norms, the losses of a batch) are the ones that need the wide
# accumulator most.

# %% [markdown]
# ## The numbers promised above

# %%
assert (round(100 * conv_work), round(100 * conv_weights)) == (82, 4)
assert 1e-8 < deviation["float32"][:5].max() < 1e-6
assert 1e-3 < deviation["bfloat16/float32"][:5].max() < 1e-2
assert np.ptp([run.test_loss for run in runs]) < np.ptp([run.test_loss for run in seeds])
print("found, all of them")

# %% [markdown]
# ## Exercises
#
# Each cell below is yours. `check` says whether it is right, or gives a hint; it needs only `fp`, `nn` and
# `np`.
#
# **5.1.** How many parameters has `fc1`? (By hand; then compare with the table.)

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = 1600 * 500 + 500
### END SOLUTION
check("ex05.1", answer)

# %% [markdown]
# **5.2.** How many multiply-adds does `conv2` take for one image? Its input is 20 x 14 x 14; no padding.

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = (64 * 10 * 10) * (20 * 5 * 5)  # numbers in the output, terms in each sum
### END SOLUTION
check("ex05.2", answer)

# %% [markdown]
# **5.3.** How many bytes do the weights (and biases) of the whole network take in the recipe `conv16_fc32`?

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = sum(p.nbytes for p in fp.amp.apply(nn.LeNet(), "conv16_fc32").parameters())
### END SOLUTION
check("ex05.3", answer)

# %% [markdown]
# **5.4.** Write the dictionary for `fp.amp.apply` that stores the one layer with most weights in float16,
# summing in float32, and leaves every other layer in float32.

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = {"fc1": "float16/float32"}
### END SOLUTION
check("ex05.4", answer)

# %% [markdown]
# ## What to remember
#
# - Work and weights are in different places: 82 % of the multiply-adds in convolutions that hold 4 % of the
#   weights. Ask of any split what it covers.
# - Stored in half and summed in single, with the loss in range, this network learns as in double, whichever
#   layers are in half.
# - The deviation from float64 starts at the format's unit roundoff and is amplified by training. It is
#   smaller than what another seed does.
# - What saves memory is decided by what is kept: weights, copies of weights, gradients, optimizer state,
#   activations. Count it.
#
# **Next.** What can go wrong: `06_loss_scaling` (gradients too small) and
# `07_master_weights_and_stochastic_rounding` (updates too small).
#
# **Sources.** Y. LeCun et al., *Gradient-based learning applied to document recognition*, 1998. P.
# Micikevicius et al., *Mixed precision training*, 2018. E. Alpaydin and C. Kaynak, *Optical recognition of
# handwritten digits*, UCI, 1998.
