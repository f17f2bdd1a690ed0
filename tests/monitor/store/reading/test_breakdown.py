"""Tables of counts, on both databases: every direction agrees with the others."""

from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa

from monitor.detection.events.gates import not_counted
from monitor.detection.model import State
from monitor.store.database import Database
from monitor.store.reading import breakdown
from monitor.store.reading.breakdown import Period, Place
from monitor.store.reading.cell_sums import Across
from monitor.store.service_hours import EVERY_NETWORK
from tests.monitor.store.samples import HOUR, admitted, concluded, verdict
from tests.monitor.store.test_service_hours import MIDNIGHT, SAID, TARGETS, judge

DAY = 24 * HOUR
PERIOD = Period(MIDNIGHT, MIDNIGHT + 2 * DAY, 12 * HOUR, daily=False)
EVERYWHERE = Place()


@pytest.fixture
async def filled(store: Database) -> Database:
    for hour in (0, 13, 30):
        await judge(store, MIDNIGHT + hour * HOUR)
    return store


@pytest.mark.parametrize("across", ["country", "network", "time"])
async def test_functions_add_up_to_their_services(filled: Database, across: Across) -> None:
    async with filled.reading() as connection:
        services = await breakdown.services(connection, ["wechat"], PERIOD, across)
        series = await breakdown.chosen_at(connection, TARGETS, EVERYWHERE)
        functions = await breakdown.functions(connection, series, PERIOD, across)
    assert services
    columns = {column for _, column in services}
    assert columns == {column for _, column in functions}
    for column in columns:
        shares = [functions[target, column] for target in TARGETS]
        whole = services["wechat", column]
        assert sum(share.judged for share in shares) == whole.judged
        assert sum(share.failing for share in shares) == whole.failing
        assert any(share.blocked for share in shares) == whole.blocked
    assert not any(share.failing for (name, _), share in functions.items() if name == TARGETS[1])


async def test_columns_are_places_or_slices(filled: Database) -> None:
    async with filled.reading() as connection:
        found = {
            across: {c for _, c in await breakdown.services(connection, ["wechat"], PERIOD, across)}
            for across in ("country", "network", "time")
        }
        russia = await breakdown.services(
            connection, ["wechat"], PERIOD, "network", Place(("RU",), (64501, 64503))
        )
    assert found["country"] == {("RU", EVERY_NETWORK), ("FR", EVERY_NETWORK)}
    assert found["network"] == set(SAID)
    assert found["time"] == {("", MIDNIGHT + n * 12 * HOUR) for n in (0, 1, 2)}
    assert set(russia) == {("wechat", ("RU", 64501))}


async def test_techniques_and_reasons_are_counted_by_name(filled: Database) -> None:
    async with filled.reading() as connection:
        series = await breakdown.chosen_at(connection, TARGETS, Place(("FR",)))
        rules = await breakdown.named(connection, series, PERIOD, "network", "rule")
        mine = await breakdown.chosen_at(connection, TARGETS, EVERYWHERE)
        typed = await breakdown.named(connection, mine, PERIOD, "country", "technique")
    france = "FR", 64503
    skipped = [s for s in SAID[france] if s is not State.OK]
    assert sum(rules.counts.values()) == 3 * len(skipped)
    assert rules.total == {france: 3 * 2 * len(SAID[france])}
    assert set(typed.counts) == {("tls.reset.sni", ("RU", EVERY_NETWORK))}
    assert typed.total["RU", EVERY_NETWORK] == 3 * 2 * 8


@pytest.mark.parametrize(
    ("state", "rule", "counted"),
    [
        (State.INCONCLUSIVE, "imported.tls_timeout", False),
        (State.INSUFFICIENT, "imported.vpn", True),
        (State.INCONCLUSIVE, "tls.timeout.sni", True),
        (State.BLOCKED, "tls.timeout.sni", False),
    ],
    ids=["run-of-others-failed", "run-of-others-over-vpn", "unclear", "blocked"],
)
async def test_only_what_is_no_evidence_has_a_reason(
    store: Database, state: State, rule: str, counted: bool
) -> None:
    row = admitted(1, target=TARGETS[0], at=MIDNIGHT, country="FR", asn=64503)
    fact = verdict(row, state, rule)
    assert bool(not_counted(fact.verdict)) is counted
    await store.facts.add([row], [])
    await store.conclusions.save([concluded(facts=(fact,))], 1)
    async with store.reading() as connection:
        chosen = await breakdown.chosen_at(connection, TARGETS, EVERYWHERE)
        named = await breakdown.named(connection, chosen, PERIOD, "country", "rule")
    assert named.counts == ({(rule, ("FR", EVERY_NETWORK)): 1} if counted else {})


async def test_too_many_sums_are_read_for_a_shorter_time(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakdown, "MOST_SUMS", 2 * 20)
    async with filled.reading() as connection:
        chosen = await breakdown.chosen_at(connection, TARGETS, EVERYWHERE)
    assert [each.country for each in chosen.axes] == ["FR", "RU"]
    hours = Period(MIDNIGHT + HOUR, MIDNIGHT + 2 * DAY - HOUR, HOUR, daily=False)
    assert breakdown.within_limit(chosen, hours, "time").since == hours.until - 20 * HOUR
    assert breakdown.within_limit(chosen, PERIOD, "country") == PERIOD
    alone = msgspec.structs.replace(chosen, axes=())
    assert breakdown.within_limit(alone, hours, "time") == hours
    days = Period(MIDNIGHT - 300 * DAY, MIDNIGHT + 9 * DAY - 1, DAY, daily=True)
    assert breakdown.within_limit(chosen, days, "time").since == MIDNIGHT - 11 * DAY
    shorter = breakdown.within_limit(chosen, days, "country").since
    assert days.since < shorter < MIDNIGHT - 80 * DAY


@pytest.mark.parametrize("across", ["country", "network", "time"])
async def test_sums_of_services_are_those_of_their_cells(filled: Database, across: Across) -> None:
    days = msgspec.structs.replace(PERIOD, slice_ms=DAY)
    until = PERIOD.until + 3 * HOUR
    hours = msgspec.structs.replace(days, since=PERIOD.since + 5 * HOUR, until=until)
    for period in (days, hours):
        to_now = msgspec.structs.replace(period, to_now=True)
        daily = msgspec.structs.replace(days, daily=True)
        cells = msgspec.structs.replace(period, kept=False)
        async with filled.reading() as connection:
            by_cells = await breakdown.services(connection, ["wechat"], cells, across)
            assert by_cells
            for same in (period, to_now, *([daily] if period is days else ())):
                assert await breakdown.services(connection, ["wechat"], same, across) == by_cells


@pytest.mark.parametrize("table", ["hour", "day"])
async def test_a_year_everywhere_is_added_up_without_a_tree(store: Database, table: str) -> None:
    """SQLite, also without statistics, reads the sums in the order of their groups."""
    async with store.reading() as connection:
        if connection.dialect.name != "sqlite":
            return
        query = breakdown._sums("sqlite", table, "country", False, False)
        given = {"begin": 0, "end": MIDNIGHT, "names": ["wechat", "signal"]}
        explain = sa.text(f"EXPLAIN QUERY PLAN {query.text}")
        explain = explain.bindparams(sa.bindparam("names", expanding=True))
        plan = [str(row[3]) for row in await connection.execute(explain, given)]
    assert any(f"service_{table}_1 (country=? AND asn=? AND service=?" in step for step in plan)
    assert not any("TEMP B-TREE" in step for step in plan)
