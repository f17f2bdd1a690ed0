"""Frames of verdicts, and how they are read, on both databases."""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from itertools import accumulate, pairwise

import msgspec
import pytest
from msgspec.structs import replace

from monitor.detection.model import Layer, Share, State, Technique, Verdict
from monitor.store.database import Database
from monitor.store.engines import writing
from monitor.store.verdicts import (
    Entry,
    Vantages,
    pack,
    read_newest,
    unpack,
    verdicts_on,
    write,
)
from probes.runtime.compression import zstd

OK = Verdict(target="wechat/messaging", state=State.OK, rule="tls.ok", endpoints=Share(2, 0))
BAD = Verdict(
    target="wechat/web",
    state=State.BLOCKED,
    layer=Layer.TLS,
    technique=Technique.TLS_RESET_SNI,
    rule="tls.reset",
    evidence=("no_control",),
)
SAME = Verdict(target="wechat/messaging", state=State.OK, rule="tls.ok", endpoints=Share(2, 0))


def test_a_frame_gives_back_each_verdict_in_order_of_arrival() -> None:
    entries = [(70_000_000_000, 3, BAD), (12, 1, OK), (13, 2, SAME), (400, 1, BAD)]
    judged = unpack(pack(entries))
    assert list(judged.entries()) == sorted(entries, key=lambda one: one[0])
    assert len(judged.verdicts) == 2
    assert list(unpack(pack([])).entries()) == []


@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_frames_that_were_packed_before_are_read(count: int) -> None:
    entries = [(80_000 + n * n, n * n, replace(OK, rule=f"rule.{n}")) for n in range(count)]
    arrivals = [arrival for arrival, _, _ in entries]
    before = (
        [said for _, _, said in entries],
        arrivals[:1] + [after - before for before, after in pairwise(arrivals)],
        [vantage for _, vantage, _ in entries],
        list(range(count)),
    )
    frame = zstd.compress(msgspec.msgpack.encode(before))
    assert list(unpack(frame).entries()) == list(unpack(pack(entries)).entries()) == entries


@pytest.mark.parametrize("distinct", [1, 3, 128, 129, 257, 300])
@pytest.mark.parametrize("count", [0, 1, 15, 16, 2000, 65_536])
def test_some_verdicts_are_found_and_counted_however_many_there_are(
    count: int, distinct: int
) -> None:
    said = [replace(OK, rule=f"rule.{n}") for n in range(distinct)]
    judged = unpack(pack([(n, n % 1000, said[n * 7 % distinct]) for n in range(count)]))
    assert judged.count == count
    numbered = {one.rule: n for n, one in enumerate(judged.verdicts)}
    for wanted in (set(), {0}, {0, 2, 127}, {1, 128, 299}, set(range(distinct))):

        def fits(one: Verdict, wanted: set[int] = wanted) -> bool:
            return numbered[one.rule] in wanted

        assert list(judged.places_of(fits)) == [
            place for place, n in enumerate(judged.which) if n in wanted
        ]
        counts = Counter(judged.which)
        assert [(numbered[one.rule], n) for one, n in judged.counted(fits)] == [
            (n, counts[n]) for n in sorted(numbered.values()) if n in wanted
        ]
        for numbers in (set(), {0}, {3, 998}, set(range(1, 1000))):
            assert list(judged.places_of(fits, Vantages(numbers))) == [
                place
                for place, n in enumerate(judged.which)
                if n in wanted and place % 1000 in numbers
            ]


def test_vantages_are_found_in_frames_that_differ_in_them() -> None:
    orders = [(1, 2, 1, 3), (3, 2, 1, 1), (1, 2, 1, 3), (2, 2, 2, 2), (1,), (1, 2, 1, 300)]
    orders += [(256, 1, 257, 257, 0x0201), (1, 0x01000100, 1, 2**16), (2**40 + 1, 1, 2**40)]
    for wanted in ({1, 300}, {256, 257, 2**16}, {1, *range(257, 400)}):
        vantages = Vantages(wanted)
        for order in orders:
            judged = unpack(pack([(n, vantage, OK) for n, vantage in enumerate(order)]))
            mine = [place for place, vantage in enumerate(order) if vantage in wanted]
            assert judged.places_of(lambda said: said == OK, vantages) == mine


def test_what_was_said_of_other_vantages_is_not_looked_at() -> None:
    judged = unpack(pack([(1, 1, OK), (2, 2, BAD), *((n, n, SAME) for n in range(3, 50))]))
    looked: list[Verdict] = []

    def fits(one: Verdict) -> bool:
        looked.append(one)
        return True

    assert judged.places_of(fits, Vantages({2})) == [1]
    assert looked == [BAD]


@pytest.mark.parametrize("steps", [(1,), (3, 1, 900), (70_000, 1)], ids=["close", "mixed", "far"])
@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 1000])
def test_a_few_arrivals_are_found_as_among_all(count: int, steps: tuple[int, ...]) -> None:
    numbers = list(accumulate((steps[n % len(steps)] for n in range(count)), initial=8_000_000))
    judged = unpack(pack([(arrival, 1, BAD if arrival % 3 else OK) for arrival in numbers]))
    said = {arrival: verdict for arrival, _, verdict in judged.entries()}
    assert list(said) == numbers
    for some in ((), numbers[:1], numbers[-1:], numbers[::-7], numbers):
        missing = [numbers[0] - 1, 0, numbers[-1] + 1, *(n - 1 for n in some if n - 1 not in said)]
        found = list(judged.verdicts_at([*some, *missing]))
        assert found == [(arrival, said[arrival]) for arrival in sorted(some)]
        places = sorted(numbers.index(arrival) for arrival in some)
        assert list(judged.arrivals_at(places)) == sorted(some)


def test_equal_verdicts_cost_a_few_bytes() -> None:
    alike = [(7 * n, n // 4, OK if n % 50 else BAD) for n in range(1000)]
    assert len(pack(alike)) < 4 * len(alike)


async def filled(store: Database) -> None:
    async with writing(store.engines) as connection:
        for service, rounds in (("wechat", range(200)), ("signal", range(0, 200, 2))):
            await write(connection, (((service, n), _entries(service, n)) for n in rounds))


def _entries(service: str, n: int) -> list[Entry]:
    first = 10_000 * n + 100 * (service == "signal")
    return [(first, 1, OK), (first + 1, 2, BAD)]


async def test_rounds_are_read_newest_first_without_gap_or_repeat(store: Database) -> None:
    await filled(store)
    async with store.reading() as connection:
        every = [(name, at) async for name, at, _ in read_newest(connection, None, 0, 1000)]
        mine = [(name, at) async for name, at, _ in read_newest(connection, "signal", 10, 100)]
        async with aclosing(read_newest(connection, "wechat", 0, 1000)) as frames:
            _, newest, judged = await anext(frames)
    assert every == sorted(
        [*(("wechat", n) for n in range(200)), *(("signal", n) for n in range(0, 200, 2))],
        key=lambda key: (key[1], key[0]),
        reverse=True,
    )
    assert mine == [("signal", n) for n in range(98, 9, -2)]
    assert (newest, list(judged.entries())) == (199, _entries("wechat", 199))


async def test_verdicts_on_chosen_measurements(store: Database) -> None:
    await filled(store)
    async with store.reading() as connection:
        wanted = [("wechat", n, 10_000 * n + n % 2) for n in range(150)]
        found = await verdicts_on(connection, [*wanted, ("wechat", 3, 5), ("zoom", 3, 30_002)])
        assert found == {arrival: BAD if n % 2 else OK for _, n, arrival in wanted}
        assert await verdicts_on(connection, []) == {}


async def test_a_round_that_is_written_again_is_replaced(store: Database) -> None:
    await filled(store)
    async with writing(store.engines) as connection:
        await write(connection, [(("wechat", 5), [(50_000, 1, BAD)])])
    async with store.reading() as connection:
        found = [
            list(judged.entries()) async for _, _, judged in read_newest(connection, "wechat", 5, 6)
        ]
    assert found == [[(50_000, 1, BAD)]]
