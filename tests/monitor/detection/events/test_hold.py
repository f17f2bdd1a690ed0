"""A block is confirmed when its quorum has held for long enough twice: in the time of the rounds,
and in the time at which the failures arrived. And who must agree for it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detection.model import Tier, Verdict
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    INTERVAL,
    POLICY,
    START,
    Vantage,
    World,
    blocked,
    by_probe,
    fact,
    in_network,
    ok,
    vantages,
)

HOLD = POLICY.ms(POLICY.confirmation.confirm_signature_seconds)
UNTYPED_HOLD = POLICY.ms(POLICY.confirmation.confirm_plain_seconds)
HOUR = 12
"""Rounds."""


def warm(n: int) -> World:
    return World([*vantages(n), *vantages(3, "FR", 64503)]).quiet(80)


def lie(world: World, liars: list[Vantage], arrives: int | None, verdict: Verdict) -> None:
    """One more round, in which liars report a block; their facts arrive then, or in time."""
    world.feed(
        fact(
            who,
            world.round,
            verdict if who in liars else ok(),
            received=(arrives or 0) if who in liars else 0,
        )
        for who in world.people
    )


@pytest.mark.parametrize("verdict", [blocked(), BLACKHOLE])
@pytest.mark.parametrize("minutes", [6, 15, 600])
def test_rounds_of_the_past_that_arrive_at_once_open_nothing(
    verdict: Verdict, minutes: int
) -> None:
    """Two that have waited for their vote send an hour of rounds at once."""
    world = warm(2)
    liars = world.people[:2]
    at = world.round + 11 * INTERVAL + minutes * 60_000
    for _ in range(12):
        lie(world, liars, at, verdict)
    assert world.events == {}
    assert world.state.networks == warm_state(world)


def warm_state(world: World) -> object:
    """The networks as if the liars had been silent for an hour."""
    honest = warm(2)
    liars = {who.probe for who in world.people[:2]}
    return honest.run(12, lambda n, who: None if who.probe in liars else ok()).state.networks


def test_what_arrives_at_once_just_in_time_does_not_hold() -> None:
    """Rounds of a minute: several of them are not late yet."""
    world = World([*vantages(2), *vantages(3, "FR", 64503)], interval=60_000).quiet(400)
    liars = world.people[:2]
    at = world.round + 5 * 60_000
    for _ in range(6):
        world.feed(fact(who, world.round, blocked(), interval=60_000, received=at) for who in liars)
    assert world.only.tier is Tier.LIKELY
    world.feed(
        fact(who, world.round, blocked(), interval=60_000, received=at + HOLD) for who in liars
    )
    world.feed(
        fact(who, world.round, blocked(), interval=60_000, received=at + HOLD) for who in liars
    )
    assert world.only.tier is Tier.CONFIRMED


def test_a_block_of_a_network_that_was_cut_off_counts_from_when_it_was_heard() -> None:
    """Three were cut off from the monitor as well, and deliver later, little by little. The onset
    says what is known: after the last round that arrived in time, by the first that did again."""
    world = warm(3)
    last = world.round - INTERVAL
    for _ in range(2 * HOUR):
        lie(world, world.people[:3], world.round + 4 * HOUR * INTERVAL, blocked())
    assert world.events == {}
    heard = world.round
    world.run(3, in_network(64501, blocked()))
    event = world.only
    assert event.tier is Tier.CONFIRMED
    assert (event.onset_earliest, event.onset, event.onset_latest) == (last, heard, heard)


def test_others_in_time_and_one_from_a_spool_do_not_confirm() -> None:
    world = warm(2)
    for _ in range(HOUR):
        world.feed(
            fact(
                who,
                world.round,
                blocked() if who.country == "RU" else ok(),
                received=world.round + HOUR * INTERVAL if who is world.people[0] else 0,
            )
            for who in world.people
        )
    assert world.only.tier is Tier.UNCONFIRMED


@pytest.mark.parametrize(
    ("n", "failing", "confirmed"),
    [(2, 2, True), (3, 2, True), (4, 2, True), (5, 2, False), (5, 3, True), (12, 5, True)],
)
def test_from_five_vantages_on_three_owners_must_agree(
    n: int, failing: int, confirmed: bool
) -> None:
    world = warm(n)
    liars = world.people[:failing]
    for _ in range(HOUR):
        lie(world, liars, None, blocked())
    assert (world.only.tier is Tier.CONFIRMED) is confirmed


@pytest.mark.parametrize(("hours_off", "confirmed"), [(1, False), (23, False), (25, True)])
def test_who_was_heard_within_a_day_is_one_of_the_five(hours_off: int, confirmed: bool) -> None:
    """Two sleepers of five wait until one of the others is off."""
    world = warm(5)
    liars = world.people[:2]
    world.people = [who for who in world.people if who is not world.people[4]]
    world.quiet(hours_off * HOUR)
    for _ in range(HOUR // 2):
        lie(world, liars, None, blocked())
    assert (world.only.tier is Tier.CONFIRMED) is confirmed


def test_who_always_fails_is_not_one_of_the_five() -> None:
    """Two of three that can vote see the block."""
    people = [*vantages(3), *(replace(who, enrolled=START) for who in vantages(5)[3:])]
    world = World([*people, *vantages(3, "FR", 64503)])
    broken = {who.probe: blocked() for who in people[3:]}
    world.run(12 * HOUR, by_probe(broken))
    assert not world.events
    world.run(HOUR // 2, by_probe(broken | {who.probe: blocked() for who in people[:2]}))
    assert (world.only.tier, world.only.total) == (Tier.CONFIRMED, 3)


def test_more_vantages_of_the_same_two_owners_do_not_ask_for_a_third() -> None:
    people = [replace(who, owner=f"o-{n % 2}") for n, who in enumerate(vantages(8))]
    world = World([*people, *vantages(3, "FR", 64503)]).quiet(80)
    world.run(4, in_network(64501, blocked()))
    assert world.only.tier is Tier.CONFIRMED


@pytest.mark.parametrize("rounds_between", range(3, 13))
def test_what_is_left_of_an_old_failure_of_a_third_does_not_let_the_next_confirm(
    rounds_between: int,
) -> None:
    world = warm(5)
    liars, third = world.people[:2], world.people[2]
    lie(world, [third], None, blocked())
    world.quiet(rounds_between)
    for _ in range(3):
        lie(world, liars, None, blocked())
    lie(world, [*liars, third], None, blocked())
    assert world.only.tier is Tier.LIKELY


def test_two_and_the_stray_failures_of_a_third_do_not_confirm() -> None:
    """Two of five sleepers, and a third that fails one time in sixteen: nobody is accused."""
    world = warm(5)
    for n in range(4 * HOUR):
        lie(world, world.people[: 3 if n % 16 == 0 else 2], None, BLACKHOLE)
    assert Tier.CONFIRMED not in {event.tier for event in world.events.values()}


@given(
    st.lists(st.integers(0, 40 * INTERVAL), min_size=24, max_size=24),
    st.integers(1, 12),
    st.sampled_from((blocked(), BLACKHOLE)),
)
def test_two_never_confirm_sooner_than_they_waited(
    late: list[int], rounds: int, verdict: Verdict
) -> None:
    """Whatever their rounds say: less than the hold after their first failure arrived, no event of
    two sleepers is confirmed."""
    world = warm(2)
    liars, first, last = world.people[:2], 2**63, 0
    for n in range(rounds):
        arrivals = [world.round + late[2 * n], world.round + late[2 * n + 1]]
        arrivals = [max(each, world.round + INTERVAL) for each in arrivals]
        first, last = min([first, *arrivals]), max([last, *arrivals])
        world.feed(
            fact(who, world.round, verdict, started=world.round, received=at)
            for who, at in zip(liars, arrivals, strict=True)
        )
        hold = HOLD if verdict is not BLACKHOLE else UNTYPED_HOLD
        if last - first < hold - POLICY.ms(POLICY.retests.retest_round_seconds):
            assert Tier.CONFIRMED not in {event.tier for event in world.events.values()}


@pytest.mark.parametrize(("later", "tier"), [(1000, Tier.CONFIRMED), (-1000, Tier.LIKELY)])
def test_one_that_failed_within_the_residual_time_need_not_fail_again(
    later: int, tier: Tier
) -> None:
    """It is not asked again so soon; what it saw before that is out of date."""
    world = warm(2)
    liars = world.people[:2]
    began = world.round
    lie(world, liars, began, blocked())
    recent = HOLD - POLICY.ms(POLICY.rounds.residual_seconds)
    for at, who in ((began + recent + later, liars[0]), (began + HOLD, liars[1])):
        verdicts = {who.probe: blocked()}
        world.feed(
            fact(each, world.round, verdicts.get(each.probe, ok()), received=at)
            for each in world.people
            if each not in liars or each is who
        )
    assert world.only.tier is tier
