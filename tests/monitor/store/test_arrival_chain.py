"""How the hashes of the days are made."""

from __future__ import annotations

import hashlib

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from monitor.store.arrival_chain import FIRST, ChainPart, chain_days, linked
from monitor.store.database import Database
from monitor.store.days import DAY_MS, day_of
from monitor.store.reading.arrival_chain import list_chain
from tests.monitor.store.samples import NOON, admitted

TODAY = day_of(NOON)


def part(day: int, round_day: int, batches: int = 1, fill: int = 7) -> ChainPart:
    return ChainPart(
        day=day,
        round_day=round_day,
        first_arrival=day,
        last_arrival=day,
        batches=batches,
        hash=bytes([fill]) * 32,
    )


def test_a_day_is_bound_to_the_day_before_it() -> None:
    first, second, third = chain_days([part(3, 3), part(1, 1), part(2, 1), part(2, 2)])
    assert [(each.day, each.batches) for each in (first, second, third)] == [(1, 1), (2, 2), (3, 1)]
    text = b"reachwatch arrivals 1\n" + FIRST + b"1\n" + b"1 1 " + bytes([7]) * 32
    assert first.hash == hashlib.sha256(text).digest()
    other = chain_days([part(1, 1, fill=8), part(2, 1), part(2, 2), part(3, 3)])
    assert not {each.hash for each in other} & {first.hash, second.hash, third.hash}
    assert chain_days([]) == []


@given(st.integers(1, 2**60), st.integers(0, 2**40), st.binary(max_size=9))
def test_a_batch_is_bound_with_its_number_and_time(first: int, received: int, body: bytes) -> None:
    here = linked(FIRST, first, received, body)
    others = {
        linked(FIRST, first + 1, received, body),
        linked(FIRST, first, received + 1, body),
        linked(FIRST, first, received, body + b"x"),
        linked(here, first, received, body),
    }
    assert here not in others
    assert len(others) == 4


async def test_what_is_sent_again_is_no_news(store: Database) -> None:
    sent = [admitted(1), admitted(2)]
    await store.facts.add(sent, [])
    async with store.reading() as connection:
        before = await list_chain(connection)
    await store.facts.add(sent, [])
    async with store.reading() as connection:
        assert await list_chain(connection) == before
    assert [(day.day, day.batches) for day in before] == [(TODAY, 1)]


async def test_a_day_that_is_over_does_not_change(store: Database) -> None:
    """Neither when the clock goes back, nor when old rounds arrive."""
    late = admitted(1, at=NOON - DAY_MS)
    await store.facts.add([admitted(2), msgspec.structs.replace(late, received=NOON + 900)], [])
    await store.facts.add([admitted(3, at=NOON + DAY_MS)], [])
    async with store.reading() as connection:
        yesterday, today = await list_chain(connection)
    assert [(p.round_day, p.batches) for p in yesterday.parts] == [(TODAY - 1, 1), (TODAY, 1)]
    await store.facts.add([admitted(4)], [])
    async with store.reading() as connection:
        same, changed = await list_chain(connection)
    assert same == yesterday
    assert (changed.day, changed.batches) == (TODAY + 1, 2)
    assert changed.hash != today.hash
