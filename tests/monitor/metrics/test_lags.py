"""Cumulative buckets."""

from __future__ import annotations

from monitor.metrics.lags import Histogram


def test_counts_are_cumulative_and_end_in_inf() -> None:
    histogram = Histogram((1.0, 10.0))
    for seconds in (0.5, 1.0, 5.0, 100.0, -3.0):
        histogram.observe(seconds)
    assert histogram.buckets() == [("1.0", 3.0), ("10.0", 4.0), ("+Inf", 5.0)]
    assert histogram.sum == 106.5
