"""Measurements and verdicts, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from monitor.detection.model import State
from monitor.store.database import Database, open_database
from monitor.store.reading import measurements
from monitor.store.reading.measurements import (
    get_verdict,
    list_judged,
    list_measurements_of_probe,
    newest_of_controls,
    search_judged,
    stream_measurements,
)
from monitor.store.records import Filter
from probes.wire.measurement import LIVENESS_INTERNATIONAL, Role
from tests.monitor import fleet
from tests.monitor.store.samples import (
    HOUR,
    MINUTE,
    NOON,
    admitted,
    concluded,
    fill_three_probes,
    judged_store,
    verdict,
)
from tests.world.stores import migrated


async def test_judged_measurements_are_paged_by_round_and_arrival(store: Database) -> None:
    everything = await judged_store(store)
    async with store.reading() as connection:
        whole = await list_judged(connection)
        assert [each.id for each in whole] == everything
        pages, after = [], None
        for _ in range(20):
            page = await list_judged(connection, after=after, limit=5)
            if not page:
                break
            pages += [each.id for each in page]
            after = (page[-1].round, page[-1].arrival)
        assert pages == everything
        mine = Filter(service="wechat", country="RU", asn=64501, target="wechat/messaging")
        assert {each.verdict.state for each in await list_judged(connection, mine)} == {"blocked"}
        between = Filter(since=NOON + MINUTE, until=NOON + 2 * MINUTE)
        found = await list_judged(connection, between)
        assert {each.round for each in found} == {NOON + MINUTE}
        newest = await store.facts.measurement(everything[0])
        assert newest is not None
        stored, _line, arrival, _first_key = newest
        one = await get_verdict(connection, stored.measurement, arrival)
        assert one is not None
        assert one == whole[0].verdict
        assert one.rule == "tls.ok"
        assert await get_verdict(connection, stored.measurement, 0) is None


async def test_a_list_of_a_place_goes_back_in_time_as_far_as_it_must(store: Database) -> None:
    hours = (0, 1, 9, 100)
    rows = [
        admitted(10 * hour + p, probe=p, at=NOON + hour * HOUR, country=country, asn=64500 + p)
        for hour in hours
        for p, country in ((1, "RU"), (2, "RU"), (3, "FR"))
    ]
    await store.facts.add(rows, [])
    await store.conclusions.save([concluded(facts=tuple(map(verdict, rows)))], len(rows))
    async with store.reading() as connection:
        russia = Filter(country="RU")
        whole = await list_judged(connection, russia)
        assert [(each.round - NOON) // HOUR for each in whole] == [100, 100, 9, 9, 1, 1, 0, 0]
        pages, after = [], None
        while page := await list_judged(connection, russia, after=after, limit=3):
            pages += page
            after = (page[-1].round, page[-1].arrival)
        assert pages == whole
        one = await list_judged(connection, Filter(asn=64502, until=NOON + 9 * HOUR))
        assert [(each.round - NOON) // HOUR for each in one] == [1, 0]
        late = await list_judged(connection, Filter(asn=64502, since=NOON + 2 * HOUR))
        assert [(each.round - NOON) // HOUR for each in late] == [100, 9]
        assert await list_judged(connection, Filter(country="DE")) == []


async def test_who_measured_may_be_chosen_with_the_place_or_without(store: Database) -> None:
    rows = [admitted(10 * p + n, probe=p, at=NOON + n * HOUR) for n in range(2) for p in (1, 2)]
    theirs = [
        replace(row, stored=replace(row.stored, source="ooni"))
        if row.stored.measurement.probe == rows[1].stored.measurement.probe
        else row
        for row in rows
    ]
    await store.facts.add(theirs, [])
    await store.conclusions.save([concluded(facts=tuple(map(verdict, rows)))], len(rows))
    async with store.reading() as connection:
        for place in (Filter(), Filter(country="RU")):
            for source, probe in (("probe", rows[0]), ("ooni", rows[1])):
                found = await list_judged(connection, replace(place, source=source))
                assert [each.probe for each in found] == [probe.stored.measurement.probe] * 2
        assert await list_judged(connection, Filter(source="other")) == []


@pytest.mark.parametrize("place", [Filter(), Filter(country="RU")], ids=["anywhere", "a place"])
async def test_a_search_for_what_is_rare_ends_and_goes_on(
    store: Database, monkeypatch: pytest.MonkeyPatch, place: Filter
) -> None:
    rows = [admitted(10 * hour + 1, at=NOON + hour * HOUR) for hour in range(9)]
    await store.facts.add(rows, [])
    judged = [
        replace(verdict(row), verdict=replace(verdict(row).verdict, state=State.DOWN))
        if hour == 1
        else verdict(row)
        for hour, row in enumerate(rows)
    ]
    await store.conclusions.save([concluded(facts=tuple(judged))], len(rows))
    monkeypatch.setattr(measurements, "SEARCHED", 3)
    wanted = replace(place, counted=False)
    found, parts, after = [], 0, None
    async with store.reading() as connection:
        while True:
            part = await search_judged(connection, wanted, after=after, limit=5)
            found += part.rows
            parts += 1
            if (after := part.following) is None:
                break
    assert [(row.round - NOON) // HOUR for row in found] == [1]
    assert parts == 3


async def test_a_place_that_is_seldom_measured_is_found_however_much_others_measure(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        admitted(n, probe=7 if n in (3, 19) else 1, asn=7 if n in (3, 19) else 64501, at=at)
        for n, at in enumerate(NOON + r * 30 * MINUTE for r in range(30))
    ]
    await store.facts.add(rows, [])
    await store.conclusions.save([concluded(facts=tuple(map(verdict, rows)))], len(rows))
    monkeypatch.setattr(measurements, "SEARCHED", 3)
    async with store.reading() as connection:
        for asn, expected in (
            (7, [19, 3]),
            (64501, [n for n in range(29, -1, -1) if n not in (3, 19)]),
        ):
            found, after = [], None
            while True:
                wanted = Filter(service="wechat", asn=asn)
                part = await search_judged(connection, wanted, after=after, limit=2)
                found += [(row.round - NOON) // MINUTE // 30 for row in part.rows]
                if (after := part.following) is None:
                    break
            assert found == expected
        whole = await list_judged(connection, Filter(service="wechat", asn=64501))
        assert [row.round for row in whole] == [
            row.stored.measurement.round
            for row in rows[::-1]
            if row.stored.measurement.vantage.asn != 7
        ]


async def test_where_nobody_measures_the_past_is_not_read(store: Database) -> None:
    await judged_store(store)
    asked: list[str] = []
    async with store.reading() as connection:

        def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
            asked.append(statement)

        await connection.execute(sa.select(1))
        sa.event.listen(connection.sync_connection, "before_cursor_execute", note)
        assert await list_judged(connection, Filter(asn=4)) == []
        assert len(asked) == 1


async def test_measurements_of_one_probe(store: Database) -> None:
    await fill_three_probes(store)
    name = f"p-{1:016x}"
    async with store.reading() as connection:
        found = await list_measurements_of_probe(connection, name, NOON + 30 * MINUTE)
        assert [(one.target, (one.round - NOON) // MINUTE, one.state) for one in found] == [
            (LIVENESS_INTERNATIONAL, 45, None),
            ("wechat/messaging", 45, "blocked"),
            (LIVENESS_INTERNATIONAL, 30, None),
            ("wechat/messaging", 30, "blocked"),
        ]
        assert found[1].technique == "tls.reset.sni"
        assert len(await list_measurements_of_probe(connection, name, NOON, 3)) == 3
        until = NOON + 30 * MINUTE
        past = await list_measurements_of_probe(connection, name, NOON, until=until)
        assert {one.round for one in past} == {NOON + r * 15 * MINUTE for r in range(3)}
        assert await list_measurements_of_probe(connection, "p-" + "f" * 16, NOON) == []


@pytest.mark.parametrize(
    ("batches", "newest"),
    [
        pytest.param([[0], [-5]], 0, id="of its round"),
        pytest.param([[-30], [-10], [-50]], -10, id="before it"),
        pytest.param([[-61]], None, id="too long before it"),
        pytest.param([[1], [300]], None, id="after it"),
        pytest.param([[-300, -40, -20]], -20, id="several rounds of one batch"),
        pytest.param([[-5, 2, 200]], -5, id="a batch of two days"),
    ],
)
async def test_the_newest_measurement_of_a_control(
    store: Database, batches: list[list[int]], newest: int | None
) -> None:
    last = NOON + 12 * HOUR - MINUTE  # the last round of its day
    subject = admitted(1, at=last)
    await store.facts.add([subject, admitted(2, probe=2, at=last)], [])
    for number, rounds in enumerate(batches):
        received = last + max(rounds) * MINUTE + number
        sent = [
            admitted(1000 * number + 500 + n, probe=9, at=last + n * MINUTE, role=Role.CONTROL)
            for n in rounds
        ]
        other = admitted(7, probe=9, at=last, role=Role.CONTROL, target="wechat/web")
        await store.facts.add([replace(one, received=received) for one in (*sent, other)], [])
    async with store.reading() as connection:
        found = await newest_of_controls(connection, subject.stored.measurement, HOUR)
    at = found and (found.measurement.target, (found.measurement.round - last) // MINUTE)
    assert at == (None if newest is None else ("wechat/messaging", newest))


async def test_chunks_hold_everything_once_in_the_order_of_arrival(tmp_path: Path) -> None:
    everything = fleet.rounds(range(4))
    database = await open_database(await migrated(tmp_path / "store.sqlite"))
    try:
        await database.facts.add(fleet.admitted(everything), ())
        found = []
        async for chunk in stream_measurements(database, Filter(), chunk=3):
            assert 0 < len(chunk) <= 3
            found += chunk
        assert sorted(each.measurement.id for each in found) == sorted(
            each.measurement.id for each in everything
        )
        assert {each.role for each in found} == {each.role for each in everything}
        nothing = [chunk async for chunk in stream_measurements(database, Filter(service="none"))]
        assert nothing == []
    finally:
        await database.close()
