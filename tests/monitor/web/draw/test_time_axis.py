"""Marks of a time axis."""

from __future__ import annotations

import pytest

from monitor.web.draw.time_axis import ticks

MINUTE = 60_000


@pytest.mark.parametrize(
    ("length", "labels"),
    [
        (30 * MINUTE, ["1 May, 12:00", "", "12:10", "12:15", "12:20", "12:25"]),
        (24 * 60 * MINUTE, ["12:00", "15:00", "18:00", "21:00", "2 May", "03:00",
                            "06:00", "09:00"]),
        (7 * 24 * 60 * MINUTE, ["2 May", "3 May", "4 May", "5 May", "6 May", "7 May", "8 May"]),
        (366 * 24 * 60 * MINUTE, ["Jun 2026", "Aug", "Oct", "Dec", "Feb 2027", "Apr"]),
    ],
)  # fmt: skip
def test_ticks_are_at_round_times(length: int, labels: list[str]) -> None:
    since = 1777636800000  # 2026-05-01 12:00 UTC
    made = ticks(since, since + length)
    assert [tick.label for tick in made] == labels
    assert all(0 <= tick.x < 100 for tick in made)
    assert [tick.x for tick in made] == sorted(tick.x for tick in made)


@pytest.mark.parametrize(
    ("length", "labels"),
    [
        (30 * MINUTE, ["1 May, 12:00", "12:15", "12:25"]),
        (24 * 60 * MINUTE, ["12:00", "18:00", "2 May", "06:00"]),
        (40 * 60 * MINUTE, ["12:00", "2 May", "12:00", "3 May"]),
        (366 * 24 * 60 * MINUTE, ["Jun 2026", "Oct", "Feb 2027"]),
    ],
)
def test_a_phone_shows_every_second_label_and_each_midnight(length: int, labels: list[str]) -> None:
    since = 1777636800000  # 2026-05-01 12:00 UTC
    made = ticks(since, since + length)
    assert [tick.label for tick in made if not tick.minor] == labels
