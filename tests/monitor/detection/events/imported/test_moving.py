"""Failures of imported runs that move from country to country."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from monitor.detection.events.imported.moving import followers
from monitor.detection.events.imported.suspicions import suspected
from monitor.detection.events.state import ServiceState, VantageOutcome
from monitor.detection.model import EventState, Tier
from tests.monitor.detection.events.imported.test_elsewhere import DAYS, accused, world_of_nine
from tests.monitor.detection.imported_runs import POLICY, World

CODES = tuple(f"C{n:02}" for n in range(14))
NETWORKS = tuple((country, 64500 + n) for n, country in enumerate(CODES))


def moving(begins: Mapping[str, float], hours: int, networks: int = 14) -> World:
    """One network in each country, which begins to fail at an hour."""
    return world_of_nine(
        lambda hour, country, _: hour >= begins.get(country, 9999),
        (3, 5, 4),
        hours,
        ("telegram/dc",),
        NETWORKS[:networks],
    )


@pytest.mark.parametrize("days", [3, 8])
def test_a_service_that_leaves_an_endpoint_behind_by_and_by_accuses_nobody_in_the_end(
    days: int,
) -> None:
    draw = random.Random(days)
    begins = {country: DAYS + draw.random() * days * 24 for country in CODES}
    world = moving(begins, DAYS + (days + 2) * 24)
    assert accused(world) == set()
    ended = {event.state for event in world.events.values()}
    assert ended <= {EventState.RETRACTED}
    likely = {event.country for event in world.events.values() if event.tier is Tier.LIKELY}
    assert likely <= set(sorted(CODES, key=lambda country: begins[country])[:4])


def test_while_a_failure_moves_the_next_country_is_not_likely_and_says_so() -> None:
    """Four of fourteen fail: too few to be the service for sure."""
    world = moving({"C00": DAYS, "C01": DAYS + 40, "C02": DAYS + 80, "C03": DAYS + 120}, DAYS + 180)
    assert accused(world) == {"C00", "C01", "C02"}
    (last,) = (event for event in world.events.values() if event.country == "C03")
    assert (last.tier, last.state) == (Tier.UNCONFIRMED, EventState.OPEN)
    assert "moves_between_countries" in last.against


def test_two_that_block_within_days_are_both_accused() -> None:
    world = moving({"C00": DAYS, "C01": DAYS + 60}, DAYS + 110)
    assert accused(world) == {"C00", "C01"}
    assert all("moves_between_countries" not in e.against for e in world.events.values())


def test_a_service_that_three_countries_never_had_blames_none_of_them() -> None:
    world = moving(dict.fromkeys(CODES[:3], 0.0), 72)
    assert accused(world) == set()
    assert {event.country for event in world.events.values()} == set(CODES[:3])
    assert all("failing_elsewhere" in event.against for event in world.events.values())


def followed(state: ServiceState, country: str) -> set[str]:
    network = next(n for n in state.networks.values() if n.country == country)
    (held,) = suspected(network)
    return {code for _, code in followers(state, network, held, state.round, POLICY).began}


def test_only_what_fails_in_the_same_way_and_in_the_same_weeks_follows() -> None:
    begins = {"C00": DAYS, "C01": DAYS + 15 * 24, "C02": DAYS + 15 * 24 + 30}
    world = moving(begins, DAYS + 17 * 24, networks=7)
    assert followed(world.state, "C02") == {"C01"}
    assert followed(world.state, "C00") == set()


def test_who_is_compared_is_not_alone_while_a_run_works() -> None:
    """Two of three runs fail; the last one works."""
    world = world_of_nine(
        lambda hour, country, _: country == "KE" and hour >= DAYS and hour % 9 > 0,
        (3, 4),
        DAYS + 34,
        ("telegram/dc",),
    )
    network = next(n for n in world.state.networks.values() if n.country == "KE")
    assert network.members["ooni"].outcome is VantageOutcome.GOOD
    assert world.only.tier is Tier.LIKELY
    assert "measured_alone" not in world.only.against
