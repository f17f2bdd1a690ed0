from __future__ import annotations

import math

import pytest

from benchmarks.world.figures import most, percentile


@pytest.mark.parametrize(
    ("count", "bound"), [(0, 2.996), (1, 4.744), (5, 10.513), (30, 40.691), (1000, 1054)]
)
def test_upper_bound_of_a_rare_count(count: int, bound: float) -> None:
    assert most(count) == pytest.approx(bound, abs=2e-3, rel=1e-3)


def test_percentiles_keep_what_never_came() -> None:
    values = [1.0, 2.0, 3.0, math.inf]
    assert (percentile(values, 0.5), percentile(values, 0.75)) == (2.0, 3.0)
    assert math.isinf(percentile(values, 0.95))
    assert math.isnan(percentile([], 0.5))
