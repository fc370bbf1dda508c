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
# # 09 Property testing numerics
#
# **Question.** Your function passed every test you wrote, on numbers you thought of. Which numbers did you not think
# of, and can a computer find the simplest ones?
#
# **Numbers you will hit.** A softmax in half precision breaks at 16. A textbook variance of six equal numbers is
# negative. NumPy's float16 sum depends on how an array lies in memory from 2050 elements on. A cast of a respected
# library is wrong at 1.0039063096046448.
#
# **What is emulated.** Formats and their rounding, to the bit. **What is real.** The faults: they are NumPy's,
# ml_dtypes's and the textbook's own, run here as they are.

# %% [markdown]
# The library is `fpsim-lab` (`pip install "fpsim-lab[testing]"`) and is imported as `fpsim`. The package index also
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
from hypothesis import find, given, settings
from hypothesis import strategies as st

from fpsim import testing as ft
from fpsim.course import check
from fpsim.plots.style import PALETTE, tidy

repeatable = settings(derandomize=True, database=None, deadline=None)

# %% [markdown]
# ## 1. What a random float is
#
# A property test draws inputs, checks that something holds, and shrinks what breaks it to the simplest input
# that still does. It finds only what it draws.
#
# **Predict.** float16 has 63,488 finite numbers, half of them below 1 in magnitude. Of 1000 draws of
# Hypothesis's own 16-bit floats, and of 1000 draws of `ft.values("float16")`, how many different numbers are
# there, and how are their exponents spread?


# %%
def drawn(strategy, how_many=1000):
    """What a strategy gives, with the same random choices every time."""
    seen = []

    @settings(max_examples=how_many, derandomize=True, database=None, deadline=None)
    @given(strategy)
    def look(x):
        seen.append(float(x))

    look()
    return np.array(seen)


plain = drawn(st.floats(width=16, allow_nan=False, allow_infinity=False))
ours = drawn(ft.values("float16", allow_inf=False, allow_nan=False))
for name, x in (("st.floats(width=16)", plain), ('ft.values("float16")', ours)):
    odd = ((x >= 1) & (x < 2) & ((x * 1024) % 2 == 1)).sum()
    print(f"{name:22} {len(x)} draws, {len(set(x))} different, {(x == 0).sum()} zeros,", end=" ")
    print(f"{odd} in [1, 2) with an odd last bit")

# %%
figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
for x, name, color, shift in ((plain, "st.floats(width=16)", PALETTE[1], -0.2), (ours, "ft.values", PALETTE[0], 0.2)):
    exponents = np.floor(np.log2(np.abs(x[x != 0])))
    counts = [(exponents == e).sum() for e in range(-24, 16)]
    axes.bar(np.arange(-24, 16) + shift, counts, 0.4, label=name, color=color)
axes.axvspan(-24.5, -14.5, color="gray", alpha=0.15)
axes.text(-24.2, axes.get_ylim()[1] * 0.9, "subnormal", fontsize=9)
tidy(axes, "Where random float16 numbers lie", "binary exponent of the number drawn", "draws")
axes.legend()
plt.show()

# %% [markdown]
# `ft.values` draws the sign, the exponent and the significand each evenly, and the ends of the format more often than
# chance would. Rounding errors live in the last bit, so that is what must vary.

# %% [markdown]
# ## 2. The simplest number that breaks it
#
# **Predict.** For which simplest float16 x does x * x overflow? And which two numbers break this softmax?


# %%
def softmax(x):
    with np.errstate(all="ignore"):
        e = np.exp(x)
        return e / e.sum()


square = find(ft.values("float16"), lambda x: abs(x * x) > 65504, settings=repeatable)
broken = find(ft.arrays("float16", 2), lambda x: not np.isfinite(softmax(x)).all(), settings=repeatable)
print(f"x * x overflows at x = {square}")
print(f"softmax({broken.tolist()}) = {softmax(broken).tolist()}; exp(16) = {np.exp(16.0):,.0f}, float16 ends at 65504")

# %% [markdown]
# ## 3. Laws instead of examples
#
# Nobody has to guess what could be wrong: what must hold for every softmax is known. `ft.laws` has suites for
# rounding, sums, dot products, activations and softmax. Each law of the first four has been seen to catch a fault
# that no other law catches.
#
# **Predict.** ml_dtypes is the library behind bfloat16 in JAX. Is its cast from float64 to bfloat16 rounded to
# nearest?

# %%
import ml_dtypes

try:
    ft.laws.rounding(lambda x: x.astype(ml_dtypes.bfloat16).astype(float), "bfloat16")
except AssertionError as failure:
    print(failure)

# %% [markdown]
# It goes through float32. `1 + 2**-8 + 2**-24` lies a little above the middle between two neighbours; rounded
# to float32 it is the middle, and the tie goes to the even one: the wrong side. Rounded once it is right:

# %%
x = 1 + 2.0**-8 + 2.0**-24
print("once:", fp.round(x, "bfloat16"), " twice:", float(ml_dtypes.bfloat16(x)))
ft.laws.rounding(lambda x: fp.round(x, "bfloat16"), "bfloat16")
print("fp.round keeps all laws")

# %% [markdown]
# ## 4. An order you did not choose
#
# **Predict.** Does `x.sum(axis=0)` of a float16 array depend on whether the array is stored by rows or by columns?

# %%
ones = np.ones((3000, 2), np.float16)
try:
    ft.assert_layout_invariant(lambda x: x.sum(axis=0), ones)
except AssertionError as failure:
    print(failure)
ft.assert_layout_invariant(lambda x: fp.Accumulator("float16").sum(x, axis=0), ones)
print("an accumulator that names its order does not depend on the layout")

# %% [markdown]
# ## 5. A variance below zero
#
# **Predict.** `mean(x**2) - mean(x)**2` is the textbook's shortcut. Can it be negative for six equal numbers?


# %%
def variance(x):
    return np.float32((x * x).mean(dtype=np.float32) - x.mean(dtype=np.float32) ** 2)


near_one = ft.values("float32", exponents=(0, 0), signed=False)
x = find(near_one.map(lambda v: np.full(6, v, np.float32)), lambda x: variance(x) < 0, settings=repeatable)
print(f"six times {x[0]!r}: shortcut {variance(x):.3g}, exactly {ft.exact.variance(x)}")

# %% [markdown]
# ## 6. How wrong may it be?
#
# A sum in a narrow format *is* wrong. A bound says how wrong it may be: `n u` times the sum of magnitudes for a
# sequential sum, less for other orders. The assertion knows the bound of each accumulator and fails beyond it.
#
# **Predict.** 500 numbers of [1, 2) are summed in float16. Of the a-priori bound, how much is used: all, a
# half, a tenth?

# %%
rng = np.random.default_rng(0)
terms = fp.round(rng.uniform(1, 2, 500), "float16")
u = fp.finfo("float16").eps / 2
for order in ("sequential", "blocked:25", "pairwise", "kahan"):
    acc = fp.Accumulator("float16", order)
    total = acc.sum(terms)
    ft.assert_within_bound(total, terms, None, acc)
    error, bound = abs(float(ft.exact.sum(terms)) - float(total)), 500 * u * float(ft.exact.sum(terms))
    print(f"{order:>10}: error {error:7.3f}, n u sum |x| = {bound:.1f}, of which that is {error / bound:.2%}")

# %% [markdown]
# ## Exercises
#
# Each cell below is yours. `check` says whether it is right, or gives a hint; it needs only the imports above.
#
# **9.1.** Hypothesis says that softmax breaks at 16. Which is the smallest whole number whose exponential is infinite
# in float16?

# %% tags=["exercise"]
### BEGIN SOLUTION
answer = next(n for n in range(100) if np.isinf(fp.round(np.exp(float(n)), "float16")))
### END SOLUTION
check("ex09.1", answer)

# %% [markdown]
# **9.2.** Addition of floats is commutative but not associative. Give three float16 numbers a, b, c, all in [1, 2), for
# which (a + b) + c and a + (b + c) differ in float16: let `find` look for them, or think. Answer with a list.

# %% tags=["exercise"]
### BEGIN SOLUTION
from_1_to_2 = ft.values("float16", exponents=(0, 0), signed=False)
answer = find(
    st.tuples(from_1_to_2, from_1_to_2, from_1_to_2),
    lambda t: np.float16(t[0] + t[1]) + t[2] != t[0] + np.float16(t[1] + t[2]),
    settings=settings(derandomize=True, database=None),
)
### END SOLUTION
check("ex09.2", answer)

# %% [markdown]
# **9.3.** A test of your own. `cast` is somebody's function from float64 arrays to the nearest float16 numbers. Write
# `holds(cast)`, which returns True if it rounds rightly and False if not. It will be tried on a right one and on four
# with a fault each; random numbers alone will not find them. (`fp.round` tells what is right,
# `fp.all_values("float16")` all numbers of the format.)


# %% tags=["exercise"]
def holds(cast):
    ### BEGIN SOLUTION
    values = fp.all_values("float16").astype(float)
    values = values[np.isfinite(values)]
    middles = (values[:-1] + values[1:]) / 2
    x = np.concatenate([values, middles, np.nextafter(middles, np.inf), np.nextafter(middles, -np.inf)])
    return np.array_equal(cast(x), fp.round(x, "float16"))
    ### END SOLUTION


check("ex09.3", holds)

# %% [markdown]
# ## Remember
#
# - Test with numbers as the format has them: every exponent, every last bit, both ends. Uniform random numbers
#   and general-purpose strategies miss what rounding does.
# - State laws: monotone, symmetric in sign, the same for every layout, right beside a tie. A law needs no
#   expected values.
# - Let the computer shrink: 16, 256, 2050 ones, six equal numbers are examples that explain themselves.
# - Judge with an oracle that shares no code with what it judges, and with a bound where the answer may be
#   wrong.
#
# Sources: MacIver et al., *Hypothesis: a new approach to property-based testing* (JOSS, 2019); Higham, *Accuracy and
# Stability of Numerical Algorithms* (2002), chapters 1.9 (variance) and 4 (sums); Figueroa, *When is double rounding
# innocuous?* (1995).
