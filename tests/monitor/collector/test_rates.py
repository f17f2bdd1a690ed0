from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.collector import rates
from monitor.collector.rates import DailyQuota, RateLimits, units


def test_lines_or_bytes_count_whichever_are_more() -> None:
    assert units(0, 0) == 1
    assert units(20, 24_000) == 20
    assert units(1, 8 << 20) == 4096


def test_a_burst_is_free_and_more_is_delayed() -> None:
    rate_limits = RateLimits(rate=10, burst=100)
    assert rate_limits.charge("a", 60, 0.0) == 0
    assert rate_limits.charge("a", 40, 0.0) == 0
    assert rate_limits.charge("a", 50, 0.0) == 5.0
    assert rate_limits.charge("b", 50, 0.0) == 0, "another probe is not concerned"
    assert rate_limits.charge("a", 10, 5.0) == 1.0


def test_who_ignores_the_delay_is_not_taken_from() -> None:
    rate_limits = RateLimits(rate=10, burst=100)
    taken = 0
    while not rate_limits.is_blocked("a", 0.0):
        rate_limits.charge("a", 10, 0.0)
        taken += 10
    assert taken == 200
    assert not rate_limits.is_blocked("b", 0.0)
    assert not rate_limits.is_blocked("a", 1.0)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 512)), max_size=60))
def test_long_run_rate_is_kept(steps: list[tuple[float, int]]) -> None:
    """Whoever waits for each acknowledgement gets the burst, and then the rate."""
    rate_limits, now, taken = RateLimits(rate=50, burst=500), 0.0, 0
    for pause, size in steps:
        now += pause
        delay = rate_limits.charge("a", size, now)
        assert delay >= 0
        taken += max(1, size)
        now += delay
        assert taken <= 500 + 50 * now + 1e-6


def test_memory_of_rates_is_bounded() -> None:
    rate_limits = RateLimits()
    for number in range(rates.MAX_PROBES + 50):
        rate_limits.charge(str(number), 1, 0.0)
    assert len(rate_limits._levels) == rates.MAX_PROBES


def test_a_quota_ends_with_the_day_and_is_reported_once() -> None:
    quota, reports = DailyQuota(most=1000), []
    quota.charge("a", 999, 0.0)
    assert not quota.is_exhausted("a", 1.0)
    quota.charge("a", 1, 2.0)
    assert quota.is_exhausted("a", 3.0)
    assert not quota.is_exhausted("b", 3.0)
    for _ in range(3):
        quota.report_once("a", lambda: reports.append("a"), 4.0)
    assert reports == ["a"]
    assert not quota.is_exhausted("a", rates.DAY_SECONDS)
    quota.charge("a", 1000, rates.DAY_SECONDS)
    quota.report_once("a", lambda: reports.append("again"), rates.DAY_SECONDS + 1)
    assert reports == ["a", "again"]


def test_memory_of_quotas_is_bounded() -> None:
    quota = DailyQuota()
    for number in range(rates.MAX_PROBES + 50):
        quota.charge(str(number), 1, 0.0)
    assert len(quota._used) == rates.MAX_PROBES
