"""Imported runs through the detector: onset, gaps, gates, ends."""

from __future__ import annotations

import random

import pytest

from monitor.detection.imported.folding import outcome, reached_in_other_network
from monitor.detection.model import EventState, Fact, State, Tier, Verdict
from tests.monitor.detection.imported.runs import (
    HOUR,
    POLICY,
    START,
    World,
    dc,
    measurement,
    record,
    stored,
)

QUIET = 48
BLOCKED = 64500


def in_network(asn: int, failed: int = 6) -> object:
    return lambda hour, where: failed if where == asn else 0


def quiet() -> World:
    return World().run(QUIET)


def test_quiet_networks_stay_quiet() -> None:
    strays = random.Random(5)
    world = World().run(24 * 30, lambda hour, asn: 6 if strays.random() < 0.01 else 0)
    assert world.events == {}


@pytest.mark.parametrize("share", [0.03, 0.1, 0.2, 0.35])
def test_bad_networks_are_not_blocked_by_chance(share: float) -> None:
    chance = random.Random(f"{share}")
    world = World().run(24 * 40, lambda hour, asn: 6 if chance.random() < share else 0)
    assert world.events == {}


@pytest.mark.parametrize("failed", [3, 6])
def test_a_block_is_found_within_two_hours_with_its_onset(failed: int) -> None:
    world = quiet().run(3, in_network(BLOCKED, failed))  # type: ignore[arg-type]
    event = world.only
    assert (event.tier, event.state) == (Tier.LIKELY, EventState.OPEN)
    assert event.onset == START + QUIET * HOUR
    assert event.opened - event.onset <= 2 * HOUR
    assert event.asns == (BLOCKED,)
    assert event.extent == ("full" if failed == 6 else "partial")
    assert (event.control, event.source) == ("none", "ooni")
    assert {"no_control", "no_quorum_for_imports"} <= set(event.against)
    assert [(n.asn, n.layer, n.onset) for n in event.networks] == [(BLOCKED, "tcp", event.onset)]


def test_it_is_never_more_than_likely() -> None:
    world = quiet().run(24 * 10, in_network(BLOCKED))  # type: ignore[arg-type]
    assert world.only.tier is Tier.LIKELY


def test_nothing_before_something_had_worked() -> None:
    assert World().run(48, in_network(BLOCKED)).events == {}  # type: ignore[arg-type]


def test_one_bad_evening_is_no_block() -> None:
    assert quiet().run(1, in_network(BLOCKED)).run(48).events == {}  # type: ignore[arg-type]


def test_gaps_neither_close_nor_open_another() -> None:
    world = quiet().run(3, in_network(BLOCKED))  # type: ignore[arg-type]
    world.hour += 30
    world.run(2, in_network(BLOCKED))  # type: ignore[arg-type]
    world.networks = world.networks[1:]
    world.run(60)
    assert world.only.state is EventState.OPEN


def test_a_block_by_day_is_one_event_and_ends_when_it_stays_away() -> None:
    def by_day(hour: int, asn: int) -> int:
        return 6 if asn == BLOCKED and 5 <= hour % 24 < 15 and hour < QUIET + 24 * 8 else 0

    world = quiet().run(24 * 8, by_day)
    assert world.only.state is EventState.OPEN
    world.run(24 * 5)
    event = world.only
    assert event.state is EventState.CLOSED
    last = START + (QUIET + 24 * 7 + 15) * HOUR
    assert event.closed is not None
    assert abs(event.closed - last) <= HOUR


def test_where_nobody_reaches_it_it_may_be_an_outage() -> None:
    world = quiet().run(24, lambda hour, asn: 6)
    event = world.only
    assert event.tier is Tier.UNCONFIRMED
    assert {"no_other_network", "no_control"} <= set(event.against)
    assert "control_by_other_networks" not in event.against


def test_several_functions_that_fail_for_longer_than_outages_last_are_a_block() -> None:
    world = World(targets=("telegram/dc", "telegram/links")).run(QUIET)
    world.run(4, lambda hour, asn: 6)
    assert world.only.tier is Tier.UNCONFIRMED
    world.run(4, lambda hour, asn: 6)
    assert world.only.tier is Tier.LIKELY
    assert world.only.onset == START + QUIET * HOUR


def test_a_sitting_of_one_volunteer_is_no_block() -> None:
    world = quiet()
    for n in range(8):
        at = START + QUIET * HOUR + n * 300_000
        world.update([stored(measurement([*dc(6), record(9)], at))])
    world.hour += 1
    assert world.run(48).events == {}


def test_an_outage_of_hours_never_becomes_likely() -> None:
    world = quiet().run(5, lambda hour, asn: 6).run(24 * 5)
    assert (world.only.tier, world.only.state) == (Tier.UNCONFIRMED, EventState.CLOSED)


def test_what_fails_in_other_countries_too_is_the_service() -> None:
    everywhere = [("KE", 64500), ("TZ", 64510), ("TZ", 64511), ("UG", 64520)]
    world = World(networks=everywhere).run(QUIET).run(24, lambda hour, asn: 6)
    assert world.events == {}


def test_runs_that_show_no_life_count_half() -> None:
    world = quiet()
    for n in range(5):
        at = START + QUIET * HOUR + n * HOUR
        world.update([stored(measurement([*dc(6), record(0)], at))])
    assert world.events == {}
    for n in range(5, 12):
        at = START + QUIET * HOUR + n * HOUR
        world.update([stored(measurement([*dc(6), record(0)], at))])
    assert world.only.onset == START + QUIET * HOUR


def test_a_network_that_was_sure_later_but_failed_first_sets_the_onset() -> None:
    def two(hour: int, asn: int) -> int:
        if asn == 64501:
            return 6 if hour >= QUIET + 2 else 0
        return 6 if asn == BLOCKED and hour >= QUIET else 0

    world = quiet()
    # The first network is heard twice, and then not for some hours.
    for half in range(2):
        at = START + QUIET * HOUR + half * HOUR // 2
        world.update([stored(measurement([*dc(6), record(9)], at))])
    world.networks = [("KE", 64501), ("KE", 64502)]
    world.hour += 2
    world.run(4, two)
    assert world.only.asns == (64501,)
    world.networks = [("KE", 64500), *world.networks]
    world.run(3, two)
    event = world.only
    assert event.asns == (64500, 64501)
    assert event.onset == START + QUIET * HOUR
    assert "one_network" not in event.against


def test_outcomes() -> None:
    def fact(state: State, layer: str | None = None) -> Fact:
        return Fact(
            id="x",
            probe="p",
            owner="ooni",
            country="KE",
            asn=1,
            enrolled=0,
            round=0,
            started=0,
            interval=0,
            target="a/b",
            verdict=Verdict(target="a/b", state=state, rule="r", layer=layer),  # type: ignore[arg-type]
            control=False,
            source="ooni",
        )

    assert outcome(fact(State.OK)) == "good"
    assert outcome(fact(State.INSUFFICIENT)) == ""
    assert outcome(fact(State.INCONCLUSIVE)) == ""
    assert outcome(fact(State.INCONCLUSIVE, "tcp")) == "bad"


def test_contrast_is_another_network_since_then() -> None:
    world = quiet()
    network = next(n for n in world.state.networks.values() if n.asn == BLOCKED)
    assert reached_in_other_network(world.state, network, START)
    assert not reached_in_other_network(world.state, network, START + 100 * HOUR)
    assert POLICY.imported_history > 0
