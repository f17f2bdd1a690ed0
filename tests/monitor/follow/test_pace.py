import datetime as dt

import pytest

from monitor.follow.pace import RateLimit, asked_seconds, rest_seconds

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def test_a_limit_holds_over_any_time_and_a_pause_is_no_credit() -> None:
    now = 0.0
    limit = RateLimit(1000, lambda: now)
    for _ in range(100):
        now += limit.spend(500)
    assert 48 <= now <= 50
    now += 3600
    assert limit.spend(1500) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("", None), ("soon", None), ("120", 120.0), ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0)],
)
def test_what_a_server_asks_for(header: str, seconds: float | None) -> None:
    assert asked_seconds(header, NOW) == seconds


def test_rests_grow_to_a_limit_and_what_is_asked_for_goes_before() -> None:
    rests = [rest_seconds(attempt, None, lambda: 1.0) for attempt in (1, 2, 3, 9, 1000)]
    assert rests == [1, 2, 4, 256, 300]
    assert rest_seconds(3, None, lambda: 0.0) == 2
    assert [rest_seconds(9, asked, lambda: 1.0) for asked in (0.0, 40.0, 1e6)] == [1, 40, 3600]
