"""Facts of a round: who is judged beside whom."""

from __future__ import annotations

from typing import Any

from monitor.detection.control import facts_of, nearest_controls
from monitor.detection.judge import judge
from monitor.detection.model import State, Stored
from monitor.detection.policy import Policy
from probes.wire.failure import Failure
from probes.wire.measurement import Measurement, Role, Vantage
from tests.monitor.detection.scenes import (
    A1,
    CONTROL_PROBE,
    INNOCUOUS,
    PROBE,
    QUIC,
    ROUND,
    alive,
    control,
    dns,
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


def a_control(round: int = ROUND) -> list[Stored]:
    seen, liveness = control(round=round)
    return [stored(m, Role.CONTROL) for m in (seen, *liveness)]


def test_a_vantage_is_judged_beside_its_liveness_and_control() -> None:
    (fact,) = facts_of([*a_control(), *a_round()], ROUND, Policy())
    assert fact.verdict.state is State.BLOCKED
    assert (fact.control, fact.country, fact.asn, fact.owner) == (True, "RU", 64501, "o")
    assert (fact.enrolled, fact.interval, fact.round, fact.probe) == (7, MINUTE, ROUND, PROBE)


def test_quic_of_other_targets_in_the_same_round_counts() -> None:
    dead = (dns(A1, at=QUIC), quic(A1, Failure.TIMEOUT), quic(A1, Failure.TIMEOUT, **INNOCUOUS))
    subject = measured(*dead, endpoints=(QUIC,))
    seen, liveness = control(dns(A1, at=QUIC), quic(A1), endpoints=(QUIC,))
    there = [stored(m, Role.CONTROL) for m in (seen, *liveness)]
    here = [stored(m) for m in (subject, *alive())]
    for round, state in ((ROUND, State.BLOCKED), (ROUND - MINUTE, State.INCONCLUSIVE)):
        other = measured(quic(A1), target="srv/web", endpoints=(QUIC,), round=round)
        facts = facts_of([*there, *here, stored(other)], ROUND, Policy())
        assert {f.target: f.verdict.state for f in facts}["srv/chat"] is state


def test_controls_and_other_rounds_are_no_facts() -> None:
    many = [*a_control(), *a_round(), *a_round(ROUND - MINUTE)]
    assert [f.round for f in facts_of(many, ROUND, Policy())] == [ROUND]
    assert facts_of(many, ROUND + 1, Policy()) == []
    assert facts_of([], ROUND, Policy()) == []


def test_the_window_looks_back_only() -> None:
    for offset, found in ((-5, True), (-6, False), (1, False)):
        (fact,) = facts_of([*a_control(ROUND + offset * MINUTE), *a_round()], ROUND, Policy())
        assert fact.control is found
        assert fact.verdict.state is (State.BLOCKED if found else State.INCONCLUSIVE)


def test_the_pace_shortens_the_window() -> None:
    (fact,) = facts_of([*a_control(ROUND - MINUTE), *a_round()], ROUND, Policy(pace=10))
    assert not fact.control


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
    far = control(round=ROUND - MINUTE)
    near = control(dns(A1), tcp(A1, Failure.TIMEOUT))
    for liveness in (near[1], []):
        group = [stored(m, Role.CONTROL) for m in (*far, near[0]) if isinstance(m, Measurement)]
        group += [stored(m, Role.CONTROL) for m in (*far[1], *liveness)]
        volunteers = a_round(clock_offset_ms=-5)
        (fact,) = facts_of([*group, *volunteers], ROUND, Policy())
        subject, *alive_here = (s.measurement for s in volunteers)
        assert fact.verdict == judge(subject, alive_here, [(near[0], liveness), far])
        assert fact.verdict.state is (State.DOWN if liveness else State.BLOCKED)


def test_nearest_first_with_later_rounds_only_when_asked() -> None:
    subject = measured(*BLOCKED)
    beyond = [control(round=ROUND + n * MINUTE)[0] for n in (2, -3, 0, 9)]
    near = nearest_controls(subject, beyond, {}, 5 * MINUTE, later=True)
    assert [(c.round - ROUND) // MINUTE for c, _ in near] == [0, 2, -3]
    back = nearest_controls(subject, beyond, {}, 5 * MINUTE)
    assert [(c.round - ROUND) // MINUTE for c, _ in back] == [0, -3]
