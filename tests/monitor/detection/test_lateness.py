"""What is late, and that it changes nothing that timely measurements decided."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from monitor.detection.judge.round_facts import facts_of
from monitor.detection.lateness import LATE, arrived_late, deadline
from monitor.detection.model import State, Stored, Tier, Verdict
from monitor.detection.policy import Policy
from tests.monitor.detection.judge.test_round_facts import a_control, a_round
from tests.monitor.detection.scenes import ROUND
from tests.monitor.detection.worlds import (
    DOWN,
    INTERVAL,
    POLICY,
    START,
    Vantage,
    World,
    blocked,
    fact,
    ok,
    vantages,
)

CLOSES = deadline(START, INTERVAL, POLICY)
MARGIN = POLICY.ms(POLICY.rounds.late_seconds)
SPOOLED = 40 * 60_000


@pytest.mark.parametrize(
    ("source", "received", "late"),
    [
        ("probe", CLOSES, False),
        ("probe", CLOSES + MARGIN, False),
        ("probe", CLOSES + MARGIN + 1, True),
        ("probe", 0, False),
        ("ooni", CLOSES + 10**9, False),
    ],
)
def test_late_is_after_the_deadline_and_a_margin(source: str, received: int, late: bool) -> None:
    assert arrived_late(source, START, INTERVAL, received, POLICY) is late


def test_a_demonstration_in_a_hurry_leaves_machines_their_time() -> None:
    fast = Policy(pace=1000)
    closes = deadline(START, 300, fast)
    assert not arrived_late("probe", START, 300, closes + 29_000, fast)
    assert arrived_late("probe", START, 300, closes + 31_000, fast)


def at(stored: list[Stored], received: int) -> list[Stored]:
    return [
        Stored(
            measurement=one.measurement,
            owner=one.owner,
            role=one.role,
            enrolled=one.enrolled,
            received=received,
        )
        for one in stored
    ]


@pytest.mark.parametrize(
    ("control", "measured", "state", "remarked"),
    [
        (False, False, State.BLOCKED, False),
        (True, False, State.INCONCLUSIVE, False),
        (True, True, State.BLOCKED, True),
        (False, True, State.BLOCKED, True),
    ],
    ids=["both in time", "late control", "both late", "late measurement"],
)
def test_a_late_control_stands_beside_late_measurements_alone(
    control: bool, measured: bool, state: State, remarked: bool
) -> None:
    late = ROUND + SPOOLED
    stored = [
        *at(a_control(), late if control else ROUND),
        *at(a_round(), late if measured else ROUND),
    ]
    (fact,) = facts_of(stored, ROUND, Policy())
    assert fact.verdict.state is state
    assert (LATE in fact.verdict.evidence) is remarked


Late = Callable[[Vantage], Verdict | None]


def block_with_late_rounds(
    late: Late, strangers: list[Vantage], rounds: int = 12
) -> tuple[World, World]:
    """A block of three of five vantages as it is, and with a past for every one of its rounds that
    others deliver 40 minutes later."""
    people = [*vantages(3), *vantages(3, "FR", 64503), *vantages(3, "DE", 64504)]
    without = World([*people, *strangers]).quiet(80)
    beside = World([*people, *strangers]).quiet(80)
    for _ in range(rounds):
        timely = [
            fact(who, without.round, blocked() if who.country == "RU" else ok()) for who in people
        ]
        without.feed(timely)
        claimed = [
            fact(who, beside.round, verdict, received=beside.round + SPOOLED)
            for who in strangers
            if (verdict := late(who)) is not None
        ]
        beside.feed([*timely, *claimed])
    assert without.only.tier is Tier.CONFIRMED
    return without, beside


ABROAD = [who for n, c in enumerate(("JP", "BR", "IN")) for who in vantages(1, c, 65000 + n)]
INSIDE = [Vantage(f"p-late-{n}", f"liar-{n}") for n in range(2)]


@pytest.mark.parametrize(
    ("late", "strangers"),
    [
        (lambda who: blocked(), ABROAD),
        (lambda who: DOWN, ABROAD),
        (lambda who: ok(), INSIDE),
        (lambda who: DOWN, INSIDE),
        (lambda who: blocked(), INSIDE),
    ],
    ids=["close a gate", "say that it is down", "deny", "deny it as an outage", "agree"],
)
def test_a_past_that_is_delivered_later_changes_nothing(
    late: Late, strangers: list[Vantage]
) -> None:
    without, beside = block_with_late_rounds(late, strangers)
    assert beside.events == without.events
    assert beside.state == without.state


@pytest.mark.parametrize("share", [0.5, 1])
def test_a_past_without_a_block_ends_none(share: float) -> None:
    """Vantages that saw it deliver successes for rounds in which they were silent."""
    world = World([*vantages(4), *vantages(3, "FR", 64503)]).quiet(80)
    world.run(12, lambda n, who: blocked() if who.country == "RU" else ok())
    liars = [who for who in world.people if who.country == "RU"][: int(4 * share)]
    before = world.only
    for _ in range(8):
        world.feed(
            fact(who, world.round, ok(), received=world.round + SPOOLED if who in liars else 0)
            for who in world.people
            if who.country != "RU" or who in liars
        )
    assert (world.only.state, world.only.tier) == (before.state, Tier.CONFIRMED)
