"""After an outage of the service: a network in which it lasts longer than elsewhere is not called
blocked, unless it has worked there in between or no outage lasts so long.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.model import Event, Tier, Verdict
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    DOWN,
    INTERVAL,
    POLICY,
    Script,
    Vantage,
    World,
    blocked,
    fact,
    in_network,
    ok,
    vantages,
)

SUBJECT = 64501
HOUR = 3_600_000 // INTERVAL
REMARK = "since_outage"


def warm(n: int) -> World:
    abroad = [*vantages(3, "FR", 64503), *vantages(3, "JP", 64504), *vantages(3, "US", 64505)]
    return World([*vantages(n), *abroad]).quiet(80)


def everywhere(verdict: Verdict, elsewhere: Verdict) -> Script:
    """The subject fails in its own way, all others in theirs."""
    return in_network(SUBJECT, verdict, elsewhere)


def newest(world: World) -> Event:
    return max(world.events.values(), key=lambda event: event.opened)


@pytest.mark.parametrize("n", [2, 5])
@pytest.mark.parametrize("verdict", [blocked(), BLACKHOLE])
@pytest.mark.parametrize("control_fails", [True, False])
def test_who_recovers_last_is_not_called_blocked(
    n: int, verdict: Verdict, control_fails: bool
) -> None:
    """The control fails as well, or it recovers before all others and the gate is what tells."""
    during = (DOWN, DOWN) if control_fails else (verdict, verdict)
    world = warm(n).run(2 * HOUR, everywhere(*during))
    world.run(5 * HOUR, in_network(SUBJECT, verdict))
    assert world.only.tier is Tier.LIKELY
    assert REMARK in world.only.against
    world.run(2 * HOUR, in_network(SUBJECT, ok()))
    assert world.only.state == "closed"
    # What is blocked after it has worked again is confirmed as at any time.
    world.run(2 * HOUR, in_network(SUBJECT, verdict))
    assert newest(world).tier is Tier.CONFIRMED
    assert REMARK not in newest(world).against


@pytest.mark.parametrize("verdict", [blocked(), BLACKHOLE])
def test_while_its_vantages_recover_one_by_one_nothing_is_confirmed(verdict: Verdict) -> None:
    world = warm(5).run(2 * HOUR, everywhere(DOWN, DOWN))
    world.run(2 * HOUR, in_network(SUBJECT, verdict))
    began = world.number

    def recovers(number: int, who: Vantage) -> Verdict:
        later = 3 * int(who.probe[-1])
        return verdict if who.asn == SUBJECT and number < began + later else ok()

    world.run(2 * HOUR, recovers)
    assert {event.tier for event in world.emitted} == {Tier.LIKELY}
    assert world.only.state == "closed"


@pytest.mark.parametrize("verdict", [blocked(), BLACKHOLE])
def test_what_lasts_longer_than_an_outage_is_confirmed(verdict: Verdict) -> None:
    world = warm(3).run(2 * HOUR, everywhere(DOWN, DOWN))
    over = world.round  # the gate stays closed for one more round
    world.run(8 * HOUR, in_network(SUBJECT, verdict))
    assert world.only.confirmed == over + POLICY.ms(POLICY.gates.outage_seconds) + INTERVAL


@pytest.mark.parametrize("verdict", [blocked(), BLACKHOLE])
def test_a_block_that_begins_before_an_outage_waits_for_nothing(verdict: Verdict) -> None:
    world = warm(3).run(1, in_network(SUBJECT, verdict))
    world.run(3, everywhere(DOWN, DOWN)).run(HOUR + 1, in_network(SUBJECT, verdict))
    assert newest(world).tier is Tier.CONFIRMED


def test_a_control_that_fails_beside_few_vantages_delays_nothing() -> None:
    """It failed just when one of five saw the block first."""

    def begins(number: int, who: Vantage) -> Verdict:
        if who.asn != SUBJECT:
            return ok()
        return DOWN if number == 80 and who.probe.endswith("-0") else blocked()

    world, other = warm(5).run(HOUR, begins), warm(5).run(HOUR, in_network(SUBJECT, blocked()))
    assert world.only.confirmed == other.only.confirmed


@pytest.mark.parametrize("verdict", [blocked(), BLACKHOLE])
def test_a_control_that_fails_in_one_retest_delays_nothing(verdict: Verdict) -> None:
    """It failed by chance just as the block began, and everybody was compared with it."""
    world = warm(5)
    first, *others = (who for who in world.people if who.asn == SUBJECT)
    world.feed([fact(first, world.round, verdict)])
    world.feed(replace(fact(who, world.round, DOWN), retest=True) for who in others)
    world.run(HOUR, in_network(SUBJECT, verdict))
    assert world.only.tier is Tier.CONFIRMED


def test_an_outage_that_retests_saw_as_well_stays_one() -> None:
    world = warm(5).run(1, everywhere(DOWN, DOWN))
    asked = [who for who in world.people if who.asn == SUBJECT]
    world.feed(replace(fact(who, world.round, DOWN), retest=True) for who in asked)
    last = world.round - INTERVAL
    world.run(8 * HOUR, in_network(SUBJECT, blocked()))
    assert world.only.confirmed is not None
    assert world.only.confirmed > last + POLICY.ms(POLICY.gates.outage_seconds)
