"""No page, list or metric reads all measurements, verdicts or cells: the databases' own plans."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from monitor.store import evidence, verdicts
from monitor.store.database import Database
from monitor.store.engines import ReadTransaction, writing
from monitor.store.facts import _BY_ID
from monitor.store.reading import (
    breakdown,
    counts,
    events,
    measurements,
    newest,
    progress,
    timeline,
    vantages,
)
from monitor.store.reading.breakdown import Period, Place
from monitor.store.reading.cell_sums import Across
from monitor.store.records import Filter
from monitor.store.service_hours import EVERY_NETWORK
from monitor.store.tables import cell, cell_axes, vantage
from tests.monitor.store.samples import HOUR, NOON, admitted, event

LARGE = (
    *("measurement", "verdict", "cell", "cell_sum", "service_hour", "service_day"),
    "round_evidence",
)
"""Tables that grow with what the fleet has measured."""
Read = Callable[[ReadTransaction], Awaitable[Any]]
WECHAT = ["wechat/messaging", "wechat/web"]
SERIES = [(target, "RU", 64501) for target in WECHAT]
DAYS = Period(NOON - 90 * 24 * HOUR, NOON, 24 * HOUR, daily=True)
PROBE = "p-0000000000000001"


async def _functions(c: ReadTransaction, across: Across, *asns: int) -> None:
    chosen = await breakdown.chosen_at(c, WECHAT, Place((), asns))
    assert chosen.axes
    await breakdown.functions(c, chosen, DAYS, across)


READS: dict[str, Read] = {
    "newest verdicts of a service": lambda c: newest.newest_verdicts(c, "wechat", NOON, {}),
    "a list of verdicts": lambda c: measurements.list_judged(c),
    "a country's verdicts": lambda c: measurements.list_judged(c, Filter(country="RU")),
    "a network's verdicts": lambda c: measurements.list_judged(c, Filter(asn=64501)),
    "a service's verdicts": lambda c: measurements.list_judged(c, Filter(service="wechat")),
    "a target's verdicts": lambda c: measurements.list_judged(c, Filter(target=WECHAT[0])),
    "a control's measurement": lambda c: measurements.newest_of_controls(
        c, admitted(1).stored.measurement, HOUR
    ),
    "witnesses": lambda c: measurements.list_witnesses(c, ["0" * 32, "1" * 32]),
    "a verdict": lambda c: verdicts.verdicts_on(c, [("wechat", NOON, 1)]),
    "a measurement": lambda c: c.execute(_BY_ID, {"ids": ["0" * 32]}),
    "what a probe measured": lambda c: measurements.list_measurements_of_probe(c, PROBE, NOON),
    "the timeline": lambda c: timeline.timeline(c),
    "the timeline of an hour": lambda c: timeline.timeline(c, Filter(until=NOON)),
    "a service's timeline": lambda c: timeline.timeline(c, Filter(service="wechat")),
    "a strip of days": lambda c: counts.count_states(c, WECHAT, NOON, NOON + 99 * HOUR, HOUR),
    "a strip of minutes": lambda c: counts.count_states(c, WECHAT, NOON, NOON + HOUR, 60_000),
    "strips of minutes near and far": lambda c: counts.count_nearby(
        c, WECHAT, NOON, NOON + HOUR, 60_000, "RU", [64501]
    ),
    "vantages by day": lambda c: counts.count_vantages(c, WECHAT, NOON, NOON + 99 * HOUR, HOUR),
    "vantages by minute": lambda c: counts.count_vantages(c, WECHAT, NOON, NOON + HOUR, 60_000),
    "hours of countries": lambda c: counts.service_hours(c, ["wechat"], NOON, NOON + HOUR),
    "services by country": lambda c: breakdown.services(c, ["wechat"], DAYS, "country"),
    "services by network": lambda c: breakdown.services(
        c, ["wechat"], DAYS, "network", Place(("RU",))
    ),
    "services of a network by time": lambda c: breakdown.services(
        c, ["wechat"], DAYS, "time", Place((), (64501,))
    ),
    "functions by network": lambda c: _functions(c, "network"),
    "functions by time": lambda c: _functions(c, "time"),
    "functions of a network": lambda c: _functions(c, "country", 64501),
    "networks watched": lambda c: counts.networks_watched(
        c, ["wechat"], NOON - 90 * 24 * HOUR, NOON, "RU"
    ),
    "days of countries": lambda c: counts.service_days(c, ["wechat"], NOON - 90 * 24 * HOUR, NOON),
    "days of all countries": lambda c: counts.service_everywhere(
        c, "wechat", NOON - 90 * 24 * HOUR, NOON, "RU", [64501, EVERY_NETWORK], days=True
    ),
    "hours of all countries": lambda c: counts.service_everywhere(
        c, "wechat", NOON, NOON + HOUR, "RU", [64501, EVERY_NETWORK]
    ),
    "hours of a country": lambda c: counts.service_hours(
        c, ["wechat", "signal"], NOON, NOON + HOUR, country="RU"
    ),
    "hours of a network": lambda c: counts.service_hours(
        c, ["wechat", "signal"], NOON, NOON + HOUR, asns=(64501,)
    ),
    "hours whose sums are dropped": lambda c: counts.service_hours(
        c, ["wechat"], NOON, NOON + HOUR, country="RU", kept=False
    ),
    "services by hours whose sums are dropped": lambda c: breakdown.services(
        c, ["wechat"], Period(NOON, NOON + HOUR, HOUR, daily=False, kept=False), "country"
    ),
    "series by the hour": lambda c: counts.count_series(c, SERIES, NOON, NOON + 99 * HOUR, HOUR),
    "series by the minute": lambda c: counts.count_series(c, SERIES, NOON, NOON + HOUR, 60_000),
    "rounds of all services": lambda c: counts.judged_rounds(c, None, NOON, NOON + HOUR),
    "a service's rounds": lambda c: counts.judged_rounds(c, "wechat", NOON, NOON + HOUR),
    "clocks": lambda c: vantages.clock_readings(c, NOON),
    "revisions": newest.revisions,
    "a probe's liveness": lambda c: vantages.liveness_of_probe(c, [1], NOON, 20),
    "a probe's numbers": lambda c: vantages.numbers_and_status(c, PROBE),
    "liveness": lambda c: vantages.liveness_lines(c, [PROBE], NOON, 20),
    "arrivals": lambda c: progress.recent_arrivals(c, NOON),
    "the last arrival": lambda c: progress.last_received(c),
    "how far all are": lambda c: progress.received_and_folded(c),
    "events of a network": lambda c: events.list_events(c, Filter(asn=64501)),
    "the newest of the last": lambda c: progress.newest_of_last_arrived(c),
    "unread measurements": lambda c: progress.count_unread(c),
    "open events": lambda c: events.list_events(c, state="open", published=True),
    "an event and those beside it": lambda c: events.list_events_beside(c, event().id, 100),
    "ended events": lambda c: events.list_ended_events(c, NOON, NOON),
    "an event's rounds": lambda c: evidence.list_rounds(c, event(), NOON, None),
    "evidence of some rounds": lambda c: evidence.read(c, event(), [NOON, NOON + HOUR]),
    "evidence to drop": lambda c: evidence.thin(c, "wechat", NOON, NOON + HOUR),
}


def _cell(hour: int, asn: int = 64501) -> dict[str, object]:
    return {
        "hour": NOON + hour * HOUR,
        "target": WECHAT[0],
        "country": "RU",
        "asn": asn,
        "state": "ok",
        "rule": "tls.ok",
        "n": 1,
        "vantages": 1,
        "all_vantages": 1,
    }


def reads_everything(dialect: str, line: str, ordered: bool) -> bool:
    """Whether a line of a plan reads a large table to its end. In SQLite a scan that gives rows in
    the wanted order stops at the LIMIT (`ordered`)."""
    words = line.replace('"', "").split()
    if dialect == "sqlite":
        return words[:1] == ["SCAN"] and words[1] in LARGE and not ordered
    return "Seq Scan on " in line and any(f"Seq Scan on {table}" in line for table in LARGE)


@pytest.mark.parametrize("name", READS)
async def test_no_large_table_is_read_to_its_end(store: Database, name: str) -> None:
    asked: list[tuple[str, Any]] = []
    async with writing(store.engines) as connection:  # more hours than one page of a timeline
        await connection.execute(sa.insert(cell), [_cell(hour) for hour in range(300)])
        if name == "the timeline of an hour":  # with more rows than a page
            await connection.execute(sa.insert(cell), [_cell(-1, 64501 + n) for n in range(250)])
        here = {"probe": PROBE, "owner": "ada", "role": "vantage", "enrolled": 0, "source": "probe"}
        await connection.execute(sa.insert(vantage), here | {"country": "RU", "asn": 64501})
        axes = {"service": "wechat", "country": "RU"}
        body = b'{"targets":["wechat/web"],"asns":[64501]}'
        await connection.execute(sa.insert(cell_axes), axes | {"body": body})
    deletes = name == "evidence to drop"
    async with writing(store.engines) if deletes else store.reading() as connection:
        dialect = connection.dialect.name
        if dialect == "postgresql":
            # Tables are empty here, where scanning is always cheapest: what is left is a plan
            # that no index serves.
            await connection.execute(sa.text("SET enable_seqscan = off"))

        def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            asked.append((statement, parameters))

        sa.event.listen(connection.sync_connection, "before_cursor_execute", note)
        await READS[name](connection)
        statements, explain = list(asked), "EXPLAIN " + "QUERY PLAN " * (dialect == "sqlite")
        assert statements
        for statement, parameters in statements:
            rows = await connection.exec_driver_sql(explain + statement, parameters)
            plan = [str(row[-1]) for row in rows]
            ordered = "LIMIT" in statement and not any("TEMP B-TREE" in line for line in plan)
            bad = [line for line in plan if reads_everything(dialect, line, ordered)]
            assert not bad, "\n".join([statement, *plan])
        if dialect == "postgresql":
            await connection.execute(sa.text("RESET enable_seqscan"))


async def test_a_scan_is_seen(store: Database) -> None:
    async with store.reading() as connection:
        dialect = connection.dialect.name
        explain = "EXPLAIN " + "QUERY PLAN " * (dialect == "sqlite")
        rows = await connection.exec_driver_sql(f"{explain} SELECT count(body) FROM verdict")
        assert any(reads_everything(dialect, str(row[-1]), False) for row in rows)
