"""Conditions of networks, from a store with vantages that report and others that stopped."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.model import Stored, Tier
from monitor.detection.network_condition import Condition, NetworkCondition, Word
from monitor.store.records import Admitted, Seen
from monitor.web.network_conditions import present_conditions
from monitor.web.site import Site
from probes.wire.codec import FailingWay, Status, encode, encode_message
from probes.wire.measurement import measurement_id
from tests.world import site as world
from tests.world.scenery import Person

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
    return (await present_conditions(moved))[HERE]


async def test_network_that_reports_is_ok(site: Site) -> None:
    conditions = await present_conditions(site)
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
    conditions = await present_conditions(moved)
    assert conditions[HERE].condition is Condition.UNKNOWN


@pytest.mark.parametrize(
    ("minutes", "interval_seconds", "condition"),
    [
        (-60, 300, Condition.OK),
        (0, 300, Condition.OK),
        (40, 300, Condition.UNHEARD),
        (40, 1800, Condition.OK),
    ],
)
async def test_the_past_has_the_conditions_of_then(
    site: Site, minutes: int, interval_seconds: int, condition: Condition
) -> None:
    """Also when the vantages are heard again since, and one sends later what it measured then.
    With rounds every half hour nobody is missed after forty minutes."""
    after = world.NOW + minutes * 60_000
    other = next(person for person in world.PEOPLE if (person.country, person.asn) != HERE)
    again = [Seen(probe=person.id, at=after + world.HOUR) for person in (*VANTAGES, other)]
    await site.database.registry.record_seen(again)
    late = admitted_at(VANTAGES[0], after - 60_000, received=after + world.HOUR)
    heard = admitted_at(other, after - 60_000, received=after - 30_000)
    await site.database.facts.add([late], [])
    await site.database.facts.add([heard], [])
    past = world.site_of(
        site.database, clock=lambda: after, as_of=after, interval_seconds=interval_seconds
    )
    here = (await present_conditions(past))[HERE]
    assert here.condition is condition
    assert here.witnesses[Word.WAYS_FAIL] == 0


def admitted_at(person: Person, at: int, *, received: int) -> Admitted:
    """A measurement of a vantage, begun and received at these times."""
    made = replace(
        world.measurement(person, "wechat/web", 0),
        id=measurement_id(person.id, "wechat/web", at),
        round=at,
        started=at,
        epoch="spool",
        sequence=at // 1000,
    )
    stored = Stored(measurement=made, owner=person.owner, role=person.role, enrolled=world.START)
    return Admitted(stored=stored, line=encode(made), received=received)


async def test_what_came_afterwards_is_known_of_a_network_that_is_heard_again(site: Site) -> None:
    for person in VANTAGES:
        for at, delay in ((world.NOW - 7 * world.HOUR, 5 * world.HOUR), (world.NOW - 60_000, 1000)):
            await site.database.facts.add([admitted_at(person, at, received=at + delay)], [])
    here = (await present_conditions(site))[HERE]
    assert here.condition is Condition.OK
    assert here.delivered_afterwards == here.witnesses[Word.HEARD] > 1
    assert here.longest_delay > 4 * world.HOUR
