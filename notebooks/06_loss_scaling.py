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
# # 06 Loss scaling
#
# **Question.** A network stored in half precision learns; make its loss small (a mean over more samples, a
# small weight in a sum of losses), and it stops. Nothing overflows and nothing complains. Where do the
# gradients go, and why does multiplying the loss by a power of two bring every one of them back, bit for bit?
#
# **Numbers you will hit.** float16 stores 2^-25 as 0. A loss times 2^-20: all gradients are 0. Times 2^20
# again: of 838,094 gradients not one differs. A scale that starts at 2^24 is too large; it falls to 2^19,
# skipping five steps, before the network takes its first.
#
# **What is emulated.** Every activation and gradient is stored in float16, rounded once from a float32 sum;
# `autocast` and `GradScaler` follow PyTorch's rules. **What is not.** Time, and PyTorch's CUDA kernels (their
# sums have an order of their own).

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

import matplotlib.pyplot as plt
import numpy as np

import fpsim.nn.functional as F
from fpsim.course import check
from fpsim.plots.style import PALETTE, tidy

# %% [markdown]
# ## 1. The small end of a format
#
# **Predict.** float16's smallest normal number is 2^-14. Halve it, again and again: when does it lose its
# last bits, and when does it become 0?

# %%
x = float(fp.round(4 / 3, "float16"))  # all of its 11 significant bits are in use
for k in (0, -14, -16, -20, -24, -25, -26):
    exact = x * 2.0**k
    stored = fp.round(exact, "float16")
    print(f"x * 2^{k:<4} = {exact:.6e}, stored as {stored:.6e}, relative error {abs(stored - exact) / exact:8.3%}")
print("2^-25 itself is stored as", fp.round(2.0**-25, "float16"), "(half of the smallest number, a tie: to even)")

# %% [markdown]
# Three zones: normal numbers keep all bits; subnormal ones, below 2^-14, lose one bit with each halving; from
# 2^-25 down everything is 0.
#
# ## 2. Where the gradients of a network lie
#
# The classic network (two convolutions, two fully connected layers; `fp.nn.LeNet`), one batch of 64 digits,
# all its weight gradients, first in float32.

# %%
digits = fp.data.digits(size=32)
images, labels = fp.tensor(digits.train_x[:64]), digits.train_y[:64]
with fp.seed(0):
    net = fp.nn.LeNet()


def gradients(*factors, half=True):
    """All weight gradients of the loss times one factor after the other; activations in float16, or all in float32."""
    net.zero_grad()
    with fp.autocast("float16", enabled=half):
        loss = F.cross_entropy(net(images), labels)
    for factor in factors:
        loss = loss * factor  # a float32 number, rounded to float32 each time
    loss.backward()
    return np.concatenate([weight.grad.numpy().ravel() for weight in net.parameters()])


single = gradients(half=False)
there = single != 0
print(f"{single.size:,} gradients, {1 - there.mean():.0%} exactly 0 in float32 too (a ReLU was off)")

# %% [markdown]
# **Predict.** Draw them by exponent, with the three zones of float16. How much lies in the subnormal zone?
# And how far is the largest from 65504, where the format ends?

# %%
exponents = np.floor(np.log2(np.abs(single[there]))).astype(int)
bins, counts = np.unique(exponents, return_counts=True)
figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
axes.bar(bins + 0.5, 100 * counts / counts.sum(), width=0.86, color=PALETTE[1])
for start, end, colour, name in ((-40, -25, 2, "stored as 0"), (-25, -14, 5, "subnormal"), (16, 20, 4, "overflow")):
    axes.axvspan(start, end, color=PALETTE[colour], alpha=0.15, linewidth=0)
    axes.text((start + end) / 2, axes.get_ylim()[1] * 0.95, name, ha="center", fontsize=9)
axes.set_xlim(-38, 20)
tidy(axes, "float32's weight gradients of one batch, and the zones of float16", "exponent of 2", "% of nonzero")
plt.show()
print(f"largest 2^{exponents.max()}; subnormal {np.mean((exponents >= -25) & (exponents < -14)):.0%}, ", end="")
print(f"below 2^-24: {np.mean(np.abs(single[there]) < 2.0**-24):.2%}")

# %% [markdown]
# More than a quarter are subnormal in float16 and so have lost bits, while the whole upper half of the
# format's range is empty: room to move to. Micikevicius et al. (2018) found about 5 % of their weight
# gradients below 2^-24; this small network has fewer.
#
# ## 3. A small loss
#
# **Predict.** Now multiply the loss by 2^-20, as if it were a mean over a million samples where it was a sum.
# What share of the gradients is 0? Then multiply by 2^20 as well. How many of the 838,094 gradients differ
# from before?

# %%
plain, small = gradients(), gradients(2.0**-20)
back = gradients(2.0**-20, 2.0**20)
for name, found in (("loss", plain), ("loss * 2^-20", small), ("loss * 2^-20 * 2^20", back)):
    print(f"{name:>20}: {np.mean(found[there] == 0):8.3%} of the gradients are 0")
print("differences between the first and the last:", np.count_nonzero(plain != back))

# %% [markdown]
# All gone, and all back. (`loss * factor` is computed in float32, where neither factor costs a bit.) The
# scale has to go on **before** `backward`: what was stored as 0 cannot be multiplied back.

# %%
print("scaled after the damage:", np.count_nonzero(small * 2.0**20), "gradients that are not 0")
with fp.observe() as report:
    gradients(2.0**-20)
print(report.table("role", "format", phase="backward"))

# %% [markdown]
# `fp.observe()` shows where they were lost: the gradients of the *activations* were rounded to 0 on their way
# back, so the weights' gradients, computed from zeros, lost nothing themselves. A scale on the loss protects
# the whole way.
#
# **Why a power of two?** Multiplying by it changes the exponent alone, so no bit is rounded (as long as
# nothing leaves the range), and the scaled run makes the same roundings as the run it stands for. 1,000,000
# works too, only not bit for bit:

# %%
for scale in (2.0**20, 1e6):
    scaled = gradients(2.0**-20, scale) / (2.0**-20 * scale)
    same, zero = np.mean(scaled[there] == plain[there]), np.mean(scaled[there] == 0)
    print(f"scale {scale:>9,.0f}: {same:.1%} of the gradients equal to the bit, {zero:.3%} are 0")

# %% [markdown]
# ## 4. How large a scale?
#
# **Predict.** The histogram above moves right by k when the loss is multiplied by 2^k. From which k on is
# nothing stored as 0, and at which k does the first gradient overflow? Read it off before you run the cell.

# %%
powers = np.arange(0, 31, 2)
found = [gradients(2.0**k)[there] for k in powers]
zero, infinite = ([100 * np.mean(test(g)) for g in found] for test in (lambda g: g == 0, lambda g: ~np.isfinite(g)))
predicted = [100 * np.mean(np.abs(single[there]) <= 2.0 ** (-25 - k)) for k in powers]

figure, axes = plt.subplots(figsize=(7.5, 4), layout="constrained")
axes.plot(powers, predicted, ":", color=PALETTE[0], label="at most 2^(-25 - k) in float32")
axes.plot(powers, zero, "o-", color=PALETTE[1], markersize=4, label="stored as 0")
axes.plot(powers, infinite, "s-", color=PALETTE[2], markersize=4, label="infinite or nan")
axes.set_yscale("symlog", linthresh=1e-4)
axes.set_ylim(0, 200)
tidy(axes, "weight gradients in float16, loss times 2^k", "k", "% of float32's nonzero (0 at the bottom)")
axes.legend(frameon=False, loc="upper left")
plt.show()
safe = [int(k) for k, z, i in zip(powers, zero, infinite, strict=True) if i == 0]
rest = np.count_nonzero(found[safe.index(max(safe))] == 0)
enough = int(powers[np.argmax(np.equal(predicted, 0))])
print(f"no underflow from k = {enough} on, no overflow up to k = {max(safe)}; still 0 there: {rest} gradients")

# %% [markdown]
# The valley is wide: from k = 10 to k = 20 (only even k were tried, on one batch) nothing underflows and
# nothing overflows, so the scale need not be tuned. (The few that stay 0 there are no underflow: they sit
# behind a ReLU that the rounded forward pass has switched off.) Its right end is a cliff: an infinite
# gradient in the *last* layer reaches everything before it.
#
# Published scales: 8 was enough for one network (SSD), 128 for another (bigLSTM), and 8 to 32,768 were used
# (Micikevicius et al., 2018). Move the slider on your own:

# %%
fp.widgets.loss_scale()

# %% [markdown]
# ## 5. Let the scale find itself
#
# The right scale changes while a network trains. *Dynamic* scaling needs no tuning: if any gradient is
# infinite or nan, skip the step and halve the scale; after so many good steps in a row double it. Here is
# PyTorch's loop, call for call, with a start far too high, 2^24, and a growth interval of 12 steps
# (PyTorch's: 2^16 and 2000).
#
# **Predict.** How many steps will be skipped before the first one is taken? And after that, ever again?

# %%
optimizer = fp.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
scaler = fp.amp.GradScaler(init_scale=2.0**24, growth_interval=12)
scales, reports = [], []
for x, y in fp.data.batches(digits.train_x, digits.train_y, size=32, seed=0).take(80):
    optimizer.zero_grad()
    with fp.autocast("float16"):
        loss = F.cross_entropy(net(fp.tensor(x)), y)
    scaler.scale(loss).backward()
    scales.append(scaler.get_scale())
    reports.append(scaler.step(optimizer))
    scaler.update()
for report in reports[:6]:
    print(report)

# %%
skipped = [i for i, report in enumerate(reports) if report.skipped]
figure, axes = plt.subplots(figsize=(7.5, 3.4), layout="constrained")
axes.step(range(len(scales)), np.log2(scales), where="post", color=PALETTE[0], label="loss scale")
axes.plot(skipped, np.log2(scales)[skipped], "v", color=PALETTE[2], label="step skipped")
tidy(axes, "a dynamic loss scale, growing every 12 good steps", "step", "log2 of the scale")
axes.legend(frameon=False)
plt.show()
first = next(i for i, report in enumerate(reports) if not report.skipped)
print(f"{first} skipped at the start, {len(skipped)} of {len(reports)} in all; last loss {loss.item():.3f}")

# %% [markdown]
# It probes: it grows until a step overflows, and gives that step up. With PyTorch's interval of 2000 a probe
# costs one step in 2000. A skipped step changes nothing, neither weights nor momentum: the scaler looks at
# the gradients *before* the optimizer does.
#
# ## 6. Does it learn?
#
# The scenario `underflow`, made a little harder: the loss is multiplied by 2^-20 and the learning rate by
# 2^20, so that in exact arithmetic nothing changes. `float16/float32` stores in float16 and sums in float32;
# `mixed_float16` also keeps float32 weights and scales the loss, dynamically from 2^15.
#
# **Predict.** Two of the three curves below lie on each other. Which one does not, and what is it doing?

# %%
harder = {"scenario": "underflow", "loss_factor": 2.0**-20, "lr": 0.03 * 2**20, "momentum": 0.9}
runs = [fp.train(recipe, steps=60, **harder) for recipe in ("float32", "float16/float32", "mixed_float16")]
figure, axes = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
for run, colour, line in zip(runs, (0, 2, 3), ("-", "-", "--"), strict=True):
    axes.plot(run.loss, line, color=PALETTE[colour], label=run.recipe)
tidy(axes, "loss times 2^-20: the same network in three recipes", "step", "cross entropy")
axes.legend(frameon=False)
plt.show()
for run in runs:
    print(f"{run.recipe:>16}: {run.share('to_zero'):6.1%} of the gradients to 0, accuracy {run.accuracy:.0%}")

# %% [markdown]
# ## 7. A scaled gradient is not the gradient
#
# Between `backward` and `step` the gradients in `.grad` are multiplied by the scale. Whoever looks at them,
# to clip them for instance, has to unscale first.
#
# **Predict.** The gradient below is (3, 4), its norm 5; it is clipped to norm 1. Without `unscale_`, what is
# left of it when the optimizer steps?


# %%
def clipped(unscale_first):
    w = fp.tensor([3.0, 4.0], requires_grad=True)
    optimizer, scaler = fp.optim.SGD([w], lr=1.0), fp.amp.GradScaler(init_scale=65536.0)
    scaler.scale((w * w / 2).sum()).backward()
    if unscale_first:
        scaler.unscale_(optimizer)
    fp.nn.utils.clip_grad_norm_([w], max_norm=1.0)
    before = w.numpy().copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fp.ScaledGradientWarning)  # fpsim notices; PyTorch does not
        scaler.step(optimizer)
    return np.linalg.norm(w.numpy() - before)


print(f"unscale_, clip, step: the weights move by {clipped(True):.6f}")
print(f"clip, step:           the weights move by {clipped(False):.6f}")

# %% [markdown]
# ## The numbers promised above

# %%
assert fp.round(2.0**-25, "float16") == 0
assert not small.any()
assert np.array_equal(plain, back)
assert (plain.size, first, scales[first]) == (838_094, 5, 2.0**19)
print("found, all of them")

# %% [markdown]
# ## Exercises
#
# Each cell below is yours. `check` says whether it is right, or gives a hint; it needs only `fp` and `np`.
#
# **6.1.** A gradient is 3e-9. What is the smallest power of two by which the loss has to be multiplied so
# that float16 does not store this gradient as 0?

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = 1.0
while fp.round(3e-9 * answer, "float16") == 0:
    answer *= 2
### END SOLUTION
check("ex06.1", answer)

# %% [markdown]
# **6.2.** A dynamic scale starts at 1024; it doubles after 3 good steps in a row and halves at a bad one. The
# steps are good, good, bad, good, good, bad, good, good. What is the scale afterwards?

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = 1024 / 2 / 2  # never three in a row
### END SOLUTION
check("ex06.2", answer)

# %% [markdown]
# **6.3.** A gradient has norm 10, the scale is 1024. The loop forgets `unscale_` and clips to norm 1, then
# calls `scaler.step(optimizer)`. What norm does the gradient have that the optimizer uses?

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = 1 / 1024
### END SOLUTION
check("ex06.3", answer)


# %% [markdown]
# **6.4.** Write the rule of the dynamic scale: given the scale, the number of good steps so far in a row, and
# a step's gradients (an array), give the new scale and the new number of good steps. It doubles after 3, and
# halves.


# %% tags=["exercise"]
def new_scale(scale, good, gradients):
    """The scale for the next step, and how many good steps in a row there have been."""
    ### BEGIN SOLUTION
    if not np.isfinite(gradients).all():
        return scale / 2, 0
    if good + 1 == 3:
        return scale * 2, 0
    return scale, good + 1
    ### END SOLUTION


check("ex06.4", new_scale)

# %% [markdown]
# ## What to remember
#
# - float16 stores everything up to 2^-25 as 0. Gradients become that small while nothing overflows, and no
#   message appears: count them (`fp.observe`).
# - Multiplying the loss by 2^k moves every gradient by k powers of two. What was a normal number keeps its
#   bits; what was subnormal gets lost bits back, and what was 0 a value. It must happen before `backward`, and
#   the gradients must be divided before anything looks at them.
# - There is a wide range of scales that lose nothing. Dynamic scaling finds it: halve and skip the step when
#   a gradient is infinite or nan, double after many good steps.
# - Loss scaling repairs the range of gradients. It does nothing for updates that are too small for their
#   weights: that is `07_master_weights_and_stochastic_rounding`.
#
# **Sources.** P. Micikevicius et al., *Mixed precision training*, 2018. PyTorch documentation, *Automatic
# mixed precision examples* and `torch.amp.GradScaler` (2.x): initial scale 65536, growth interval 2000. E.
# Alpaydin and C. Kaynak, *Optical recognition of handwritten digits*, UCI, 1998. Y. LeCun et al.,
# *Gradient-based learning applied to document recognition*, 1998.
