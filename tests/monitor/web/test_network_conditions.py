"""Conditions of networks, from a store with vantages that report and others that stopped."""

from __future__ import annotations

import pytest

from monitor.detection.model import Tier
from monitor.detection.network_condition import Condition, NetworkCondition, Word
from monitor.store.records import Seen
from monitor.web.network_conditions import network_conditions
from monitor.web.site import Site
from probes.wire.codec import FailingWay, Status, encode_message
from tests.world import site as world

HERE = ("RU", 64501)
VANTAGES = [person for person in world.PEOPLE if (person.country, person.asn) == HERE]


async def report(site: Site, at: int, state: str, *, ways_fail: bool = False) -> None:
    """Let all vantages of the network send their last status."""
    failing = (FailingWay(way="mqtts", failure="connection_reset"),) if ways_fail else ()
    status = encode_message(Status(state=state, failing_ways=failing))
    await site.database.registry.record_seen(
        [Seen(probe=person.id, at=at, status=status) for person in VANTAGES]
    )


async def later(site: Site, minutes: int) -> NetworkCondition:
    """The network's condition some minutes after the world's present, while others report."""
    now = world.NOW + minutes * 60_000
    other = next(person for person in world.PEOPLE if (person.country, person.asn) != HERE)
    await site.database.registry.record_seen([Seen(probe=other.id, at=now)])
    moved = world.site_of(site.database, clock=lambda: now)
    return (await network_conditions(moved, await moved.present.get()))[HERE]


async def test_network_that_reports_is_ok(site: Site) -> None:
    conditions = await network_conditions(site, await site.present.get())
    assert conditions[HERE].condition is Condition.OK
    assert ("DE", 64520) in conditions


@pytest.mark.parametrize("state", ["heartbeat", "lost"])
async def test_vantages_that_stop_without_a_word_are_unheard(site: Site, state: str) -> None:
    await report(site, world.NOW, state)
    here = await later(site, 20)
    assert (here.condition, here.onset) == (Condition.UNHEARD, world.NOW)
    assert here.witnesses[Word.NO_WORD] == len(VANTAGES) > 1
    assert here.tier is not Tier.UNCONFIRMED


async def test_failing_ways_that_were_told_are_witnesses(site: Site) -> None:
    await report(site, world.NOW, "lost", ways_fail=True)
    here = await later(site, 20)
    assert here.condition is Condition.UNHEARD
    assert here.witnesses[Word.WAYS_FAIL] == len(VANTAGES)


async def test_vantages_that_were_stopped_leave_nobody_to_ask(site: Site) -> None:
    await report(site, world.NOW, "goodbye")
    assert (await later(site, 20)).condition is Condition.UNKNOWN


async def test_status_that_is_not_understood_is_no_word(site: Site) -> None:
    await site.database.registry.record_seen(
        [Seen(probe=person.id, at=world.NOW, status=b'{"state":7}') for person in VANTAGES]
    )
    here = await later(site, 20)
    assert here.condition is Condition.UNHEARD
    assert here.witnesses[Word.NO_WORD] == len(VANTAGES)


async def test_revoked_vantages_do_not_count(site: Site) -> None:
    await report(site, world.NOW, "lost")
    for person in VANTAGES[1:]:
        await site.database.registry.revoke_probe(person.id, world.NOW)
    assert sum((await later(site, 20)).witnesses.values()) == 1


async def test_monitor_that_hears_nobody_says_so(site: Site) -> None:
    now = world.NOW + world.HOUR
    moved = world.site_of(site.database, clock=lambda: now)
    conditions = await network_conditions(moved, await moved.present.get())
    assert conditions[HERE].condition is Condition.UNKNOWN


async def test_past_has_no_conditions(site: Site) -> None:
    past = world.site_of(site.database, as_of=world.NOW)
    assert await network_conditions(past, await past.present.get()) == {}
