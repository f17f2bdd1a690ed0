"""Vectors of counts, the times that are summed up, and the sums that are written, on both
databases."""

from __future__ import annotations

import random
import struct
from collections import Counter

import msgspec
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from monitor.detection.model import State
from monitor.store import cell_sums
from monitor.store.cell_sums import NETWORKS, SPANS, add_up, count_cells, counts, cover, pack
from monitor.store.database import Database
from monitor.store.engines import writing
from monitor.store.tables import cell_axes, cell_sum
from tests.monitor.store.samples import HOUR, admitted, concluded, verdict
from tests.monitor.store.test_service_hours import MIDNIGHT, judge

DAY = 24 * HOUR
lanes = st.lists(st.integers(0, 2**20), min_size=NETWORKS, max_size=NETWORKS)
vectors = st.dictionaries(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), lanes, max_size=6
)


def _integer(values: list[int]) -> int:
    return sum(n << 32 * lane for lane, n in enumerate(values))


@given(st.lists(vectors, max_size=5))
def test_vectors_are_added_count_by_count(
    some: list[dict[tuple[int, int, int], list[int]]],
) -> None:
    expected: dict[bytes, Counter[int]] = {}
    bodies = []
    for vector in some:
        packed = {}
        for (name, target, sixteen), values in vector.items():
            place = struct.pack("<HHH", name, target, sixteen)
            assert cell_sums.position(place) == (name, target, sixteen * NETWORKS)
            packed[place] = _integer(values)
            expected.setdefault(place, Counter()).update(dict(enumerate(values)))
        bodies.append(pack(packed))
    found = add_up(bodies)
    assert {place: list(counts(value)) for place, value in found.items()} == {
        place: [sums[lane] for lane in range(NETWORKS)] for place, sums in expected.items()
    }


@given(lanes)
def test_counts_of_networks_are_added_up(values: list[int]) -> None:
    assert _integer(values) % cell_sums.TOTAL == sum(values)


@given(st.integers(0, 1000), st.integers(0, 1000), st.sampled_from([SPANS, SPANS[:1], SPANS[::2]]))
def test_a_time_is_covered_once_by_whole_spans(first: int, last: int, spans: list[int]) -> None:
    parts = cover(first * HOUR, last * HOUR, spans)
    hours = [
        at // HOUR
        for span, since, until in parts
        for begin in range(since, until, span)
        for at in range(begin, begin + span, HOUR)
        if begin % span == 0
    ]
    assert sorted(hours) == list(range(first, last))
    assert len(parts) <= 2 * len(spans) - 1


async def rows(store: Database) -> dict[tuple[str, int, int], dict[tuple[object, ...], int]]:
    """By country, span and time: by verdict, target and network, counts that are not 0."""
    query = sa.select(
        cell_axes.c.country, cell_axes.c.body, cell_sum.c.span, cell_sum.c.since, cell_sum.c.body
    ).join(cell_sum, cell_sum.c.axes == cell_axes.c.number)
    found: dict[tuple[str, int, int], dict[tuple[object, ...], int]] = {}
    async with store.reading() as connection:
        for country, axes, span, since, body in await connection.execute(query):
            known = msgspec.json.decode(axes, type=cell_sums.Axes)
            here = found[country, span, since] = {}
            for place, value in add_up([body]).items():
                name, target, network = cell_sums.position(place)
                for lane, n in enumerate(counts(value)):
                    if n:
                        asn = known.asns[network + lane]
                        here[known.names[name], known.targets[target], asn] = n
    return found


async def test_an_hour_is_in_its_day_and_in_eight(store: Database) -> None:
    for hour in (0, 5, 30):
        await judge(store, MIDNIGHT + hour * HOUR)
    found = await rows(store)
    (eight,) = (since for country, span, since in found if span == 8 * DAY and country == "RU")
    blocked = ("blocked", "tls.ok", "tls.reset.sni"), "wechat/messaging", 64501
    in_hours = None, *blocked[1:]
    for span, since, hours in (
        (HOUR, MIDNIGHT + 5 * HOUR, 1),
        (DAY, MIDNIGHT, 2),
        (8 * DAY, eight, 3),
    ):
        assert found["RU", span, since][blocked] == 3 * hours
        assert found["RU", span, since][in_hours] == hours
    # Of the other series, none was blocked for three quarters of an hour.
    assert {key for each in found.values() for key in each if key[0] is None} == {in_hours}


async def test_a_sum_of_nothing_is_no_row(store: Database) -> None:
    row = admitted(1, at=MIDNIGHT)
    await store.facts.add([row], [])
    await store.conclusions.save([concluded(facts=(verdict(row),))], 1)
    assert len(await rows(store)) == len(SPANS)
    await store.conclusions.save([concluded(refolded_after=MIDNIGHT - 1)], 1)
    assert await rows(store) == {}


async def test_cells_that_are_there_have_the_same_sums(store: Database) -> None:
    """As an upgrade counts them."""
    for hour in (0, 5, 30, 300):
        await judge(store, MIDNIGHT + hour * HOUR)
    before = await rows(store)
    async with writing(store.engines) as connection:
        await connection.execute(sa.delete(cell_sum))
        await connection.execute(sa.delete(cell_axes))
        await connection.run_sync(count_cells)
    assert await rows(store) == before
    async with writing(store.engines) as connection:
        await connection.run_sync(count_cells, MIDNIGHT + 30 * HOUR)
    assert await rows(store) == before


async def test_conclusions_that_are_cleared_leave_the_sums_of_what_was_dropped(
    store: Database,
) -> None:
    """A day of the middle of eight is the first whose measurements are kept."""
    first = MIDNIGHT - MIDNIGHT % (8 * DAY)
    for day in (0, 3, 5):
        await judge(store, first + day * DAY + HOUR)
    before = await rows(store)
    async with writing(store.engines) as connection:
        await connection.execute(
            sa.text("INSERT INTO cursor (name, value) VALUES ('pruned', :at)"),
            {"at": first + 2 * DAY},
        )
    await store.conclusions.clear(["signal"])
    assert await rows(store) == before
    await store.conclusions.clear()
    left = await rows(store)
    assert left["RU", 8 * DAY, first] == left["RU", DAY, first] == before["RU", DAY, first]
    assert {since for _, span, since in left if span == HOUR} == {first + HOUR}


async def test_hours_that_become_a_day_are_one_row(store: Database) -> None:
    said = [admitted(hour, at=MIDNIGHT + hour * HOUR) for hour in range(30)]
    await store.facts.add(said, [])
    states = random.Random(1).choices((State.OK, State.BLOCKED), k=30)
    facts = tuple(verdict(row, state) for row, state in zip(said, states, strict=True))
    await store.conclusions.save([concluded(facts=facts)], 30)
    before = await rows(store)
    async with writing(store.engines) as connection:
        await cell_sums.roll_up(connection, MIDNIGHT)
    after = await rows(store)
    assert after["RU", HOUR, MIDNIGHT] == after["RU", DAY, MIDNIGHT] == before["RU", DAY, MIDNIGHT]
    hours = sorted(since for _, span, since in after if span == HOUR)
    assert hours == [MIDNIGHT, *(MIDNIGHT + hour * HOUR for hour in range(24, 30))]
    assert {key: after[key] for key in after if key[1] > HOUR} == {
        key: before[key] for key in before if key[1] > HOUR
    }
