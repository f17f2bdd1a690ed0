from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.events import life
from monitor.detection.events.cusum import evidence
from monitor.detection.events.lifting import clear_alarms
from monitor.detection.events.quorum import tally, weigh
from monitor.detection.events.series import record, update
from monitor.detection.events.state import ServiceState, TargetNetwork, Track, changeable
from monitor.detection.model import ClosedGate, Layer, LayerFinding, State, Verdict
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    DOWN,
    INJECTED,
    INTERVAL,
    OFFLINE,
    POLICY,
    START,
    TARGET,
    UNCONTROLLED,
    Vantage,
    blocked,
    fact,
    ok,
    vantages,
)

FULL = POLICY.evidence.threshold_micronats


def network(source: str = "probe") -> TargetNetwork:
    return TargetNetwork(TARGET, "RU", 64501, source, {}, {})


def say(
    place: TargetNetwork,
    n: int,
    *said: Verdict,
    people: list[Vantage] | None = None,
    closed: ClosedGate | None = None,
    started: int | None = None,
) -> None:
    """The vantages of a network, in order, say this in round `n`."""
    for who, verdict in zip(people or vantages(len(said)), said, strict=True):
        one = fact(who, START + n * INTERVAL, verdict, started=started)
        record(place, one, POLICY)
        update(place, one, closed, POLICY)


def track(place: TargetNetwork, layer: str = "tls", n: int = 0) -> Track:
    return place.layers[layer].tracks[f"p-ru64501-{n}"]


def rise(place: TargetNetwork, n: int, layer: str = "tls", inhibited: bool = False) -> int:
    at = START + n * INTERVAL
    evidence = weigh(place, layer, tally(place, layer, at, POLICY), at, inhibited, POLICY)
    series = place.layers[layer]
    rank = life.rank_after(series.rank, evidence)
    place.layers[layer] = replace(series, rank=rank)
    return rank


def test_a_failure_is_held_against_its_layer_and_speaks_for_those_above_it() -> None:
    place = network()
    say(place, 0, blocked())
    assert set(place.layers) == {"dns", "tcp", "tls"}
    assert evidence(track(place), POLICY.evidence) > 0
    assert track(place, "tcp").suspicion is None
    assert track(place, "tcp").last_good == START


def test_what_was_not_reached_has_no_sample() -> None:
    place = network()
    say(place, 0, ok())
    say(place, 1, INJECTED)
    assert track(place, "tls").last_good == START
    assert track(place, "dns").last_bad == START + INTERVAL


def test_ok_is_a_success_for_every_layer_that_was_ever_seen() -> None:
    place = network()
    say(place, 0, INJECTED)
    say(place, 1, ok(layers=()))
    assert track(place, "dns").last_good == START + INTERVAL


def test_a_connection_that_died_before_the_service_was_reached_says_nothing_of_a_block() -> None:
    """A single failure of another kind, before the last success, is no part of what begins now."""
    place = network()
    for n, said in enumerate((BLACKHOLE, ok(), blocked())):
        say(place, n, said, said)
    at = START + 2 * INTERVAL
    assert tally(place, "tls", at, POLICY).likely
    assert not tally(place, "tls", at, POLICY).signature, "of each vantage one"
    say(place, 3, blocked(), blocked())
    assert tally(place, "tls", START + 3 * INTERVAL, POLICY).signature


def test_a_connection_that_dies_beside_the_name_takes_no_signature_away() -> None:
    """One of several addresses is dead in every round."""
    dead = LayerFinding(layer=Layer.TCP, blocked=True, rule="tcp.timeout", weight=500_000)
    both = replace(blocked(), findings=(dead, *blocked().findings[-1:]))
    place = network()
    for n in range(4):
        say(place, n, both, both)
    assert track(place, "tcp").suspicion is not None
    assert tally(place, "tls", START + 3 * INTERVAL, POLICY).signature


def test_a_layer_that_is_named_without_findings_counts() -> None:
    place = network()
    bare = Verdict(target=TARGET, state=State.BLOCKED, layer=Layer.TCP, rule="r")
    say(place, 0, bare)
    assert evidence(track(place, "tcp"), POLICY.evidence) > 0


@pytest.mark.parametrize(
    "verdict", [OFFLINE, Verdict(target=TARGET, state=State.INSUFFICIENT, rule="r")]
)
def test_some_states_are_no_sample_at_all(verdict: Verdict) -> None:
    place = network()
    say(place, 0, blocked())
    before = repr(track(place))
    say(place, 1, verdict)
    assert repr(track(place)) == before


@pytest.mark.parametrize("verdict", [DOWN, UNCONTROLLED])
def test_failing_without_a_good_control_takes_the_ground_away(verdict: Verdict) -> None:
    place = network()
    say(place, 0, blocked())
    say(place, 1, verdict)
    assert track(place).suspicion is None


def test_a_confirmed_series_keeps_its_ground() -> None:
    place = network()
    for n in range(3):
        say(place, n, blocked(), blocked())
        rise(place, n)
    assert place.layers["tls"].rank == 3
    say(place, 3, DOWN, DOWN)
    assert evidence(track(place), POLICY.evidence) == FULL


def test_inhibited_failures_count_for_nothing_and_are_not_learnt() -> None:
    place = network()
    say(place, 0, blocked())
    say(place, 1, blocked(), closed=ClosedGate.SERVICE_DOWN)
    assert track(place).suspicion is None
    assert track(place).baseline.recent_failed == 1


def test_an_echo_is_no_sample_and_a_later_shallower_failure_is() -> None:
    place, at = network(), START + INTERVAL
    say(place, 0, blocked(), started=at)
    say(place, 0, BLACKHOLE, started=at + 180_000)
    assert track(place, "tcp").last_bad == 0
    say(place, 0, BLACKHOLE, started=at + 180_001)
    assert track(place, "tcp").last_bad == START


def test_baseline_is_frozen_while_alarmed_and_learns_before() -> None:
    place = network()
    for n in range(8):
        say(place, n, blocked(), blocked())
        rise(place, n)
    assert track(place).baseline.recent_total <= 2


def test_a_young_vantage_learns_and_suspects_nothing() -> None:
    place, people = network(), vantages(1, enrolled=START)
    for n in range(5):
        say(place, n, blocked(), people=people)
    assert track(place).suspicion is None
    assert track(place).baseline.recent_failed == 5


def test_a_vantage_that_recovers_leaves_the_quorum_before_the_event_ends() -> None:
    place = network()
    for n in range(4):
        say(place, n, *[BLACKHOLE] * 3)
        rise(place, n, "tcp")
    say(place, 4, *[ok()] * 3)
    assert tally(place, "tcp", START + 4 * INTERVAL, POLICY).likely
    say(place, 5, *[ok()] * 3)
    found = tally(place, "tcp", START + 5 * INTERVAL, POLICY)
    assert (found.agreeing, found.likely, len(found.voting)) == ((), False, 3)


def test_a_fork_shares_nothing_that_changes() -> None:
    place = network()
    say(place, 0, blocked(), ok())
    before = repr(place)
    state = ServiceState("wechat", networks={"here": place})
    other = changeable(state, "here")
    say(other, 1, blocked(), blocked())
    rise(other, 1)
    clear_alarms(other, "tls")
    assert repr(place) == before


def test_findings_of_two_blocked_layers_are_two_series() -> None:
    both = Verdict(
        target=TARGET,
        state=State.BLOCKED,
        layer=Layer.TLS,
        rule="r",
        findings=(
            LayerFinding(layer=Layer.DNS, blocked=True, rule="d"),
            LayerFinding(layer=Layer.TLS, blocked=True, rule="t"),
        ),
    )
    place = network()
    say(place, 0, both)
    assert evidence(track(place, "dns"), POLICY.evidence) > 0
    assert evidence(track(place, "tls"), POLICY.evidence) > 0
    assert life.TIERS[0] is None
