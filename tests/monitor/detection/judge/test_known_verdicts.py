"""What looks the same is judged once, and nobody can tell: the verdict is that of the whole."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.detection.fingerprints import Fingerprints
from monitor.detection.judge import imported_run, known_verdicts, sources
from monitor.detection.judge.known_verdicts import KnownVerdicts, Memory
from monitor.detection.judge.recognised import UNREAD
from monitor.detection.judge.round_facts import RoundJudge, facts_of
from monitor.detection.model import Fact, State, Stored, StoredLine, Verdict
from monitor.detection.policy import Policy
from probes.wire.codec import encode
from probes.wire.failure import Failure
from probes.wire.measurement import EndpointRef, Measurement, Role, Vantage
from probes.wire.observation import AnyObservation, Transfer
from tests.monitor.detection import imported_runs
from tests.monitor.detection.judge.test_target_laws import (
    CALLS,
    combines,
    controls,
    distinct,
    livenesses,
    seen,
)
from tests.monitor.detection.scenes import (
    A1,
    A2,
    BESIDE,
    HTTPS,
    QUIC,
    TLS,
    alive,
    control,
    dns,
    measured,
    quic,
    tcp,
    tls,
)

POLICY = Policy()
PLAIN = (dns(A1), tcp(A1), tls(A1))


def stored(measurement: Measurement, role: Role = Role.VANTAGE) -> Stored:
    return Stored(measurement=measurement, owner="someone", role=role, enrolled=0)


def line(one: Stored) -> StoredLine:
    return StoredLine(
        arrival=1,
        line=encode(one.measurement),
        owner=one.owner,
        role=one.role,
        enrolled=one.enrolled,
        source=one.source,
    )


def other_times(measurement: Measurement, seed: int) -> Measurement:
    """The same with other values of what no rule reads."""
    rng = random.Random(seed)

    def changed(one: Any) -> Any:
        new = {
            f.name: rng.randrange(100_000)
            for f in msgspec.structs.fields(one)
            if f.name in UNREAD and isinstance(f.default, int)
        }
        if hasattr(one, "replies"):
            new["replies"] = tuple(
                replace(reply, after_us=rng.randrange(9_000), ttl=rng.randrange(900))
                for reply in one.replies
            )
        return replace(one, **new)

    return replace(
        measurement,
        id=f"{seed:032x}",
        sequence=seed,
        observations=tuple(map(changed, measurement.observations)),
    )


def judged(
    shared: Sequence[Stored],
    subjects: Sequence[Stored | StoredLine],
    known: KnownVerdicts | None = None,
) -> list[Verdict]:
    judge = RoundJudge(shared, POLICY, known or KnownVerdicts())
    judge.add_all(subjects)
    found: list[Fact] = [fact for facts in judge.facts().values() for fact in facts]
    return [fact.verdict for fact in sorted(found, key=lambda fact: fact.id)]


@given(seen, livenesses, controls, combines, st.booleans(), st.sampled_from([HTTPS, QUIC, CALLS]))
def test_a_verdict_of_before_is_that_of_the_whole(
    observations: list[AnyObservation],
    liveness: list[Measurement],
    beside: list[tuple[Measurement, list[Measurement]]],
    how: str,
    contrasts: bool,
    second: EndpointRef,
) -> None:
    if not contrasts:
        observations = [
            one
            for one in observations
            if getattr(one, "contrast", None) is None and not isinstance(one, Transfer)
        ]
    subject = measured(*distinct(observations), endpoints=(TLS, second), combine=how)
    variants = [stored(other_times(subject, seed)) for seed in range(3)]
    shared = [stored(one) for one in liveness]
    for there, alive_there in beside:
        there = replace(there, target=subject.target)
        shared += [stored(one, Role.CONTROL) for one in (there, *alive_there)]
    whole = [facts_of([*shared, one], subject.round, POLICY)[0].verdict for one in variants]
    known = KnownVerdicts()
    assert [judged(shared, [line(one)], known)[0] for one in variants] == whole
    if not contrasts:
        assert whole[1:] == whole[:-1], "a rule reads what is said to be unread"


def test_text_without_its_pattern_makes_no_fact_whenever_it_is_seen() -> None:
    def spoilt(seed: int, before: bytes, after: bytes) -> StoredLine:
        good = line(stored(other_times(measured(*PLAIN), seed)))
        assert before in good.line
        return replace(good, line=good.line.replace(before, after))

    for before, after in (
        (b'"address":"', b'"address":"not an address '),
        (b'"qtype":"A"', b'"qtype":"a b"'),
        (b'"protocol":"tls"', b'"protocol":"t l s"'),
        (b'"target":"', b'"target":"A/'),
        (b'"id":"', b'"id":"G'),
        (b'"port":443', b'"port":70000'),
        (b'"port":443', b'"port":' + b"9" * 30),
    ):
        subjects = [spoilt(seed, before, after) for seed in range(3)]
        assert judged(list(map(stored, alive())), subjects) == [], before
        good = line(stored(other_times(measured(*PLAIN), 4)))
        assert len(judged(list(map(stored, alive())), [*subjects, good])) == 1


def test_the_same_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    real = known_verdicts.judge_beside

    def counted(*given: Any) -> Verdict:
        nonlocal count
        count += 1
        return real(*given)

    monkeypatch.setattr(known_verdicts, "judge_beside", counted)
    there, alive_there = control()
    shared = [stored(one, Role.CONTROL) for one in (there, *alive_there)]
    shared += map(stored, alive())
    same = [line(stored(other_times(measured(*PLAIN), seed))) for seed in range(50)]
    assert {verdict.state for verdict in judged(shared, same)} == {State.OK}
    assert count == 1
    # Another vantage, which is offline, and one elsewhere are not the same.
    offline = [*shared[:-3], *map(stored, alive(international=[False] * 3))]
    assert judged(offline, same[:1])[0].state is State.OK
    assert count == 2


def test_a_round_that_looks_like_the_last_one_is_not_judged_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count = 0
    real = known_verdicts.judge_beside

    def counted(*given: Any) -> Verdict:
        nonlocal count
        count += 1
        return real(*given)

    monkeypatch.setattr(known_verdicts, "judge_beside", counted)
    known = KnownVerdicts()
    there, alive_there = control()
    failing = replace(there, observations=(dns(A1), tcp(A1, Failure.TIMEOUT)))

    def conclude(number: int, at_control: Measurement) -> State:
        def later(one: Measurement) -> Measurement:
            return replace(
                one,
                id=f"{number:030x}{one.id[-2:]}",
                round=one.round + 60_000 * number,
                started=one.started + 60_000 * number,
            )

        shared = [stored(later(one), Role.CONTROL) for one in (at_control, *alive_there)]
        shared += [stored(later(one)) for one in alive()]
        judge = RoundJudge(shared, POLICY, known)
        judge.add(line(stored(later(measured(*PLAIN)))))
        ((fact,),) = judge.facts().values()
        assert fact.control
        return fact.verdict.state

    assert [conclude(number, there) for number in range(5)] == [State.OK] * 5
    assert count == 1
    conclude(5, failing)
    assert count == 2


def test_memory_is_bounded_and_keeps_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_verdicts, "MOST", 20)
    known = Memory[int]()
    known.put(b"first", 1)
    for number in range(100):
        assert known.get(b"first") == 1
        known.put(str(number).encode(), number)
    assert known.get(b"5") is None
    assert known.get(b"99") == 99


@given(seen, seen, livenesses, controls, st.sampled_from([(TLS, HTTPS), (TLS, QUIC), (CALLS,)]))
def test_a_verdict_that_rests_on_other_targets_is_that_of_the_whole(
    observations: list[AnyObservation],
    at_others: list[AnyObservation],
    liveness: list[Measurement],
    at_control: list[tuple[Measurement, list[Measurement]]],
    endpoints: tuple[EndpointRef, ...],
) -> None:
    subject = measured(*distinct(observations), endpoints=endpoints)
    other = measured(*distinct(at_others), endpoints=(TLS, QUIC))
    other = replace(other, id="f" * 32, target=f"{subject.service}/other")
    shared = [stored(one) for one in liveness]
    for there, alive_there in at_control:
        there = replace(there, target=subject.target)
        shared += [stored(one, Role.CONTROL) for one in (there, *alive_there)]
    known = KnownVerdicts()
    for beside in ([other], [], [other]):
        for seed in range(2):
            # Where something is compared, rules read when it was seen.
            both = [stored(one) for one in (other_times(subject, seed), *beside)]
            assert judged(shared, list(map(line, both)), known) == judged(shared, both)


@pytest.mark.parametrize(
    ("seen", "working", "endpoint"),
    [
        ((dns(A1, A2), tcp(A1, Failure.TIMEOUT), tcp(A2, Failure.TIMEOUT)), PLAIN, TLS),
        (
            (dns(A1, at=QUIC), quic(A1, Failure.TIMEOUT), tcp(A1, at=QUIC, **BESIDE)),
            (dns(A1, at=QUIC), quic(A1)),
            QUIC,
        ),
    ],
)
def test_what_looks_the_same_beside_other_failures_is_judged_anew(
    seen: tuple[AnyObservation, ...], working: tuple[AnyObservation, ...], endpoint: EndpointRef
) -> None:
    subject = measured(*seen, endpoints=(endpoint,))
    there, alive_there = control(*working, endpoints=(endpoint,))
    shared = [stored(one, Role.CONTROL) for one in (there, *alive_there)]
    shared += map(stored, alive())
    calm = measured(*(6 * (tcp(A1), tls(A1), quic(A1))), endpoints=(TLS, QUIC))
    lost = (tcp(A1, Failure.TIMEOUT), tcp(A1), quic(A1, Failure.TIMEOUT), quic(A1))
    troubled = measured(*(6 * lost), endpoints=(TLS, QUIC))
    known = KnownVerdicts()
    for other, state in 2 * ((calm, State.BLOCKED), (troubled, State.INCONCLUSIVE)):
        other = replace(other, id="f" * 32, target=f"{subject.service}/other")
        lines = [line(stored(subject)), line(stored(other))]
        assert judged(shared, lines, known)[0].state is state


def test_when_something_was_reached_is_read_where_quic_failed() -> None:
    """The line may have died since: what differs in nothing but times is judged anew."""
    there, alive_there = control(dns(A1, at=QUIC), quic(A1), endpoints=(QUIC,))
    shared = [stored(one, Role.CONTROL) for one in (there, *alive_there)]
    shared += map(stored, alive())
    calm = measured(*(6 * (tcp(A1), tls(A1), quic(A1))), endpoints=(TLS, QUIC))
    calm = replace(calm, id="f" * 32, target=f"{there.service}/other")
    known = KnownVerdicts()
    for at_us, state in 2 * ((3, State.BLOCKED), (1, State.INCONCLUSIVE)):
        silent = quic(A1, Failure.TIMEOUT, at_us=2)
        reached = tcp(A1, at=QUIC, at_us=at_us, **BESIDE)
        subject = measured(dns(A1, at=QUIC), silent, reached, endpoints=(QUIC,))
        said = judged(shared, [line(stored(subject)), line(stored(calm))], known)
        assert said[0].state is state


def test_imported_runs_that_look_alike_are_judged_once_and_as_in_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged: list[str] = []

    def counting(measurement: Measurement, fingerprints: Fingerprints) -> Verdict:
        judged.append(measurement.target)
        return imported_run.judge(measurement, fingerprints)

    alone = sources.JudgedAlone(counting, imported_run.method)
    monkeypatch.setattr(known_verdicts, "judged_alone", lambda source: alone)
    known, ways = KnownVerdicts(), (0, 3, 6)
    for hour in range(3):
        for failed in ways:
            seen = [*imported_runs.dc(failed), imported_runs.record(9 - hour)]
            one = imported_runs.stored(
                other_times(imported_runs.measurement(seen, imported_runs.START + hour), hour)
            )
            judge = RoundJudge([], POLICY, known)
            judge.add(line(one))
            ((fact,),) = judge.facts().values()
            assert fact.verdict == imported_run.judge(one.measurement)
            assert (fact.id, fact.started) == (one.measurement.id, one.measurement.started)
    assert len(judged) == len(ways)


@given(seen, st.sampled_from([HTTPS, TLS]), st.sampled_from([0, 13335]))
def test_the_verdict_on_an_imported_run_is_that_of_the_whole(
    observations: list[AnyObservation], second: EndpointRef, asn: int
) -> None:
    subject = measured(*distinct(observations), endpoints=(TLS, second))
    subject = replace(subject, vantage=Vantage(country="RU", asn=asn))
    variants = [imported_runs.stored(other_times(subject, seed)) for seed in range(3)]
    wanted = [imported_run.judge(one.measurement) for one in variants]
    known = KnownVerdicts()
    for one, verdict in zip(variants, wanted, strict=True):
        assert judged([], [line(one)], known) == [verdict]
