"""What pages read, on both databases: order, paging over ties, filters."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from monitor.detection.model import EventState, State
from monitor.store import reading, tables
from monitor.store.base import Probe, Token
from monitor.store.database import Database, open_database
from monitor.store.reading import Filter
from probes.wire.measurement import Role
from tests.monitor.store.samples import (
    HOUR,
    MINUTE,
    NOON,
    admitted,
    concluded,
    event,
    id_of,
    verdict,
)


async def with_events(store: Database, *events: object) -> None:
    await store.conclusions.save([concluded(events=tuple(events))], 1)


async def ids(store: Database, chosen: Filter | None = None, **more: object) -> list[str]:
    async with store.engine.connect() as connection:
        found = await reading.events(connection, chosen or Filter(), **more)  # type: ignore[arg-type]
    return [each.id[-2:] for each in found]


async def test_events_come_newest_onset_first_then_by_id(store: Database) -> None:
    await with_events(
        store,
        event("00000000000000aa", onset=NOON),
        event("00000000000000ab", onset=NOON),
        event("00000000000000ac", onset=NOON + 1, country="FR"),
    )
    assert await ids(store) == ["ac", "ab", "aa"]
    assert await ids(store, limit=2) == ["ac", "ab"]
    assert await ids(store, after=(NOON + 1, "00000000000000ac")) == ["ab", "aa"]
    assert await ids(store, after=(NOON, "00000000000000ab")) == ["aa"]
    assert await ids(store, after=(NOON, "00000000000000aa")) == []


async def test_a_rare_filter_looks_through_all_events(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "CHUNK", 3)
    many = [event(f"{n:016x}", onset=NOON + n // 4, asns=(n % 5,)) for n in range(23)]
    await with_events(store, *many)
    wanted = [f"{n:016x}"[-2:] for n in reversed(range(23)) if n % 5 == 2]
    assert await ids(store, Filter(asn=2)) == wanted
    assert await ids(store, Filter(asn=2), limit=2) == wanted[:2]
    assert await ids(store, Filter(asn=2), after=(NOON + 3, f"{12:016x}")) == wanted[-2:]
    assert await ids(store, Filter(asn=99)) == []
    assert await ids(store, Filter(target="wechat/nothing")) == []


async def test_newest_measurements_are_found_without_sorting(sqlite_url: str) -> None:
    store = await open_database(sqlite_url)
    v = tables.verdict.c
    query = sa.select(v.body).order_by(v.round.desc(), v.measurement.desc()).limit(5)
    text = str(query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    async with store.engine.connect() as connection:
        plan = (await connection.execute(sa.text(f"EXPLAIN QUERY PLAN {text}"))).all()
    await store.close()
    assert [row[-1] for row in plan] == ["SCAN verdict USING INDEX ix_verdict_round_measurement"]


async def test_filters_and_times_of_events(store: Database) -> None:
    over = event(
        "00000000000000a1",
        onset=NOON,
        state=EventState.CLOSED,
        closed=NOON + 10,
        updated=NOON + 10,
    )
    wrong = event("00000000000000a2", onset=NOON, state=EventState.RETRACTED, updated=NOON + 5)
    still = event("00000000000000a3", onset=NOON + 3, country="FR", updated=NOON + 3)
    await with_events(store, over, wrong, still)
    assert await ids(store, Filter(service="signal")) == []
    assert await ids(store, Filter(country="FR")) == ["a3"]
    assert await ids(store, state="open") == ["a3"]
    assert await ids(store, Filter(since=NOON + 11)) == ["a3"]
    assert await ids(store, Filter(since=NOON + 10)) == ["a3", "a1"]
    assert await ids(store, Filter(since=NOON + 5)) == ["a3", "a2", "a1"]
    assert await ids(store, Filter(until=NOON)) == []
    assert await ids(store, Filter(until=NOON + 3)) == ["a2", "a1"]


async def test_one_event_and_the_journal(store: Database) -> None:
    journal = (("00000000000000aa", "opened"), ("00000000000000aa", "confirmed"))
    await store.conclusions.save([concluded(events=(event(),), journal=journal)], 1)
    async with store.engine.connect() as connection:
        found = await reading.event(connection, "00000000000000aa")
        assert found == event()
        assert await reading.event(connection, "0" * 16) is None
        assert await reading.transitions(connection) == [
            ("wechat", "RU", "confirmed", 1),
            ("wechat", "RU", "opened", 1),
        ]


async def judged_store(store: Database) -> Sequence[str]:
    """Two probes, three rounds, two targets; returns the ids in their order."""
    rows = [
        admitted(n, probe=p, target=target, at=NOON + r * MINUTE, country=country, asn=asn)
        for n, (r, p, target, country, asn) in enumerate(
            (r, p, target, country, asn)
            for r in range(3)
            for p, country, asn in ((1, "RU", 64501), (2, "FR", 64503))
            for target in ("wechat/messaging", "signal/messaging")
        )
    ]
    await store.facts.add(rows, [])
    for service in ("wechat", "signal"):
        said = tuple(
            verdict(row, State.BLOCKED if row.stored.measurement.vantage.asn == 64501 else State.OK)
            for row in rows
            if row.stored.measurement.service == service
        )
        await store.conclusions.save([concluded(service=service, verdicts=said)], len(rows))
    return [id_of(r) for r in sorted(rows, key=lambda r: (r.stored.measurement.round, id_of(r)))][
        ::-1
    ]


async def test_judged_measurements_are_paged_by_round_and_id(store: Database) -> None:
    everything = await judged_store(store)
    async with store.engine.connect() as connection:
        whole = await reading.judged(connection)
        assert [each.id for each in whole] == everything
        pages, after = [], None
        for _ in range(20):
            page = await reading.judged(connection, after=after, limit=5)
            if not page:
                break
            pages += [each.id for each in page]
            after = (page[-1].round, page[-1].id)
        assert pages == everything
        mine = Filter(service="wechat", country="RU", asn=64501, target="wechat/messaging")
        assert {each.verdict.state for each in await reading.judged(connection, mine)} == {
            "blocked"
        }
        between = Filter(since=NOON + MINUTE, until=NOON + 2 * MINUTE)
        found = await reading.judged(connection, between)
        assert {each.round for each in found} == {NOON + MINUTE}
        assert len(await reading.judged(connection, states=("ok",))) == 6
        one = await reading.verdict(connection, everything[0])
        assert one is not None
        assert one.rule == "tls.ok"
        assert await reading.verdict(connection, "0" * 32) is None


async def test_the_newest_sight_of_each_vantage(store: Database) -> None:
    await judged_store(store)
    async with store.engine.connect() as connection:
        found = await reading.sights(connection, NOON)
        assert len(found) == 4
        assert {each.round for each in found} == {NOON + 2 * MINUTE}
        assert len(await reading.sights(connection, NOON, "signal")) == 2
        assert await reading.sights(connection, NOON + 3 * MINUTE) == []


async def test_the_timeline_is_paged_over_ties(store: Database) -> None:
    await judged_store(store)
    async with store.engine.connect() as connection:
        whole = await reading.timeline(connection)
        assert len(whole) == 4
        assert [(b.hour, b.key) for b in whole] == sorted((b.hour, b.key) for b in whole)
        assert {each.n for each in whole} == {3}
        found, after = [], None
        for _ in range(10):
            page = await reading.timeline(connection, after=after, limit=1)
            if not page:
                break
            found += page
            after = (page[-1].hour, page[-1].key)
        assert found == list(whole)
        assert len(await reading.timeline(connection, Filter(service="wechat"))) == 2
        assert await reading.timeline(connection, Filter(service="wech_t")) == []
        assert await reading.timeline(connection, Filter(service="%")) == []
        assert len(await reading.timeline(connection, Filter(country="FR", asn=64503))) == 2
        assert await reading.timeline(connection, Filter(until=NOON)) == []
        assert len(await reading.timeline(connection, Filter(since=NOON + HOUR - 1))) == 4
        assert await reading.timeline(connection, Filter(since=NOON + HOUR)) == []


async def test_vantages_tallies_and_the_newest_arrival(store: Database) -> None:
    async with store.engine.connect() as connection:
        assert await reading.last_received(connection) is None
        assert await reading.measurements_stored(connection) == 0
        assert await reading.vantages(connection) == []
    rows = [admitted(1), admitted(2)]
    await store.facts.add(rows, [])
    await store.facts.add(rows[:1], [])
    token = Token(
        id="t", secret_sha256="0" * 64, role="vantage", owner="ada", uses_left=1,
        expires=NOON + HOUR, created=NOON,
    )  # fmt: skip
    await store.registry.add_token(token)
    probe = Probe(id="p-1", owner="", role="", enrolled=NOON)
    await store.registry.enrol("t", "0" * 64, probe, "secret", NOON)
    await store.registry.saw("p-1", NOON + 5, country="RU", asn=64501)
    async with store.engine.connect() as connection:
        assert await reading.last_received(connection) == NOON + 500
        assert await reading.measurements_stored(connection) >= 2
        tallies = {(a, b): n for a, b, n in await reading.tallies(connection)}
        assert tallies["ingested", ""] == 2
        assert tallies["duplicate", ""] == 1
        (row,) = await reading.vantages(connection)
        assert (row.id, row.owner, row.country, row.asn, row.last_seen) == (
            "p-1", "ada", "RU", 64501, NOON + 5,
        )  # fmt: skip


async def test_companions_are_of_the_same_round(store: Database) -> None:
    mine, control, other, alive = (
        admitted(1),
        admitted(2, probe=2, role=Role.CONTROL),
        admitted(3, at=NOON + MINUTE),
        admitted(4, target="liveness/international"),
    )
    await store.facts.add([mine, control, other, alive], [])
    async with store.engine.connect() as connection:
        found = await reading.companions(connection, id_of(mine))
    assert set(found) == {id_of(mine), id_of(control), id_of(alive)}
