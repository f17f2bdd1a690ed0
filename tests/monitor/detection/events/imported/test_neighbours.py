"""Evidence adds up over services of a network."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping

import pytest
from msgspec.structs import replace

from monitor.commands.replay import FOREVER, fold_files, lines
from monitor.detection.events.imported import neighbours
from monitor.detection.events.state import NetworkSign, ServiceState, Suspicion
from monitor.detection.model import Event, Stored, Tier
from probes.catalogue.load import load as shipped
from tests.monitor.detection.imported_runs import (
    HOUR,
    POLICY,
    QUIET,
    START,
    connect,
    dc,
    measurement,
    of_test,
    record,
    spoken,
    stored,
)

FIRST, SECOND, OTHER = "telegram/dc", "whatsapp/messaging", "signal/chat"
HERE, THERE = 64500, 64501
Fails = Callable[[str, int, float], bool]
"""Whether a target fails in a network at an hour."""


def runs(
    fails: Fails,
    targets: Mapping[str, float],
    *,
    hours: int = QUIET + 6,
    way: str = "generic_timeout_error",
    resets: Collection[str] = (SECOND,),
    seed: int = 0,
) -> list[Stored]:
    """Two networks of a country, and one of another, in which each target is measured every half
    hour from an hour on; where it fails, some of them in another way if one is given."""
    found = []
    for (country, asn), (target, first) in (
        (place, item)
        for place in (("ET", HERE), ("ET", THERE), ("FR", 64502))
        for item in targets.items()
    ):
        for half in range(int(2 * first), 2 * hours):
            failed = fails(target, asn, half / 2)
            seen = dc(6 if failed else 0)
            if failed and target in resets and way == "connection_reset":
                seen = [connect(o.address) for o in dc(0)] + [spoken(o.address, way) for o in dc(0)]
            at = START + half * HOUR // 2 + asn % 100 * 1000
            test = of_test(target.partition("/")[0])
            found.append(stored(measurement([*seen, record(9, **test)], at, asn, country, target)))
    random.Random(seed).shuffle(found)
    return found


def events(found: list[Stored]) -> dict[str, Event]:
    return {event.service: event for event in fold_files(found, FOREVER, POLICY).events}


def blocked(*targets: str, since: float = QUIET, second: float = QUIET + 2.5) -> Fails:
    """The first in one network from an hour on, the others from a later one on."""
    begins = {target: since if target == FIRST else second for target in targets}
    return lambda target, asn, hour: asn == HERE and hour >= begins.get(target, 1e9)


LONG = {FIRST: 0.0, SECOND: 0.0, OTHER: 0.0}
SHORT = {FIRST: 0.0, SECOND: QUIET, OTHER: 0.0}
"""The second has worked in five runs until it fails."""


def opened(found: dict[str, Event], service: str) -> float:
    return (found[service].opened - START) / HOUR


def test_a_service_beside_a_blocked_one_needs_a_run_less() -> None:
    beside = events(runs(blocked(FIRST, SECOND), LONG))
    alone = events(runs(blocked(SECOND), LONG))
    assert opened(alone, "whatsapp") - opened(beside, "whatsapp") == 0.5
    assert "other_service_blocked" not in alone["whatsapp"].against
    assert beside["telegram"] == events(runs(blocked(FIRST), LONG))["telegram"]


def test_a_short_history_is_enough_beside_it() -> None:
    beside = events(runs(blocked(FIRST, SECOND), SHORT))
    assert "other_service_blocked" in beside["whatsapp"].against
    assert "whatsapp" not in events(runs(blocked(SECOND), SHORT))


@pytest.mark.parametrize("way", ["generic_timeout_error", "connection_reset"])
def test_of_the_same_kind_it_may_fail_in_another_way(way: str) -> None:
    assert "whatsapp" in events(runs(blocked(FIRST, SECOND), SHORT, way=way))


def test_where_everything_fails_it_is_an_outage() -> None:
    found = events(runs(blocked(FIRST, SECOND, OTHER, second=QUIET), SHORT))
    assert "whatsapp" not in found
    assert "other_service_blocked" not in {w for event in found.values() for w in event.against}


def test_without_anything_else_that_is_measured_nothing_tells_an_outage() -> None:
    found = events(runs(blocked(FIRST, SECOND), {FIRST: 0.0, SECOND: QUIET}))
    assert found.keys() == {"telegram"}


def test_another_network_says_nothing() -> None:
    def fails(target: str, asn: int, hour: float) -> bool:
        here = THERE if target == SECOND else HERE
        return asn == here and target != OTHER and hour >= QUIET + 2.5 * (target == SECOND)

    assert "whatsapp" not in events(runs(fails, SHORT))


def test_it_says_nothing_hours_after() -> None:
    def fails(target: str, asn: int, hour: float) -> bool:
        first = target == FIRST and QUIET <= hour < QUIET + 4
        return asn == HERE and (first or (target == SECOND and hour >= QUIET + 6))

    # The event is open still: it ends after three days.
    found = events(runs(fails, {**SHORT, SECOND: QUIET + 3}, hours=QUIET + 12))
    assert found.keys() == {"telegram"}
    assert found["telegram"].ongoing


def test_a_company_s_other_service_says_nothing() -> None:
    targets = {"messenger/chat": 0.0, SECOND: QUIET, OTHER: 0.0}
    fails = blocked(FIRST, SECOND)
    found = runs(lambda t, *where: fails(FIRST if t == "messenger/chat" else t, *where), targets)
    assert events(found).keys() == {"messenger"}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_measurements_does_not_matter(seed: int) -> None:
    found = [
        lines(fold_files(runs(blocked(FIRST, SECOND), SHORT, seed=s), FOREVER, POLICY).events)
        for s in (0, seed)
    ]
    assert found[0] == found[1]


def together(*targets: str, where: Collection[int] = (HERE,), lasts: float = 1e9) -> Fails:
    """Some fail from an hour on, all in the same one."""
    return lambda target, asn, hour: (
        asn in where and target in targets and QUIET <= hour < QUIET + lasts
    )


def likely(found: list[Stored]) -> set[str]:
    return {event.service for event in events(found).values() if event.tier is Tier.LIKELY}


def test_a_network_in_which_everything_falls_silent_has_an_outage() -> None:
    found = events(runs(together(FIRST, SECOND, OTHER), LONG, hours=QUIET + 12))
    assert {event.tier for event in found.values()} == {Tier.UNCONFIRMED}
    assert all("others_fail" in event.against for event in found.values())


def test_an_outage_is_none_where_something_answers() -> None:
    resets = runs(
        together(FIRST, SECOND, OTHER), LONG, way="connection_reset", resets=(FIRST, SECOND, OTHER)
    )
    assert likely(resets) == {"telegram", "whatsapp", "signal"}


@pytest.mark.parametrize(("hours", "named"), [(5, set()), (8, {"telegram", "whatsapp"})])
def test_beside_something_that_goes_on_several_must_outlast_an_outage(
    hours: int, named: set[str]
) -> None:
    assert likely(runs(together(FIRST, SECOND), LONG, hours=QUIET + hours)) == named


def test_several_that_fail_in_two_networks_are_blocked_at_once() -> None:
    fails = together(FIRST, SECOND, where=(HERE, THERE))
    assert likely(runs(fails, LONG, hours=QUIET + 5)) == {"telegram", "whatsapp"}


def test_two_networks_in_which_everything_falls_silent_have_an_outage() -> None:
    fails = together(FIRST, SECOND, OTHER, where=(HERE, THERE))
    assert likely(runs(fails, LONG, hours=QUIET + 12)) == set()


@pytest.mark.parametrize("targets", [(FIRST,), (SECOND, "messenger/chat")])
def test_what_is_measured_alone_or_of_one_company_tells_no_outage(targets: list[str]) -> None:
    found = events(runs(together(*targets), dict.fromkeys(targets, 0.0)))
    assert {event.tier for event in found.values()} == {Tier.LIKELY}
    assert "others_fail" not in {word for event in found.values() for word in event.against}


def test_a_failure_by_chance_does_not_make_a_block_of_an_outage() -> None:
    outage = together(FIRST, SECOND, OTHER, lasts=8)

    def fails(target: str, asn: int, hour: float) -> bool:
        later = asn == HERE and target == FIRST and hour in (QUIET + 50, QUIET + 80)
        return later or outage(target, asn, hour)

    assert likely(runs(fails, LONG, hours=QUIET + 82)) == set()


@pytest.mark.parametrize(("hours", "named"), [(12, set()), (26, {"telegram"})])
def test_where_others_have_failed_and_passed_it_must_last_a_day(
    hours: int, named: set[str]
) -> None:
    fault = together(SECOND, lasts=4)

    def fails(target: str, asn: int, hour: float) -> bool:
        return fault(target, asn, hour) or (asn == HERE and target == FIRST and hour >= QUIET + 30)

    found = runs(fails, LONG, hours=QUIET + 30 + hours)
    assert likely(found) - {"whatsapp"} == named


@pytest.mark.parametrize(
    ("failures", "minute", "early"),
    [
        pytest.param([50, 80, 100], 110, True, id="within an hour"),
        pytest.param([0, 70, 90], 100, True, id="two in the present hour"),
        pytest.param([0, 30, 60], 90, False, id="two in the hour before"),
    ],
)
def test_others_need_the_time_to_tell(failures: list[int], minute: int, early: bool) -> None:
    rounds = [START + at * 60_000 for at in failures]
    held = Suspicion(
        sums=(POLICY.imported.imported_micronats,),
        onsets=(rounds[0],),
        befores=(START - HOUR,),
        techniques={"tcp.timeout": 1},
        witnesses=tuple((at, at, f"{at:x}") for at in rounds),
    )
    now = START + minute * 60_000
    assert neighbours.is_too_early(held, now, POLICY) is early
    assert not neighbours.is_too_early(replace(held, techniques={"tcp.reset": 1}), now, POLICY)


def test_companies_and_kinds_are_of_the_catalogue() -> None:
    known = {service.id for service in shipped().services}
    assert known >= neighbours.COMPANIES.keys() | neighbours.NETWORKING


def sign(since: int, until: int, asn: int = HERE, target: str = FIRST) -> NetworkSign:
    return NetworkSign(target, "ET", asn, "ooni", "tcp.timeout", True, since * HOUR, until * HOUR)


@pytest.mark.parametrize(
    ("before", "after", "hours"),
    [
        pytest.param([sign(2, 8)], [sign(2, 9)], [8], id="longer"),
        pytest.param([sign(2, 8)], [sign(4, 8)], [2], id="later"),
        pytest.param([sign(2, 8)], [sign(2, 5), sign(5, 8)], [], id="the same in two"),
        pytest.param([sign(2, 8)], [sign(2, 8), sign(3, 9, THERE)], [3], id="another network"),
        pytest.param([sign(-2400, -2390), sign(2, 8)], [sign(2, 8)], [], id="forgotten"),
    ],
)
def test_where_two_states_differ(
    before: list[NetworkSign], after: list[NetworkSign], hours: list[int]
) -> None:
    old, new = (
        ServiceState(service="telegram", round=10 * HOUR, told=tuple(told))
        for told in (before, after)
    )
    found = neighbours.first_difference(old, new, POLICY)
    assert [hour // HOUR for hour in found.values()] == hours
