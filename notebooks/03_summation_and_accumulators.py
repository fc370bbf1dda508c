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
# # 03 Summation and accumulators
#
# **Question.** You add 0.1 ten thousand times in half precision and get 256. Which of these would repair it:
# better numbers to add, a better format for the running sum, or a better order?
#
# **Numbers you will hit.** Ones stop at 2048. 0.1 stops at 256 in float16 and at 32 in bfloat16. The harmonic
# series, which has no limit, stops at its 513th term in float16, at its 65th in bfloat16, at its 2,097,152nd
# in float32. A sum in a 16-bit format with 6 exponent bits stops at 4096.
#
# **What is emulated.** Every addition, one at a time: its exact result is rounded once to the format of the
# accumulator, the variable that holds the running sum. Each order is exactly the one named, so its numbers
# are the same on every machine. The exception is `blas`, the default of float32 accumulators, which is the
# machine's own order.
#
# **What is not.** Time: how long a cell takes says nothing about hardware. And the inside of a particular
# chip: tensor cores align and truncate operands in their own way (Fasi et al., 2021).

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
from bisect import bisect_left

import matplotlib.pyplot as plt
import numpy as np

from fpsim.course import check
from fpsim.plots.style import PALETTE, tidy

# %% [markdown]
# ## 1. Ones, added until they stop
#
# **Predict.** Start at 0 and add 1 ten thousand times. What does a float16 accumulator hold at the end? Its
# largest number is 65504, so 10,000 itself is no problem. And bfloat16, which reaches 3e38?

# %%
ones = {fmt: fp.Accumulator(fmt).sum(np.ones(10_000)) for fmt in ("float16", "bfloat16", "float32")}
for fmt, total in ones.items():
    print(f"{fmt:>8}: 1 + 1 + ... + 1, ten thousand times = {total:.0f}")

# %% [markdown]
# Range is not the trouble, spacing is. float16 has 11 significant bits, so from 2048 = 2^11 on its numbers
# are 2 apart: 2049 is not one of them.

# %%
below, above = (fp.nextafter(2048.0, towards, "float16") for towards in (0.0, 4096.0))
print(f"float16 numbers around 2048: {below} {2048.0} {above}")
print("2048 + 1 rounds to", fp.round(2049.0, "float16"), "(a tie goes to the even neighbour)")

for fmt in (fp.bfloat16, fp.float16, fp.float32):
    total = fp.Accumulator(fmt, "sequential").sum(np.ones(2**fmt.p + 1000))
    print(f"{fmt.name:>8}: {fmt.p:2} significant bits, stops at {total:.0f}")

# %% [markdown]
# Hence the rule: **an addend below half the spacing of the running sum changes nothing.** Adding it again
# does not help; nothing is remembered. This is called *swamping* or *stagnation*.
#
# `"sequential"` is spelt out for float32, whose default is `blas`. The two 16-bit formats are sequential
# unless told otherwise.

# %% [markdown]
# ## 2. 0.1, added ten thousand times
#
# **Predict.** Where will 0.1 stop in float16: above or below 1000? Then draw the running sum against the
# exact line before you run the cell. Is it ever *above* the line?

# %%
tenths = np.full(10_000, 0.1)
n = np.arange(0, 4001, 50)
figure, axes = plt.subplots(figsize=(7, 4))
axes.plot(n, n / 10, ":", color=PALETTE[0], label="exact")
for fmt, colour, line in (("float16", PALETTE[2], "-"), ("bfloat16", PALETTE[1], "--")):
    acc = fp.Accumulator(fmt)
    axes.plot(n, [acc.sum(tenths[:k]) for k in n], line, color=colour, label=fmt)
    print(f"{fmt:>8}: 0.1 added 10,000 times = {acc.sum(tenths)}")
tidy(axes, "0.1 added n times", "number of terms n", "running sum")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# The line bends at powers of two, where the spacing doubles. Each addition really adds a whole number of
# spacings:

# %%
for start in (16.0, 32.0, 64.0, 128.0, 256.0):
    added = fp.round(start + 0.1, "float16") - start
    print(f"float16 at {start:5.0f}: spacing {fp.spacing(start, 'float16'):.6f}, adding 0.1 adds {added:.6f}")

# %% [markdown]
# Between 64 and 256 it adds 0.125, too much, every time in the same direction. At 256 half the spacing is
# 0.125, more than 0.1, and the sum stops.
#
# Two things were rounded: the terms (0.1 is not a float16 number) and the sums. Which one did the damage? The
# order `"exact"` sums without any rounding and rounds the total once.

# %%
stored = fp.round(tenths, "float16")
total = fp.Accumulator("float64", "exact").sum(stored)
print(f"terms rounded, sum exact: {total:9.4f}   error {abs(total - 1000) / 1000:.3%}")
total = fp.Accumulator("float16").sum(stored)
print(f"terms and sum rounded:    {total:9.4f}   error {abs(total - 1000) / 1000:.3%}")

# %% [markdown]
# The first part of the answer: the terms are not to blame. Storing 0.1 in 16 bits costs 0.02 %;
# *accumulating* in 16 bits costs 74 %.

# %% [markdown]
# ## 3. A series without a limit has one
#
# **Predict.** 1 + 1/2 + 1/3 + ... grows beyond every bound, like the logarithm of n. In float16 it stops. At
# a hundred terms, a thousand, a million? And float32, with 13 bits more?

# %%
stops = {}
for fmt, longest in (("bfloat16", 3000), ("float16", 3000), ("float32", 3_000_000)):
    acc = fp.Accumulator(fmt, "sequential")
    terms = 1 / np.arange(1, longest + 1)
    limit = float(acc.sum(terms))
    reached = bisect_left(range(longest), limit, key=lambda k: acc.sum(terms[:k]))  # the first equal to it
    stops[fmt] = reached + 1, limit
    print(f"{fmt:>8}: stays at {limit} from term {reached + 1:,} on; ", end="")
    print(f"half the spacing there is 1/{2 / fp.spacing(limit, fmt):,.0f}")

# %% [markdown]
# The series stops where 1/n falls to half the spacing of the sum. An exact half is a tie and goes to the even
# neighbour: in float16 term 512 is one, and still goes up; in float32 term 2,097,152 is one, and does not.
# The three stops are those of Connolly, Higham and Mary (2021).
#
# **Predict.** With n on a logarithmic axis the exact sum is a straight line. Where do the two formats leave
# it?

# %%
n = np.unique(np.geomspace(1, 10_000_000, 60).astype(int))
terms = 1 / np.arange(1, n[-1] + 1)
figure, axes = plt.subplots(figsize=(7, 4))
axes.plot(n, np.cumsum(terms)[n - 1], ":", color=PALETTE[0], label="float64")
for fmt, colour, line in (("float32", PALETTE[1], "-"), ("float16", PALETTE[2], "--")):
    acc = fp.Accumulator(fmt, "sequential")
    axes.plot(n, [acc.sum(terms[:k]) for k in n], line, color=colour, label=fmt)
axes.set_xscale("log")
tidy(axes, "1 + 1/2 + ... + 1/n", "number of terms n", "sum")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## 4. Store in 16 bits, accumulate in 32
#
# If the terms are innocent, leave them in float16 and widen only the accumulator. A tensor says both,
# `storage/accumulator`, and its sum is rounded to the storage format once, at the end. This is what tensor
# cores do (their operands are float16, their accumulators float32).
#
# **Predict.** Which of the four sums of 0.1 below are near 1000: the two with float32 terms, or the two with
# float32 accumulators?

# %%
for precision in ("float16/float16", "float32/float16", "float16/float32", "float32/float32"):
    total = fp.tensor(tenths, precision=precision).sum()
    print(f"stored/accumulated in {precision}: {total.item():.4f}")

# %% [markdown]
# Products fare even better: two numbers of 11 bits have a product of 22 bits, which fits the 24 of float32.
# So only the additions round. Here is a layer of a network, 1600 inputs (zero or positive, as after a ReLU),
# once for each accumulator.

# %%
rng = np.random.default_rng(0)
x = fp.round(np.maximum(rng.normal(size=(64, 1600)), 0), "float16")
w = fp.round(rng.normal(size=(1600, 10)) * 0.05, "float16")
exact = fp.Accumulator("float64", "exact").matmul(x, w)
for fmt in ("bfloat16", "float16", "float32"):
    out = fp.Accumulator(fmt, "sequential").matmul(x, w)
    error = np.abs(out - exact).mean() / np.abs(exact).mean()
    print(f"accumulated in {fmt:>8}: mean error {error:.1e} of the mean output")
error = np.abs(fp.round(exact, "float16") - exact).mean() / np.abs(exact).mean()
print(f"exact, stored in float16: mean error {error:.1e}")

# %% [markdown]
# With a float32 accumulator the error is far below what storing the output in float16 costs anyway.

# %% [markdown]
# ## 5. Or change the order
#
# Suppose the accumulator must stay float16. The same numbers can still be added differently:
#
# | order | how |
# |---|---|
# | `sequential` | one after the other |
# | `pairwise` | the first half and the second half, each summed the same way, then added |
# | `blocked:64` | blocks of 64 one after the other, then the sums of the blocks one after the other |
# | `kahan` | one after the other, with a second variable that carries what the last addition lost (Kahan, 1965) |
# | `exact` | no rounding until the end (Kulisch): the best any order can give |
#
# **Predict.** All additions are rounded to float16. Which orders still get 1000 from ten thousand times 0.1,
# and why would halving help at all?

# %%
orders = ("sequential", "pairwise", "blocked:64", "kahan", "exact")
for order in orders:
    acc = fp.Accumulator("float16", order)
    print(f"{order:>10}: ones {acc.sum(np.ones(10_000)):7.1f}   tenths {acc.sum(tenths):7.1f}")

# %% [markdown]
# `pairwise` and `blocked` keep the two operands of an addition of similar size, so that neither is swamped.
# `kahan` remembers.
#
# **Predict.** For each order, at how many terms is the error first above 1 %? Move the slider and see.

# %%
fp.widgets.accumulate()

# %% [markdown]
# Now measure. *u* is the unit roundoff, half the spacing just above 1 (2^-11 for float16): the most that one
# rounding can change a number, relatively. Two laws are drawn: the guaranteed bound **n u** of a sequential
# sum, and **sqrt(n) u**, the size to expect if roundings err up and down like coin tosses (Higham and Mary,
# 2019).
#
# **Predict.** Terms are uniform in [0, 1]. Which law will the sequential sum follow? To the end?

# %%
fmt = fp.float16
trials = 20
lengths = 2 ** np.arange(4, 15)
x = fp.round(np.random.default_rng(1).uniform(0, 1, (lengths[-1], trials)), fmt)  # every column is one trial


def mean_error(total, k):
    """Mean relative error over the trials, in units of u; float64 sums these terms exactly."""
    exact = x[:k].sum(axis=0)
    return np.mean(np.abs(total - exact) / exact) / fmt.unit_roundoff


errors = {}
for order in orders:
    acc = fp.Accumulator(fmt, order)
    errors[order] = [mean_error(acc.sum(x[:k], axis=0), k) for k in lengths]

# %%
figure, axes = plt.subplots(figsize=(7, 4.5))
axes.loglog(lengths, lengths, color="0.6", linewidth=1)
axes.loglog(lengths, np.sqrt(lengths), color="0.6", linewidth=1)
axes.text(100, 180, "n u", color="0.4")
axes.text(40, 9, "sqrt(n) u", color="0.4")
for order, colour, line in zip(orders, (2, 3, 1, 5, 0), ("o-", "s-", "^-", "D-", ":"), strict=True):
    axes.loglog(lengths, errors[order], line, color=PALETTE[colour], markersize=4, label=order)
tidy(axes, "float16 sums of n terms in [0, 1]", "number of terms n", "mean relative error, in u = 2^-11")
axes.legend(frameon=False)
plt.show()

# %%
for k, error in zip(lengths, errors["sequential"], strict=True):
    print(f"n = {k:6}: sequential error {error:7.1f} u   sqrt(n) u = {np.sqrt(k):6.1f} u")

# %% [markdown]
# Up to n = 4096 the sequential sum stays below sqrt(n) u, far from the bound. Then it jumps: from 2048 on the
# spacing is 2, no term exceeds half of it, and every rounding errs *down*. Coins that always fall on the same
# side are no coins. The sqrt(n) law needs errors without a preferred sign. The other orders never let the two
# operands grow so far apart (`kahan` lies on `exact`).
#
# Rounding up or down at random, with odds that make the mean right, restores that: **stochastic rounding**
# makes sqrt(n) u hold always, with high probability (Connolly, Higham and Mary, 2021). At n = 2^14:

# %%
k = lengths[-1]
for mode in ("nearest_even", "stochastic"):
    acc = fp.Accumulator(fmt, "sequential", rounding=mode, rng=np.random.default_rng(2))
    print(f"{mode:>12}: error {mean_error(acc.sum(x[:k], axis=0), k):7.1f} u   sqrt(n) u = {np.sqrt(k):.0f} u")

# %% [markdown]
# ## 6. How long should a block be?
#
# A term in a block of b takes part in at most b additions inside it, and its block's sum in n/b more. In one
# format the bound is therefore **(b + n/b) u**. If the block sums are added in a wider accumulator, only the
# first part remains: **b u**, however long the sum (Blanchard, Higham and Mary, 2020).
#
# **Predict.** n = 16384. Where is the best b in float16 alone? And if the blocks are summed in float32?

# %%
half, single = fp.Accumulator("float16"), fp.Accumulator("float32", "sequential")
n = int(lengths[-1])
blocks = 2 ** np.arange(1, 14)
alone = [mean_error(fp.Accumulator("float16", f"blocked:{b}").sum(x, axis=0), n) for b in blocks]
helped = [mean_error(single.sum(half.sum(x.reshape(-1, b, trials), axis=1), axis=0), n) for b in blocks]

figure, axes = plt.subplots(figsize=(7, 4.5))
axes.loglog(blocks, blocks + n / blocks, "--", color=PALETTE[2], linewidth=1, label="bound (b + n/b) u")
axes.loglog(blocks, alone, "o-", color=PALETTE[2], markersize=4, label="all additions in float16")
axes.loglog(blocks, blocks, "--", color=PALETTE[1], linewidth=1, label="bound b u")
axes.loglog(blocks, helped, "s-", color=PALETTE[1], markersize=4, label="sums of blocks added in float32")
axes.set_xscale("log", base=2)
tidy(axes, f"{n:,} terms in blocks of b", "block length b", "mean relative error, in u = 2^-11")
axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %%
best = blocks[np.argmin(alone)]
print(f"float16 alone: b = {best} is best ({min(alone):.1f} u), the bound is least at {np.sqrt(n):.0f}")
print(f"blocks of {blocks[5]}: {alone[5]:.1f} u alone, {helped[5]:.2f} u with their sums added in float32")

# %% [markdown]
# Alone, both ends are bad: short blocks leave a long sum of block sums, which stagnates, and long blocks
# stagnate themselves. With a wide accumulator for the block sums, shorter is better (and takes more wide
# additions). Chips are used this way: DeepSeek-V3 (2024) trains in FP8 with blocks of 128 products inside the
# tensor cores and float32 for the rest.

# %% [markdown]
# ## 7. Swamping, as published
#
# Wang et al. (2018) train networks whose sums are kept in 16 bits: 1 sign, **6** exponent and **9**
# significand bits. Their test: addends uniform with mean 1 and standard deviation 1 (so between 1 - sqrt(3)
# and 1 + sqrt(3)).
#
# **Predict.** The largest addend is 2.73. With 9 stored bits (10 significant), at which power of two does the
# sum stop? What do blocks of 64 change, in the same format?

# %%
fmt = fp.Format("e6m9")
addends = np.random.default_rng(3).uniform(1 - np.sqrt(3), 1 + np.sqrt(3), 16_384)
n = np.arange(1024, len(addends) + 1, 1024)
figure, axes = plt.subplots(figsize=(7, 4))
axes.plot(n, np.cumsum(addends)[n - 1], ":", color=PALETTE[0], label="exact")
swamped = {}
for order, colour, line in (("blocked:64", PALETTE[1], "s-"), ("sequential", PALETTE[2], "o-")):
    acc = fp.Accumulator(fmt, order)
    sums = [acc.sum(addends[:k]) for k in n]
    swamped[order] = sums[-1]
    axes.plot(n, sums, line, color=colour, markersize=4, label=order)
tidy(axes, "addends of mean 1 and standard deviation 1, summed in 1-6-9", "number of terms n", "running sum")
axes.legend(frameon=False)
print(f"sum of {len(addends):,} addends: exact {addends.sum():.0f}", end="")
print("".join(f", {order} {total:.0f}" for order, total in swamped.items()))
print(f"half the spacing at 4096 is {fp.spacing(4096.0, fmt) / 2}, the largest addend {addends.max():.2f}")

# %% [markdown]
# ## 8. One rounding fewer: fused multiply-add
#
# A product is usually rounded before it is added. A fused multiply-add (`fma=True`) adds the exact product:
# one rounding instead of two.
#
# **Predict.** (1 + 2^-10)(1 - 2^-10) - 1 is exactly -2^-20. What does float16 say, without and with it? Will
# a long sum of products gain as much?

# %%
a, b = [1, 1 + 2**-10], [-1, 1 - 2**-10]
long_a, long_b = x[:4096, 0], x[:4096, 1]
exact = long_a @ long_b
for fma in (False, True):
    acc = fp.Accumulator("float16", "sequential", fma=fma)
    error = abs(acc.dot(long_a, long_b) - exact) / exact
    print(f"fma={fma!s:<5}  (1 + 2^-10)(1 - 2^-10) - 1 = {acc.dot(a, b):.3g}   ", end="")
    print(f"{len(long_a)} products: relative error {error:.2e}")
print(f"exact      (1 + 2^-10)(1 - 2^-10) - 1 = {-(2**-20):.3g}")

# %% [markdown]
# It saves the short product, in which everything cancels. In the long one the additions do the damage, and
# they are rounded either way.

# %% [markdown]
# ## 9. Who chose the order?
#
# NumPy's float16 sums are fast, and the order is whatever is fast. The same 20,000 ones, in two columns:
#
# **Predict.** Summed over axis 0, will C order (rows together in memory) and Fortran order (columns together)
# agree?

# %%
c_order = np.ones((10_000, 2), np.float16)
fortran = np.asfortranarray(c_order)
print("equal arrays:", np.array_equal(c_order, fortran), "  NumPy", np.__version__)
for name, array in (("C order", c_order), ("Fortran order", fortran)):
    print(f"{name:>13}: NumPy {array.sum(axis=0)[0]}", end="")
    for order in ("sequential", "pairwise"):
        print(f", fpsim {order} {fp.Accumulator('float16', order).sum(array, axis=0)[0]}", end="")
    print()

# %% [markdown]
# Along memory NumPy sums in pairs with a wider accumulator; across it, one row after the other in float16.
# Both are honest float16 sums; neither says which it is. In fpsim the order is part of what you ask for, and
# memory layout, threads and machine never change a bit (except with the order `blas`, which *is* the
# machine's own).

# %% [markdown]
# ## 10. Published, and found here

# %%
tenth = {fmt: float(fp.Accumulator(fmt).sum(tenths)) for fmt in ("float16", "bfloat16")}
rows = [
    ("ones in float16 stop at", 2048.0, float(ones["float16"]), "2^11"),
    ("0.1, 10,000 times, float16", 256.0, tenth["float16"], "half spacing at 256 is 0.125"),
    ("0.1, 10,000 times, bfloat16", 32.0, tenth["bfloat16"], "half spacing at 32 is 0.125"),
    ("harmonic series, float16", (513, 7.0859375), stops["float16"], "Connolly et al., 2021"),
    ("harmonic series, bfloat16", (65, 5.0625), stops["bfloat16"], "Connolly et al., 2021"),
    ("harmonic series, float32", (2097152, 15.403682708740234), stops["float32"], "Connolly et al., 2021"),
    ("1-6-9 sum stops at", 4096.0, float(swamped["sequential"]), "Wang et al., 2018"),
]
for claim, said, found, source in rows:
    print(f"{claim:28} {said!s:30} {'found' if found == said else f'FOUND {found}':8} {source}")

# %% [markdown]
# ## Exercises
#
# Each cell below is yours. `check` says whether it is right, or gives a hint; it needs only `fp` and `np`.
#
# **3.1.** Add 3 ten thousand times in bfloat16, which has 8 significant bits. Where does the sum stop? Decide before
# you compute it.

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = fp.Accumulator("bfloat16").sum(np.full(10_000, 3.0))  # 1024: half the spacing, 4, is more than 3
### END SOLUTION
check("ex03.1", answer)

# %% [markdown]
# **3.2.** A tensor of ten thousand times 0.1 is to sum to within 1 % of 1000 and to take 20,000 bytes, not more. Give
# its precision, `"storage/accumulate"`, in two of the formats float16 and float32.

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = "float16/float32"
### END SOLUTION
check("ex03.2", answer)

# %% [markdown]
# **3.3.** Write Kahan's sum in float16. For each x: `y = x - c`, `t = s + y`, `c = (t - s) - y`, `s = t`, from
# `s = c = 0`; the result of every single operation is rounded with `fp.round(..., "float16")`, x too.


# %% tags=["exercise"]
def compensated(terms):
    ### BEGIN SOLUTION
    s = c = 0.0
    for x in fp.round(terms, "float16"):
        y = fp.round(x - c, "float16")
        t = fp.round(s + y, "float16")
        c = fp.round(fp.round(t - s, "float16") - y, "float16")
        s = t
    return s
    ### END SOLUTION


check("ex03.3", compensated)

# %% [markdown]
# ## What to remember
#
# - **The accumulator has a format of its own**, and it matters more than the format of the terms: 0.1 stored
#   in float16 and accumulated in float32 sums to 1000, accumulated in float16 to 256.
# - An addend below half the spacing of the running sum is lost, and goes on being lost. Range has nothing to
#   do with it.
# - Roundings that err both ways grow like sqrt(n) u; the guaranteed bound is n u; a sum that stagnates finds
#   the bound.
# - If the accumulator must be narrow, change the order: pairs, blocks (best with a wider accumulator for the
#   block sums), Kahan, or stochastic rounding.
# - Ask which order a sum used. If nobody can say, its last bits (in float16 all of them) depend on the memory
#   layout.
#
# **Try next.** Change `fmt` in section 5 to `fp.bfloat16`: where does it jump now, and did you know before
# running? Find the longest run of 0.1 that float16 sums to within 1 %. In section 7, find the shortest block
# that cures the swamping.
#
# **Sources.** W. Kahan, *Further remarks on reducing truncation errors*, 1965. N. Higham and T. Mary, *A new
# approach to probabilistic rounding error analysis*, 2019. P. Blanchard, N. Higham and T. Mary, *A class of
# fast and accurate summation algorithms*, 2020. M. Connolly, N. Higham and T. Mary, *Stochastic rounding and
# its probabilistic backward error analysis*, 2021. DeepSeek-AI, *DeepSeek-V3 technical report*, 2024. N. Wang
# et al., *Training deep neural networks with 8-bit floating point numbers*, 2018. M. Fasi et al., *Numerical
# behavior of NVIDIA tensor cores*, 2021. U. Kulisch, *Computer arithmetic and validity*, 2008.
