"""Imported runs through the detector: onset, gaps, gates, ends."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

from monitor.detection.imported import ROUND_MS
from monitor.detection.imported.folding import outcome, reached_in_other_network
from monitor.detection.model import EventState, Fact, State, Tier, Verdict
from probes.wire.observation import AnyObservation
from tests.monitor.detection.imported.runs import (
    HOUR,
    POLICY,
    START,
    TARGET,
    WEB,
    World,
    dc,
    dial,
    handshake,
    lookup,
    measurement,
    of_test,
    record,
    stored,
)

GOOD = "203.0.114.99"
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


@pytest.mark.parametrize(
    "share", [0.03, 0.35, *(pytest.param(each, marks=pytest.mark.rest) for each in (0.1, 0.2))]
)
def test_bad_networks_are_not_blocked_by_chance(share: float) -> None:
    chance = random.Random(f"{share}")
    world = World().run(24 * 40, lambda hour, asn: 6 if chance.random() < share else 0)
    assert world.events == {}


@pytest.mark.parametrize(
    "share", [0.035, 0.2, *(pytest.param(each, marks=pytest.mark.rest) for each in (0.08, 0.3))]
)
def test_bad_networks_whose_failures_look_like_interference_are_not_blocked_by_chance(
    share: float,
) -> None:
    chance, world = random.Random(f"{share}"), World()
    for half in range(2 * 24 * 20):
        found = []
        for n, (country, asn) in enumerate(world.networks):
            failure = "connection_reset" if chance.random() < share else None
            seen = [lookup(GOOD), dial(GOOD), handshake(GOOD, failure), record(9, **of_test())]
            started = START + half * HOUR // 2 + n * 1000
            found.append(stored(measurement(seen, started, asn, country, WEB)))
        world.update(found)
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
        world.update([stored(measurement([*dc(6), record(9, **of_test())], at))])
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
        world.update([stored(measurement([*dc(6), record(0, **of_test())], at))])
    assert world.events == {}
    for n in range(5, 12):
        at = START + QUIET * HOUR + n * HOUR
        world.update([stored(measurement([*dc(6), record(0, **of_test())], at))])
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
        world.update([stored(measurement([*dc(6), record(9, **of_test())], at))])
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


def single(world: World, hour: float, *seen: AnyObservation, **more: Any) -> None:
    """One run at an hour of the world."""
    at = START + int(hour * HOUR)
    world.update([stored(measurement([*(seen or dc(6)), record(9, **of_test())], at, **more))])


def test_a_few_failures_among_many_runs_are_no_block() -> None:
    """Four failures in seventeen runs, each with a signature, opened an event."""
    world = World()
    for n in range(QUIET + 17):
        forged = n - QUIET in (0, 5, 10, 15)
        seen = [lookup("10.10.34.35")] if forged else [lookup(GOOD), dial(GOOD)]
        single(world, n, *seen, asn=BLOCKED, target=WEB)
        single(world, n + 0.1, lookup(GOOD), dial(GOOD), asn=64501, target=WEB)
    assert world.events == {}


LAGGARD, NEW = "0.2.0", "0.2.1"
COUNTRIES = (("KE", 64500), ("KE", 64501), ("TZ", 64510), ("TZ", 64511), ("UG", 64520))


def moved_service(laggard_runs: bool) -> World:
    """A service moves: the old version of a test fails everywhere, and volunteers update, except
    those of one network. `laggard_runs`: it has runs while the others still fail."""
    world = World(networks=COUNTRIES)

    def runs(hour: int, failing: bool, who: Iterable[tuple[str, int]], version: str) -> None:
        found = [
            stored(
                measurement(
                    [*dc(6 if failing else 0), record(9, **of_test("signal", version))],
                    START + hour * HOUR + n,
                    asn,
                    country,
                )
            )
            for n, (country, asn) in enumerate(who)
        ]
        world.update(found)

    for hour in range(24):
        runs(hour, False, COUNTRIES, LAGGARD)
    for hour in range(24, 36):
        runs(hour, True, COUNTRIES if laggard_runs else COUNTRIES[1:], LAGGARD)
    for hour in range(36, 36 + 72):
        runs(2 * hour, False, COUNTRIES[1:], NEW)
        runs(2 * hour + 1, True, COUNTRIES[:1], LAGGARD)
    return world


@pytest.mark.parametrize("laggard_runs", [True, False])
def test_after_a_fault_of_all_the_world_those_who_lag_behind_are_not_accused(
    laggard_runs: bool,
) -> None:
    assert moved_service(laggard_runs).events == {}


@pytest.mark.parametrize(("version", "tier"), [("0.3.1", Tier.LIKELY), ("0.4.0", Tier.UNCONFIRMED)])
def test_only_the_same_test_shows_that_another_network_works(version: str, tier: Tier) -> None:
    world = quiet()
    for n in range(6):
        single(world, QUIET + n, asn=BLOCKED)
        works = measurement(
            [*dc(0), record(9, **of_test(version=version))],
            START + int((QUIET + n + 0.5) * HOUR),
            64501,
        )
        world.update([stored(works)])
    assert world.only.tier is tier


def test_a_network_that_worked_again_after_a_veto_can_be_accused() -> None:
    world = World(networks=COUNTRIES).run(QUIET).run(12, lambda hour, asn: 6).run(12)
    assert world.events == {}
    world.run(6, in_network(BLOCKED))  # type: ignore[arg-type]
    assert (world.only.asns, world.only.tier) == ((BLOCKED,), Tier.LIKELY)


@pytest.mark.parametrize("hours", [6, 36, 24 * 10])
def test_networks_with_few_runs_are_heard(hours: int) -> None:
    """Eight runs that worked are a history, whether they took two days or three months."""
    world = World(networks=(("KE", 64501), ("KE", 64502)))
    for n in range(10 + 6):
        world.hour = n * hours
        world.run(1)
        single(world, n * hours + 0.7, *dc(6 if n >= 10 else 0), asn=BLOCKED)
    event = world.only
    assert (event.asns, event.onset) == ((BLOCKED,), round_of(10 * hours + 0.7))


def round_of(hour: float) -> int:
    at = START + int(hour * HOUR)
    return at - at % ROUND_MS


def test_a_network_that_fails_in_the_hours_of_a_known_block_needs_less() -> None:
    """Two networks are blocked by school hours; one has a run every six hours, which alone is too
    little."""

    def school(hour: int) -> bool:
        return hour >= QUIET and 5 <= hour % 24 < 14

    def days(networks: tuple[int, ...]) -> World:
        world = World(networks=(("KE", 64501), ("KE", 64502)))
        for hour in range(QUIET + 24 * 6):
            world.hour = hour
            world.run(1, lambda hour, asn: 6 if asn in networks and school(hour) else 0)
            if hour % 6 == 2:
                single(world, hour + 0.8, *dc(6 if school(hour) else 0), asn=BLOCKED)
        return world

    assert days(()).events == {}
    assert days((64501,)).only.asns == (BLOCKED, 64501)


@pytest.mark.parametrize("seed", [0, 3])
def test_a_block_that_creeps_does_not_become_normal(seed: int) -> None:
    """Over ten days; it is found before it takes a third of the runs."""
    chance = random.Random(seed)

    def creeping(hour: int, asn: int) -> int:
        share = min(1.0, max(0, hour - QUIET) / (24 * 10))
        return 6 if asn == BLOCKED and chance.random() < share else 0

    world = quiet().run(24 * 10, creeping)
    event = world.only
    assert event.asns == (BLOCKED,)
    assert event.opened - START < (QUIET + 24 * 10 / 3) * HOUR


def test_each_network_has_its_spans_and_the_event_ends_with_the_last() -> None:
    def by_day(hour: int, asn: int) -> int:
        day, hour = divmod(hour - QUIET, 24)
        if asn == BLOCKED:
            return 6 if 0 <= day < 3 and 5 <= hour < 15 else 0
        return 6 if asn == 64501 and 0 <= day < 2 else 0

    world = quiet().run(24 * 8, by_day)
    event = world.only
    assert event.state is EventState.CLOSED
    spans = {each.asn: each.spans for each in event.networks}

    def at(hours: float) -> int:
        return START + int((QUIET + hours) * HOUR)

    days = [(at(24 * d + 5), at(24 * d + 14.5), at(24 * d + 15)) for d in range(3)]
    assert spans == {BLOCKED: tuple(days), 64501: ((at(0), at(47.5), at(48)),)}
    assert event.closed == at(48 + 15)


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
    assert reached_in_other_network(world.state, network, START, POLICY)
    assert not reached_in_other_network(world.state, network, START + 100 * HOUR, POLICY)
    assert POLICY.imported_history > 0


@pytest.mark.parametrize("updated", [True, False])
def test_what_fails_with_an_old_version_alone_has_moved(updated: bool) -> None:
    """All files are of one country. `updated`: one network has the new version of the test, which
    works."""
    world = World(targets=(TARGET, WEB)).run(QUIET)
    for hour in range(QUIET, QUIET + 24):
        new = [(64502, "0.3.2")] if updated else []
        found = [
            stored(
                measurement(
                    [*dc(6 if version == "0.3.1" else 0), record(9, **of_test(version=version))],
                    START + hour * HOUR + asn % 100 * 1000,
                    asn,
                    target=target,
                )
            )
            for asn, version in [(64500, "0.3.1"), (64501, "0.3.1"), *new]
            for target in world.targets
        ]
        world.update(found)
    assert world.only.tier is (Tier.UNCONFIRMED if updated else Tier.LIKELY)


def test_who_recovers_last_from_an_outage_of_six_hours_is_not_likely_blocked() -> None:
    """One country only: nobody else shows that the service is down."""
    ends = {64500: 9, 64501: 6, 64502: 5}
    world = World(targets=(TARGET, WEB)).run(QUIET)
    world.run(12, lambda hour, asn: 6 if hour - QUIET < ends[asn] else 0)
    assert {event.tier for event in world.events.values()} == {Tier.UNCONFIRMED}
