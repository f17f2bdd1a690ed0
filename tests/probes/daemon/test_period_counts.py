"""Days and months of the status, over midnight and over restarts."""

from __future__ import annotations

from probes.daemon.period_counts import PeriodCounts
from probes.delivery.outbox import DeliveryStats
from probes.rounds.scheduler import DAY_MS
from tests.probes.test_status import probe_status

NOON = 1_795_521_600_000
"""2026-11-24 12:00 UTC."""


def test_a_day_counts_from_its_first_save() -> None:
    periods, stats = PeriodCounts(None), DeliveryStats(published_bytes=100)
    first = periods.update(probe_status(), stats, acked=7, spent=0, now_ms=NOON)
    assert (first.day, first.sent_today, first.sent_bytes_today) == ("2026-11-24", 0, 0)
    stats.published_bytes = 150
    later = periods.update(probe_status(), stats, acked=9, spent=0, now_ms=NOON + 1)
    assert (later.sent_today, later.sent_bytes_today) == (2, 50)
    tomorrow = periods.update(probe_status(), stats, acked=10, spent=0, now_ms=NOON + DAY_MS)
    assert (tomorrow.day, tomorrow.sent_today, tomorrow.sent_bytes_today) == ("2026-11-25", 0, 0)


def test_a_restart_on_the_same_day_goes_on_counting() -> None:
    earlier = probe_status(day="2026-11-24", acked=20, sent_today=5, sent_bytes_today=400)
    periods = PeriodCounts(earlier)
    again = periods.update(
        earlier, DeliveryStats(published_bytes=30), acked=21, spent=0, now_ms=NOON
    )
    assert (again.sent_today, again.sent_bytes_today) == (6, 430)


def test_a_month_counts_what_is_new() -> None:
    periods, stats = PeriodCounts(None), DeliveryStats()
    status = probe_status(month="2026-11", month_spent_bytes=1000)
    first = periods.update(status, stats, acked=0, spent=500, now_ms=NOON)
    assert (first.month, first.month_spent_bytes) == ("2026-11", 1500)
    later = periods.update(status, stats, acked=0, spent=700, now_ms=NOON + DAY_MS)
    assert later.month_spent_bytes == 1000 + 200
    new_month = periods.update(status, stats, acked=0, spent=710, now_ms=NOON + 20 * DAY_MS)
    assert (new_month.month, new_month.month_spent_bytes) == ("2026-12", 10)
