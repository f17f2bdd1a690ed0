# SPDX-License-Identifier: Apache-2.0
"""What was sent today and spent this month, over restarts. Pure: the time is an argument."""

from __future__ import annotations

import datetime as dt

import msgspec

from probes.delivery.outbox import DeliveryStats
from probes.status import ProbeStatus


class PeriodFields(msgspec.Struct, frozen=True):
    """The counts of the present day and month (UTC), as fields of the status."""

    day: str
    sent_today: int
    sent_bytes_today: int
    month: str
    month_spent_bytes: int


class PeriodCounts:
    """Keeps where the day began, and what the month counts already."""

    def __init__(self, earlier: ProbeStatus | None) -> None:
        """`earlier` is the status of this probe's last run."""
        self._day, self._day_base = "", (0, 0)
        if earlier is not None:
            acked_before = max(0, earlier.acked - earlier.sent_today)
            self._day, self._day_base = earlier.day, (acked_before, -earlier.sent_bytes_today)
        self._spent_base = 0

    def update(
        self, status: ProbeStatus, stats: DeliveryStats, *, acked: int, spent: int, now_ms: int
    ) -> PeriodFields:
        """Return the counts now. `acked` measurements were acknowledged since the spool exists,
        `spent` bytes crossed the wire since the start."""
        today = dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC).date().isoformat()
        if today != self._day:
            self._day, self._day_base = today, (acked, stats.published_bytes)
        month = today[:7]
        newly, self._spent_base = spent - self._spent_base, spent
        before = status.month_spent_bytes if status.month == month else 0
        return PeriodFields(
            day=today,
            sent_today=max(0, acked - self._day_base[0]),
            sent_bytes_today=stats.published_bytes - self._day_base[1],
            month=month,
            month_spent_bytes=before + newly,
        )
