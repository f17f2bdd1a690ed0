# SPDX-License-Identifier: Apache-2.0
"""Stored measurements -> Facts: each vantage's measurement, judged with its liveness and the valid
control measurements. The detector reads nothing else; controls never become Facts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.judge import certificates
from monitor.detection.judge.controls import SharedEvidence
from monitor.detection.judge.elsewhere import (
    FAILING,
    Sightings,
    compared,
    dialled_in_vain,
)
from monitor.detection.judge.known_verdicts import KnownVerdicts, Subject
from monitor.detection.judge.other_answers import others_work
from monitor.detection.judge.target import OPEN_STATES
from monitor.detection.lateness import LATE, arrived_late, timely
from monitor.detection.model import Fact, Stored, StoredLine, Verdict
from monitor.detection.observed.background import RoundBackground
from monitor.detection.observed.liveness import Hosts
from monitor.detection.policy import Policy
from monitor.detection.rule import BY_CHANCE
from probes.wire.measurement import LIVENESS_TARGETS, Role, service_of

NO_HOSTS = Hosts()


class _Judged(NamedTuple):
    """A measurement with its fact, which others in the round may change."""

    subject: Subject
    late: bool
    facts: list[Fact]
    place: int
    """Of its fact among these."""

    def change(self, **changes: object) -> None:
        """Put a changed fact in its place."""
        fact = self.facts[self.place]
        self.facts[self.place] = msgspec.structs.replace(fact, **changes)


class _Siblings(NamedTuple):
    """What one vantage measured of one service in one round, in time or late."""

    probe: str
    round: int
    service: str
    late: bool


def _remarked(verdict: Verdict, late: bool) -> Verdict:
    if not late:
        return verdict
    return msgspec.structs.replace(verdict, evidence=(*verdict.evidence, LATE))


class RoundJudge:
    """Judges the measurements of some rounds, of any number of services, one after the other.

    What many of them share is given first: liveness and the controls' measurements, from the
    control window before the first round on. Nothing else is kept but the Facts.
    """

    def __init__(
        self,
        shared: Iterable[Stored],
        policy: Policy,
        known: KnownVerdicts,
        *,
        pending: bool = False,
    ) -> None:
        """`pending` as in `SharedEvidence`."""
        self._known, self._policy = known, policy
        ordered = list(shared)
        in_time = timely(ordered, policy)
        beside = SharedEvidence(in_time, policy, pending=pending)
        is_any_late = len(in_time) < len(ordered)
        # What arrived late is beside what arrived late as well, never beside what was decided.
        late = SharedEvidence(ordered, policy, pending=pending) if is_any_late else beside
        self._around = {False: beside, True: late}
        self._facts: dict[tuple[str, int], list[Fact]] = defaultdict(list)
        self._backgrounds: dict[_Siblings, list[RoundBackground]] = defaultdict(list)
        """Of the targets of a service. Other services do not count, so that a service is judged
        alike whichever are read with it."""
        self._sums: dict[_Siblings, RoundBackground] = {}
        """Of those that were asked for, with liveness; none is added to afterwards."""
        self._sightings: dict[tuple[str, int], Sightings] = defaultdict(Sightings)
        """By target and round."""
        self._failing: list[_Judged] = []
        """Whose addresses may have done otherwise elsewhere."""
        self._waiting: list[Subject] = []
        self._accusing: list[_Judged] = []
        """Whose verdict rests on what the service's other targets show."""
        self._untold: list[certificates.UntoldCertificates] = []

    def add(self, given: Stored | StoredLine) -> None:
        """Judge a measurement; those of controls and of liveness are ignored, and so is a line
        that is no measurement."""
        if given.role is Role.CONTROL or (subject := self._known.subject(given)) is None:
            return
        siblings = self._siblings(subject)
        self._backgrounds[siblings].append(subject.glance.background)
        if subject.glance.endings.proven and not siblings.late:
            measured = subject.measured
            self._sightings[measured.target, measured.round].add(
                subject.glance.endings, measured.vantage, given.owner, measured.started
            )
        if subject.glance.over_udp:
            self._waiting.append(subject)
        else:
            self._add(subject)

    def add_all(self, some: Iterable[Stored | StoredLine]) -> None:
        """`add` for each."""
        for given in some:
            self.add(given)

    def facts(self) -> Mapping[tuple[str, int], list[Fact]]:
        """Return the Facts since the last call by service and round, each sorted by (started,
        id)."""
        for subject in self._waiting:
            self._add(subject, self._others(subject))
        self._waiting = []
        for accusing in self._accusing:
            self._judge_again(accusing)
        self._accusing = []
        certificates.tell(self._untold, self._policy)
        self._untold = []
        for failing in self._failing:
            self._look_elsewhere(failing)
        self._failing = []
        self._sightings.clear()
        self._backgrounds.clear()
        self._sums.clear()
        by_round, self._facts = self._facts, defaultdict(list)
        for facts in by_round.values():
            facts.sort(key=lambda fact: (fact.started, fact.id))
        return by_round

    def _siblings(self, subject: Subject) -> _Siblings:
        given, measured = subject.given, subject.measured
        late = arrived_late(
            given.source, measured.round, measured.interval_ms, given.received, self._policy
        )
        return _Siblings(measured.probe, measured.round, service_of(measured.target), late)

    def _others(self, subject: Subject) -> RoundBackground | None:
        """What liveness and the service's other targets show in the round; None where nothing is
        known of the vantage: other targets are no liveness."""
        key = self._siblings(subject)
        around = self._around[key.late]
        if not around.has_liveness(key.probe, key.round):
            return None
        if (total := self._sums.get(key)) is None:
            alive = around.vantage(key.probe, key.round).status.background
            total = self._sums[key] = sum(self._backgrounds[key], alive)
        return total - subject.glance.background

    def _judge_again(self, accusing: _Judged) -> None:
        """Judge a fact again, with what the service's other targets show."""
        subject, around = accusing.subject, self._around[accusing.late]
        others, measured = self._others(subject), subject.measured
        vantage = around.vantage(measured.probe, measured.round)
        if others is None or others == vantage.status.background:
            return
        verdict = self._known.verdict(subject, vantage, around.controls(measured), others)
        accusing.change(verdict=_remarked(verdict, accusing.late))

    def _look_elsewhere(self, failing: _Judged) -> None:
        """Add to a fact what is known of its addresses that failed: what they do elsewhere, and
        whether the name still leads to them."""
        measured, around = failing.subject.measured, self._around[failing.late]
        fact = failing.facts[failing.place]
        status = around.vantage(measured.probe, measured.round).status
        failed = dialled_in_vain(failing.subject.glance.endings, fact.verdict, status)
        if failed:
            comparison = compared(
                failed,
                around.sightings(measured.target, measured.round),
                self._sightings.get((measured.target, measured.round)),
                measured.vantage,
                fact.owner,
            )
            failing.change(
                elsewhere=comparison.elsewhere,
                untried=comparison.untried,
                others_work=others_work(failing.subject.glance.answers, failed),
            )

    def _add(self, subject: Subject, others: RoundBackground | None = None) -> None:
        given, measured, alone = subject.given, subject.measured, subject.alone
        late = self._siblings(subject).late
        around = self._around[late]
        vantage = around.vantage(measured.probe, measured.round)
        controls = around.controls(measured)
        verdict = _remarked(self._known.verdict(subject, vantage, controls, others), late)
        hosts = vantage.hosts if alone is None else NO_HOSTS
        line = given if isinstance(given, StoredLine) else None
        fact = Fact(
            id=measured.id,
            probe=measured.probe,
            owner=given.owner,
            country=measured.vantage.country,
            asn=measured.vantage.asn,
            enrolled=given.enrolled,
            round=measured.round,
            started=measured.started,
            interval=measured.interval_ms,
            retest=measured.retest,
            target=measured.target,
            verdict=verdict,
            control=bool(controls),
            others_passed=hosts.passed,
            others_failed=tuple(host for host in hosts.failed if host not in controls.missed),
            source=given.source,
            catalogue=measured.catalogue,
            release=measured.software.version,
            received=given.received,
            method="" if alone is None else alone.method(measured.observations),
            arrival=0 if line is None else line.arrival,
            vantage=0 if line is None else line.vantage,
        )
        facts = self._facts[service_of(measured.target), measured.round]
        judged = _Judged(subject, late, facts, len(facts))
        if alone is None and (verdict.state in OPEN_STATES or BY_CHANCE in verdict.evidence):
            self._accusing.append(judged)
        if alone is None and certificates.is_untold(fact):
            self._untold.append(certificates.untold(facts, len(facts), subject.whole()))
        if subject.glance.endings.failed and verdict.state in FAILING:
            self._failing.append(judged)
        facts.append(fact)


def facts_of(
    stored: Sequence[Stored],
    round: int,
    policy: Policy,
    fingerprints: Fingerprints = OWN,
    *,
    pending: bool = False,
) -> list[Fact]:
    """Return the Facts of one round of one service, sorted by (started, id).

    `stored` holds the measurements of rounds [round - control window, round] (more do no harm) in
    any order; both roles, liveness included. `pending`: the round is not complete; such facts only
    select retests, and are discarded afterwards.
    """
    judge = RoundJudge(
        (s for s in stored if s.role is Role.CONTROL or s.measurement.target in LIVENESS_TARGETS),
        policy,
        KnownVerdicts(fingerprints),
        pending=pending,
    )
    judge.add_all(given for given in stored if given.measurement.round == round)
    return [fact for facts in judge.facts().values() for fact in facts]
