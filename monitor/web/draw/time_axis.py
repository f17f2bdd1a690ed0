# SPDX-License-Identifier: Apache-2.0
"""Marks of a time axis below strips: at round times (UTC), few enough to be read. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import msgspec

from monitor.store.service_hours import DAY_MS, HOUR_MS
from monitor.text.language import current, short_date

MINUTE_MS = 60_000
TICK_STEPS = (
    *(n * MINUTE_MS for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR_MS for n in (1, 2, 3, 6, 12)),
    *(n * DAY_MS for n in (1, 2, 7, 14)),
)
"""Possible distances of the ticks of a time axis in milliseconds; longer ones are months."""
MAX_TICKS = 8


class Tick(msgspec.Struct, frozen=True):
    """A mark of a time axis."""

    x: float
    """Percent of the width."""
    label: str
    minor: bool
    """Its label is left out where there is little room."""


def ticks(since: int, until: int) -> Sequence[Tick]:
    """At most MAX_TICKS marks at round times (UTC), with a time, or at midnight with the date."""
    length = until - since
    step = next((each for each in TICK_STEPS if length <= each * MAX_TICKS), None)
    if step is None:
        return _month_ticks(since, until)
    # Weeks begin on Mondays: 1970-01-01 was a Thursday.
    phase = 4 * DAY_MS if step % (7 * DAY_MS) == 0 else 0
    first = since + (phase - since) % step
    made = []
    for at in range(first, until, step):
        when = dt.datetime.fromtimestamp(at / 1000, dt.UTC)
        label = _day(when) if at % DAY_MS == 0 else f"{when:%H:%M}"
        minor = (at - phase) // step % 2 == 1  # midnight never is, unless days are
        made.append(Tick(100 * (at - since) / length, label, minor))
    if made and all(":" in tick.label for tick in made):
        # No midnight inside: the first mark has the date, and the next ones leave it room.
        when = dt.datetime.fromtimestamp(first / 1000, dt.UTC)
        rest = (Tick(tick.x, tick.label, n % 2 == 0) for n, tick in enumerate(made[2:]))
        empty = (Tick(tick.x, "", minor=True) for tick in made[1:2])
        made = [Tick(made[0].x, f"{_day(when)}, {when:%H:%M}", minor=False), *empty, *rest]
    return made


def _day(when: dt.datetime) -> str:
    return short_date(when.date(), "MMMd", current().language)


def _month_ticks(since: int, until: int) -> Sequence[Tick]:
    begin = dt.datetime.fromtimestamp(since / 1000, dt.UTC)
    months = [
        dt.datetime(begin.year + number // 12, number % 12 + 1, 1, tzinfo=dt.UTC)
        for number in range(begin.month, begin.month + 12 * 11)
    ]
    inside = [each for each in months if each.timestamp() * 1000 < until]
    every = -(-len(inside) // MAX_TICKS) or 1
    length = until - since
    return [
        Tick(
            100 * (each.timestamp() * 1000 - since) / length,
            short_date(
                each.date(),
                "yMMM" if each.month <= every or each is inside[0] else "MMM",
                current().language,
            ),
            minor=number % 2 == 1,
        )
        for number, each in enumerate(inside[::every])
    ]
