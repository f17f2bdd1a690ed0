"""Facts of a round: who is judged beside whom."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.judge.recognised import recognise
from monitor.detection.judge.round_facts import facts_of
from monitor.detection.judge.target import judge
from monitor.detection.model import Fact, State, Stored
from monitor.detection.policy import Policy
from probes.wire.codec import encode
from probes.wire.failure import Failure
from probes.wire.measurement import Measurement, Role, Software, Vantage
from tests.monitor.detection.app_scenes import app, twice
from tests.monitor.detection.scenes import (
    A1,
    BESIDE,
    CONTROL_PROBE,
    INNOCUOUS,
    PROBE,
    QUIC,
    ROUND,
    alive,
    control,
    dns,
    endpoint,
    measured,
    quic,
    tcp,
)

BLOCKED = (dns(A1), tcp(A1, Failure.TIMEOUT))
MINUTE = 60_000


def stored(measurement: Measurement, role: Role = Role.VANTAGE) -> Stored:
    return Stored(measurement=measurement, owner="o", role=role, enrolled=7)


def a_round(round: int = ROUND, **other: Any) -> list[Stored]:
    vantage = Vantage(country="RU", asn=64501)
    seen = measured(*BLOCKED, round=round, vantage=vantage, interval_ms=MINUTE, **other)
    return [stored(m) for m in (seen, *alive(round=round))]


def a_control(round: int = ROUND, interval_ms: int = MINUTE, **other: Any) -> list[Stored]:
    seen, liveness = control(round=round, interval_ms=interval_ms, **other)
    return [stored(m, Role.CONTROL) for m in (seen, *liveness)]


def beside(*controls: list[Stored], retest: bool = False) -> Fact:
    """What is said of a blocked vantage's measurement beside these."""
    spoken = [each for some in controls for each in some]
    (fact,) = facts_of([*spoken, *a_round(retest=retest)], ROUND, Policy())
    return fact


def test_the_release_that_measured_is_told() -> None:
    cut = dns(A1), tcp(A1, Failure.RESET)
    failing = measured(*cut, software=Software(version="1.2"), interval_ms=MINUTE)
    (fact,) = facts_of([*a_control(), stored(failing)], ROUND, Policy())
    assert fact.release == "1.2"
    recognised = recognise(encode(failing))
    assert recognised is not None
    assert recognised.software.version == "1.2"


def test_a_vantage_is_judged_beside_its_liveness_and_control() -> None:
    (fact,) = facts_of([*a_control(), *a_round()], ROUND, Policy())
    assert fact.verdict.state is State.BLOCKED
    assert (fact.control, fact.country, fact.asn, fact.owner) == (True, "RU", 64501, "o")
    assert (fact.enrolled, fact.interval, fact.round, fact.probe) == (7, MINUTE, ROUND, PROBE)


def test_quic_of_other_targets_in_the_same_round_counts() -> None:
    dead = (dns(A1, at=QUIC), quic(A1, Failure.TIMEOUT), quic(A1, Failure.TIMEOUT, **INNOCUOUS))
    subject = measured(*dead, tcp(A1, at=QUIC, **BESIDE), endpoints=(QUIC,))
    seen, liveness = control(dns(A1, at=QUIC), quic(A1), endpoints=(QUIC,))
    there = [stored(m, Role.CONTROL) for m in (seen, *liveness)]
    here = [stored(m) for m in (subject, *alive())]
    for round, state in ((ROUND, State.BLOCKED), (ROUND - MINUTE, State.INCONCLUSIVE)):
        other = measured(quic(A1), target="srv/web", endpoints=(QUIC,), round=round)
        facts = facts_of([*there, *here, stored(other)], ROUND, Policy())
        assert {f.target: f.verdict.state for f in facts}["srv/chat"] is state


def test_quic_of_other_targets_shows_that_udp_passes() -> None:
    ref = endpoint("stun", port=443)
    subject = measured(dns(A1, at=ref), *twice(Failure.TIMEOUT, at=ref), endpoints=(ref,))
    seen, liveness = control(dns(A1, at=ref), app(at=ref), endpoints=(ref,))
    there = [stored(m, Role.CONTROL) for m in (seen, *liveness)]
    other = measured(quic(A1), target="srv/web", endpoints=(QUIC,))
    for beside, state in (([], State.INCONCLUSIVE), ([stored(other)], State.BLOCKED)):
        here = [stored(m) for m in (subject, *alive())]
        facts = facts_of([*there, *here, *beside], ROUND, Policy())
        assert {f.target: f.verdict.state for f in facts}["srv/chat"] is state


def test_controls_and_other_rounds_are_no_facts() -> None:
    many = [*a_control(), *a_round(), *a_round(ROUND - MINUTE)]
    assert [f.round for f in facts_of(many, ROUND, Policy())] == [ROUND]
    assert facts_of(many, ROUND + 1, Policy()) == []
    assert facts_of([], ROUND, Policy()) == []


def test_the_window_looks_back_only() -> None:
    for offset, found in ((-5, True), (-6, False), (1, False)):
        fact = beside(a_control(ROUND + offset * MINUTE, 10 * MINUTE))
        assert fact.control is found
        assert fact.verdict.state is (State.BLOCKED if found else State.INCONCLUSIVE)


def test_the_pace_shortens_the_window() -> None:
    many = [*a_control(ROUND - MINUTE, 10 * MINUTE), *a_round()]
    assert not facts_of(many, ROUND, Policy(pace=10))[0].control


@pytest.mark.parametrize(("age", "interval", "found"), [(4, 5, True), (5, 5, False), (1, 0, False)])
def test_a_word_holds_until_the_next_is_due(age: int, interval: int, found: bool) -> None:
    assert beside(a_control(ROUND - age * MINUTE, interval * MINUTE)).control is found


def test_an_older_word_does_not_step_in_for_one_that_was_lost() -> None:
    before = a_control(ROUND - 5 * MINUTE, 5 * MINUTE)
    failing = [
        stored(m, Role.CONTROL)
        for m in (control(*BLOCKED, interval_ms=5 * MINUTE)[0], *control()[1])
    ]
    assert beside(before, failing).verdict.state is State.DOWN
    assert beside(before, failing[1:]).verdict.state is State.INCONCLUSIVE
    assert beside(before, failing[:1]).verdict.state is State.INCONCLUSIVE, "offline is no word"


def test_of_the_words_that_hold_one_that_passes_is_enough() -> None:
    failing = [stored(m, Role.CONTROL) for m in (control(*BLOCKED)[0], *control()[1])]
    before = a_control(ROUND - 2 * MINUTE, 5 * MINUTE)
    assert beside(before, failing).verdict.state is State.BLOCKED
    assert beside(before).verdict.state is State.BLOCKED, "and nothing that is lost can add to it"


@pytest.mark.parametrize(
    ("age", "again", "found"),
    [
        (0, True, True),
        (1, True, True),
        (2, True, False),
        (0, False, True),
        (1, False, True),
        (2, False, False),
    ],
)
def test_beside_a_retest_stand_retests(age: int, again: bool, found: bool) -> None:
    """Of a usual round only the very same, or what was said in the same minute; the word before
    may have been better."""
    seen = a_control(ROUND - age * MINUTE, 5 * MINUTE, retest=again)
    assert beside(seen, retest=True).control is found
    usual = beside(seen, retest=False)
    assert usual.control is (not again or age == 0)


def test_in_a_round_that_is_not_over_the_word_before_is_good_for_a_guess() -> None:
    many = [*a_control(ROUND - MINUTE), *a_round()]
    (fact,) = facts_of(many, ROUND, Policy(), pending=True)
    assert fact.verdict.state is State.BLOCKED
    assert not facts_of(many, ROUND, Policy())[0].control
    failing = [stored(m, Role.CONTROL) for m in (control(*BLOCKED)[0], *control()[1])]
    (fact,) = facts_of([*many, *failing], ROUND, Policy(), pending=True)
    assert fact.verdict.state is State.DOWN


def test_the_token_decides_who_is_a_control() -> None:
    """A claimed role counts for nothing here."""
    seen, liveness = control()
    claimed = [stored(m) for m in (seen, *liveness)]
    facts = facts_of([*claimed, *a_round()], ROUND, Policy())
    assert {f.probe: f.control for f in facts} == {PROBE: False, CONTROL_PROBE: False}


def test_order_of_arrival_does_not_matter() -> None:
    many = [*a_control(), *a_round(), *a_round(probe="p-" + "3" * 16)]
    facts = facts_of(many, ROUND, Policy())
    assert facts == facts_of(many[::-1], ROUND, Policy())
    assert [(f.started, f.id) for f in facts] == sorted((f.started, f.id) for f in facts)


def test_shared_work_says_the_same_as_the_plain_judge() -> None:
    far = control(round=ROUND - MINUTE)  # runs once: its word holds in its own round alone
    near = control(dns(A1), tcp(A1, Failure.TIMEOUT))
    for liveness in (near[1], []):
        group = [stored(m, Role.CONTROL) for m in (*far, near[0]) if isinstance(m, Measurement)]
        group += [stored(m, Role.CONTROL) for m in (*far[1], *liveness)]
        volunteers = a_round(clock_offset_ms=-5)
        (fact,) = facts_of([*group, *volunteers], ROUND, Policy())
        subject, *alive_here = (s.measurement for s in volunteers)
        assert fact.verdict == judge(subject, alive_here, [(near[0], liveness)])
        assert fact.verdict.state is (State.DOWN if liveness else State.INCONCLUSIVE)
