"""What an event says: its id, its scope, its onset, its history."""

from __future__ import annotations

import hashlib

from monitor.detection.events.description import MAX_HISTORY, event_id
from monitor.detection.model import (
    Difference,
    State,
    Technique,
)
from tests.monitor.detection.worlds import (
    TARGET,
    World,
    blocked,
    fact,
    in_network,
    ok,
    standard,
    vantages,
)

OTHER = "wechat/media"


def test_id_is_a_hash_of_service_country_and_first_alarmed_round() -> None:
    world = World(standard()).quiet().run(3, in_network(64501, blocked()))
    event = world.only
    words = f"wechat\0RU\0{event.opened}"
    assert event.id == hashlib.sha256(words.encode()).hexdigest()[:16]
    assert event_id("wechat", "RU", 1) != event_id("wechat", "RU", 1, "ooni")


def test_the_number_of_networks_and_targets_does_not_multiply_events() -> None:
    world = World(standard()).quiet()
    for _ in range(4):
        world.feed(
            fact(who, world.round, blocked() if who.country == "RU" else ok(), target=target)
            for who in world.people
            for target in (TARGET, OTHER)
        )
    assert (world.only.asns, world.only.targets) == ((64501, 64502), (OTHER, TARGET))
    assert (world.only.agreeing, world.only.total) == (6, 6)


def test_the_scope_is_told() -> None:
    """One of two functions, in one of two networks that measure it; a third measures the other."""
    people = [*standard(), *vantages(1, asn=64509)]
    world = World(people).quiet(3)
    for _ in range(6):
        world.feed(
            fact(
                who,
                world.round,
                blocked() if (who.asn, target) == (64501, TARGET) else ok(),
                target=target,
            )
            for who in people
            for target in (TARGET, OTHER)
            if (who.asn, target) != (64509, TARGET)
        )
    event = world.only
    assert event.targets == (TARGET,)
    assert (len(event.asns), event.networks_measured, event.targets_measured) == (1, 2, 2)


def test_onset_is_set_by_the_tier_and_not_moved_by_later_networks() -> None:
    world = World(standard()).quiet().run(4, in_network(64501, blocked()))
    onset = world.only.onset
    world.run(6, lambda n, who: blocked() if who.country == "RU" else ok())
    assert (world.only.asns, world.only.onset) == ((64501, 64502), onset)


def test_history_is_bounded_and_keeps_its_milestones() -> None:
    world = World(standard()).quiet().run(4, in_network(64501, blocked()))
    names = (Technique.TLS_TIMEOUT_SNI, Technique.TLS_RESET_SNI)
    for turn in range(75):
        world.run(14, in_network(64501, blocked(names[turn % 2])))
    event = world.only
    assert len(event.history) == MAX_HISTORY
    assert [change.kind for change in event.history[:3]] == ["opened", "likely", "confirmed"]
    assert event.history[-1].kind == "changed"


def test_extent_changes_with_what_fails() -> None:
    world = World(standard()).quiet().run(4, in_network(64501, blocked(state=State.IMPAIRED)))
    assert world.only.extent == "partial"
    world.run(12, in_network(64501, blocked()))
    assert world.only.extent == "full"
    assert world.only.history[-1].difference == Difference(extent=("partial", "full"))
