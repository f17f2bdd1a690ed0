"""What kept a series from an alarm: each condition in a world that lacks it alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pytest

from monitor.detection.events.fold import initial
from monitor.detection.events.history import Folding
from monitor.detection.events.shortfalls import SeriesShortfall, Shortfalls
from monitor.detection.model import Stored
from probes.wire.observation import AnyObservation
from tests.monitor.detection import worlds
from tests.monitor.detection.imported_runs import (
    GOOD,
    HOUR,
    POLICY,
    START,
    WEB,
    dc,
    dial,
    handshake,
    lookup,
    measurement,
    of_test,
    record,
    stored,
)

ASN = 64_500
NETWORKS = (("KE", ASN), ("KE", 64_501))


def runs(
    hours: Iterable[float],
    failed: int = 0,
    networks: Sequence[tuple[str, int]] = NETWORKS,
    seen: Sequence[AnyObservation] = (),
    target: str = "telegram/dc",
) -> list[Stored]:
    """A run at each of these hours in each network; `failed` of six addresses fail."""
    return [
        stored(
            measurement(
                [*(seen or dc(failed)), record(9, **of_test())],
                START + int(hour * HOUR) + 1000 * place,
                asn,
                country,
                target,
            )
        )
        for hour in hours
        for place, (country, asn) in enumerate(networks)
    ]


def halves(first: float, hours: float) -> list[float]:
    return [first + n / 2 for n in range(int(hours * 2))]


def lacking(found: Sequence[Stored]) -> list[SeriesShortfall]:
    shortfalls = Shortfalls(POLICY)
    folding = Folding(initial("telegram"), POLICY, keep=False, observe=shortfalls.observe)
    folding.fold(sorted({one.measurement.round for one in found}), found)
    return list(shortfalls.found())


MINE, OTHER = NETWORKS[:1], NETWORKS[1:]
QUIET = runs(halves(0, 48))
BAD_ROOT = (lookup(GOOD), dial(GOOD), handshake(GOOD, "ssl_unknown_authority"))
WORKING = (lookup(GOOD), dial(GOOD), handshake(GOOD))
CASES: dict[str, Callable[[], list[Stored]]] = {
    "evidence": lambda: [*QUIET, *runs([48], 6, MINE)],
    "span": lambda: [*QUIET, *runs([48 + n / 12 for n in range(9)], 6, MINE)],
    "history": lambda: [
        *runs(halves(0, 3), networks=MINE),
        *runs(halves(3, 6), 6, MINE),
        *runs(halves(0, 9), networks=OTHER),
    ],
    "density": lambda: [
        *QUIET,
        *(
            run
            for n in range(11)
            for run in (
                *runs([48 + n * 2], 6, MINE),
                *runs([48.5 + n * 2, 49 + n * 2, 49.5 + n * 2], networks=MINE),
            )
        ),
    ],
    "certificate": lambda: [
        *runs(halves(0, 48), networks=MINE, seen=WORKING, target=WEB),
        *runs(halves(48, 6), networks=MINE, seen=BAD_ROOT, target=WEB),
    ],
}


@pytest.mark.parametrize("condition", CASES)
def test_each_condition_keeps_a_network_from_an_alarm(condition: str) -> None:
    (shortfall,) = lacking(CASES[condition]())
    assert (shortfall.asn, shortfall.source, shortfall.layer) == (ASN, "ooni", "whole")
    assert shortfall.lacked == condition
    assert (shortfall.holds < shortfall.needs) is (condition == "evidence")


def test_a_series_that_opened_an_event_lacked_nothing() -> None:
    assert lacking([*QUIET, *runs(halves(48, 4), 6, MINE)]) == []


def test_it_tells_when_it_was_nearest_and_how_often_it_failed() -> None:
    (shortfall,) = lacking(
        [*QUIET, *runs([48, 48.5], 6, MINE), *runs(halves(49, 20)), *runs([69], 6, MINE)]
    )
    assert (shortfall.round, shortfall.failed) == (START + int(48.5 * HOUR), 3)
    assert shortfall.not_counted == {}


def test_failures_behind_a_gate_are_counted_with_its_name() -> None:
    everywhere = (*NETWORKS, ("TZ", 1), ("UG", 2), ("BR", 3), ("FR", 4))
    quiet = runs(halves(0, 48), networks=everywhere)
    found = lacking([*quiet, *runs(halves(48, 6), 6, everywhere)])
    assert {shortfall.country for shortfall in found} == {"KE", "TZ", "UG", "BR", "FR"}
    for shortfall in found:
        assert shortfall.failed == 12
        assert shortfall.not_counted["service_down"] >= 10


def test_the_nearest_comes_first() -> None:
    found = lacking([*QUIET, *runs([48], 6, OTHER), *runs([49, 49.5], 6, MINE)])
    assert [shortfall.asn for shortfall in found] == [ASN, 64_501]


def test_of_ours_it_tells_who_has_no_vote() -> None:
    shortfalls = Shortfalls(worlds.POLICY)
    folding = Folding(initial("wechat"), worlds.POLICY, keep=False, observe=shortfalls.observe)
    (old,) = worlds.vantages(1, asn=1)
    (young,) = worlds.vantages(1, asn=2, enrolled=worlds.START)
    for turn in range(3):
        at = worlds.START + turn * worlds.INTERVAL
        folding.fold_facts(at, [worlds.fact(each, at, worlds.blocked()) for each in (old, young)])
    (found,) = [each for each in shortfalls.found() if each.asn == 2]
    assert (found.layer, found.lacked) == ("tls", "young")


def test_what_another_network_adds_is_in_what_is_needed() -> None:
    usual = lacking([*QUIET, *runs([48, 48.25], 6, MINE)])[0].needs
    both = lacking([*QUIET, *runs([48, 48.25], 6)])
    assert [shortfall.lacked for shortfall in both] == ["evidence", "evidence"]
    assert min(shortfall.needs for shortfall in both) < usual
