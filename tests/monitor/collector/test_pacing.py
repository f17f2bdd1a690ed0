from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.collector import pacing
from monitor.collector.pacing import Buckets


def test_a_burst_is_free_and_more_is_delayed() -> None:
    buckets = Buckets(rate=10, burst=100)
    assert buckets.take("a", 60, 0.0) == 0
    assert buckets.take("a", 40, 0.0) == 0
    assert buckets.take("a", 50, 0.0) == 5.0
    assert buckets.take("b", 50, 0.0) == 0, "another probe is not concerned"
    assert buckets.take("a", 10, 5.0) == 1.0


def test_who_ignores_the_delay_is_not_taken_from() -> None:
    buckets = Buckets(rate=10, burst=100)
    taken = 0
    while not buckets.exhausted("a", 0.0):
        buckets.take("a", 10, 0.0)
        taken += 10
    assert taken == 200
    assert not buckets.exhausted("b", 0.0)
    assert not buckets.exhausted("a", 1.0)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 512)), max_size=60))
def test_long_run_rate_is_kept(steps: list[tuple[float, int]]) -> None:
    """Whoever waits for each acknowledgement gets the burst, and then the rate."""
    buckets, now, taken = Buckets(rate=50, burst=500), 0.0, 0
    for pause, size in steps:
        now += pause
        delay = buckets.take("a", size, now)
        assert delay >= 0
        taken += max(1, size)
        now += delay
        assert taken <= 500 + 50 * now + 1e-6


def test_memory_is_bounded(monkeypatch: object) -> None:
    buckets = Buckets()
    for number in range(pacing.MAX_BUCKETS + 50):
        buckets.take(str(number), 1, 0.0)
    assert len(buckets._levels) == pacing.MAX_BUCKETS
