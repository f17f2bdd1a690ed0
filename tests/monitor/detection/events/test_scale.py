"""The law of scale: with everything else equal, more honest vantages never make detection later or
less likely. Thresholds that count instead of asking for a share break it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.detection.events import retest_requests
from monitor.detection.events.fold import initial, step
from monitor.detection.model import Fact, Tier, Verdict
from monitor.detection.policy import Policy
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    DOWN,
    INTERVAL,
    OFFLINE,
    POLICY,
    START,
    UNCONTROLLED,
    UNSEEN,
    Vantage,
    blocked,
    fact,
    ok,
    vantages,
)

ILL = (blocked(), BLACKHOLE, DOWN, OFFLINE, UNCONTROLLED, UNSEEN)
"""What one in fifty vantages reports, whatever the service does."""
ONE_IN = 50
WARM = 24
LONGEST = 14
"""Rounds: enough for a typed block, in the smallest fleet."""


def fleet(home: int, abroad: int, countries: int) -> list[Vantage]:
    """`home` vantages in the network that will block, and `abroad` in each of other countries."""
    people = vantages(home)
    for n in range(countries):
        people += vantages(abroad, f"{chr(65 + n // 26)}{chr(65 + n % 26)}", 65000 + n)
    return people


def failing(people: list[Vantage], number: int, phase: int) -> Iterator[tuple[int, Verdict]]:
    """Who has troubles in a round, and which: one in fifty of each network, in turn. Small networks
    have less than one, so they have none most of the time."""
    places: dict[int, list[int]] = {}
    for index, who in enumerate(people):
        places.setdefault(who.asn, []).append(index)
    for asn, mine in places.items():
        for place, index in enumerate(mine):
            if (place + number // 6 + phase + asn) % ONE_IN == 0:
                yield index, ILL[(place // ONE_IN + asn + number // 24) % len(ILL)]


def confirmed_after(people: list[Vantage], phase: int, policy: Policy = POLICY) -> int | None:
    """Rounds from the beginning of a typed block at home to its confirmation. One in fifty fails to
    reach a liveness host."""
    state = initial("wechat")
    for number in range(WARM + LONGEST):
        round = START + number * INTERVAL
        troubled = dict(failing(people, number, phase))
        facts: list[Fact] = []
        for index, who in enumerate(people):
            verdict = troubled.get(index, ok())
            if number >= WARM and who.asn == 64501 and verdict not in (OFFLINE, UNCONTROLLED):
                verdict = blocked()
            said = fact(who, round, verdict)
            if (index + number + phase) % ONE_IN == ONE_IN // 2:
                said = replace(said, others_passed=4, others_failed=(f"host-{index % 5}",))
            facts.append(said)
        state, changed = step(state, round, facts, policy)
        for event in changed:
            for network in event.networks:
                if network.asn == 64501 and network.tier is Tier.CONFIRMED:
                    return number - WARM
    return None


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from((3, 5, 10, 30)),
    st.sampled_from((1, 3, 8)),
    st.sampled_from((3, 10)),
    st.sampled_from((2, 4)),
    st.integers(0, ONE_IN - 1),
)
def test_a_larger_fleet_is_never_later(
    home: int, abroad: int, countries: int, times: int, phase: int
) -> None:
    small = confirmed_after(fleet(home, abroad, countries), phase)
    large = confirmed_after(fleet(home * times, abroad * times, countries * times), phase)
    assert large is not None
    assert small is None or large <= small


@pytest.mark.slow
@pytest.mark.rest
@pytest.mark.parametrize("phase", [0, 17])
def test_a_thousand_vantages_see_what_ten_see(phase: int) -> None:
    # The first round is a quorum already, by one signature of each vantage.
    assert confirmed_after(fleet(4, 2, 3), phase) in (1, 2)
    assert confirmed_after(fleet(100, 9, 100), phase) == 1
    assert confirmed_after(fleet(400, 200, 3), phase) == 1


def test_isolated_failures_in_a_large_network_ask_for_no_retest() -> None:
    """They would use up the retests before a block begins."""
    people, state = vantages(100), initial("wechat")
    for number in range(WARM):
        round = START + number * INTERVAL
        ill = {number * 2 % 100, (number * 2 + 1) % 100}
        facts = [fact(who, round, blocked() if n in ill else ok()) for n, who in enumerate(people)]
        state, _ = step(state, round, facts, POLICY)
        assert retest_requests.wanted(state, POLICY, round) == {}
    round += INTERVAL
    state, _ = step(state, round, [fact(who, round, blocked()) for who in people[:4]], POLICY)
    assert set(retest_requests.wanted(state, POLICY, round)) == {("RU", 64501, "wechat/messaging")}


def test_two_of_a_hundred_that_fail_for_long_do_not_keep_the_rest_from_being_confirmed() -> None:
    """Two with filters of their own, or two liars, are a part of a network of ten; when the others
    are blocked too, the whole network is."""
    for size in (10, 100):
        people, state = [*vantages(size), *vantages(3, "FR", 64503)], initial("wechat")
        for number in range(80):
            round = START + number * INTERVAL
            home = size if number >= 60 else 2 if number >= 3 else 0
            # Two others always reach the service: so the network stays divided.
            facts = [
                fact(who, round, blocked() if n < home and n not in (2, 3) else ok())
                for n, who in enumerate(people)
            ]
            state, _ = step(state, round, facts, POLICY)
        (case,) = state.open_events.values()
        assert case.event.tier is Tier.CONFIRMED, size
