"""The kernels behind `round_to`: the fast ones are chosen only where they are right, and `is_rounded` agrees."""

import numpy as np
import pytest

import fpsim as fp
from fpsim.rounding.kernel import _by_magic, _by_scaling, _fast_kernel, _settle, is_rounded
from fpsim.rounding.wide import Wide
from tests.oracles.bits import same
from tests.oracles.kernels import kernels

#: Formats whose magic number would or would just not overflow in float32 or float64: exponents near the work type's.
NEAR_THE_END = [
    fp.Format(exponent_bits=e, significand_bits=m, bias=bias, specials=specials)
    for e, m, bias, specials in [
        (7, 5, 23, "ieee"), (7, 5, 24, "ieee"), (7, 5, 22, "ieee"), (8, 3, 127, "fn"), (8, 3, 128, "fnuz"),
        (8, 3, 100, "ieee"), (8, 21, 151, "ieee"), (8, 22, 152, "ieee"), (10, 20, 52, "ieee"), (10, 20, 51, "ieee"),
        (10, 20, 53, "ieee"), (10, 20, 1050, "ieee"), (11, 20, 1024, "fn"), (11, 40, 1025, "fnuz"), (2, 1, 10, "ieee"),
        (4, 3, -40, "ieee"),
    ]
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fmt", NEAR_THE_END, ids=str)
def test_the_fast_kernel_gives_what_the_definition_gives(fmt, dtype):
    """At every power of two, at midpoints above it, and past the largest number."""
    powers = 2.0 ** np.arange(max(fmt.emin - fmt.p - 2, -1000), min(fmt.emax + 3, 1000))
    x = (powers[:, None] * (1 + np.array([0, 1, 2, 3, 5]) * fmt.eps / 2)).reshape(-1)
    x = np.concatenate([x, -x, [fmt.max, 0.0, -0.0, np.inf, np.nan]])
    with np.errstate(over="ignore"):
        x = x.astype(dtype)
    expected = _by_scaling(Wide.of(x), fmt, "nearest_even")
    _settle(expected, fmt, False, False)
    with kernels("numpy"):
        assert same(fp.round(x, fmt).astype(np.float64), expected).all()


def test_the_magic_number_is_used_up_to_the_last_format_for_which_it_does_not_overflow():
    single = np.dtype(np.float32)
    chosen = {
        bias: _fast_kernel(single, fp.Format(exponent_bits=7, significand_bits=5, bias=bias)) for bias in (22, 23)
    }
    assert chosen == {22: None, 23: _by_magic}  # emax + 1 + 23 = 128 and 127
    below = {
        bias: _fast_kernel(single, fp.Format(exponent_bits=5, significand_bits=5, bias=bias)) for bias in (127, 128)
    }
    assert below == {127: _by_magic, 128: None}  # emin = -126, where float32's own numbers become subnormal, and -127
    widths = {m: _fast_kernel(single, fp.Format(exponent_bits=6, significand_bits=m)) for m in (21, 22)}
    assert widths == {21: _by_magic, 22: None}


@pytest.mark.parametrize("name", ["float16", "float8_e4m3fn", "float4_e2m1fn", "bfloat16", "e8m30"])
def test_is_rounded_says_whether_rounding_changes_nothing(name):
    fmt = fp.Format(name)
    grid = np.array([0.0, 1.0, -1.5, fmt.max])
    assert is_rounded(grid, fmt)
    assert is_rounded(grid[::-1], fmt)
    assert not is_rounded(np.append(grid, 1 + fmt.eps / 2), fmt)
    assert is_rounded(np.array([np.nan, 1.0]), fmt) == fmt.has_nan
    assert is_rounded(np.array([np.inf]), fmt) == fmt.has_inf
