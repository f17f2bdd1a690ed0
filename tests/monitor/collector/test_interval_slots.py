from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from monitor.collector.interval_slots import REFRESH_MS, IntervalSlots, Slot, slots
from monitor.store.records import Probe, StoreUnavailableError

NOW = 1_800_000_000_000
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
    assert [found[each.id] for each in three] == [Slot(0, 3), Slot(333, 3), Slot(666, 3)]
    others = [probe(4, "FR", 64503), probe(5, "RU", 64502)]
    found = slots([*three, *others], NOW)
    assert [found[each.id] for each in others] == [Slot(0, 1), Slot(0, 1)]
    assert found[three[1].id] == Slot(333, 3), "other networks change nothing"


def test_who_is_gone_or_nowhere_has_no_place() -> None:
    gone = [
        probe(1, last_seen=NOW - 2 * DAY),
        probe(2, last_seen=None),
        probe(3, revoked=NOW - 1),
        probe(4, "ZZ", 0),
        probe(6, role="control"),
    ]
    assert slots([*gone, probe(5)], NOW) == {probe(5).id: Slot(0, 1)}


async def test_they_are_read_again_from_time_to_time_and_kept_without_a_store() -> None:
    class Registry:
        stored: Sequence[Probe] | None = (probe(1),)

        async def probes(self) -> Sequence[Probe]:
            if self.stored is None:
                raise StoreUnavailableError("away")
            return self.stored

    registry, now = Registry(), [NOW]
    every = IntervalSlots(registry, lambda: now[0])  # type: ignore[arg-type]
    assert await every.present() == {probe(1).id: Slot(0, 1)}
    registry.stored = (probe(1), probe(2))
    assert await every.present() == {probe(1).id: Slot(0, 1)}
    now[0] += REFRESH_MS
    assert await every.present() == {probe(1).id: Slot(0, 2), probe(2).id: Slot(500, 2)}
    registry.stored = None
    now[0] += REFRESH_MS
    assert len(await every.present()) == 2
