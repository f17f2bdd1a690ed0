# SPDX-License-Identifier: Apache-2.0
"""The hot path: insert a group of batches and their rows, and find what was already stored.

SQLite takes one INSERT of many rows at a time. With a statement a row (`executemany`) its thread
would give up and take back Python's lock for each, and wait up to 5 ms for it while the event loop
is busy. PostgreSQL takes a binary COPY into a temporary table and merges from there inside the same
transaction. The caller's transaction is the only writer of measurements at that moment: by
SQLite's write lock, or by `wait_for_turn`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store import statements
from monitor.store.days import DAY_MS
from monitor.store.records import AdmittedBatch
from monitor.store.statements import chunks
from monitor.store.tables import DAY_OF_ROUND, cursor, measurement, target, vantage
from probes.wire.measurement import service_of

LinePlace = tuple[int, int]
"""Where a line is: first arrival number of its batch, arrival number of its row."""
MeasurementRow = tuple[int, int, int, int, int, int, int, bytes]
"""A row of `measurement`, in the order of its columns."""
DimensionKey = tuple[Any, ...]
"""A vantage or a target: the columns of its row after the number."""

ARRIVAL = "arrival"
"""Name in `cursor` of the last arrival number that was given."""
RECEIVED = "received"
"""Name in `cursor` of when the last batch arrived, Unix milliseconds: every page tells it, and
PostgreSQL would look into each day for the last one."""
TURN_LOCK = 0x5245_4143_4802
"""Key of PostgreSQL's advisory lock around adding ("REACH", 2)."""
_COLUMNS = tuple(column.name for column in measurement.columns)
_NAMES = ", ".join(_COLUMNS)
_ROWS_AT_ONCE = (512, 64, 8, 1)
"""Rows of one statement: few enough statements to be prepared once each."""
_VALUES = f"({', '.join('?' * len(_COLUMNS))})"
_INSERTS = {
    rows: f"INSERT INTO measurement ({_NAMES}) VALUES {', '.join([_VALUES] * rows)} "
    f"ON CONFLICT ({DAY_OF_ROUND}, id) DO NOTHING"
    for rows in _ROWS_AT_ONCE
}
_TEMPORARY = (
    f"CREATE TEMPORARY TABLE IF NOT EXISTS incoming ON COMMIT DELETE ROWS AS "
    f"SELECT {_NAMES} FROM measurement WITH NO DATA"
)
_MERGE = (
    # Ids are unique within a partition; what has no column of the partitions cannot be named here.
    f"INSERT INTO measurement ({_NAMES}) SELECT {_NAMES} FROM incoming ON CONFLICT DO NOTHING"
)
_KNOWN = sa.text(
    "SELECT id, arrival - place, arrival FROM measurement "
    f"WHERE {DAY_OF_ROUND} = :day AND round >= :begin AND round < :end "
    "AND id IN :ids AND arrival <= :last"
).bindparams(sa.bindparam("ids", expanding=True))
_set_cursor = statements.upsert(cursor)


class Incoming:
    """The rows of a group of batches, with the arrival numbers that they get."""

    def __init__(
        self,
        batches: Sequence[AdmittedBatch],
        numbers: Mapping[DimensionKey, int],
        last: int,
        pruned: int = 0,
    ) -> None:
        """`numbers` has every key of `dimension_keys`; `last` is the last arrival number given.
        Measurements of rounds before `pruned` are left out: they may have been stored, and
        dropped."""
        self.batches = batches
        self.pruned = pruned
        self.firsts: list[int] = []
        """First arrival number of each batch."""
        self.rows: list[MeasurementRow] = []
        """With distinct ids, batch after batch."""
        self._ends: list[int] = []
        """How many of the rows are of each batch and those before it."""
        self.again: list[tuple[bytes, int]] = []
        """(id, arrival number) of lines whose id occurs before them in the group."""
        self.expired = 0
        """Lines of rounds that were dropped."""
        self._arrivals: dict[bytes, int] = {}
        self._numbers = numbers
        self._targets = {key[0]: number for key, number in numbers.items() if len(key) == 2}
        arrival = last + 1
        for each in batches:
            self.firsts.append(arrival)
            self._add(each, arrival)
            self._ends.append(len(self.rows))
            arrival += each.lines
        self.last = arrival - 1
        """Last arrival number of the group."""

    def _add(self, batch: AdmittedBatch, first: int) -> None:
        arrivals, rows, targets, pruned = self._arrivals, self.rows, self._targets, self.pruned
        vantages = {place: self._numbers[_vantage_key(batch, *place)] for place in _places(batch)}
        for place, one in batch.entries:
            if one.round < pruned:
                self.expired += 1
                continue
            id, arrival = bytes.fromhex(one.id), first + place
            if arrivals.setdefault(id, arrival) != arrival:
                self.again.append((id, arrival))
                continue
            where = one.vantage
            rows.append(
                (
                    arrival,
                    one.round,
                    one.started,
                    vantages[one.probe, where.country, where.asn],
                    targets[one.target],
                    one.interval_ms,
                    place,
                    id,
                )
            )

    def batch_rows(self, known: Mapping[bytes, LinePlace]) -> list[dict[str, Any]]:
        """Rows of the batches in which at least one measurement is new."""
        found: list[dict[str, Any]] = []
        spans = pairwise((0, *self._ends))
        for each, first, (begin, end) in zip(self.batches, self.firsts, spans, strict=True):
            rows = self.rows[begin:end]
            if any(row[-1] not in known for row in rows):
                found.append(
                    {
                        "first_arrival": first,
                        "last_arrival": first + each.lines - 1,
                        "first_round": _newest_day(one.round for _, one in each.entries),
                        "received": each.received,
                        "body": each.payload,
                        "vantage": rows[0][3],
                    }
                )
        return found

    def line_at(self, arrival: int) -> tuple[AdmittedBatch, int]:
        """The batch of a row, and the place of its line there."""
        index = bisect_right(self.firsts, arrival) - 1
        return self.batches[index], arrival - self.firsts[index]

    def first_line(self, id: bytes) -> tuple[AdmittedBatch, int]:
        """The same, of the first line in the group with this id."""
        return self.line_at(self._arrivals[id])


def _newest_day(rounds: Iterable[int]) -> int:
    """The oldest of those rounds that are of the newest day."""
    found = set(rounds)
    newest = max(found)
    return min(round for round in found if round >= newest - newest % DAY_MS)


def dimension_keys(batches: Iterable[AdmittedBatch]) -> set[DimensionKey]:
    """Vantages and targets of some batches."""
    targets: set[str] = set()
    keys: set[DimensionKey] = set()
    for each in batches:
        targets.update(one.target for _, one in each.entries)
        keys.update(_vantage_key(each, *place) for place in _places(each))
    keys.update((name, service_of(name)) for name in targets)
    return keys


def _places(batch: AdmittedBatch) -> set[tuple[str, str, int]]:
    return {(one.probe, one.vantage.country, one.vantage.asn) for _, one in batch.entries}


def _vantage_key(batch: AdmittedBatch, probe: str, country: str, asn: int) -> DimensionKey:
    return (probe, batch.owner, batch.role, batch.enrolled, country, asn, batch.source)


async def wait_for_turn(connection: AsyncConnection) -> None:
    """PostgreSQL: wait until no other collector is adding.

    Arrival numbers are given before the commit: without turns two collectors would give the same
    ones, and a reader could see number 7, remember it, and never see number 6 that commits later.
    The lock is released after the commit is visible, so numbers become visible in order.
    """
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(TURN_LOCK)))


async def last_arrival(connection: AsyncConnection) -> int:
    """The last arrival number that was given; 0 when none was."""
    return await statements.cursor_value(connection, ARRIVAL)


async def set_last_arrival(connection: AsyncConnection, last: int, received: int) -> None:
    """Give no number up to `last` again; the last batch arrived at `received`."""
    values = {ARRIVAL: last, RECEIVED: received}
    rows = [{"name": name, "value": value} for name, value in values.items()]
    await connection.execute(_set_cursor, rows)


async def insert_new(
    connection: AsyncConnection, rows: Sequence[MeasurementRow], last: int
) -> dict[bytes, LinePlace]:
    """Insert the rows whose id is new (ids are distinct within `rows`, arrival numbers greater than
    `last`); return id and place of the others, as stored before."""
    if not rows:
        return {}
    if connection.dialect.name == "sqlite":
        inserted = await _insert(connection, rows)
    else:
        await connection.exec_driver_sql(_TEMPORARY)
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        await raw.copy_records_to_table("incoming", records=rows, columns=_COLUMNS)
        inserted = (await connection.exec_driver_sql(_MERGE)).rowcount
    known: dict[bytes, LinePlace] = {}
    if inserted < len(rows):
        ids: defaultdict[int, list[bytes]] = defaultdict(list)
        for row in rows:
            ids[row[1] // DAY_MS].append(row[-1])
        for day, mine in ids.items():
            period = {"day": day, "begin": day * DAY_MS, "end": (day + 1) * DAY_MS, "last": last}
            for some in chunks(mine):
                found = await connection.execute(_KNOWN, {"ids": some, **period})
                known |= {bytes(id): (first, arrival) for id, first, arrival in found}
    return known


async def _insert(connection: AsyncConnection, rows: Sequence[MeasurementRow]) -> int:
    start = inserted = 0
    while start < len(rows):
        size = next(size for size in _ROWS_AT_ONCE if size <= len(rows) - start)
        values = tuple(chain.from_iterable(rows[start : start + size]))
        inserted += (await connection.exec_driver_sql(_INSERTS[size], values)).rowcount
        start += size
    return inserted


async def dimension_numbers(
    connection: AsyncConnection, keys: Collection[DimensionKey]
) -> dict[DimensionKey, int]:
    """Numbers of vantages and targets; new ones are inserted."""
    numbers: dict[DimensionKey, int] = {}
    ordered = sorted(keys, key=repr)
    for table, length in ((target, 2), (vantage, len(vantage.c) - 1)):
        for some in chunks([key for key in ordered if len(key) == length]):
            found = await _numbers(connection, table, some)
            if missing := [key for key in some if key not in found]:
                names = [column.name for column in table.c if column.name != "number"]
                rows = [dict(zip(names, key, strict=True)) for key in missing]
                await connection.execute(sa.insert(table), rows)
                found |= await _numbers(connection, table, missing)
            numbers |= {key: found[key] for key in some}
    return numbers


async def _numbers(
    connection: AsyncConnection, table: sa.Table, keys: Iterable[DimensionKey]
) -> dict[DimensionKey, int]:
    """Numbers of the rows whose first column (probe, or target id) occurs in the keys."""
    first = list(table.c)[1]
    query = sa.select(table).where(first.in_({key[0] for key in keys}))
    return {tuple(row[1:]): row[0] for row in await connection.execute(query)}
