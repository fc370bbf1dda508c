"""Student's quantiles against tables and the incomplete beta function; means and intervals against their definition."""

import math
import statistics

import mpmath
import pytest

import fpsim as fp
from fpsim.experiments.sweeps.intervals import mean_of, t_quantile

#: Of any textbook: the 97.5 % quantile, three decimals.
TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 29: 2.045, 30: 2.042, 120: 1.980}


@pytest.mark.parametrize(("freedom", "quantile"), TABLE.items())
def test_quantiles_are_the_tables(freedom, quantile):
    assert round(t_quantile(0.975, freedom), 3) == quantile


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 10, 33, 100])
@pytest.mark.parametrize("probability", [0.6, 0.9, 0.995])
def test_a_quantile_inverts_the_distribution_function(freedom, probability):
    """``P(|t| < q) = 1 - I_x(freedom/2, 1/2)`` with ``x = freedom / (freedom + q**2)``."""
    q = mpmath.mpf(t_quantile(probability, freedom))
    within = 1 - mpmath.betainc(freedom / 2, 0.5, 0, freedom / (freedom + q * q), regularized=True)
    assert float((1 + within) / 2) == pytest.approx(probability, abs=1e-13)


def test_many_degrees_of_freedom_are_the_normal_distribution():
    assert t_quantile(0.975, 100_000) == pytest.approx(statistics.NormalDist().inv_cdf(0.975), abs=3e-5)


def test_an_interval_is_t_times_the_standard_error():
    values = [0.31, 0.35, 0.29, 0.38, 0.33]
    found = mean_of(values)
    assert found.mean == pytest.approx(statistics.mean(values), rel=1e-15)
    assert found.half_width == pytest.approx(2.776445 * statistics.stdev(values) / math.sqrt(5), rel=1e-6)
    assert mean_of(values, 0.99).half_width > found.half_width


def test_one_value_has_no_interval_and_equal_ones_one_of_no_width():
    assert math.isnan(mean_of([0.5]).half_width)
    assert mean_of([0.5, 0.5, 0.5]) == (0.5, 0.0, 3)


def test_a_value_that_is_not_finite_spoils_the_mean():
    assert math.isnan(mean_of([1.0, math.nan]).mean)
    assert mean_of([1.0, math.inf]).mean == math.inf
    assert math.isnan(mean_of([1.0, math.inf]).half_width)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_a_confidence_is_between_0_and_1(confidence):
    with pytest.raises(fp.ArgumentError, match="expected a confidence between 0 and 1"):
        mean_of([1.0, 2.0], confidence)


def test_a_mean_of_nothing_is_refused():
    with pytest.raises(fp.ArgumentError, match="expected values, at least one"):
        mean_of([])
