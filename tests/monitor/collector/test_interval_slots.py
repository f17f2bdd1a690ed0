from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from monitor.collector.interval_slots import REFRESH_MS, IntervalSlots, Slot, place, slots
from monitor.store.records import Probe, StoreUnavailableError

NOW = 1_800_000_000_000
PLACE = ("RU", 64501)
DAY = 86_400_000


def probe(number: int, country: str = "RU", asn: int = 64501, **changes: Any) -> Probe:
    usual = Probe(
        id=f"p-{number:016x}",
        owner=f"o{number}",
        role="vantage",
        enrolled=NOW - 10 * DAY + number,
        country=country,
        asn=asn,
        last_seen=NOW - 60_000,
    )
    return replace(usual, **changes)


def test_the_probes_of_a_network_are_evenly_spread_in_the_order_of_their_enrolment() -> None:
    three = [probe(n) for n in (1, 2, 3)]
    found = slots(reversed(three), NOW)
    places = [found[each.id].place for each in three]
    assert [(each - places[0]) % 1000 for each in places] == [0, 333, 666]
    assert all(0 <= each < 1000 for each in places)
    assert {found[each.id].vantages for each in three} == {3}
    first = found
    others = [probe(4, "FR", 64503), probe(5, "RU", 64502)]
    found = slots([*three, *others], NOW)
    assert [found[each.id].vantages for each in others] == [1, 1]
    assert found.items() >= first.items(), "other networks change nothing"


def test_networks_of_one_vantage_do_not_all_measure_at_once() -> None:
    found = slots([probe(n, asn=64501 + n) for n in range(100)], NOW)
    assert len({each.place // 100 for each in found.values()}) == 10


def test_who_is_gone_or_nowhere_has_no_place() -> None:
    gone = [
        probe(1, last_seen=NOW - 2 * DAY),
        probe(2, last_seen=None),
        probe(3, revoked=NOW - 1),
        probe(4, "ZZ", 0),
        probe(6, role="control"),
    ]
    assert slots([*gone, probe(5)], NOW) == {probe(5).id: Slot(place(PLACE, 0, 1), 1)}


HOUR = 3_600_000


@pytest.mark.parametrize(
    ("awake", "apart"),
    [((0, 1), [500, 500]), ((2, 3, 7), [334, 333, 333]), ((5,), [1000])],
    ids=["two", "three", "one"],
)
def test_the_few_who_are_awake_take_turns_among_themselves(
    awake: tuple[int, ...], apart: list[int]
) -> None:
    by_day = slots([probe(n) for n in range(8)], NOW)
    night = [probe(n) if n in awake else probe(n, last_seen=NOW - 3 * HOUR) for n in range(8)]
    found = slots(night, NOW)
    begins = sorted(found[probe(n).id].place for n in awake)
    gaps = [(b - a) % 1000 or 1000 for a, b in zip(begins, begins[1:] + begins[:1], strict=True)]
    assert sorted(gaps, reverse=True) == apart
    for n in set(range(8)) - set(awake):
        assert found[probe(n).id] == by_day[probe(n).id], "who wakes up has a place"
    assert {each.vantages for each in found.values()} == {8}, "as many as by day share the traffic"


def test_places_stay_while_enough_are_awake() -> None:
    by_day = slots([probe(n) for n in range(8)], NOW)
    asleep = [probe(n, last_seen=NOW - 3 * HOUR) for n in range(5, 8)]
    assert slots([*(probe(n) for n in range(5)), *asleep], NOW) == by_day
    metered = [probe(n, last_seen=NOW - 2 * HOUR) for n in range(5, 8)]
    assert slots([probe(0), *metered], NOW) == slots([probe(0), *map(probe, range(5, 8))], NOW)


async def test_they_are_read_again_from_time_to_time_and_kept_without_a_store() -> None:
    class Registry:
        stored: Sequence[Probe] | None = (probe(1),)

        async def probes(self) -> Sequence[Probe]:
            if self.stored is None:
                raise StoreUnavailableError("away")
            return self.stored

    registry, now = Registry(), [NOW]
    every = IntervalSlots(registry, lambda: now[0])  # type: ignore[arg-type]
    alone = {probe(1).id: Slot(place(PLACE, 0, 1), 1)}
    assert await every.present() == alone
    registry.stored = (probe(1), probe(2))
    assert await every.present() == alone
    now[0] += REFRESH_MS
    two = {probe(n + 1).id: Slot(place(PLACE, n, 2), 2) for n in (0, 1)}
    assert await every.present() == two
    registry.stored = None
    now[0] += REFRESH_MS
    assert len(await every.present()) == 2
