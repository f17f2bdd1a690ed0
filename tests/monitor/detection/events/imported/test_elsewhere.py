"""What other networks show of a failure: an outage, a service that has moved, a block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pytest

from monitor.detection.events.imported.elsewhere import reached_since
from monitor.detection.model import Tier
from tests.monitor.detection.imported_runs import (
    BLOCKED,
    HOUR,
    POLICY,
    QUIET,
    START,
    TARGET,
    WEB,
    World,
    dc,
    forged,
    in_network,
    measurement,
    of_test,
    quiet,
    record,
    single,
    stored,
)


def test_where_nobody_reaches_it_it_may_be_an_outage() -> None:
    world = quiet().run(24, lambda hour, asn: 6)
    event = world.only
    assert event.tier is Tier.UNCONFIRMED
    assert {"no_other_network", "no_control"} <= set(event.against)
    assert "control_by_other_networks" not in event.against


def test_several_functions_in_whose_place_another_answers_for_hours_are_a_block() -> None:
    world = World(targets=("telegram/dc", "telegram/links"), seen=forged).run(QUIET)
    world.run(4, lambda hour, asn: 6)
    assert world.only.tier is Tier.UNCONFIRMED
    world.run(4, lambda hour, asn: 6)
    assert world.only.tier is Tier.LIKELY
    assert world.only.onset == START + QUIET * HOUR
    assert "measured_alone" in world.only.against


def test_bare_failures_of_a_country_that_is_measured_alone_are_never_likely() -> None:
    world = World(targets=("telegram/dc", "telegram/links")).run(QUIET)
    world.run(12, lambda hour, asn: 6)
    assert world.only.tier is Tier.UNCONFIRMED
    assert {"measured_alone", "no_other_network"} <= set(world.only.against)


def test_what_fails_in_other_countries_too_is_the_service() -> None:
    everywhere = [("KE", 64500), ("TZ", 64510), ("TZ", 64511), ("UG", 64520)]
    world = World(networks=everywhere).run(QUIET).run(24, lambda hour, asn: 6)
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
    world.run(6, in_network(BLOCKED))
    assert (world.only.asns, world.only.tier) == ((BLOCKED,), Tier.LIKELY)


def test_contrast_is_another_network_since_then() -> None:
    world = quiet()
    network = next(n for n in world.state.networks.values() if n.asn == BLOCKED)
    assert reached_since(world.state, network, START, POLICY)
    assert not reached_since(world.state, network, START + 100 * HOUR, POLICY)
    assert POLICY.imported.imported_history > 0


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
                    [*forged(version == "0.3.1"), record(9, **of_test(version=version))],
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


_CODES = ("KE", "TZ", "UG", "ET", "RW", "BI", "SD", "EG", "NG")
NINE = tuple((country, 64500 + n) for n, country in enumerate(_CODES))


def world_of_nine(
    fails: Callable[[float, str, str], bool],
    gaps: Sequence[int] = (3, 24, 12, 1, 8),
    hours: int = 12 * 24,
    targets: Sequence[str] = (TARGET, "telegram/links"),
    networks: Sequence[tuple[str, int]] = NINE,
) -> World:
    """Networks with a run every so many hours; `fails` by hour, country and target."""
    world = World(networks=networks, targets=tuple(targets))
    for hour in range(hours):
        found = [
            stored(
                measurement(
                    [*dc(6 if fails(hour, country, target) else 0), record(9, **of_test())],
                    START + hour * HOUR + n * 1000,
                    asn,
                    country,
                    target,
                )
            )
            for n, (country, asn) in enumerate(networks)
            if (hour + 5 * n) % gaps[n % len(gaps)] == 0
            for target in targets
        ]
        if found:
            world.update(found)
    return world


DAYS = 8 * 24


def accused(world: World) -> set[str]:
    """The countries in which a block is likely."""
    return {
        event.country
        for event in world.events.values()
        if event.tier is Tier.LIKELY and event.state != "retracted"
    }


@pytest.mark.parametrize("gaps", [(3, 24, 12, 1, 8), (1, 24, 24), (24, 24, 8)])
@pytest.mark.parametrize("targets", [(TARGET,), (TARGET, "telegram/links")])
def test_a_retired_endpoint_accuses_nobody_however_seldom_others_measure(
    gaps: tuple[int, ...], targets: tuple[str, ...]
) -> None:
    assert accused(world_of_nine(lambda hour, *_: hour >= DAYS, gaps, targets=targets)) == set()


@pytest.mark.parametrize(("hours", "first"), [(7, 1), (24, 3)])
def test_what_changes_country_by_country_accuses_no_more_than_the_first(
    hours: int, first: int
) -> None:
    """Each country follows so many hours after the one before. The first may look blocked, while
    nearly all others work."""
    order = {country: n for n, (country, _) in enumerate(NINE)}
    world = world_of_nine(
        lambda hour, country, _: hour >= DAYS + hours * order[country], (2,), DAYS + 7 * 24
    )
    assert accused(world) <= set(_CODES[:first])


def test_old_blocks_elsewhere_hide_no_new_one() -> None:
    begins = {"SD": 48, "EG": 100, "KE": DAYS}
    world = world_of_nine(lambda hour, country, _: hour >= begins.get(country, 9999), (1, 3))
    assert accused(world) == set(begins)


@pytest.mark.parametrize("second", [48, 100])
def test_what_is_blocked_in_two_countries_and_then_retired_stays_their_event_alone(
    second: int,
) -> None:
    old = {"SD": 48, "EG": second}
    world = world_of_nine(lambda hour, country, _: hour >= old.get(country, DAYS), (1, 3))
    assert accused(world) == set(old)


@pytest.mark.parametrize("networks", [NINE[:1], NINE[:2], (*NINE[:1], ("KE", 64599))])
def test_what_two_networks_at_most_could_show_accuses_nobody(
    networks: Sequence[tuple[str, int]],
) -> None:
    assert (
        accused(world_of_nine(lambda hour, *_: hour >= DAYS, (1, 12), networks=networks)) == set()
    )


def test_what_is_blocked_since_before_the_data_is_found_where_others_work() -> None:
    world = world_of_nine(lambda hour, country, _: country == "KE", (3,), 72, (TARGET,))
    assert accused(world) == {"KE"}
    assert world.only.onset <= START + 3 * HOUR
    assert "onset_unknown" in world.only.against


def test_what_never_worked_anywhere_is_nobodys_block() -> None:
    assert world_of_nine(lambda *_: True, (3,), 96, (TARGET,)).events == {}


def test_what_never_worked_in_a_region_is_nobodys_block() -> None:
    region = {"KE", "TZ", "UG", "ET"}
    world = world_of_nine(lambda hour, country, _: country in region, (3,), 96, (TARGET,))
    assert world.events == {}


def test_a_block_that_creeps_over_weeks_is_found_where_others_work() -> None:
    """From a few to nine tenths of the runs within forty days: the history creeps with it."""

    def creeps(hour: float, country: str, _: str) -> bool:
        return country == "KE" and hour * 0.618034 % 1 < min(0.93, 0.05 + hour / 1000)

    world = world_of_nine(creeps, (4,), 55 * 24, (TARGET,))
    assert accused(world) == {"KE"}
