"""Runs of numbers that arrived, in memory and in both databases."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.store import delivery
from monitor.store.batches import batches_of
from monitor.store.database import Database
from monitor.store.delivery import DeliveredRun, DeliveryOutcome, add_run
from monitor.store.reading.deliveries import DatedRun, list_deliveries
from monitor.store.records import AdmittedBatch, Quarantined
from monitor.store.retention import prune
from probes.wire.codec import encode, envelope_of
from tests.monitor.store.samples import HOUR, NOON, admitted

P = "p-0000000000000001"
SPOOL = "abcd"
TODAY = NOON // (24 * HOUR)


def run(first: int, last: int, received: int = 5, delay: int = 7) -> DeliveredRun:
    return DeliveredRun(
        first=first,
        last=last,
        first_received=received,
        last_received=received,
        least_delay=delay,
        most_delay=delay,
    )


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), max_size=30))
def test_runs_are_the_set_of_what_arrived(arrived: list[tuple[int, int]]) -> None:
    runs: list[DeliveredRun] = []
    numbers: list[int] = []
    for first, more in arrived:
        add_run(runs, run(first, first + more))
        numbers += range(first, first + more + 1)
    assert [n for each in runs for n in range(each.first, each.last + 1)] == sorted(set(numbers))
    assert sum(each.duplicates for each in runs) == len(numbers) - len(set(numbers))
    assert all(a.last + 1 < b.first for a, b in itertools.pairwise(runs))


def test_a_joined_run_has_the_times_of_all() -> None:
    runs = [run(1, 2, received=10, delay=3)]
    add_run(runs, run(3, 4, received=8, delay=9))
    (one,) = runs
    assert (one.first_received, one.last_received) == (8, 10)
    assert (one.least_delay, one.most_delay) == (3, 9)


def test_who_invents_numbers_does_not_fill_the_table() -> None:
    runs = [run(2 * n, 2 * n) for n in range(delivery.MOST_RUNS)]
    add_run(runs, run(10**9, 10**9))
    assert len(runs) == delivery.MOST_RUNS
    add_run(runs, run(3, 3))
    assert len(runs) == delivery.MOST_RUNS - 1


def batch(
    sequences: Sequence[int], *, at: int = NOON, source: str = "probe", probe: int = 1
) -> AdmittedBatch:
    some = []
    for sequence in sequences:
        one = admitted(sequence, at=at, probe=probe)
        measured = replace(one.stored.measurement, epoch=SPOOL)
        stored = replace(one.stored, measurement=measured)
        some.append(replace(one, stored=stored, line=encode(measured)))
    (made,) = batches_of(some)
    return replace(made, source=source)


async def deliver(store: Database, *batches: AdmittedBatch) -> None:
    await store.facts.add_batches(batches, ())


async def runs(store: Database) -> list[DatedRun]:
    async with store.reading() as connection:
        (found,) = (await list_deliveries(connection, P)).probes
    return found.spools.get(SPOOL, [])


async def numbers(store: Database) -> list[tuple[int, int, int]]:
    return [(each.run.first, each.run.last, each.run.duplicates) for each in await runs(store)]


async def enrolled(store: Database) -> None:
    token = "INSERT INTO probe (id, owner, role, enrolled, country, asn, status, secret_hash) "
    values = f"VALUES ('{P}', 'ada', 'vantage', 1, 'RU', 64501, :status, '')"
    async with store.engines.write.begin() as connection:
        await connection.execute(sa.text(token + values), {"status": b""})


async def test_what_arrives_in_any_order_becomes_one_run(store: Database) -> None:
    await enrolled(store)
    await deliver(store, batch([1, 2, 3]), batch([7, 8]))
    assert await numbers(store) == [(1, 3, 0), (7, 8, 0)]
    await deliver(store, batch([9]))
    await deliver(store, batch([4, 5, 6]))
    assert await numbers(store) == [(1, 9, 0)]
    (one,) = await runs(store)
    assert (one.day, one.outcome) == (TODAY, DeliveryOutcome.STORED)
    assert (one.run.least_delay, one.run.most_delay) == (500 - 100 - 9, 500 - 100 - 1)


async def test_what_arrives_twice_is_counted(store: Database) -> None:
    await enrolled(store)
    await deliver(store, batch([1, 2, 3]), batch([1, 2, 3]))
    await deliver(store, batch([3, 4]))
    assert await numbers(store) == [(1, 4, 4)]


async def test_each_day_has_its_runs_and_an_import_has_none(store: Database) -> None:
    await enrolled(store)
    tomorrow = NOON + 24 * HOUR
    await deliver(store, batch([1, 2]), batch([3, 4], at=tomorrow), batch([9], source="ooni"))
    assert [(each.day, each.run.first) for each in await runs(store)] == [
        (TODAY, 1),
        (TODAY + 1, 3),
    ]


async def test_quarantined_and_expired_ones_have_arrived(store: Database, url: str) -> None:
    await enrolled(store)
    await deliver(store, batch([1]))
    envelope = replace(envelope_of(admitted(2).stored.measurement), epoch=SPOOL)
    bad = Quarantined(
        probe=P, reason="wrong_round", detail="", payload=b"", received=NOON, envelope=envelope
    )
    await store.facts.add_batches((), [bad, replace(bad, probe="p-0000000000000002")])
    await prune(url, NOON + 24 * HOUR)
    await deliver(store, batch([3]))
    assert [(each.outcome, each.run.first) for each in await runs(store)] == [
        (DeliveryOutcome.STORED, 1),
        (DeliveryOutcome.QUARANTINED, 2),
        (DeliveryOutcome.EXPIRED, 3),
    ]


async def test_nothing_is_recorded_of_what_was_not_committed(store: Database) -> None:
    await enrolled(store)
    torn = replace(batch([1]), received=None)  # type: ignore[arg-type]
    try:
        await deliver(store, torn)
    except Exception:
        assert await numbers(store) == []
    else:
        raise AssertionError("a batch without a time of arrival was stored")
