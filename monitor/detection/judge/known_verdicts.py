# SPDX-License-Identifier: Apache-2.0
"""The verdict on a stored measurement. Measurements that look the same in the same surroundings are
judged once: by the look, and everything else that the judge reads, the verdict is found again.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.judge.controls import Controls, VantageRound
from monitor.detection.judge.elsewhere import NO_ENDINGS, Endings, endings_of
from monitor.detection.judge.other_answers import OtherAnswer, other_answers
from monitor.detection.judge.recognised import (
    Recognised,
    digest,
    look,
    look_of_run,
    measurement_of,
    recognise,
    recognise_run,
)
from monitor.detection.judge.sources import JudgedAlone, judged_alone
from monitor.detection.judge.target import judge_beside
from monitor.detection.model import Stored, StoredLine, Verdict
from monitor.detection.observed.background import NO_BACKGROUND, RoundBackground, background
from monitor.detection.observed.liveness import beside
from monitor.detection.observed.view import view
from probes.wire.codec import WireError, decode
from probes.wire.measurement import LIVENESS_TARGETS, EndpointRef, Measurement
from probes.wire.observation import AnyObservation, DNSLookup, Unrecognised
from probes.wire.protocol import Transport, protocol

MOST = 200_000
"""Looks and verdicts that are remembered, each; some 150 and 200 bytes."""
_Kept = TypeVar("_Kept", bound=Hashable)


class Glance(NamedTuple):
    """What follows from a look alone."""

    background: RoundBackground
    """What the measurement adds to the background of its round."""
    failed: bool
    """An observation failed: only then a rule reads the background."""
    over_udp: bool
    """As in `over_udp`."""
    endings: Endings = NO_ENDINGS
    """How its addresses ended."""
    answers: tuple[OtherAnswer, ...] = ()
    """What other resolvers gave where they failed."""


_ALONE = Glance(NO_BACKGROUND, failed=True, over_udp=False)
"""Of what is judged alone: nothing beside it is compared with it."""


class Subject(NamedTuple):
    """A measurement that is judged, decoded as far as that needs."""

    given: Stored | StoredLine
    measured: Measurement | Recognised
    glance: Glance
    look: bytes = b""
    """Empty when it must be judged in full."""
    alone: JudgedAlone | None = None
    """How, when it is judged without liveness and controls."""
    known: Verdict | None = None
    """What was concluded from the same look, where nothing beside it is read."""

    def whole(self) -> Measurement:
        """The Measurement; what no rule reads may have its default."""
        measured = self.measured
        return measured if isinstance(measured, Measurement) else measurement_of(measured)


class Memory(Generic[_Kept]):
    """A bounded memory by digest. What was asked for lately is kept; equal values are kept once."""

    def __init__(self) -> None:
        self._young: dict[bytes, _Kept] = {}
        self._old: dict[bytes, _Kept] = {}
        self._same: dict[_Kept, _Kept] = {}

    def get(self, key: bytes) -> _Kept | None:
        """Return what is known by this digest."""
        if (value := self._young.get(key)) is None and (value := self._old.get(key)) is not None:
            self.put(key, value)
        return value

    def put(self, key: bytes, value: _Kept) -> None:
        """Remember a value."""
        if 2 * len(self._young) >= MOST:
            self._old, self._young, self._same = self._young, {}, {}
        self._young[key] = self._same.setdefault(value, value)


class KnownVerdicts:
    """Judges by some fingerprints, and remembers what it concluded."""

    def __init__(self, fingerprints: Fingerprints = OWN) -> None:
        self._fingerprints = fingerprints
        self._glances: Memory[Glance] = Memory()
        self._verdicts: Memory[Verdict] = Memory()

    def subject(self, given: Stored | StoredLine) -> Subject | None:
        """What is judged of a measurement; None when it is of liveness, or none."""
        if (alone := judged_alone(given.source)) is not None:
            return self._alone(given, alone)
        recognised = recognise(given.line) if isinstance(given, StoredLine) else None
        if recognised is None:
            return _in_full(given, None)
        if recognised.target in LIVENESS_TARGETS:
            return None
        key = look(recognised)
        if (glance := self._glances.get(key)) is not None:
            return Subject(given, recognised, glance, key)
        try:
            whole = measurement_of(recognised)
        except WireError:
            return None
        failed = any(map(_failed, whole.observations))
        glance = _glance(whole, failed)
        self._glances.put(key, glance)
        return Subject(given, whole, glance, key)

    def _alone(self, given: Stored | StoredLine, alone: JudgedAlone) -> Subject | None:
        """What is judged of an imported run; it is read in full where its look is new."""
        recognised = recognise_run(given.line) if isinstance(given, StoredLine) else None
        if recognised is None:
            return _in_full(given, alone)
        key = look_of_run(recognised)
        if (known := self._verdicts.get(key)) is not None:
            return Subject(given, recognised, _ALONE, key, alone, known)
        new = _in_full(given, alone)
        return new if new is None else new._replace(look=key)

    def verdict(
        self,
        subject: Subject,
        vantage: VantageRound,
        controls: Controls,
        others: RoundBackground | None = None,
    ) -> Verdict:
        """The verdict on a measurement of a vantage beside its controls. `others`: what liveness
        and the service's other targets show in the round, where the verdict rests on it."""
        if subject.known is not None:
            return subject.known
        if subject.alone is not None:
            judged = subject.alone.judge(subject.whole(), self._fingerprints)
            if subject.look:
                self._verdicts.put(subject.look, judged)
            return judged
        status = vantage.status if others is None else beside(vantage.status, others)
        if not subject.look:
            return judge_beside(subject.whole(), status, controls.views, self._fingerprints)
        is_read = subject.glance.failed or others is not None
        key = subject.look + vantage.key + controls.key
        key += digest(status.background) if is_read else b""
        if (verdict := self._verdicts.get(key)) is None:
            verdict = judge_beside(subject.whole(), status, controls.views, self._fingerprints)
            self._verdicts.put(key, verdict)
        return verdict


def _failed(observation: AnyObservation) -> bool:
    match observation:
        case Unrecognised():
            return True
        case DNSLookup(replies=replies) if any(reply.rcode for reply in replies):
            return True
    return observation.failure is not None


def over_udp(endpoints: Iterable[EndpointRef]) -> bool:
    """Whether it counts, in what the service's other targets show, that UDP passes at all."""
    return any(protocol(ref.protocol).transport is Transport.UDP for ref in endpoints)


def read_line(given: StoredLine) -> Stored | None:
    """The measurement in a stored line; None when the line is no measurement."""
    try:
        measurement = decode(given.line)
    except WireError:
        return None
    return Stored(
        measurement=measurement,
        owner=given.owner,
        role=given.role,
        enrolled=given.enrolled,
        source=given.source,
        received=given.received,
    )


def _in_full(given: Stored | StoredLine, alone: JudgedAlone | None) -> Subject | None:
    stored = given if isinstance(given, Stored) else read_line(given)
    if stored is None or stored.measurement.target in LIVENESS_TARGETS:
        return None
    whole = stored.measurement
    if alone is not None:
        return Subject(given, whole, _ALONE, alone=alone)
    return Subject(given, whole, _glance(whole, True))


def _glance(whole: Measurement, failed: bool) -> Glance:
    views = view(whole)
    return Glance(
        background([whole]),
        failed,
        over_udp(whole.endpoints),
        endings_of(views),
        other_answers(views) if failed else (),
    )
