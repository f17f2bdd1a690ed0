# SPDX-License-Identifier: Apache-2.0
"""Days (UTC, of rounds) as the unit in which measurements are kept, counted, archived and
dropped."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.tables import DAY_OF_ROUND, measurement, stored_day

DAY_MS = 86_400_000
PRUNED = "pruned"
"""Name in `cursor`: measurements of rounds before this were dropped, and are not stored again."""
_EPOCH = dt.date(1970, 1, 1)
_COUNT = sa.text(
    "INSERT INTO stored_day (day, measurements) VALUES (:day, :n) "
    "ON CONFLICT (day) DO UPDATE SET measurements = stored_day.measurements + excluded.measurements"
)


def day_of(round: int) -> int:
    """The day of a round, counted from 1970-01-01."""
    return round // DAY_MS


def date_of(day: int) -> dt.date:
    """The date of a day."""
    return _EPOCH + dt.timedelta(days=day)


def day_from(date: dt.date) -> int:
    """The day of a date."""
    return (date - _EPOCH).days


def has_id(
    ids: Collection[str] | sa.BindParameter[Any], day: int | sa.BindParameter[int] | None = None
) -> sa.ColumnElement[bool]:
    """Condition for rows of `measurement` with one of these ids, of a day or of whichever, by
    seeks: the index of ids begins with the day on SQLite."""
    of_row = sa.literal_column(f"measurement.{DAY_OF_ROUND}", sa.Integer)
    right = measurement.c.id.in_(ids)
    if day is None:
        # The sum has no type of column: SQLite compares it with what the index has.
        return sa.and_(of_row.in_(sa.select(stored_day.c.day + 0)), right)
    m = measurement.c.round
    return sa.and_(of_row == day, m >= day * DAY_MS, m < (day + 1) * DAY_MS, right)


async def add_to_days(connection: AsyncConnection, rounds: Mapping[int, int]) -> None:
    """Count measurements, given by round, in their days."""
    days: Counter[int] = Counter()
    for round, n in rounds.items():
        days[day_of(round)] += n
    if days:
        rows = [{"day": day, "n": n} for day, n in sorted(days.items())]
        await connection.execute(_COUNT, rows)
