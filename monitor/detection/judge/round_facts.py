# SPDX-License-Identifier: Apache-2.0
"""Stored measurements -> Facts: each vantage's measurement, judged with its liveness and the valid
control measurements. The detector reads nothing else; controls never become Facts.

A control measurement is valid in its own round, and a scheduled one until the control's next is
due. When the next one is lost, nothing is known of its time: an older, better one does not replace
it. All valid ones count; one that passes a step is enough. Retests have no schedule. For a retest
these are valid: measurements of its own round, retests so shortly before that the control could not
be asked again, and scheduled ones of the same minute, because a control refuses a retest shortly
before its own round.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.imported import verdict as imported
from monitor.detection.imported.record import record_of
from monitor.detection.judge.known_verdicts import (
    KnownVerdicts,
    Look,
    digest,
    look_of,
    measurement_of,
    over_udp,
    recognise,
)
from monitor.detection.judge.target import OPEN_STATES, Control, judge_beside
from monitor.detection.model import OWN_SOURCE, Fact, Stored, StoredLine, Verdict
from monitor.detection.observed.background import NO_BACKGROUND, RoundBackground, background
from monitor.detection.observed.liveness import (
    Hosts,
    VantageStatus,
    beside,
    clock_off,
    control_view,
    hosts_by_scope,
    hosts_reached,
    vantage_status,
)
from monitor.detection.observed.view import EndpointView
from monitor.detection.policy import Policy
from monitor.detection.rule import BY_CHANCE
from probes.wire.codec import WireError, decode, encode
from probes.wire.measurement import LIVENESS_TARGETS, Measurement, Role, service_of

_Key = tuple[str, int]
NOTHING_KNOWN, NO_HOSTS = VantageStatus(), Hosts()


def _liveness(stored: Iterable[Measurement]) -> dict[_Key, list[Measurement]]:
    """Liveness measurements by probe and round."""
    by_round: dict[_Key, list[Measurement]] = defaultdict(list)
    for measurement in stored:
        if measurement.target in LIVENESS_TARGETS:
            by_round[measurement.probe, measurement.round].append(measurement)
    return by_round


def is_valid(control: Measurement, measurement: Measurement, policy: Policy) -> bool:
    """Whether a control measurement of the same target is valid for a measurement."""
    age = measurement.round - control.round
    if age <= 0:
        return age == 0
    if measurement.retest and not control.retest:
        apart = abs(measurement.started - control.started)
        return apart <= policy.ms(policy.retest_round_seconds)
    if control.retest is not measurement.retest:
        return False
    if control.retest:
        # Probes accept no retest earlier (`probes.rounds.retests.RESIDUAL_PART`), less the
        # lengths of both rounds.
        return age < policy.ms(policy.residual_seconds - policy.retest_round_seconds)
    return age < control.interval_ms and age <= policy.ms(policy.control_window_seconds)


def nearest_controls(
    measurement: Measurement,
    controls: Iterable[Measurement],
    liveness: dict[_Key, list[Measurement]],
    window_ms: int,
    later: bool = False,
) -> list[Control]:
    """Return the controls' measurements of the same target within the window, nearest first.

    `later`: rounds after the measurement's own count as well, as for files. Whether they are still
    valid is not checked: see `is_valid`.
    """
    near = [
        c
        for c in controls
        if c.target == measurement.target
        and abs(c.round - measurement.round) <= window_ms
        and (later or c.round <= measurement.round)
    ]
    near.sort(key=lambda c: (abs(c.round - measurement.round), c.round, c.started, c.id))
    return [(c, liveness.get((c.probe, c.round), [])) for c in near]


class _Controls:
    """The valid controls' measurements of a target in a round."""

    def __init__(
        self,
        chosen: Sequence[tuple[Measurement, bytes, Hosts]],
        views: Sequence[dict[str, EndpointView]],
    ) -> None:
        """`chosen`: each with the digest of its vantage's status and the hosts that it reached. Of
        a control a view has its endpoints and observations alone, so that one that sees the same in
        the next round is the same."""
        self.views = views
        missed = [frozenset(hosts.failed) for _, _, hosts in chosen]
        self.missed = frozenset[str]().union(*missed[:1]).intersection(*missed)
        """Liveness hosts that no control reaches: they are out of service themselves."""
        seen = ((recognise(encode(one)) or one, status) for one, status, _ in chosen)
        self.key = digest(*((one.endpoints, one.observations, status) for one, status in seen))


class _Subject(NamedTuple):
    """A measurement that is judged."""

    given: Stored | StoredLine
    m: Any
    """The Measurement, or the Recognised in the line."""
    look: Look
    key: bytes = b""
    """Digest of the look of a Recognised."""


class RoundJudge:
    """Judges the measurements of some rounds, of any number of services, one after the other.

    What many of them share is given first: liveness and the controls' measurements, from the
    control window before the first round on. Nothing else is kept but the Facts.
    """

    def __init__(
        self,
        shared: Iterable[Stored],
        policy: Policy,
        fingerprints: Fingerprints = OWN,
        known: KnownVerdicts | None = None,
        *,
        pending: bool = False,
    ) -> None:
        """`known`: verdicts with the same fingerprints that were reached before. `pending`: the
        rounds are not complete, so until a control has reported its last measurement is used."""
        self._policy, self._fingerprints, self._pending = policy, fingerprints, pending
        self._known = KnownVerdicts() if known is None else known
        ordered = sorted(shared, key=lambda s: (s.measurement.started, s.measurement.id))
        self._liveness = _liveness(s.measurement for s in ordered)
        self._statuses: dict[_Key, tuple[VantageStatus, bytes, Hosts]] = {}
        self._by_target: dict[str, list[Measurement]] = defaultdict(list)
        self._controls: dict[tuple[str, int], _Controls] = {}
        self._views: dict[str, dict[str, EndpointView]] = {}
        for s in ordered:
            if s.role is Role.CONTROL and s.measurement.target not in LIVENESS_TARGETS:
                self._by_target[s.measurement.target].append(s.measurement)
        self._facts: dict[tuple[str, int], list[Fact]] = defaultdict(list)
        self._backgrounds: dict[tuple[str, int, str], list[RoundBackground]] = defaultdict(list)
        """Of the targets of a service, by probe, round and service. Other services do not count,
        so that a service is judged alike whichever are read with it."""
        self._sums: dict[tuple[str, int, str], RoundBackground] = {}
        """Of those that were asked for, with liveness; none is added to afterwards."""
        self._waiting: list[_Subject] = []
        self._accusing: list[tuple[Stored | StoredLine, list[Fact], int]] = []
        """Those whose verdict rests on what the service's other targets show."""

    def add(self, one: Stored | StoredLine) -> None:
        """Judge a measurement; those of controls and of liveness are ignored, and so is a line
        that is no measurement."""
        if one.role is Role.CONTROL or (subject := self._subject(one)) is None:
            return
        m = subject.m
        service = service_of(m.target)
        self._backgrounds[m.probe, m.round, service].append(subject.look.background)
        if subject.look.over_udp:
            self._waiting.append(subject)
        else:
            self._add(subject)

    def add_all(self, some: Iterable[Stored | StoredLine]) -> None:
        """`add` for each."""
        for one in some:
            self.add(one)

    def facts(self) -> Mapping[tuple[str, int], list[Fact]]:
        """Return the Facts since the last call by service and round, each sorted by (started,
        id)."""
        for one in self._waiting:
            self._add(one, self._others(one))
        self._waiting = []
        for accusing, those, place in self._accusing:
            self._judge_again(accusing, those, place)
        self._accusing = []
        self._backgrounds.clear()
        self._sums.clear()
        facts, self._facts = self._facts, defaultdict(list)
        for some in facts.values():
            some.sort(key=lambda fact: (fact.started, fact.id))
        return facts

    def _subject(self, one: Stored | StoredLine) -> _Subject | None:
        """What is judged of a measurement; None when it is of liveness, or none."""
        if (
            isinstance(one, Stored)
            or one.source != OWN_SOURCE
            or (seen := recognise(one.line)) is None
        ):
            read = one if isinstance(one, Stored) else read_line(one)
            if read is None or read.measurement.target in LIVENESS_TARGETS:
                return None
            m = read.measurement
            return _Subject(one, m, Look(background([m]), True, over_udp(m.endpoints)))
        if seen.target in LIVENESS_TARGETS:
            return None
        key = digest(
            seen.target,
            seen.combine,
            seen.endpoints,
            seen.observations,
            seen.vantage.country,
            seen.vantage.resolver_class,
            clock_off(seen),
        )
        if (look := self._known.looks.get(key)) is None:
            try:
                look = look_of(seen)
            except WireError:
                return None
            self._known.looks.put(key, look)
        return _Subject(one, seen, look, key)

    def _others(self, one: _Subject) -> RoundBackground | None:
        """What liveness and the service's other targets show in the round; None where nothing is
        known of the vantage: other targets are no liveness."""
        m = one.m
        if (m.probe, m.round) not in self._liveness:
            return None
        key = m.probe, m.round, service_of(m.target)
        if (every := self._sums.get(key)) is None:
            alive = self.vantage(m.probe, m.round).background
            every = self._sums[key] = sum(self._backgrounds[key], alive)
        return every - one.look.background

    def _judge_again(self, one: Stored | StoredLine, facts: list[Fact], place: int) -> None:
        """Judge the fact at a place again, with what the service's other targets show."""
        if (subject := self._subject(one)) is None:
            return
        m, others = subject.m, self._others(subject)
        if others is None or others == self.vantage(m.probe, m.round).background:
            return
        verdict = self._verdict(subject, self._controls_of(m), others)
        facts[place] = msgspec.structs.replace(facts[place], verdict=verdict)

    def vantage(self, probe: str, round: int) -> VantageStatus:
        """The status of a probe's vantage in a round, by its liveness alone."""
        return self._status(probe, round)[0]

    def _status(self, probe: str, round: int) -> tuple[VantageStatus, bytes, Hosts]:
        """Of a probe's vantage in a round: its status, the digest of that without the background,
        and the hosts that it reached."""
        key = probe, round
        if (found := self._statuses.get(key)) is None:
            seen = self._liveness.get(key)
            by_scope = hosts_by_scope(seen or ())
            status = NOTHING_KNOWN if seen is None else vantage_status(seen, by_scope)
            key_ = digest(replace(status, background=NO_BACKGROUND))
            found = self._statuses[key] = (status, key_, hosts_reached(by_scope))
        return found

    def _verdict(
        self, one: _Subject, controls: _Controls, others: RoundBackground | None
    ) -> Verdict:
        """By what was judged before, else in full. `others` as in `_others`, where the verdict
        rests on it."""
        m = one.m
        if one.given.source != OWN_SOURCE:
            return imported.judge(m, self._fingerprints)
        here, here_key, _ = self._status(m.probe, m.round)
        if others is not None:
            here = beside(here, others)
        if not one.key:
            return judge_beside(m, here, controls.views, self._fingerprints)
        rests = digest(here.background) if one.look.failed or others is not None else b""
        key = one.key + here_key + controls.key + rests
        if (known := self._known.verdicts.get(key)) is None:
            known = judge_beside(measurement_of(m), here, controls.views, self._fingerprints)
            self._known.verdicts.put(key, known)
        return known

    def _add(self, one: _Subject, rests_on: RoundBackground | None = None) -> None:
        m, given = one.m, one.given
        controls = self._controls_of(m)
        verdict = self._verdict(one, controls, rests_on)
        foreign = given.source != OWN_SOURCE
        others = NO_HOSTS if foreign else self._status(m.probe, m.round)[2]
        line = given if isinstance(given, StoredLine) else None
        fact = Fact(
            id=m.id,
            probe=m.probe,
            owner=given.owner,
            country=m.vantage.country,
            asn=m.vantage.asn,
            enrolled=given.enrolled,
            round=m.round,
            started=m.started,
            interval=m.interval_ms,
            retest=m.retest,
            target=m.target,
            verdict=verdict,
            control=bool(controls.views),
            others_passed=others.passed,
            others_failed=tuple(host for host in others.failed if host not in controls.missed),
            source=given.source,
            catalogue=m.catalogue,
            received=given.received,
            method=record_of(m.observations).method if foreign else "",
            arrival=0 if line is None else line.arrival,
            vantage=0 if line is None else line.vantage,
        )
        facts = self._facts[service_of(m.target), m.round]
        if not foreign and (verdict.state in OPEN_STATES or BY_CHANCE in verdict.evidence):
            self._accusing.append((given, facts, len(facts)))
        facts.append(fact)

    def _controls_of(self, measurement: Any) -> _Controls:
        """The online controls that are valid for a measurement. `pending`: without one, those of
        the nearest round."""
        if measurement.retest:  # which are valid depends on when it began
            return self._chosen(measurement)
        key = measurement.target, measurement.round
        if (found := self._controls.get(key)) is None:
            found = self._controls[key] = self._chosen(measurement)
        return found

    def _chosen(self, measurement: Any) -> _Controls:
        window = self._policy.ms(self._policy.control_window_seconds)
        online = [
            control
            for control, _ in nearest_controls(
                measurement, self._by_target.get(measurement.target, ()), {}, window
            )
            if self.vantage(control.probe, control.round).online
        ]
        chosen = [control for control in online if is_valid(control, measurement, self._policy)]
        if self._pending and not chosen:
            chosen = [control for control in online if control.round == online[0].round]
        return _Controls(
            [(each, *self._status(each.probe, each.round)[1:]) for each in chosen],
            [self._view(each) for each in chosen],
        )

    def _view(self, control: Measurement) -> dict[str, EndpointView]:
        if control.id not in self._views:
            self._views[control.id] = control_view(
                control, self.vantage(control.probe, control.round)
            )
        return self._views[control.id]


def read_line(one: StoredLine) -> Stored | None:
    """The measurement in a stored line; None when the line is no measurement."""
    try:
        measurement = decode(one.line)
    except WireError:
        return None
    return Stored(
        measurement=measurement,
        owner=one.owner,
        role=one.role,
        enrolled=one.enrolled,
        source=one.source,
        received=one.received,
    )


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
        fingerprints,
        pending=pending,
    )
    for one in stored:
        if one.measurement.round == round:
            judge.add(one)
    return [fact for facts in judge.facts().values() for fact in facts]
