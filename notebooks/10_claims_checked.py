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
# # 10 Claims, checked
#
# **Question.** Articles about mixed precision repeat a handful of sentences. Which of them are true, which
# are half true, which are false, and which few lines of code decide it?
#
# **Numbers you will hit.** Half, single and double precision have 3.31, 7.22 and 15.95 decimal digits. Half
# is 2^13 times coarser than single. Convolutions are 82 % of a network's work and 4 % of its weights. With
# Adam a weight takes 16 bytes, in float32 and with float16 and master weights. 25 images of 28 x 28 become 16
# rows.
#
# **What is emulated.** Formats, their rounding, whole trainings in them. **What is not.** Time on real
# hardware: where a claim is about speed, datasheets answer it, not this notebook.
#
# A verdict is *true*, *half true* or *false*, about the sentence as it stands. The claims are quoted in the
# form in which they go round; they are nobody's in particular.

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
import math
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

import fpsim.nn as nn
import fpsim.nn.functional as F
from fpsim.course import check
from fpsim.plots.style import PALETTE, tidy

verdicts = []


def verdict(claim, judged, because):
    """Note it for the table at the end."""
    verdicts.append((claim, judged, because))
    print(f"{judged.upper()}: {because}")


# %% [markdown]
# ## 1. "Half precision has six significant digits"
#
# **Predict.** 11 significant bits; a decimal digit is worth log2(10) = 3.32 bits. How many digits is that?
# And how many of the 9000 numbers 1.000, 1.001, ... 9.999 does float16 tell apart?

# %%
formats = (fp.float16, fp.float32, fp.float64)
for fmt in formats:
    decades = [np.arange(10**k, 10 ** (k + 1)) / 10**k for k in (2, 3, 4, 5)]
    told_apart = [np.unique(fp.round(x, fmt)).size / x.size for x in decades]
    print(f"{fmt.name}: {fmt.p:2} bits = {fmt.decimal_digits:5.2f} digits; tells apart ", end="")
    print(", ".join(f"{share:.0%}" for share in told_apart), "of the numbers from 1 to 10 with 3, 4, 5, 6 digits")
digits = [round(fmt.decimal_digits, 2) for fmt in formats]
verdict("half has six digits", "false", f"it has {digits[0]}; single has {digits[1]}, double {digits[2]}")

# %% [markdown]
# Six is near what *single* precision has. Source: IEEE 754-2019 (p = 11, 24, 53; digits are p log10(2)).
#
# ## 2. "Half precision has half of single's precision"
#
# **Predict.** It has half the bits. By which factor is its spacing wider? And how does its range compare?

# %%
half, single = fp.float16, fp.float32
coarser = half.eps / single.eps
for fmt in (half, single):
    print(
        f"{fmt.name}: {fmt.bits} bits, {fmt.decimal_digits:.2f} digits, spacing at 1: 2^{math.log2(fmt.eps):.0f}, ",
        end="",
    )
    print(f"largest {fmt.max:.3g}, smallest {fmt.smallest_subnormal:.2g}, {fmt.emax - fmt.emin + 1} powers of two")
because = f"half the bits, but 2^{math.log2(coarser):.0f} times coarser, and far less range"
verdict("half has half of single's precision", "half true", because)

# %% [markdown]
# Half of the bits, somewhat less than half of the digits, about an eighth of the exponents. Source: IEEE
# 754-2019.
#
# ## 3. "Convolutions in half, fully connected layers in single: that is the rule"
#
# **Predict.** PyTorch's autocast decides by operation. In which format does it run a linear layer, and which
# of the other operations below stay in float32?

# %%
x, labels = fp.randn(4, 1, 32, 32), np.arange(4)
net = nn.LeNet()
with fp.autocast("float16"):
    h = net.conv1(x)
    z = nn.Linear(8, 10)(fp.randn(4, 8))
    results = {"conv2d": h, "linear": z, "relu": z.relu(), "softmax": z.softmax(1), "sum": z.sum(), "exp": z.exp()}
    results |= {"layer_norm": nn.LayerNorm(10)(z), "cross_entropy": F.cross_entropy(z, labels)}
for name, result in results.items():
    print(f"{name:>13}: {result.dtype}")

# %%
steps = fp.cost(net, (1, 1, 32, 32), "float32", optimizer="sgd")["float32"].steps("inference")
work = {name: sum(step.macs for step in steps if step.module.startswith(name)) for name in ("conv", "fc")}
held = {name: sum(p.size for n, p in net.named_parameters() if n.startswith(name)) for name in ("conv", "fc")}
share_work, share_held = work["conv"] / sum(work.values()), held["conv"] / sum(held.values())
print(f"convolutions: {share_work:.0%} of the multiply-adds, {share_held:.0%} of the weights")
for recipe in ("float64", "conv16_fc32", "conv32_fc16"):
    run = fp.train(recipe, steps=20, lr=0.02, momentum=0.9)
    if recipe == "float64":
        reference = np.array(run.loss)
    off = np.abs(np.array(run.loss) / reference - 1)
    print(f"{recipe:>12}: loss after 20 steps {run.loss[-1]:.4f}, largest relative deviation {off.max():.0e}")
because = f"autocast runs linear layers in {results['linear'].dtype} too; single is for sums, losses, norms, updates"
verdict("convolutions in half, fully connected in single, is the rule", "false", because)

# %% [markdown]
# What needs single precision is not a kind of layer but a kind of *operation*: long sums, losses, statistics
# of norms, updates of weights. The split of this network puts most of the work in half and nearly none of the
# weights; its mirror learns just as well. Sources: Micikevicius et al., 2018; PyTorch documentation,
# *Autocast op reference*.
#
# ## 4. "Accuracy is unaffected, if it is done right"
#
# One network (64-32-10, 8x8 digits), 300 steps, five seeds, each recipe on the same weights and batches. The
# loss is a millionth as large as usual (times 2^-20, the learning rate times 2^20), so that gradients are in
# danger. Differences to float32 are taken seed by seed; the interval of their mean is Student's, 95 %.
#
# **Predict.** "Right" has two ingredients here, a loss scale and float32 weights. Rank the five rows below.
# Which intervals contain 0?

# %%
usual = replace(fp.experiments.SCENARIOS["rounding"], lr=0.003, momentum=0.9, steps=300)
small = replace(usual, lr=usual.lr * 2**20, loss_factor=2.0**-20)
eight_bits = "params=float32,compute=float8_e4m3fn,output=float32"
ways = {
    "float32": ("float32", small, None),
    "float16, scaled, float32 weights": ("mixed_float16", small, None),
    "the same, not scaled": ("mixed_float16", small, 1.0),
    "bfloat16, float32 weights": ("mixed_bfloat16", small, None),
    "bfloat16, weights too": ("bfloat16/float32", small, None),
    "E4M3, float32 weights": (eight_bits, usual, None),
}
accuracy = {
    name: np.array([100 * fp.train(recipe, seed=seed, scenario=scenario, scale=scale).accuracy for seed in range(5)])
    for name, (recipe, scenario, scale) in ways.items()
}


# %%
def interval(a, b, t=2.776):
    """Mean difference of pairs, and half the width of its 95 % interval (t is Student's, for five)."""
    d = a - b
    return d.mean(), t * d.std(ddof=1) / math.sqrt(d.size)


figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
found = {name: interval(a, accuracy["float32"]) for name, a in accuracy.items() if name != "float32"}
for place, (name, (middle, width)) in enumerate(found.items()):
    colour = PALETTE[3] if abs(middle) <= width else PALETTE[2]
    if middle > -8:
        axes.errorbar(middle, place, xerr=width, fmt="o", color=colour, capsize=4)
    else:
        axes.text(-7.9, place, f"far left: {middle:.0f} +- {width:.0f}", color=colour, va="center")
    print(f"{name:>32}: {accuracy[name].mean():5.1f} %, difference to float32 {middle:+6.2f} +- {width:.2f} points")
spread = accuracy["float32"]
print(f"{'float32':>32}: {spread.mean():5.1f} %, from {spread.min():.1f} to {spread.max():.1f} over the seeds")
axes.axvline(0, color="0.5", linewidth=1)
axes.set_xlim(-8, 2)
axes.set_yticks(range(len(found)), found)
axes.invert_yaxis()
tidy(axes, "accuracy minus float32's, mean and 95 % interval, 5 seeds", "points")
plt.show()

# %%
middle, width = found["float16, scaled, float32 weights"]
unscaled, _ = found["the same, not scaled"]
because = f"{middle:+.2f} +- {width:.2f} points with loss scale and float32 weights; {unscaled:+.0f} without the scale"
verdict("accuracy is unaffected if done right", "true", f"of this network: {because}")

# %% [markdown]
# True of this network: with both, a difference of more than a fraction of a point is ruled out; without one
# of them points are lost. And published for large ones (Micikevicius et al., 2018). "Right" means: a loss
# scale where the format is narrow, float32 weights where it is coarse, float32 accumulators (all rows have
# them). An interval that contains 0 does not prove equality; it says how large a difference can have been
# overlooked.
#
# ## 5. "It saves memory"
#
# **Predict.** With Adam: bytes per weight in float32, and in float16 with float32 master weights.

# %%
cost = fp.cost(net, (32, 1, 32, 32), ["float16/float32_masters", "mixed_float16", "bfloat16/float32"], optimizer="adam")
for name in ("float32", "float16/float32_masters", "mixed_float16", "bfloat16/float32"):
    of = cost[name].bytes_per_parameter()
    parts = " + ".join(f"{n:.0f} {part}" for part, n in of.items() if n >= 0.5)
    print(f"{name:>23}: {sum(of.values()):4.0f} bytes a weight ({parts}); ", end="")
    print(f"activations {cost[name].training['activations'] / 1e6:.2f} MB")
bytes_each = [sum(cost[name].bytes_per_parameter().values()) for name in ("float32", "float16/float32_masters")]
activations = [cost[name].training["activations"] for name in ("float16/float32_masters", "float32")]
because = f"{bytes_each[0]:.0f} bytes a weight in float32 and with float16 and masters; "
because += f"activations take {activations[0] / activations[1]:.0%}"
verdict("it saves memory", "half true", because)

# %% [markdown]
# What is saved is activations (which grow with the batch) and traffic, and at inference the weights. With float32
# master weights the weights' own cost in training stays; as a policy (float32 weights, float16 copies while a step
# lasts) it even rises. Only without masters does it fall, and claim 4 shows at what price. Source: counted; the
# same 16 bytes in Rajbhandari et al., *ZeRO*, 2020.
#
# ## 6. "It needs a GPU"
#
# **Predict.** What does the rest of this notebook run on? And what is a GPU for, then?

# %%
trained = sum(a.size for a in accuracy.values()) + 3
for device in (device for device in cost.devices if device.name in ("A100", "T4", "EPYC 7763")):
    times = [cost[name].time(device) for name in ("float32", "mixed_float16")]
    faster = times[0].seconds / times[1].seconds
    print(f"{device.name:>10}: a step in mixed_float16 {faster:.1f} times as fast as in float32 (roofline)")
verdict("it needs a GPU", "false", f"{trained} networks were trained in this notebook, on a CPU; a GPU makes it fast")

# %% [markdown]
# *Learning* what half precision does needs none; *profiting* from it needs hardware that computes in half.
# The ratios above are rooflines (Williams et al., 2009) from datasheets, not measurements.
#
# ## 7. "Precision needs will rise as networks grow"
#
# **Predict.** Order by year: FP8, float16 in IEEE 754, MX's 4-bit numbers, bfloat16. Are they getting wider?

# %%
for year, name, source in (
    (1985, "float32", "IEEE 754-1985"),
    (2008, "float16", "IEEE 754-2008"),
    (2017, "bfloat16", "Google TPU v2"),
    (2023, "float8_e4m3fn", "OCP FP8"),
    (2023, "float4_e2m1fn", "OCP MX"),
):
    fmt = fp.Format(name)
    print(f"{year}: {fmt.bits:2} bits, {fmt.p:2} of them significant ({source}: {name})")
middle, width = found["E4M3, float32 weights"]
because = f"products went from 32 bits to 8 and 4 (E4M3 here: {middle:+.1f} +- {width:.1f} points); sums stay wide"
verdict("precision needs will rise", "half true", because)

# %% [markdown]
# So far it went the other way for what is multiplied, and stayed for what is added up. A forecast cannot be
# checked; the trend can. Sources: the standards named; Micikevicius et al., *FP8 formats for deep learning*,
# 2022.
#
# ## 8. "log_softmax in the network and CrossEntropyLoss after it: a bug"
#
# CrossEntropyLoss applies log_softmax itself, so it is applied twice.
#
# **Predict.** log_softmax subtracts log(sum(exp(x))). After it, what is sum(exp(x)), and what does a second
# one subtract?

# %%
z = np.random.default_rng(0).normal(size=(64, 10)) * 3
target = np.arange(64) % 10
for fmt in ("float64", "float32", "float16"):
    x = fp.tensor(z, dtype=fmt, requires_grad=True)
    once = F.log_softmax(x, dim=1)
    twice = F.log_softmax(once, dim=1)
    off = np.abs(twice.numpy().astype(float) - once.numpy().astype(float)).max()
    gradients = []
    for out in (x, once):
        x.grad = None
        F.cross_entropy(out, target).backward()
        gradients.append(x.grad.numpy().astype(float))
    change = np.abs(gradients[1] - gradients[0]).max()
    print(f"{fmt}: twice differs from once by {off:.1e}, the gradient by {change:.1e}; eps {fp.finfo(fmt).eps:.1e}")
    if fmt == "float64":
        apart = off
because = f"it is idempotent: the second one subtracts 0 (up to {apart:.0e} in double); superfluous, and harmless"
verdict("log_softmax before CrossEntropyLoss is a bug", "false", because)

# %% [markdown]
# exp of log probabilities sums to 1, and log 1 = 0. In half precision it costs one more rounding. (A
# *softmax* before CrossEntropyLoss is a bug: that one is not idempotent.) Source: PyTorch documentation,
# `CrossEntropyLoss`.
#
# ## 9. "`view(-1, 64 * 5 * 5)` is right for MNIST"
#
# A 5x5 convolution without padding takes 4 from a side, a pool halves it.
#
# **Predict.** MNIST's images are 28 x 28. What is left after two rounds? And what will `view(-1, 64 * 5 * 5)`
# make of a batch of 25?

# %%
for size in (32, 28):
    h = F.max_pool2d(F.relu(net.conv1(fp.zeros(25, 1, size, size))), 2)
    h = F.max_pool2d(F.relu(net.conv2(h)), 2)
    rows = h.view(-1, 64 * 5 * 5)
    print(f"25 images of {size} x {size}: features {h.shape[1:]}, view gives {rows.shape}")
for n in (24, 25):
    try:
        out = net.fc2(net.fc1(fp.zeros(n, 64, 4, 4).view(-1, 64 * 5 * 5)))
        print(f"{n} images: no complaint from view; the network gives {out.shape[0]} answers")
        F.cross_entropy(out, np.zeros(n, int))
    except fp.ShapeError as error:
        print(f"{n} images: {error}")
because = f"28 x 28 leaves 64*4*4; a batch of 25 becomes {rows.shape[0]} rows in the view, without an error there"
verdict("64*5*5 fits MNIST", "false", because)

# %% [markdown]
# It fits images of 32 x 32. With most batch sizes `view` complains; with multiples of 25 it mixes images into
# each other, and the error comes later, from the loss, or never if only the answers are looked at.
# `flatten(x, 1)` keeps the batch and is caught by the first linear layer. Source: PyTorch documentation,
# `Tensor.view`; arithmetic.
#
# ## All verdicts

# %%
for claim, judged, because in verdicts:
    print(f"{judged:>9}   {claim}\n{'':12}{because}")

# %% [markdown]
# ## The numbers promised above

# %%
assert digits == [3.31, 7.22, 15.95]
assert coarser == 2**13
assert (round(100 * share_work), round(100 * share_held)) == (82, 4)
assert bytes_each == [16, 16]
assert (rows.shape[0], len(verdicts)) == (16, 9)
print("found, all of them")

# %% [markdown]
# ## Exercises
#
# Each cell below is yours. `check` says whether it is right, or gives a hint; it needs only `fp`, `nn`, `F`
# and `np`.
#
# **10.1.** For images of 24 x 24: how many numbers of one image reach the first fully connected layer?

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = 64 * 3 * 3  # 24 - 4 = 20, 10; 10 - 4 = 6, 3
### END SOLUTION
check("ex10.1", answer)

# %% [markdown]
# **10.2.** 50 images of 28 x 28 go through both convolutions and `view(-1, 64 * 5 * 5)`. How many rows come
# out?

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = 50 * 64 * 4 * 4 // (64 * 5 * 5)
### END SOLUTION
check("ex10.2", answer)

# %% [markdown]
# **10.3.** Weights, gradients and Adam's state are all bfloat16, without master weights. How many bytes does
# training take per weight (activations aside)?

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = 2 + 2 + 2 * 2  # weight, gradient, m and v
### END SOLUTION
check("ex10.3", answer)


# %% [markdown]
# **10.4.** Two recipes were trained with the same five seeds; `a` and `b` are their accuracies. Give the mean
# difference a - b and half the width of its 95 % interval (Student's t for five is 2.776). Look at the
# differences, not at the two means.


# %% tags=["exercise"]
def compared(a, b):
    """Mean difference, and half the width of its interval."""
    ### BEGIN SOLUTION
    d = a - b
    return d.mean(), 2.776 * d.std(ddof=1) / np.sqrt(d.size)
    ### END SOLUTION


check("ex10.4", compared)

# %% [markdown]
# ## What to remember
#
# - A sentence about precision is checkable: state it with a number, find the lines that decide it, say where
#   it holds.
# - Half precision is not "half as good": 3.31 digits, 2^13 times coarser, far less range.
# - What needs single precision is a kind of operation (sums, losses, statistics, updates), not a kind of
#   layer.
# - "Unaffected" needs seeds and an interval; "saves memory" needs a list of what is kept; "bug" needs the
#   algebra.
#
# **Sources.** Beside each claim. IEEE 754-2019; P. Micikevicius et al., *Mixed precision training*, 2018, and
# *FP8 formats for deep learning*, 2022; PyTorch documentation (2.x); S. Rajbhandari et al., *ZeRO: memory
# optimizations toward training trillion parameter models*, 2020; S. Williams et al., *Roofline*, 2009; Open
# Compute Project, FP8 and MX specifications, 2023; Student (W. S. Gosset), *The probable error of a mean*,
# 1908.
