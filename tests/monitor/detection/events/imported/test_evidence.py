"""Imported runs become evidence: what is usual in a network, and what a run weighs."""

from __future__ import annotations

import random

import pytest

from monitor.detection.events.imported.evidence import outcome
from monitor.detection.model import Fact, State, Verdict
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
    handshake,
    lookup,
    measurement,
    of_test,
    quiet,
    record,
    stored,
)


@pytest.mark.parametrize(
    "share", [0.03, 0.35, *(pytest.param(each, marks=pytest.mark.rest) for each in (0.1, 0.2, 0.6))]
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
