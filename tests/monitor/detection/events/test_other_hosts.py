"""Innocuous hosts beside a target: while they fail as well, nothing is confirmed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from monitor.detection.events import other_hosts
from monitor.detection.events.fold import initial
from monitor.detection.judge.round_facts import facts_of
from monitor.detection.model import OWN_SOURCE, Stored, Tier, Verdict
from monitor.detection.policy import OtherHostsPolicy, Policy
from probes.wire.measurement import Role
from tests.monitor.detection import scenes
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    POLICY,
    START,
    Vantage,
    World,
    blocked,
    fact,
    ok,
    vantages,
)

HOSTS = tuple(f"host-{n}" for n in range(5))
WARM = 80
Fails = Callable[[int, Vantage], tuple[str, ...]]
"""(round, vantage) -> the liveness hosts that it does not reach."""


def none(number: int, who: Vantage) -> tuple[str, ...]:
    return ()


def play(world: World, rounds: int, verdict: Verdict, fails: Fails) -> World:
    """Rounds in which the first network says `verdict`."""
    for _ in range(rounds):
        facts = []
        for who in world.people:
            here = who.asn == 64501
            failed = fails(world.number, who) if here else ()
            one = fact(who, world.round, verdict if here else ok())
            facts.append(replace(one, others_failed=failed, others_passed=5 - len(failed)))
        world.feed(facts)
    return world


def warm(n: int, fails: Fails = none) -> World:
    return play(World([*vantages(n), *vantages(3, "FR", 64503)]), WARM, ok(), fails)


@pytest.mark.parametrize(("verdict", "rounds"), [(blocked(), 8), (BLACKHOLE, 16)])
@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_a_block_is_confirmed_as_soon_as_without_other_hosts(
    verdict: Verdict, rounds: int, n: int
) -> None:
    blind = Policy(other_hosts=OtherHostsPolicy(others_min=0, others_per_mille=10**6))
    confirmed = []
    for policy in (POLICY, blind):
        world = World([*vantages(n), *vantages(3, "FR", 64503)], policy=policy)
        play(play(world, WARM, ok(), none), rounds, verdict, none)
        assert world.only.tier is Tier.CONFIRMED
        confirmed.append(world.only.confirmed)
    assert confirmed[0] == confirmed[1]


@pytest.mark.parametrize("verdict", [blocked(), BLACKHOLE])
@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_a_fault_that_another_host_shares_is_never_confirmed(verdict: Verdict, n: int) -> None:
    """For hours, although the host fails in only half of the measurements."""
    world = play(
        warm(n),
        60,
        verdict,
        lambda number, who: ("host-3",) if (number + int(who.probe[-1])) % 2 else (),
    )
    assert world.only.tier is Tier.LIKELY
    assert "others_fail" in world.only.against


def test_different_hosts_time_and_again_are_a_fault_too() -> None:
    """A national outage that liveness sees half: no host fails often."""
    world = play(
        warm(5),
        40,
        blocked(),
        lambda number, who: (HOSTS[(number + int(who.probe[-1])) % 5],) if number % 3 else (),
    )
    assert world.only.tier is Tier.LIKELY
    assert "others_fail" in world.only.against


def test_it_is_confirmed_once_the_other_host_works_again() -> None:
    world = play(warm(3), 6, blocked(), lambda number, who: ("host-1",))
    assert world.only.tier is Tier.LIKELY
    play(world, 20, blocked(), none)
    assert world.only.tier is Tier.CONFIRMED
    assert "others_fail" not in world.only.against


def poor(number: int, who: Vantage) -> tuple[str, ...]:
    """Two vantages usually miss one host or another, each in two of fifteen measurements."""
    which = int(who.probe[-1])
    return (HOSTS[(number + which) % 5],) if which < 2 and number % 3 else ()


@pytest.mark.parametrize("n", [2, 3, 5])
def test_different_hosts_say_nothing_where_the_line_is_poor(n: int) -> None:
    world = play(warm(n, poor), 8, blocked(), poor)
    assert world.only.tier is Tier.CONFIRMED
    other = play(warm(n), 8, blocked(), poor)
    assert other.only.tier is (Tier.LIKELY if n == 2 else Tier.CONFIRMED)


def test_one_of_two_that_can_tell_is_enough_beside_a_poor_line() -> None:
    """A vantage on a poor line does not count among those at half of which hosts must fail."""

    def first(number: int, who: Vantage) -> tuple[str, ...]:
        return (HOSTS[number % 5],) if who.probe[-1] == "0" and number % 3 else ()

    def others(number: int, who: Vantage) -> tuple[str, ...]:
        return first(number, who) or ((HOSTS[number % 5],) if who.probe[-1] == "1" else ())

    world = play(warm(3, first), 8, blocked(), others)
    assert world.only.tier is Tier.LIKELY
    assert "others_fail" in world.only.against


def test_what_different_hosts_do_is_not_learnt_in_a_fault() -> None:
    """In an outage that lasts for hours the vantages reach the target now and then."""
    world = warm(3)
    for number in range(60):
        verdict = blocked() if number % 3 else ok()
        play(world, 1, verdict, lambda number, who: (HOSTS[number % 5],))
    assert world.only.tier is Tier.LIKELY


def test_a_host_that_usually_fails_there_says_nothing() -> None:
    """It is blocked in this country, or has retired."""
    world = play(warm(3, lambda number, who: ("host-0",)), 8, blocked(), lambda *_: ("host-0",))
    assert world.only.tier is Tier.CONFIRMED
    # And it is no reason to ignore different hosts that fail there later.
    world = warm(3, lambda number, who: ("host-0",))
    play(
        world,
        12,
        blocked(),
        lambda number, who: ("host-0", *((HOSTS[1 + number % 4],) if number % 3 else ())),
    )
    assert world.only.tier is Tier.LIKELY


@pytest.mark.parametrize(("n", "liars"), [(3, 1), (5, 2), (10, 4)])
def test_a_few_that_claim_other_failures_prevent_nothing(n: int, liars: int) -> None:
    world = warm(n)
    lying = {who.probe for who in world.people[:liars]}
    play(world, 8, blocked(), lambda number, who: HOSTS if who.probe in lying else ())
    assert world.only.tier is Tier.CONFIRMED


def test_different_hosts_that_fail_by_chance_are_no_common_fault() -> None:
    world = warm(3)
    play(
        world,
        8,
        blocked(),
        lambda number, who: (HOSTS[int(who.probe[-1])],) if number % 3 == 0 else (),
    )
    assert world.only.tier is Tier.CONFIRMED


def test_hosts_that_fail_beside_one_of_the_first_failures_delay_nothing() -> None:
    """Two of three vantages miss a host each, once in the rounds that a confirmation takes."""
    world, undisturbed = warm(3), warm(3)
    first = world.number

    def once(number: int, who: Vantage) -> tuple[str, ...]:
        which = int(who.probe[-1])
        return (HOSTS[which],) if number == first and which < 2 else ()

    play(world, 8, blocked(), once)
    play(undisturbed, 8, blocked(), none)
    assert world.only.confirmed == undisturbed.only.confirmed


def test_a_long_history_of_one_vantage_does_not_outweigh_the_others() -> None:
    """One has failed alone for hours, all hosts reached; then the fault reaches the others too."""
    world = warm(5)
    one = world.people[0].probe
    for _ in range(60):
        world.feed(
            replace(
                fact(who, world.round, blocked() if who.probe == one else ok()), others_passed=5
            )
            for who in world.people
        )
    play(world, 12, blocked(), lambda number, who: () if who.probe == one else ("host-3",))
    assert world.only.tier is Tier.LIKELY


@pytest.mark.parametrize(("reached", "tier"), [(0, Tier.LIKELY), (1, Tier.LIKELY), (2, "more")])
def test_several_must_be_reached(reached: int, tier: Tier | str) -> None:
    world = warm(3)
    for _ in range(8):
        world.feed(
            replace(
                fact(who, world.round, blocked() if who.asn == 64501 else ok()),
                others_passed=reached,
            )
            for who in world.people
        )
    assert world.only.tier is (Tier.CONFIRMED if tier == "more" else tier)


def test_a_block_of_five_services_at_once_is_confirmed_for_each() -> None:
    """Other services are not asked: their failures are no sign of a fault."""
    for service in ("signal", "telegram", "viber", "wechat", "whatsapp"):
        world = World([*vantages(3), *vantages(3, "FR", 64503)], state=initial(service))
        play(play(world, WARM, ok(), none), 8, blocked(), none)
        assert world.only.tier is Tier.CONFIRMED
        assert world.only.service == service


def test_what_is_confirmed_stays_when_other_hosts_begin_to_fail() -> None:
    world = play(warm(3), 8, blocked(), none)
    assert world.only.tier is Tier.CONFIRMED
    play(world, 40, blocked(), lambda *_: ("host-2",))
    assert world.only.tier is Tier.CONFIRMED


def test_what_usually_fails_is_learnt_and_forgotten_and_nothing_else_takes_memory() -> None:
    (who,) = vantages(1)
    well = fact(who, START, ok())
    assert other_hosts.learnt({}, well, False, POLICY.other_hosts) == {}
    ill = replace(well, others_failed=("host-0",))
    world = play(World([who]), 1, ok(), none)
    (network,) = world.state.networks.values()
    member = network.members[who.probe]
    for number in range(300):
        usual = other_hosts.learnt(
            member.usual, ill if number < 40 else well, False, POLICY.other_hosts
        )
        member = replace(member, usual=usual)
        if number == 39:
            assert member.usual["host-0"] > POLICY.other_hosts.others_usual_per_mille
            assert not other_hosts.unusual(
                member, replace(ill, verdict=blocked()), POLICY.other_hosts
            )
    assert member.usual == {}
    assert other_hosts.learnt({}, replace(ill, verdict=blocked()), False, POLICY.other_hosts) == {}
    assert other_hosts.unusual(member, replace(ill, verdict=blocked()), POLICY.other_hosts) == (
        "host-0",
    )


def test_the_hosts_of_a_fact_are_those_of_the_vantage_s_liveness() -> None:
    """One that was listed and not observed has failed, as for the question whether it is online."""
    subject = scenes.measured()
    alive = scenes.alive(international=(True, True, False), domestic=(False,))
    stored = [
        Stored(measurement=m, owner="o", role=Role.VANTAGE, enrolled=0, source=OWN_SOURCE)
        for m in (subject, *alive)
    ]
    (one,) = facts_of(stored, subject.round, POLICY)
    assert one.others_passed == 2
    refs = [ref.id for m in alive for ref in m.endpoints]
    assert one.others_failed == tuple(sorted((refs[2], refs[3])))
    (unseen,) = facts_of(stored[:1], subject.round, POLICY)
    assert (unseen.others_passed, unseen.others_failed) == (0, ())


def test_a_host_that_no_control_reaches_either_does_not_count() -> None:
    """It is out of service. One control that reaches it is enough to count it."""
    here, near, far = "p-1", "p-c1", "p-c2"

    def seen(probe: str, *reached: bool) -> list[Stored]:
        role = Role.VANTAGE if probe == here else Role.CONTROL
        return [
            Stored(
                measurement=replace(m, id=f"{probe} {m.target}", probe=probe),
                owner="o",
                role=role,
                enrolled=0,
                source=OWN_SOURCE,
            )
            for m in (scenes.measured(), *scenes.alive(international=reached))
        ]

    round = scenes.measured().round

    def failed(*stored: list[Stored]) -> int:
        (one,) = facts_of([each for some in stored for each in some], round, POLICY)
        assert one.others_passed
        return len(one.others_failed)

    vantage = seen(here, False, False, True, True, True)
    assert failed(vantage) == 2
    assert failed(vantage, seen(near, True, True, True, True, True)) == 2
    assert failed(vantage, seen(near, False, True, True, True, True)) == 1
    assert failed(vantage, seen(near, False, False, True, True, True)) == 0
    both = seen(near, False, True, True, True, True), seen(far, True, False, True, True, True)
    assert failed(vantage, *both) == 2
