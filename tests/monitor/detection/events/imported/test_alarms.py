"""Imported runs through the detector: onset, gaps, ends."""

from __future__ import annotations

import random

import pytest

from monitor.detection.model import EventState, Tier
from tests.monitor.detection.imported_runs import (
    BLOCKED,
    GOOD,
    HOUR,
    QUIET,
    START,
    WEB,
    World,
    dc,
    dial,
    in_network,
    lookup,
    measurement,
    of_test,
    quiet,
    record,
    round_of,
    single,
    stored,
)


def test_quiet_networks_stay_quiet() -> None:
    strays = random.Random(5)
    world = World().run(24 * 30, lambda hour, asn: 6 if strays.random() < 0.01 else 0)
    assert world.events == {}


@pytest.mark.parametrize("failed", [3, 6])
def test_a_block_is_found_within_two_hours_with_its_onset(failed: int) -> None:
    world = quiet().run(3, in_network(BLOCKED, failed))
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
    world = quiet().run(24 * 10, in_network(BLOCKED))
    assert world.only.tier is Tier.LIKELY


def test_nothing_before_something_had_worked() -> None:
    assert World().run(48, in_network(BLOCKED)).events == {}


def test_one_bad_evening_is_no_block() -> None:
    assert quiet().run(1, in_network(BLOCKED)).run(48).events == {}


def test_gaps_neither_close_nor_open_another() -> None:
    world = quiet().run(3, in_network(BLOCKED))
    world.hour += 30
    world.run(2, in_network(BLOCKED))
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


def test_a_few_failures_among_many_runs_are_no_block() -> None:
    """Four failures in seventeen runs, each with a signature, opened an event."""
    world = World()
    for n in range(QUIET + 17):
        forged = n - QUIET in (0, 5, 10, 15)
        seen = [lookup("10.10.34.35")] if forged else [lookup(GOOD), dial(GOOD)]
        single(world, n, *seen, asn=BLOCKED, target=WEB)
        single(world, n + 0.1, lookup(GOOD), dial(GOOD), asn=64501, target=WEB)
    assert world.events == {}


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


@pytest.mark.parametrize(
    ("failures", "opens"),
    [
        ({64500: 3, 64501: 2}, True),
        ({64500: 2, 64501: 2}, False),
        ({64500: 3, 64501: 1}, False),
        ({64500: 3}, False),
    ],
)
def test_evidence_adds_up_over_the_networks_of_a_country(
    failures: dict[int, int], opens: bool
) -> None:
    world = quiet()
    runs = sorted(
        (n / 2 + asn % 10 / 10, asn) for asn, many in failures.items() for n in range(many)
    )
    for hour, asn in runs:
        single(world, QUIET + hour, asn=asn)
    single(world, QUIET + 2, *dc(0), asn=64502)
    assert bool(world.events) is opens
    if opens:
        assert world.only.onset == round_of(QUIET)


def test_networks_of_two_countries_do_not_add_up() -> None:
    world = World(networks=(("KE", 64500), ("TZ", 64501), ("UG", 64502))).run(QUIET)
    for n in range(3):
        single(world, QUIET + n / 2, asn=64500, country="KE")
        single(world, QUIET + n / 2 + 0.2, asn=64501, country="TZ")
    assert world.events == {}


@pytest.mark.parametrize(
    ("runs", "functions", "opens"), [(6, 3, True), (6, 1, False), (3, 3, False)]
)
def test_a_short_history_of_several_functions_is_enough(
    runs: int, functions: int, opens: bool
) -> None:
    names = ("telegram/dc", "telegram/links", "telegram/site")[:functions]
    world = World(networks=(("ET", 64500), ("KE", 64501), ("UG", 64502)), targets=names)
    for hour in range(runs + 8):
        found = [
            stored(
                measurement(
                    [*dc(6 if asn == 64500 and hour >= runs else 0), record(9, **of_test())],
                    START + hour * HOUR + n,
                    asn,
                    country,
                    target,
                )
            )
            for n, (country, asn) in enumerate(world.networks)
            for target in names
        ]
        world.update(found)
    assert bool(world.events) is opens


@pytest.mark.parametrize(
    ("failure", "where", "tier", "remarked"),
    [
        ("connection_refused", [64500], Tier.UNCONFIRMED, True),
        ("connection_refused", [64500, 64501], Tier.LIKELY, False),
        ("generic_timeout_error", [64500], Tier.LIKELY, False),
        ("connection_reset", [64500], Tier.LIKELY, False),
    ],
)
def test_a_network_that_is_refused_alone_may_be_refused_by_the_service(
    failure: str, where: list[int], tier: Tier, remarked: bool
) -> None:
    world = World([("KE", 64500), ("KE", 64501), ("KE", 64502), ("FR", 64503)])
    world.run(QUIET)
    world.seen = lambda failed: dc(failed, failure)
    world.run(12, lambda hour, asn: 6 if asn in where else 0)
    assert world.only.tier is tier
    assert ("refused_in_one_network" in world.only.against) is remarked
