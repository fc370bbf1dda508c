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
# # 02 Rounding and cancellation
#
# **Question.** A single float16 operation errs by at most one part in 2048. How can two of them in a row give a result
# without one right digit, and which of the two is to blame?
#
# **Numbers you will hit.** 4096 products, none off by more than *u* = 2^-11. (1 + 0.0004) - 1 is 0, and its subtraction
# is exact. x² - 120x + 1 has the root 0.00833; the school formula finds 0. The variance of numbers whose
# variance is 1 is computed as -8.
#
# **What is emulated.** Each operation: its exact result, rounded once to the format (IEEE 754-2019, section 4.3).
# **What is not.** What a compiler may do to a formula: here it runs as it is written.

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

from fpsim.course import check
from fpsim.plots.style import PALETTE, tidy

# %% [markdown]
# ## 1. One rounding
#
# The result of an operation is the exact one, times 1 + d, where |d| is at most *u*: half the distance from 1 to the
# next number, 2^-11 in float16. This is the *standard model* (Higham, 2002, section 2.2).
#
# **Predict.** 4096 products of two random float16 numbers: draw how often which |d| occurs, from 0 to u. Are all
# equally likely?

# %%
u = fp.float16.unit_roundoff
rng = np.random.default_rng(0)
a, b = (fp.round(rng.uniform(1, 2, 4096), "float16") for _ in range(2))
exact = a * b  # 22 bits: float64 holds them
d = np.abs(fp.round(exact, "float16") - exact) / exact

figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.hist(d / u, bins=25, range=(0, 1.25), color=PALETTE[1])
axes.axvline(1, color=PALETTE[2], linestyle="--")
tidy(axes, "relative errors of float16 products", "|d| / u", "how many")
plt.show()
print(f"u = {u:.3g} = 1/{1 / u:.0f}; the largest |d| is {d.max() / u:.3f} u, the mean {d.mean() / u:.3f} u")

# %% [markdown]
# None beyond u. (Not equally likely: a number just above a power of two has the spacing of one just below the next, so
# its rounding can be off by twice as much, relatively.) Two things end the model: results above 65504, and results
# below 2^-14, where the spacing no longer shrinks with the number.

# %% [markdown]
# ## 2. Which way?
#
# "Nearest" leaves one case open: the middle. **Predict.** From 4096 on float16 numbers are 4 apart. What becomes of
# 4097, 4098 and 4106, in each of the five ways to round of IEEE 754?

# %%
modes = ("nearest_even", "nearest_away", "toward_zero", "up", "down")
print(f"{'':>7}" + "".join(f"{mode:>14}" for mode in modes))
for x in (4097.0, 4098.0, 4106.0, -4098.0):
    print(f"{x:7.0f}" + "".join(f"{fp.round(x, 'float16', mode=mode):14.0f}" for mode in modes))

# %% [markdown]
# `nearest_even` sends a tie to the neighbour whose last significand bit is 0: down at 4098, up at 4106. Move a value
# along a line of few numbers and watch the ties:

# %%
fp.widgets.number_line()

# %% [markdown]
# Why not simply up? **Predict.** Add 0.75048828125 to 1 and take it away again, a thousand times, in float16. Where is
# x at the end, if ties go away from zero, and where, if they go to even?

# %%
y = 0.75048828125  # a float16 number
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for mode, colour in (("nearest_away", PALETTE[2]), ("nearest_even", PALETTE[1])):
    x = [1.0]
    for _ in range(1000):
        x.append(fp.round(fp.round(x[-1] + y, "float16", mode=mode) - y, "float16", mode=mode))
    axes.plot(x, color=colour, label=mode)
    print(f"{mode:>12}: after 1, 2 and 1000 rounds {x[1]:.6f} {x[2]:.6f} {x[1000]:.6f}")
tidy(axes, "x = (x + 0.7504883) - 0.7504883 in float16", "rounds", "x")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# Away from zero it drifts, until x + y reaches 2 and the spacing doubles; to even it errs once and then stays (a
# theorem of Knuth's; the example is Goldberg's, moved to float16).

# %% [markdown]
# ## 3. A subtraction that takes everything
#
# **Predict.** (1 + x) - 1 in float16, for the x below. How many digits of each answer are right?

# %%
for x in (0.3, 0.1, 0.02, 0.0014, 0.0007, 0.0004):
    t = fp.tensor(x, dtype="float16")
    result = ((1.0 + t) - 1.0).item()
    print(f"x = {t.item():.8f}   (1 + x) - 1 = {result:.8f}   relative error {abs(result - t.item()) / t.item():.1%}")

# %% [markdown]
# The nearer to nothing the result, the less of it is right. This is *cancellation*: the leading digits of 1 + x and of
# 1 are the same, the subtraction removes them, and what was at the end stands in front.
#
# **Predict.** So the subtraction is inexact? Take 100,000 pairs of float16 numbers whose ratio is between 1/2 and 2,
# subtract them in float16, and count the results that are not exact.

# %%
a = fp.round(rng.uniform(1, 2, 100_000) * 2.0 ** rng.integers(-5, 6, 100_000), "float16")
b = fp.round(a * rng.uniform(0.5, 2, 100_000), "float16")
near = (b >= a / 2) & (b <= 2 * a)
difference = fp.round(a - b, "float16")
print(f"{near.sum():,} pairs, {np.sum(difference[near] != (a - b)[near])} subtractions rounded")
total = fp.round(a + b, "float16")
print(f"{near.sum():,} pairs, {np.sum(total[near] != (a + b)[near]):,} additions rounded")

# %% [markdown]
# None (Sterbenz, 1974). The subtraction is innocent: the *addition* before it rounded, by half a spacing of 1, small
# against 1. The subtraction makes no error; it shows the one that is there, by taking away what it was small against.
#
# **Predict.** Draw the relative error of (1 + x) - 1 against x, both axes logarithmic, for float16 and float32. How do
# the two curves lie to each other, and where do they end?

# %%
x = np.geomspace(1e-9, 1, 1500)
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for fmt, colour in (("float16", PALETTE[2]), ("float32", PALETTE[1])):
    stored = fp.round(x, fmt)
    stored = stored[stored > 0]
    error = np.abs(fp.round(fp.round(1 + stored, fmt) - 1, fmt) - stored) / stored
    axes.plot(stored[error > 0], error[error > 0], ".", markersize=2, color=colour, label=fmt)
    axes.plot(x, np.minimum(fp.Format(fmt).unit_roundoff / x, 1), "--", color=colour, linewidth=1)
    print(f"{fmt}: everything is lost below x = u = {fp.Format(fmt).unit_roundoff:.2g}")
axes.set_xscale("log")
axes.set_yscale("log")
tidy(axes, "relative error of (1 + x) - 1, and u / x", "x", "relative error")
axes.legend(frameon=False, markerscale=6)
plt.show()

# %% [markdown]
# The error is u, times 1 / x: the rounding of the addition, magnified by |1 + x| / |x|. That factor is the *condition
# number* of the subtraction. It belongs to the numbers, not to the format: 13 more bits move the curve down, they do
# not bend it.

# %% [markdown]
# ## 4. A better formula is worth 13 bits
#
# x² - 2hx + 1 = 0 has the roots h ± sqrt(h² - 1). The product of the two roots is 1, so the small one is also
# 1 / (h + sqrt(h² - 1)): no subtraction of near numbers.
#
# **Predict.** h = 60: what does the school formula give in float16? Then compare: school formula in float32, better
# formula in float16. Which of them is nearer, for h = 250?

# %%
for h in (2.0, 60.0, 250.0):
    true = 1 / (h + np.sqrt(h * h - 1))
    print(f"h = {h:3.0f}, small root {true:.6f}")
    for fmt in ("float16", "float32"):
        t = fp.tensor(h, dtype=fmt)
        root = (t * t - 1.0).sqrt()
        for name, x in (("h - sqrt(h^2 - 1)", t - root), ("1 / (h + sqrt(h^2 - 1))", 1.0 / (t + root))):
            print(f"    {fmt}  {name:>23} = {x.item():.6f}   relative error {abs(x.item() - true) / true:.2%}")

# %% [markdown]
# In float16 h² - 1 = 3599 is rounded to 3600, its root is 60, and nothing is left. The problem is harmless (a small
# change of h changes the root little); the *formula* was bad. In float16 the good one is as near as the bad one in
# float32.

# %% [markdown]
# ## 5. A network does this in every layer
#
# Normalization layers need a variance. The textbook's shortcut, mean of squares minus square of the mean, needs one
# pass over the data; the definition, mean of (x - mean)², needs two.
#
# **Predict.** 4096 activations of variance 1, stored in float16, with sums in float32. Their mean moves from 0 to 120.
# Draw what each formula finds for the variance. Can it be negative?

# %%
z = rng.normal(size=4096)
z = (z - z.mean()) / z.std()
means = np.arange(0, 121, 1.3)
shortcut, definition = [], []
for mean in means:
    x = fp.tensor(mean + z, precision="float16/float32")
    shortcut.append(((x * x).mean() - x.mean() * x.mean()).item())
    centred = x - x.mean()
    definition.append((centred * centred).mean().item())

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
axes.plot(means, shortcut, "o-", markersize=3, color=PALETTE[2], label="mean(x²) - mean(x)²")
axes.plot(means, definition, "s-", markersize=3, color=PALETTE[1], label="mean((x - mean(x))²)")
tidy(axes, "variance of activations whose variance is 1", "their mean", "variance found")
axes.legend(frameon=False)
plt.show()
print(f"shortcut: {min(shortcut):.3f} to {max(shortcut):.3f}, at mean {means[38]:.1f}: {shortcut[38]:.3f}; ", end="")
print(f"definition: {min(definition):.4f} to {max(definition):.4f}")

# %% [markdown]
# At mean 50 the squares are near 2500, where float16 numbers are 2 apart: a variance of 1 is half a step. The sums in
# float32 do not help, for the two means are stored in float16 before they are subtracted. The square root of a negative
# variance is a NaN, and a NaN is the end of a training run; hence batch and layer normalization subtract the mean first
# (in fpsim as in PyTorch).
#
# ## Exercises
#
# Each cell below is yours. `check` says whether it is right, or gives a hint; it needs only `fp` and `np`.
#
# **2.1.** To which float16 number is 8204 rounded, to nearest, ties to even? By hand: between 8192 and 16384 the
# numbers are 8 apart.

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = fp.round(8204.0, "float16")  # the middle of 8200 = 1025 * 8 and 8208 = 1026 * 8
### END SOLUTION
check("ex02.1", answer)

# %% [markdown]
# **2.2.** Which is the smallest positive float16 number x for which 1 + x, in float16, is more than 1?

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = fp.nextafter(2.0**-11, 1.0, "float16")  # 2^-11 itself is a tie and goes to 1, which is even
### END SOLUTION
check("ex02.2", answer)

# %% [markdown]
# **2.3.** For small x, sqrt(1 + x) - 1 cancels. Write it without a subtraction of near numbers, right to 0.3 % for x
# from 0.001 to 100. x is a float16 tensor; every operation is to stay in float16. (Multiply and divide by
# sqrt(1 + x) + 1.)


# %% tags=["exercise"]
def root_minus_one(x):
    ### BEGIN SOLUTION
    return x / ((1.0 + x).sqrt() + 1.0)
    ### END SOLUTION


check("ex02.3", root_minus_one)

# %% [markdown]
# ## What to remember
#
# - One operation: the exact result, times 1 + d, |d| at most u. Bias, not size, makes many of them dangerous; ties to
#   even avoid it.
# - The subtraction of near numbers is exact. It *shows* earlier errors, magnified by (|a| + |b|) / |a - b|.
# - So the answer to the question: the first operation erred, by little; the second removed what it was little against.
# - If the inputs carry errors already, no formula helps. If they do not, look for the formula that does not subtract
#   near numbers: it is often worth more than a wider format.
# - Suspects in a network: variances, 1 - p for probabilities near 1, log of a softmax, differences of losses.
#
# **Next.** `03_summation_and_accumulators`: thousands of additions in a row.
#
# **Sources.** *IEEE standard for floating-point arithmetic*, IEEE 754-2019. D. Goldberg, *What every computer scientist
# should know about floating-point arithmetic*, 1991. N. Higham, *Accuracy and stability of numerical algorithms*, 2nd
# edition, 2002, chapters 1 and 2. P. Sterbenz, *Floating-point computation*, 1974. D. Knuth, *The art of computer
# programming*, volume 2, section 4.2.2.
