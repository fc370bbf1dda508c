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
# # 01 Anatomy of a float
#
# **Question.** float16 and bfloat16 both have 16 bits. One ends at 65504 and the other at 3.4e38: what does the second
# pay for that, and how can you tell it from the bits alone?
#
# **Numbers you will hit.** 0.1 is stored as 0.0999755859375. Between 1 and 2 float16 has 1024 steps, between 1024 and
# 2048 as well. Its smallest number is 2^-24. The first whole number that it does not have is 2049; bfloat16's is 257.
# 0.1 + 0.2 == 0.3 is false in float64, true in float32, false in float16 and true in bfloat16.
#
# **What is emulated.** Nothing yet: these are the formats themselves, bit for bit (IEEE 754-2019, section 3; OCP for
# FP8). **What is not.** Arithmetic, but for two additions; it begins in `02_rounding_and_cancellation`.

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
# ## 1. Three fields
#
# A float16 number is 1 bit of sign *s*, 5 bits of exponent *E* and 10 bits of significand *T*. It means
#
# $$(-1)^s \times 2^{E - 15} \times \left(1 + \frac{T}{1024}\right)$$
#
# The 15 is the *bias*: it lets E, which has no sign, mean negative powers. The 1 is the *hidden bit*: every number
# but 0 starts with a 1 in binary, so nobody stores it, and 10 stored bits do the work of 11.
#
# **Predict.** Write down the three fields of 1, of 2 and of 3. How do the fields of -6 differ from those of 3?


# %%
def fields(x):
    code = int(fp.encode(x, "float16"))  # the 16 bits as a whole number
    return code >> 15, code >> 10 & 31, code & 1023


for x in (1.0, 2.0, 3.0, -6.0, 0.1):
    s, e, t = fields(x)
    print(f"{x:4}: {s:b} {e:05b} {t:010b}   (-1)^{s} * 2^({e} - 15) * (1 + {t}/1024) = ", end="")
    print((-1) ** s * 2.0 ** (e - 15) * (1 + t / 1024))

# %% [markdown]
# The last line is the first trouble. 0.1 = 1.6 / 16 needs 1.6 as significand, and no T gives 1 + T/1024 = 1.6: the
# nearest is 614. Like 1/3 in decimals, 1/10 never ends in binary, so every format stores another number in its place.
# `fp.inspect` shows it whole:

# %%
fp.inspect("0.1", "float16")

# %% [markdown]
# **Predict.** Click the last bit of float16: by how much does the number change? Click the lowest bit of the exponent:
# what happens? And the sign of 0?

# %%
fp.widgets.bits("0.1", ["float16", "bfloat16", "float32"])

# %% [markdown]
# ## 2. The next number is the next code
#
# **Predict.** Take the 16 bits as a whole number and add 1. What is the number after 1? After 2047? After 65504?

# %%
for x in (1.0, 2047.0, 65504.0):
    code = int(fp.encode(x, "float16"))
    print(f"{x:7}: code {code:5}, the next code {code + 1} means {fp.decode(code + 1, 'float16')}")

# %% [markdown]
# A full significand carries over into the exponent, and that is right: codes of positive numbers are in the order of
# the numbers. (So floats sort like integers, and the step from one to the next, an *ulp*, is one integer step. That is
# why the exponent stands left of the significand, and why it has a bias.)
#
# **Predict.** All positive float16 numbers, counted between powers of two. Where are the most: between 1/1024 and
# 1/512, between 1 and 2, or between 32768 and 65536? Draw it.

# %%
values = fp.all_values("float16").astype(float)
positive = values[(values > 0) & np.isfinite(values)]
powers = np.arange(-25, 17)
counts = [np.sum((positive >= 2.0**k) & (positive < 2.0 ** (k + 1))) for k in powers]
figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
axes.bar(powers, counts, color=[PALETTE[2] if k < -14 else PALETTE[1] for k in powers])
tidy(axes, "float16 numbers between 2^k and 2^(k+1)", "k", "how many")
plt.show()
print(f"{positive.size:,} positive numbers, of which {np.sum(positive < 1):,} are below 1")
print(
    f"smallest 2^{np.log2(positive[0]):.0f}, largest {positive[-1]:.0f}; codes of NaN: {2**16 - 2 * positive.size - 4}"
)

# %% [markdown]
# Everywhere 1024, as many as T has values; half of all numbers are below 1. On the left the *subnormal* numbers: with
# E = 0 the hidden bit is 0 and the power stays 2^-14, so each halving loses a bit. (E = 31 with T = 0 is infinity, with
# any other T a NaN: "not a number", what 0/0 gives.)
#
# ## 3. A grid that gets coarser
#
# The same number of places in an interval twice as long: they are twice as far apart. A small format shows all it has.
#
# **Predict.** 1 sign bit, 2 exponent bits, 1 significand bit: 16 codes. Mark their numbers on a line from 0 to 6 before
# you look. How wide is the gap around 0, and how wide would it be without subnormal numbers?

# %%
fp.plots.number_line("float4_e2m1fn", 0, 6, mark="2.6")
# %% [markdown]
# The one number between 0 and 1, 0.5, is subnormal. Without it the gap from 0 to 1 would be twice the gap from 1 to
# 1.5, and x - y could be 0 for numbers that differ. Every real number in a bin is stored as the number in its middle.
#
# **Predict.** The distance between neighbours against the size of the number, both axes powers of two, for float16,
# bfloat16 and float32. Which of the three staircases is lowest, where do they end, and do any two of them cross?

# %%
fp.plots.ulp_staircase(["float16", "bfloat16", "float32"], 2.0**-30, 2.0**20)
# %%
for x in (1.0, 2.0**-20):
    print(f"at {x:.3g}: " + ", ".join(f"{fmt} {fp.spacing(x, fmt):.3g}" for fmt in ("float16", "bfloat16", "float32")))

# %% [markdown]
# At 1 float16 is the finer of the two; below 2^-17, where it has only subnormal numbers left, bfloat16 is. All three
# rise by the same slope: apart from the ends, a format has a constant *relative* precision.

# %%
print(f"{'':>10} {'stored':>6} {'p':>3} {'digits':>6} {'spacing at 1':>13} {'at 1000':>9}   whole numbers up to")
for fmt in (fp.bfloat16, fp.float16, fp.float32, fp.float64):
    at_1, at_1000 = fp.spacing(1.0, fmt), fp.spacing(1000.0, fmt)
    print(f"{fmt.name:>10} {fmt.significand_bits:6} {fmt.p:3} {fmt.decimal_digits:6.2f} ", end="")
    print(f"{at_1:13.3g} {at_1000:9.3g}   {2**fmt.p:,}")

# %% [markdown]
# p counts the hidden bit, and p log10(2) decimal digits is what the format resolves: 3.31 in float16, 2.41 in bfloat16.
# From 2^p on the spacing exceeds 1, and whole numbers are missing:

# %%
for fmt in ("float16", "bfloat16"):
    missing = next(n for n in range(1, 10_000) if fp.round(float(n), fmt) != n)
    print(f"{fmt:>8}: the first missing whole number is {missing}, stored as {fp.round(float(missing), fmt):.0f}")

# %% [markdown]
# ## 4. Sixteen bits, twice
#
# **Predict.** float16 has 5 exponent bits, bfloat16 has 8, float32 has 8. Compare the bits of bfloat16 and float32.

# %%
fp.plots.bits("0.7", ["float16", "bfloat16", "float32"])
# %% [markdown]
# bfloat16 is the first half of a float32 (rounded): same exponent field, same range, and 7 stored bits of significand
# instead of 23. Each exponent bit squares the range; each significand bit halves the spacing. The answer to the
# question:

# %%
print(f"{'':>9} {'exponent':>8} {'significand':>11} {'largest':>10} {'smallest normal':>15} {'spacing at 1':>12}")
for e in range(4, 9):
    fmt = fp.Format(f"e{e}m{15 - e}")
    print(f"{fmt.name:>9} {e:8} {15 - e:11} {fmt.max:10.4g} {fmt.smallest_normal:15.3g} {fmt.eps:12.3g}")

# %% [markdown]
# Three bits moved from the significand to the exponent buy some 34 powers of ten at the upper end, for a spacing eight
# times coarser.
#
# ## 5. The most famous test of all
#
# **Predict.** `0.1 + 0.2 == 0.3` is false in Python, whose floats are float64. In how many of the other three is it
# true?

# %%
for fmt in ("bfloat16", "float16", "float32", "float64"):
    a, b, c = (fp.tensor(x, dtype=fmt) for x in (0.1, 0.2, 0.3))
    print(f"{fmt:>8}: {(a + b).item()!s:20} == {c.item()!s:20} {(a + b).item() == c.item()}")

# %% [markdown]
# More bits do not make it true. Three numbers were rounded before the addition and the sum once more; whether the four
# errors meet again is luck, not precision.
#
# ## Exercises
#
# Each cell below is yours. `check` says whether it is right, or gives a hint; it needs only `fp` and `np`.
#
# **1.1.** Which number do the float16 bits `0 10001 0100000000` mean? By hand.

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = 2.0 ** (0b10001 - 15) * (1 + 0b0100000000 / 1024)  # 4 times 1.25
### END SOLUTION
check("ex01.1", answer)

# %% [markdown]
# **1.2.** float8_e4m3fn has 4 exponent bits and 3 stored significand bits, and ends at 448. Which is the smallest
# positive whole number that it does not have?

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = next(n for n in range(1, 449) if fp.round(float(n), "float8_e4m3fn") != n)
### END SOLUTION
check("ex01.2", answer)

# %% [markdown]
# **1.3.** You may split 16 bits as you like (1 sign bit). Values up to a million must stay finite, and the spacing is
# to be as fine as possible. Give the format, written like `"e5m10"`.

# %% tags=["exercise"]
### BEGIN SOLUTION
reaching = [fp.Format(f"e{e}m{15 - e}") for e in range(2, 10) if fp.Format(f"e{e}m{15 - e}").max >= 1e6]
answer = min(reaching, key=lambda fmt: fmt.eps).name
### END SOLUTION
check("ex01.3", answer)

# %% [markdown]
# **1.4.** Write a function that takes the code of any finite, not negative float16 number (0 to 31743) and gives the
# number, from the formulas of this chapter, without `fp.decode`.


# %% tags=["exercise"]
def value(code):
    ### BEGIN SOLUTION
    e, t = code >> 10, code & 1023
    return 2.0**-14 * t / 1024 if e == 0 else 2.0 ** (e - 15) * (1 + t / 1024)
    ### END SOLUTION


check("ex01.4", value)

# %% [markdown]
# ## What to remember
#
# - A float is a sign, a power of two and a significand that starts with a hidden 1. The next number is the next code.
# - Between any two neighbouring powers of two lie equally many numbers, so the spacing doubles at each power of two:
#   floats have a constant *relative* precision, p bits, and no constant absolute one.
# - Each exponent bit squares the range, each significand bit halves the spacing. float16 spends 5 and 10, bfloat16 8
#   and 7: float32's range for an eighth of float16's resolution.
# - Below the smallest normal number the spacing stays, and precision fades bit by bit down to zero.
# - Almost no decimal fraction is a float. What is stored is another number, exactly known.
#
# **Next.** `02_rounding_and_cancellation`: what happens when two of these numbers are combined.
#
# **Sources.** *IEEE standard for floating-point arithmetic*, IEEE 754-2019. D. Goldberg, *What every computer scientist
# should know about floating-point arithmetic*, 1991. Open Compute Project, *OCP 8-bit floating point specification
# (OFP8)*, 2023, and *Microscaling formats (MX)*, 2023. D. Kalamkar et al., *A study of BFLOAT16 for deep learning
# training*, 2019.
