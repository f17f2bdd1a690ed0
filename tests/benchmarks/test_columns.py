from __future__ import annotations

from benchmarks.world.costs import measured
from monitor.detection.policy import Policy


def test_rounds_in_columns_are_those_of_as_many_networks_as_asked_for() -> None:
    cost = measured(12, 0.4, 3, Policy(), calm_from=0, goal=400)
    assert cost.columns is not None
    assert abs(cost.columns.networks - 400) < 200
    assert 4.5 * cost.columns.networks < cost.columns.facts <= 5 * cost.columns.networks
    assert 0 < cost.columns.median <= cost.columns.slowest
    assert cost.awake < 1
