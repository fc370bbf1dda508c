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
# # 04 Autograd in any precision
#
# **Question.** You compute y = f(x, w) and its gradient in half precision, and both are wrong. How much of that comes
# from rounding x, how much from rounding w, how much from the operations and how much from the sums? And can a gradient
# be worthless where y is fine?
#
# **Numbers you will hit.** A finite difference in float16 has two digits at its best, autograd three. tanh(5) is 1 in
# float16, right to 0.01 %, and its gradient is 0, off by 100 %. The gradient of a bias over a batch of 4096 is 2048. In
# a layer of 1600 inputs a wider accumulator removes nine tenths of the error.
#
# **What is emulated.** Every stored value, every addition of a sum and every gradient, each rounded once to its format.
# **What is not.** Time; and float64's own tanh is the platform's.

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
# ## 1. A gradient is computed, too
#
# y = tanh(x w): two operations forward. Backward runs through them in reverse, one factor of the chain rule each:
# dy/dp = 1 - y², with p = x w, and dy/dw = dy/dp · x. So a gradient has a format and roundings of its own.
#
# **Predict.** x = 0.7 and w = 0.3. Where does rounding happen, forward and backward, if all is float16? Do the same
# steps by hand give the same bits?

# %%
x = fp.tensor(0.7, dtype="float16")
w = fp.tensor(0.3, dtype="float16", requires_grad=True)
y = (x * w).tanh()
y.backward()
print("autograd: y =", y.item(), "  dy/dw =", w.grad.item())


def half(value):
    return fp.round(value, "float16")


x, w = half(0.7), half(0.3)
y = half(np.tanh(half(x * w)))
dp = half(1 - y * y)  # one formula, one rounding
print("by hand:  y =", y, "  dy/dw =", half(dp * x))
print("exactly:  y =", np.tanh(0.7 * 0.3), "  dy/dw =", (1 - np.tanh(0.7 * 0.3) ** 2) * 0.7)

# %% [markdown]
# The derivative of the rounding itself is left out, or rather taken as 1. (As a function, rounding is a staircase: its
# true derivative is 0 nearly everywhere, and no network would learn. Training with quantization calls this the
# *straight-through estimator*.)

# %% [markdown]
# ## 2. Why not simply a difference?
#
# (f(x + h) - f(x - h)) / 2h needs no autograd. A large h is too coarse, a small one cancels
# (`02_rounding_and_cancellation`).
#
# **Predict.** The derivative of tanh at 200 places: draw the error of the difference against h, in three formats. How
# many digits has each format at its best h? Where does autograd lie in the same format?

# %%
places = np.linspace(0.25, 1, 200, endpoint=False)


def rms_error(found, x):
    """Against the derivative at the places as stored, relatively."""
    true = 1 - np.tanh(x) ** 2
    return np.sqrt(np.mean(((found - true) / true) ** 2, axis=-1))


figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for fmt, colour in ((fp.float16, 2), (fp.float32, 1), (fp.float64, 0)):
    x = fp.tensor(places, dtype=fmt, requires_grad=True)
    stored = x.numpy().astype(float)
    x.tanh().sum().backward()
    by_autograd = rms_error(x.grad.numpy(), stored)
    h = 2.0 ** np.arange(-1, -fmt.p, -1)
    with fp.no_grad():
        left, right = x - h[:, None], x + h[:, None]
        rise, run = (right.tanh() - left.tanh()).numpy(), (right - left).numpy()
    error = rms_error(rise / run.astype(float), stored)
    axes.loglog(h, error, "o-", markersize=3, color=PALETTE[colour], label=f"{fmt.name}, difference")
    axes.axhline(by_autograd, linestyle="--", linewidth=1, color=PALETTE[colour])
    print(f"{fmt.name}: difference {min(error):.0e} at best, h = {h[np.argmin(error)]:.0e}; autograd {by_autograd:.0e}")
axes.set_xscale("log", base=2)
tidy(axes, "derivative of tanh; dashed: autograd", "h", "relative error, root mean square")
axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# A difference has at best two thirds of the digits (its best h is near the cube root of u); autograd has them all: it
# subtracts nothing that is nearly equal. So gradients are checked with differences in *float64*, never in the format
# itself.

# %% [markdown]
# ## 3. A good value, a worthless gradient
#
# **Predict.** tanh at 3, 4, 5, 9 and 10, and its gradient, in float16 and in float32. What is the relative error of
# each?

# %%
for fmt in ("float16", "float32"):
    for place in (3.0, 4.0, 5.0, 9.0, 10.0):
        x = fp.tensor(place, dtype=fmt, requires_grad=True)
        y = x.tanh()
        y.backward()
        value, slope = np.tanh(place), 1 / np.cosh(place) ** 2
        off, gradient_off = abs(y.item() - value) / value, abs(x.grad.item() - slope) / slope
        print(f"{fmt} x = {place:2.0f}: tanh {y.item():.7f} off by {off:7.0e}   ", end="")
        print(f"gradient {x.grad.item():.1e} off by {gradient_off:.0%}")

# %% [markdown]
# From 5 on tanh is stored as 1, as near as float16 can be. But the backward formula 1 - y² starts from what was
# *stored*: it cancels, and the gradient is 0. No loss scale brings it back, for it was not small, it was lost. The
# forward pass decides what the backward pass can still know.

# %% [markdown]
# ## 4. A sum that nobody wrote
#
# One bias is added to every sample of a batch. Forward that is no sum; backward, the gradients of all samples meet.
#
# **Predict.** y = x + b for a batch of 4096, loss = sum(y). The gradient of b is 4096. What is it stored in float16,
# with an accumulator of float16? Of bfloat16 all through?

# %%
for precision in ("float16/float32", "float16/float16", "bfloat16/bfloat16"):
    x = fp.tensor(np.zeros((4096, 1)), precision=precision)
    b = fp.tensor([0.5], precision=precision, requires_grad=True)
    (x + b).sum().backward()
    print(f"{precision:>17}: db = {b.grad.item():.0f}")

# %% [markdown]
# Backward, every broadcast becomes a sum and every sum a broadcast. `03_summation_and_accumulators` applies to sums
# that no formula shows.

# %% [markdown]
# ## 5. The error budget
#
# `fp.shadow()` carries a float64 twin beside every tensor. Afterwards `report.budget(y)` runs the computation again,
# with one kind of rounding on at a time: of x, of w, of the operations' results, of the additions inside sums. What the
# four do not explain is their interaction.
#
# **Predict.** A layer: y = x w with 1600 inputs, x and w random, neither a float16 number. Everything in float16. Which
# of the four is the largest part of the error of y? By how much?

# %%
rng = np.random.default_rng(0)
inputs, weights = np.maximum(rng.normal(size=(64, 4096)), 0), rng.normal(size=(4096, 10)) * 0.05


def layer(n, precision):
    x = fp.tensor(inputs[:, :n], precision=precision)
    w = fp.tensor(weights[:n], precision=precision, requires_grad=True)
    return x, w, x @ w


with fp.shadow() as report:
    x, w, y = layer(1600, "float16/float16")
print(report.budget(y).table())

# %% [markdown]
# A number that is rounded once, x or w or the result, costs about the same whatever it is. The sums cost far more: 1600
# additions, each rounded. (The interaction undoes the part of the operations: a sum that was kept in float16 has
# nothing left to round when it is stored. Parts are measured one at a time; they need not add up.)
#
# **Predict.** Now the same with a float32 accumulator, and with float32 numbers but a float16 accumulator. Draw the
# four parts for each.

# %%
figure, axes = plt.subplots(figsize=(8, 3.5), layout="constrained")
precisions = ("float16/float16", "float32/float16", "float16/float32", "bfloat16/float32")
sources = ("x", "w", "operations", "accumulation")
for place, precision in enumerate(precisions):
    with fp.shadow() as report:
        x, w, y = layer(1600, precision)
    budget = report.budget(y)
    parts = {row["source"]: row["relative"] for row in budget.rows()}
    axes.bar(np.arange(4) + 0.2 * place - 0.3, [parts[s] for s in sources], 0.18, color=PALETTE[place], label=precision)
    largest = max(sources, key=parts.get)
    print(f"{precision:>16}: total {parts['total']:.1e}, most of it from {largest} ({parts[largest]:.1e})")
axes.set_yscale("log")
axes.set_xticks(range(4), [f"rounding of {s}" if s in "xw" else s for s in sources])
tidy(axes, "error of y = x w, 1600 inputs", "", "relative error")
axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# Better numbers, `float32/float16`, leave nearly all of the error; a better accumulator, `float16/float32`, takes nine
# tenths of it away, and what is left is shared evenly.
#
# **Predict.** All float16, and layers of 16 to 4096 inputs: draw the four parts against the length. Which grow?

# %%
lengths = 4 ** np.arange(2, 7)
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
parts = {source: [] for source in sources}
for n in lengths:
    with fp.shadow() as report:
        x, w, y = layer(n, "float16/float16")
    for row in report.budget(y).rows():
        if row["source"] in parts:
            parts[row["source"]].append(row["relative"])
for (source, errors), colour, mark in zip(parts.items(), (1, 3, 0, 2), "osD^", strict=True):
    axes.loglog(lengths, errors, mark + "-", color=PALETTE[colour], markersize=5, label=source)
axes.set_xscale("log", base=2)
axes.set_ylim(1e-4, 1e-2)
tidy(axes, "error of y = x w in float16, by source", "inputs", "relative error")
axes.legend(frameon=False)
plt.show()
for source in ("x", "accumulation"):
    print(f"{source:>12}: {parts[source][0]:.1e} with 16 inputs, {parts[source][-1]:.1e} with 4096")

# %% [markdown]
# Rounding x or w costs the same relative error for every length: errors and result grow alike. Only the sums get worse,
# roughly like the square root of their length.
#
# ## 6. Is the gradient worse than the value?
#
# **Predict.** loss = mean(tanh(x w)²). Compare the relative error of y with that of the gradient of w: how many times
# larger is it?

# %%
for precision in ("float16/float16", "float16/float32", "bfloat16/float32"):
    with fp.shadow() as report:
        x, w, y = layer(1600, precision)
        y = y.tanh()
        (y * y).mean().backward()
    errors = [np.linalg.norm(report.error(t)) / np.linalg.norm(report.twin(t)) for t in (y, w.grad)]
    print(f"{precision:>16}: y is off by {errors[0]:.2e}, the gradient of w by {errors[1]:.2e}")

# %% [markdown]
# It inherits the errors of y and adds its own, so it is somewhat worse, not another order of magnitude: rounding
# backward is like rounding forward. Where a gradient is *much* worse, look for cancellation (section 3), for hidden
# sums (section 4), or for values so small that they are stored as 0 (`06_loss_scaling`).
#
# ## Exercises
#
# Each cell below is yours. `check` says whether it is right, or gives a hint; it needs only `fp` and `np`.
#
# **4.1.** In bfloat16, which is the smallest whole number n for which the gradient of tanh at n is stored as 0? (In
# float16 it is 5.)

# %% tags=["exercise"]
### BEGIN SOLUTION
for answer in range(1, 20):
    x = fp.tensor(float(answer), dtype="bfloat16", requires_grad=True)
    x.tanh().backward()
    if x.grad.item() == 0:
        break
### END SOLUTION
check("ex04.1", answer)

# %% [markdown]
# **4.2.** x are whole numbers below 256 (pixels), w any numbers; y = x w is stored in float16 and summed in float32. Of
# `"x"`, `"w"`, `"operations"` and `"accumulation"`, which *two* are negligible parts of the error of y? Decide, then
# measure with `fp.shadow()` and `report.budget(y)`. Answer with a set, like `{"x", "w"}`.

# %% tags=["exercise"]
### BEGIN SOLUTION
rng = np.random.default_rng(0)
with fp.shadow() as report:
    x = fp.tensor(rng.integers(0, 256, (32, 64)).astype(float), precision="float16/float32")
    w = fp.tensor(rng.normal(size=(64, 10)) * 0.05, precision="float16/float32", requires_grad=True)
    y = x @ w
parts = {row["source"]: row["rms"] for row in report.budget(y).rows()}
answer = set(sorted(("x", "w", "operations", "accumulation"), key=parts.get)[:2])
### END SOLUTION
check("ex04.2", answer)

# %% [markdown]
# **4.3.** softplus(x) = log(1 + exp(x)) in float16 is infinite from 12 on, its gradient NaN. Write it for float16
# tensors so that value and gradient are right to 0.01 from -20 to 50. (For positive x take x out of the logarithm.
# Tensors have `exp`, `log`, `abs` and `relu`.)


# %% tags=["exercise"]
def softplus(x):
    ### BEGIN SOLUTION
    return x.relu() + (1.0 + (-x.abs()).exp()).log()
    ### END SOLUTION


check("ex04.3", softplus)

# %% [markdown]
# ## What to remember
#
# - A gradient is a computation, rounded like any other, in formats that can be chosen like any other. Rounding itself
#   is given the derivative 1.
# - Backward formulas start from stored values. What rounding removed forward (1 - y², when y is stored as 1) no loss
#   scale brings back.
# - Every broadcast is a sum backward, with an accumulator.
# - An error has sources, and they can be measured one at a time. In a long sum kept in 16 bits, the sum is nearly all
#   of it; with a float32 accumulator, the rest is shared evenly by x, w and the result.
#
# **Next.** `05_the_network_side_by_side`: a whole network, in every precision.
#
# **Sources.** A. Griewank and A. Walther, *Evaluating derivatives*, 2nd edition, 2008. N. Higham, *Accuracy and
# stability of numerical algorithms*, 2nd edition, 2002, chapter 3 (error of products of matrices). P. Micikevicius et
# al., *Mixed precision training*, 2018. Y. Bengio, N. Léonard and A. Courville, *Estimating or propagating gradients
# through stochastic neurons for conditional computation*, 2013 (the straight-through estimator). *IEEE standard for
# floating-point arithmetic*, IEEE 754-2019.
