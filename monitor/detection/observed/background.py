# SPDX-License-Identifier: Apache-2.0
"""The background of one round at one vantage: how often lookups, connects and handshakes failed
there that nobody blocks, by address family and step.

A weak sign (no answer, a refusal, a reset without proof) accuses only where the failures of the
background do not explain it (`monitor.detection.observed.chance`). Counted are attempts, each from
a port of its own: of liveness hosts that were reached at all, and of targets where the same step
passed at the same address at another attempt. What never worked is not counted: it may be blocked.
Nor are handshakes and exchanges after the first that passed at an address: they were made because
it did, so where first attempts die, dozens of looks at the speed would hide it. Connects all count,
for what they had to send again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import Enum

import msgspec

from monitor.detection.observed.kinds import (
    Kind,
    app_kind,
    dns_kind,
    http_kind,
    quic_kind,
    reached,
    tcp_kind,
    tls_kind,
)
from monitor.detection.observed.ranges import family
from monitor.detection.observed.view import SYSTEM
from probes.wire.measurement import LIVENESS_TARGETS, Measurement
from probes.wire.observation import (
    UNCHECKED,
    AnyObservation,
    AppExchange,
    AtAddress,
    Contrast,
    DNSLookup,
    HTTPExchange,
    Observation,
    Purpose,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
)

UNANSWERED = (Kind.DNS_REFUSED, Kind.SERVFAIL, Kind.TIMEOUT)
"""How a resolver fails that is overloaded, limits its queries or loses packets."""
SENT_AGAIN = "sent_again"
"""Evidence of the probe: a query or a packet was sent again before it was answered."""
LATE = "sent_again_answered"
"""Evidence of the probe: the query sent first was answered as well, late: nothing was lost."""
_SUBJECT = (None, Contrast.REPEAT)
_LEAST = 2
"""One failure is everyday."""
_MANY_TARGETS = 5
_TENTH, _SIXTH = 10, 6


class Death(Enum):
    """How an attempt ends that no server has answered."""

    LOST = "lost"
    """Silence, as when packets are lost or a table of connections is full."""
    CUT = "cut"
    """A reset, an early end, or a router that has no way for a moment, as from overloaded servers
    and middleboxes; packet loss does not do this."""


_DEATHS = {
    Kind.TIMEOUT: Death.LOST,
    Kind.RESET: Death.CUT,
    Kind.REFUSED: Death.CUT,
    Kind.EOF: Death.CUT,
    Kind.UNREACHABLE: Death.CUT,
}


def death(kind: Kind) -> Death | None:
    """How an attempt died; None when it did not, or when the kind itself tells the cause."""
    return _DEATHS.get(kind)


class Step(Enum):
    """A kind of step whose attempts may die by the same cause."""

    CONNECT = "connects"
    PAYLOAD = "payloads"
    DATAGRAM = "datagrams"


class AttemptTally(msgspec.Struct, frozen=True, gc=False):
    """How many attempts were made, and how many of them died, by the way they died."""

    tries: int = 0
    lost: int = 0
    cut: int = 0
    resent: int = 0
    """Those that passed after a packet was sent again."""

    def __add__(self, other: AttemptTally) -> AttemptTally:
        return AttemptTally(
            self.tries + other.tries,
            self.lost + other.lost,
            self.cut + other.cut,
            self.resent + other.resent,
        )

    def __sub__(self, other: AttemptTally) -> AttemptTally:
        return AttemptTally(
            self.tries - other.tries,
            self.lost - other.lost,
            self.cut - other.cut,
            self.resent - other.resent,
        )

    def died(self, how: Death) -> int:
        """How many died in this way."""
        return self.lost if how is Death.LOST else self.cut

    @property
    def lossy(self) -> bool:
        """A tenth was lost, and more than one."""
        return self.lost >= _LEAST and self.lost * _TENTH >= self.tries

    @property
    def shaky(self) -> bool:
        """A sixth was lost or had to be sent again, and more than one."""
        uneven = self.lost + self.resent
        return uneven >= _LEAST and uneven * _SIXTH >= self.tries

    @property
    def swamped(self) -> bool:
        """Half was lost or had to be sent again, and more than one. Packets are then not lost one
        by one: a queue is full, or holds them for longer than a sender waits."""
        uneven = self.lost + self.resent
        return uneven >= _LEAST and uneven * 2 >= self.tries


_NONE = AttemptTally()
_FAMILIES = (4, 6)
_STEPS = tuple(Step)
_PLACES = {(f, s): n for n, (f, s) in enumerate((f, s) for f in _FAMILIES for s in _STEPS)}
_NO_FLOWS = (_NONE,) * len(_PLACES)


class RoundBackground(msgspec.Struct, frozen=True, gc=False):
    """The background of some measurements of one vantage and round; they add up."""

    lookups: AttemptTally = _NONE
    """Of the vantage's own resolver; what is refused counts as cut."""
    flows: tuple[AttemptTally, ...] = _NO_FLOWS
    """By family and step; see `of`."""
    quic_passed: int = 0
    quic_silent: int = 0
    """QUIC handshakes that were answered, and those that were not, whatever their name."""
    reflector_passed: int = 0
    """TLS handshakes that passed at our own host, whatever their name."""
    targets_dialled: int = 0
    targets_reached: int = 0
    """Services' targets to which TCP was tried, and those at which a connection came about."""

    def __add__(self, other: RoundBackground) -> RoundBackground:
        return RoundBackground(
            self.lookups + other.lookups,
            tuple(mine + theirs for mine, theirs in zip(self.flows, other.flows, strict=True)),
            self.quic_passed + other.quic_passed,
            self.quic_silent + other.quic_silent,
            self.reflector_passed + other.reflector_passed,
            self.targets_dialled + other.targets_dialled,
            self.targets_reached + other.targets_reached,
        )

    def __sub__(self, other: RoundBackground) -> RoundBackground:
        return RoundBackground(
            self.lookups - other.lookups,
            tuple(mine - theirs for mine, theirs in zip(self.flows, other.flows, strict=True)),
            self.quic_passed - other.quic_passed,
            self.quic_silent - other.quic_silent,
            self.reflector_passed - other.reflector_passed,
            self.targets_dialled - other.targets_dialled,
            self.targets_reached - other.targets_reached,
        )

    def of(self, family: int, step: Step) -> AttemptTally:
        """Attempts of one kind of step over one address family."""
        return self.flows[_PLACES[family, step]]

    def over(self, family: int) -> AttemptTally:
        """All attempts over one address family."""
        return sum((self.of(family, step) for step in _STEPS), _NONE)

    def everywhere(self, step: Step) -> AttemptTally:
        """Attempts of one kind of step over both address families."""
        return sum((self.of(family, step) for family in _FAMILIES), _NONE)

    def lossy(self, family: int) -> bool:
        """So many packets are lost that the speed of a connection is chance: connections die, or a
        sixth of the lookups or of the connections have to send again, as from losses of 8 % in
        each direction on."""
        return (
            self.lookups.shaky
            or self.over(family).shaky
            or any(self.of(family, step).lossy for step in _STEPS)
        )

    @property
    def only_listed(self) -> bool:
        """None of many services' targets was reached over TCP."""
        return self.targets_dialled >= _MANY_TARGETS and not self.targets_reached

    def quic_over(self, family: int) -> bool:
        """Whether QUIC passed, and datagrams over this address family."""
        datagrams = self.of(family, Step.DATAGRAM)
        return self.quic_passed > 0 and datagrams.tries > datagrams.lost + datagrams.cut

    @property
    def quic(self) -> bool | None:
        """Whether QUIC passed: False when all that was tried met silence, None when none was."""
        return True if self.quic_passed else False if self.quic_silent else None


NO_BACKGROUND = RoundBackground()


def background(measurements: Iterable[Measurement]) -> RoundBackground:
    """Return the background that these measurements of one vantage and round show."""
    return sum(map(_of_one, measurements), NO_BACKGROUND)


def _of_one(measurement: Measurement) -> RoundBackground:
    if measurement.target not in LIVENESS_TARGETS:
        dialled = [
            connect
            for connect in measurement.observations
            if isinstance(connect, TCPConnect)
            and (connect.purpose is Purpose.SUBJECT or connect.contrast is Contrast.REPEAT)
        ]
        reached_one = any(connect.failure is None for connect in dialled)
        return msgspec.structs.replace(
            _of_unit(measurement.observations, innocuous=False),
            reflector_passed=_passed_at_reflector(measurement.observations),
            targets_dialled=int(bool(dialled)),
            targets_reached=int(reached_one),
        )
    units: dict[str, list[AnyObservation]] = defaultdict(list)
    for observation in measurement.observations:
        units[getattr(observation, "endpoint", "")].append(observation)
    return sum((_of_unit(unit, innocuous=True) for unit in units.values()), NO_BACKGROUND)


def _passed_at_reflector(observations: Iterable[AnyObservation]) -> int:
    handshakes = [seen for seen in observations if isinstance(seen, TLSHandshake)]
    ours = {(s.address, s.port) for s in handshakes if s.contrast is Contrast.REFLECTOR}
    return sum((s.address, s.port) in ours and reached(tls_kind(s)) for s in handshakes)


def _is_made_up(lookup: DNSLookup) -> bool:
    """Of names of which nobody knows how long their servers take, one is shown with many targets;
    and what a resolver gives without its check of signatures is no other attempt at it."""
    return lookup.contrast is Contrast.NAME_BELOW or UNCHECKED in lookup.evidence


def _of_unit(observations: Iterable[AnyObservation], innocuous: bool) -> RoundBackground:
    """Of one target or liveness host."""
    unit = _Unit(innocuous)
    for attempt in sorted(observations, key=_began):
        match attempt:
            case DNSLookup() if attempt.resolver == SYSTEM and not _is_made_up(attempt):
                unit.add_lookup(attempt)
            case TCPConnect():
                unit.add(attempt, Step.CONNECT, kind := tcp_kind(attempt), kind is Kind.OK)
            case TLSHandshake() if attempt.contrast in (*_SUBJECT, Contrast.INNOCUOUS_NAME):
                kind = tls_kind(attempt)
                unit.add(attempt, Step.PAYLOAD, kind, reached(kind), ("tls", _other(attempt)))
            case HTTPExchange() if attempt.contrast in _SUBJECT:
                unit.add(attempt, Step.PAYLOAD, kind := http_kind(attempt), kind is Kind.OK, "http")
            case AppExchange() if attempt.contrast in _SUBJECT:
                step = Step.DATAGRAM if attempt.transport == "udp" else Step.PAYLOAD
                kind = app_kind(attempt)
                unit.add(attempt, step, kind, kind in (Kind.OK, Kind.OTHER), "app")
            case QUICHandshake():
                unit.add_quic(attempt)
            case _:
                pass
    return unit.background()


class _Unit:
    """The attempts of one target or liveness host, in the order in which they began."""

    def __init__(self, innocuous: bool) -> None:
        """`innocuous`: nobody blocks a part of it, so a step that passed at one address counts at
        all."""
        self._innocuous = innocuous
        self._lookups: dict[object, list[AttemptTally]] = defaultdict(list)
        self._answered: set[object] = {Contrast.INNOCUOUS_NAME}
        self._attempts: list[tuple[int, Step, object, AttemptTally]] = []
        self._worked: set[object] = set()
        self._succeeded: set[object] = set()
        self._quic_passed = self._quic_silent = 0

    def add_lookup(self, lookup: DNSLookup) -> None:
        beside = lookup.contrast is Contrast.INNOCUOUS_NAME
        name = Contrast.INNOCUOUS_NAME if beside else (lookup.qtype, lookup.name)
        if (kind := dns_kind(lookup)) is Kind.LATE:
            return
        served = kind not in UNANSWERED
        how = Death.LOST if kind is Kind.TIMEOUT else Death.CUT
        self._lookups[name].append(_tally(lookup, served, how))
        if served:
            self._answered.add(name)

    def add_quic(self, handshake: QUICHandshake) -> None:
        kind = quic_kind(handshake)
        served = reached(kind) or kind is Kind.ALERT
        self._quic_passed += served
        self._quic_silent += kind is Kind.TIMEOUT
        self.add(handshake, Step.DATAGRAM, kind, served, ("quic", _other(handshake)))

    def add(
        self, attempt: AtAddress, step: Step, kind: Kind, served: bool, what: object = None
    ) -> None:
        here = (step, what, attempt.address, attempt.port)
        how = death(kind)
        if (step is Step.PAYLOAD and here in self._succeeded) or not (served or how):
            return
        # Where a family has no route at all, nothing is reached over it, whoever the host is.
        key = step if self._innocuous and kind is not Kind.UNREACHABLE else here
        self._attempts.append((family(attempt.address), step, key, _tally(attempt, served, how)))
        if served:
            self._worked |= {key, here}
            self._succeeded.add(here)

    def background(self) -> RoundBackground:
        flows = dict.fromkeys(_PLACES, _NONE)
        for over, step, key, tally in self._attempts:
            if key in self._worked:
                flows[over, step] += tally
        lookups = (
            t for name in self._lookups if name in self._answered for t in self._lookups[name]
        )
        return RoundBackground(
            sum(lookups, _NONE), tuple(flows.values()), self._quic_passed, self._quic_silent
        )


def _began(observation: AnyObservation) -> int:
    """When it began, in microseconds; they are stored in the order in which they ended."""
    return observation.at_us if isinstance(observation, Observation) else 0


def _other(observation: Observation) -> object:
    """What is not the service's name, apart from the service's: the one may be blocked where the
    other is not."""
    return None if observation.contrast is Contrast.REPEAT else observation.contrast


def resent(observation: Observation) -> bool:
    """Whether a packet or a query had to be sent again because one was lost."""
    return SENT_AGAIN in observation.evidence and LATE not in observation.evidence


def _tally(observation: Observation, served: bool, how: Death | None) -> AttemptTally:
    if served:
        return _RESENT if resent(observation) else _ONE
    return _ONES[how]


_ONE, _RESENT = AttemptTally(1), AttemptTally(1, resent=1)
_ONES = {None: _ONE, Death.LOST: AttemptTally(1, lost=1), Death.CUT: AttemptTally(1, cut=1)}
