from __future__ import annotations

import msgspec

from monitor.collector import probe_cache
from monitor.collector.probe_cache import ProbeCache
from monitor.store.records import Seen
from tests.monitor.collector.bench import Memory, P


async def test_asked_seldom_but_revocation_is_seen() -> None:
    memory, now = Memory(P), [0.0]
    known = ProbeCache(memory.registry, clock=lambda: now[0])
    for _ in range(10):
        assert await known.probe(P) is not None
    assert memory.asked == 1
    memory.known[P] = msgspec.structs.replace(memory.known[P], revoked=5)
    now[0] = probe_cache.KNOWN_SECONDS
    record = await known.probe(P)
    assert record is not None
    assert record.revoked == 5


async def test_a_probe_that_enrols_late_is_seen_soon() -> None:
    memory, now = Memory(), [0.0]
    known = ProbeCache(memory.registry, clock=lambda: now[0])
    assert await known.probe(P) is None
    memory.known = Memory(P).known
    assert await known.probe(P) is None
    now[0] = probe_cache.UNKNOWN_SECONDS
    assert await known.probe(P) is not None


async def test_last_seen_is_written_seldom_and_statuses_at_once() -> None:
    memory, now = Memory(P), [0.0]
    known = ProbeCache(memory.registry, clock=lambda: now[0])
    first, status = Seen(probe=P, at=1, country="RU", asn=1), Seen(probe=P, at=3, status=b"{}")
    await known.record_seen([first])
    await known.record_seen([Seen(probe=P, at=2, country="RU", asn=1)])
    await known.record_seen([status])
    assert memory.said == [first, status]
    now[0] = probe_cache.SEEN_SECONDS
    later = Seen(probe=P, at=4, country="FR", asn=2)
    await known.record_seen([later])
    assert memory.said[-1] == later


async def test_a_status_does_not_hide_where_the_measurements_beside_it_were_made() -> None:
    """A lean probe sends both within a second, every half hour."""
    memory, now = Memory(P), [0.0]
    known = ProbeCache(memory.registry, clock=lambda: now[0])
    status, measured = Seen(probe=P, at=1, status=b"{}"), Seen(probe=P, at=2, country="RU", asn=1)
    await known.record_seen([status])
    await known.record_seen([measured])
    assert memory.said == [status, measured]


def test_targets_and_networks_are_of_one_day_and_memory_is_bounded() -> None:
    now = [0.0]
    known = ProbeCache(Memory().registry, clock=lambda: now[0])
    known.targets(P).add("a/b")
    assert known.targets(P) == {"a/b"}
    known.networks(P).add(("RU", 1))
    assert known.networks(P) == {("RU", 1)}
    now[0] = probe_cache.DAY_SECONDS
    assert known.targets(P) == set()
    assert known.networks(P) == set()
    for number in range(probe_cache.MAX_PROBES + 10):
        known.targets(str(number))
    assert len(known._entries) == probe_cache.MAX_PROBES
