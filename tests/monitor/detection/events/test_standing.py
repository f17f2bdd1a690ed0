"""What the word of an owner weighs, and what strangers can and cannot do where owners with standing
measure.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from monitor.detection.events import retest_requests, standing
from monitor.detection.events.confidence import probability
from monitor.detection.events.state import (
    Baseline,
    Member,
    Series,
    TargetNetwork,
    Track,
    VantageOutcome,
)
from monitor.detection.model import VOUCHED, EventState, Tier, Verdict
from tests.monitor.detection.worlds import (
    INTERVAL,
    OFFLINE,
    POLICY,
    START,
    TARGET,
    UNCONTROLLED,
    Script,
    Vantage,
    World,
    blocked,
    by_probe,
    ok,
    vantages,
)

DAY = 86_400_000


def place(enrolled: int, failed: int = 0, total: int = 0) -> TargetNetwork:
    member = Member("o", enrolled, 300_000, START, VantageOutcome.GOOD)
    track = Track(Baseline(total, failed))
    return TargetNetwork(TARGET, "RU", 64501, "probe", {"p": member}, {"tls": Series({"p": track})})


@pytest.mark.parametrize(
    ("enrolled", "baseline", "corroborated", "weight"),
    [
        (START - 27 * DAY, (0, 0), False, standing.NEW),
        (START - 28 * DAY, (0, 0), False, standing.KNOWN),
        (VOUCHED, (0, 0), False, standing.KNOWN),
        (START - 28 * DAY, (0, 0), True, standing.KNOWN * standing.CORROBORATED),
        (START, (0, 0), True, standing.NEW * standing.CORROBORATED),
        (VOUCHED, (30, 100), False, standing.NEW),
        (VOUCHED, (3, 100), False, standing.KNOWN),
        (VOUCHED, (3, 10), False, standing.KNOWN),
    ],
    ids=["new", "known", "vouched", "both", "companion", "unreliable", "usual", "few samples"],
)
def test_weight(enrolled: int, baseline: tuple[int, int], corroborated: bool, weight: int) -> None:
    network = place(enrolled, *baseline)
    assert standing.of_vantage(network, "p", corroborated, START, POLICY) == weight


def test_strangers_alone_never_page_and_one_of_two_who_is_known_may() -> None:
    assert [new for new in range(20) if standing.may_page(0, new)] == []
    assert [standing.may_page(*owners) for owners in ((1, 0), (1, 1), (2, 0))] == [0, 1, 1]


REMARK = "only_new_reach_it"


def mixed(known: int, new: int) -> World:
    """A network in which so many owners are known for long, the first of them, and so many are
    not, beside one abroad."""
    people = [
        replace(who, enrolled=0 if number < known else START - 8 * DAY)
        for number, who in enumerate(vantages(known + new))
    ]
    return World([*people, *vantages(3, "FR", 64503)]).quiet(6)


def said(known: Verdict | None, new: Verdict | None) -> Script:
    """What owners who are known for long say, and strangers."""

    def script(n: int, who: Vantage) -> Verdict | None:
        if who.asn != 64501:
            return ok()
        return new if who.enrolled else known

    return script


@pytest.mark.parametrize(("known", "new"), [(1, 2), (2, 3), (3, 8), (1, 9)])
def test_strangers_open_nothing_that_an_owner_with_standing_contradicts(
    known: int, new: int
) -> None:
    assert not mixed(known, new).run(24, said(ok(), blocked())).events


def test_strangers_are_heard_as_soon_as_one_with_standing_agrees() -> None:
    here = mixed(2, 3).run(6, said(ok(), blocked()))
    liar = here.people[0].probe
    here.run(12, lambda n, who: blocked() if who.enrolled or who.probe == liar else ok())
    assert here.only.tier is Tier.CONFIRMED
    assert here.only.agreeing == 4


def test_while_those_with_standing_are_off_strangers_open_what_wakes_nobody() -> None:
    here = mixed(2, 3).run(24, said(None, blocked()))
    tiers = [here.only.tier, here.run(3, said(blocked(), blocked())).only.tier]
    assert tiers == [Tier.UNCONFIRMED, Tier.CONFIRMED]


def test_where_nobody_is_known_strangers_count_alike_and_wake_nobody() -> None:
    event = mixed(0, 3).run(24, said(None, blocked())).only
    assert (event.tier, "new_vantages" in event.against) == (Tier.CONFIRMED, True)
    assert (probability(event) or 0) < POLICY.alerting.page_per_mille


@pytest.mark.parametrize(("known", "new"), [(2, 3), (3, 2), (3, 12)])
def test_strangers_suppress_nothing_that_several_with_standing_see(known: int, new: int) -> None:
    alone = mixed(known, 0).run(24, said(blocked(), None)).only
    event = mixed(known, new).run(24, said(blocked(), ok())).only
    assert event.tier is alone.tier is Tier.CONFIRMED
    assert event.confirmed == alone.confirmed
    assert probability(event) == probability(alone)
    assert (event.agreeing, event.total) == (known, known + new)


@pytest.mark.parametrize(("known", "new"), [(1, 2), (2, 3), (3, 12)])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_strangers_end_nothing_that_one_with_standing_still_sees(
    known: int, new: int, share: float
) -> None:
    """Not after a day either, in which one vantage with a fault of its own ends to count."""
    here = mixed(known, new).run(24, said(blocked(), blocked()))
    rng = random.Random(f"{known} {new}")
    partly = lambda n, who: said(blocked() if rng.random() < share else ok(), ok())(n, who)  # noqa: E731
    here.run(300, partly)
    assert here.only.ongoing
    if share == 1:
        assert REMARK in here.only.against
        assert here.only.state is EventState.OPEN


@pytest.mark.parametrize(("known", "new"), [(1, 2), (1, 4), (2, 3)])
def test_while_those_with_standing_are_silent_strangers_say_that_it_seems_to_end(
    known: int, new: int
) -> None:
    """It is over when one of them says so, goes on as the same event when one of them fails, and
    fails without a control is neither."""
    here = mixed(known, new).run(24, said(blocked(), blocked()))
    here.run(12, said(None, ok()))
    assert (here.only.state, REMARK in here.only.against) == (EventState.CLEARING, True)
    states = []
    for verdict in (UNCONTROLLED, blocked()):
        states.append(here.run(1, said(verdict, ok())).only.state)
        here.run(6, said(None, ok()))
    assert states == [EventState.OPEN] * 2
    assert here.run(12, said(ok(), ok())).only.state is EventState.CLOSED


def test_one_stranger_alone_says_nothing_of_the_kind() -> None:
    here = mixed(1, 1).run(24, said(blocked(), blocked())).run(60, said(None, ok()))
    assert here.only.state is EventState.OPEN


def test_those_with_standing_end_what_strangers_still_claim() -> None:
    here = mixed(2, 3).run(24, said(blocked(), blocked()))
    here.run(12, said(ok(), blocked()))
    assert here.only.state is EventState.CLOSED


def test_what_only_strangers_saw_strangers_end() -> None:
    here = mixed(0, 3).run(24, said(None, blocked())).run(24, said(None, ok()))
    assert here.only.state is EventState.CLOSED


@pytest.mark.parametrize(("new", "closed"), [(3, False), (0, True)])
def test_after_those_who_saw_it_are_gone_others_with_standing_end_it(
    new: int, closed: bool
) -> None:
    """`new` of the three who come are strangers."""
    here = mixed(2, 0).run(24, said(blocked(), None))
    late = [replace(who, probe=f"{who.probe}-late", owner=who.probe) for who in vantages(3)]
    here.people += [replace(who, enrolled=START - 8 * DAY if new else 0) for who in late]
    here.run(
        2 * DAY // INTERVAL,
        lambda n, who: ok() if who.asn != 64501 or who.probe.endswith("-late") else None,
    )
    assert here.only.ongoing is not closed


@pytest.mark.parametrize("known", [0, 1, 2, 5])
def test_no_end_of_an_honest_network_is_later_because_some_are_new(known: int) -> None:
    """All reach it again: half of the evidence comes from each side at most."""
    here = mixed(known, 5 - known).run(24, said(blocked(), blocked())).run(24, said(ok(), ok()))
    assert here.only.closed is not None
    again = START + (6 + 24) * INTERVAL
    assert here.only.closed - again <= 3 * INTERVAL


@pytest.mark.parametrize("known", [0, 1])
def test_strangers_who_claim_to_be_offline_hide_no_block(known: int) -> None:
    here = mixed(known, 9)
    honest = {who.probe for who in here.people[: known or 1]}
    here.run(6, lambda n, who: blocked() if who.probe in honest else said(ok(), OFFLINE)(n, who))
    assert bool(here.events) is bool(known)


def test_those_with_standing_are_asked_first_and_the_rest_by_turns() -> None:
    people = vantages(20)
    known = {who.probe for who in people[8:11]}
    some = [who if who.probe in known else replace(who, enrolled=START - 8 * DAY) for who in people]
    here = World(some).quiet(6).run(1, by_probe({some[0].probe: blocked()}))
    (question,) = retest_requests.wanted(here.state, POLICY, here.state.round + INTERVAL).values()
    assert (len(question.whom), known <= set(question.whom)) == (5, True)
