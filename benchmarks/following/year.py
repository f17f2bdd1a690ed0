# SPDX-License-Identifier: Apache-2.0
"""A SQLite store with the conclusions of a year of real density, as `db prune --older-than 90d`
leaves them: made of the hours that a store has, which are repeated. Measurements are not repeated.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from monitor.store import cell_sums, service_hours
from monitor.store.tables import cell, service_day, service_hour

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DAYS, BY_HOUR = 365, 90
"""Older days than so many have one row a day."""
PATHS = (
    "/",
    "/metrics",
    "/s/telegram",
    "/s/whatsapp?range=1y",
    "/c/KE?range=1y",
    "/c/TZ?range=90d",
    "/as/64512?range=1y",
    "/explore?range=1y",
    "/explore?country=UG&range=1y",
    "/compare?country=KE&range=90d",
    "/picture.svg?service=signal&range=1y",
    "/api/v1/timeline?service=telegram&country=KE",
    "/status",
)


def _repeat(connection: sqlite3.Connection, table: sa.Table, to: sa.Table, by: int) -> None:
    """The rows of one table once more in another, so much later (or earlier)."""
    names = [column.name for column in table.columns]
    moved = [f"{name} + :by" if name in ("hour", "day") else name for name in names]
    connection.execute(
        f"INSERT INTO {to.name} ({', '.join(names)}) SELECT {', '.join(moved)} FROM {table.name}",
        {"by": by},
    )


def _day_of(connection: sqlite3.Connection, hours: int) -> dict[str, sa.Table]:
    """Temporary tables with one day's rows: by the table that they are of, and `by_day` with those
    of cells as they are after a while. Their tables are empty afterwards."""
    first = connection.execute("SELECT min(hour) FROM cell").fetchone()[0]
    assert first % DAY_MS == 0, "the store does not begin with a day"
    kept: dict[str, sa.Table] = {}
    for table in (cell, service_hour, service_day, cell):
        name = table.name if table.name not in kept else "by_day"
        kept[name] = table.to_metadata(sa.MetaData(), name=f"kept_{name}")
        connection.execute(
            f"CREATE TEMPORARY TABLE kept_{name} AS SELECT * FROM {table.name} LIMIT 0"
        )
    for table in (cell, service_hour):
        connection.execute(f"DELETE FROM {table.name} WHERE hour >= ?", [first + hours * HOUR_MS])
        for turn in range(24 // hours):
            _repeat(connection, table, kept[table.name], turn * hours * HOUR_MS)
        connection.execute(f"DELETE FROM {table.name}")
        _repeat(connection, kept[table.name], table, 0)
    connection.execute("DELETE FROM service_day")
    connection.execute(service_hours.insert_days("c.hour >= 0"))
    _repeat(connection, service_day, kept["service_day"], 0)
    names = ", ".join(column.name for column in cell.columns)
    # As `monitor.store.rollup` does.
    connection.execute(
        f"INSERT INTO kept_by_day ({names}) SELECT ?, target, country, asn, state, rule, "
        "min(layer), min(technique), sum(n), max(vantages), max(all_vantages), 24 FROM cell "
        "GROUP BY target, country, asn, state, rule",
        [first],
    )
    return kept


def stretch(file: Path, hours: int) -> int:
    """Repeat the first `hours` hours of a store's conclusions until there is a year of them; return
    how many cells it has."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -262144")
        query = "SELECT name, sql FROM sqlite_master WHERE tbl_name = 'cell' AND name LIKE 'ix_%'"
        indexes = connection.execute(query).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        kept = _day_of(connection, hours)
        for back in range(1, DAYS):
            by = -back * DAY_MS
            _repeat(connection, kept["service_day"], service_day, by)
            if back * 24 < service_hours.KEPT_HOURS:
                _repeat(connection, kept["service_hour"], service_hour, by)
            _repeat(connection, kept["cell" if back < BY_HOUR else "by_day"], cell, by)
            connection.commit()
        for _, made in indexes:
            connection.execute(made)
        connection.commit()
        cells = int(connection.execute("SELECT count(*) FROM cell").fetchone()[0])
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as written:
        cell_sums.count_cells(written)
    engine.dispose()
    return cells
