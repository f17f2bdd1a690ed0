# SPDX-License-Identifier: Apache-2.0
"""The background of one round at one vantage: how often lookups, connects and handshakes failed
there that nobody blocks.

A weak sign (no answer, a refusal, a reset without proof) accuses only where such failures are rare.
Counted are targets, and liveness hosts one by one, so that a target of many addresses or of blocked
connections does not outweigh the others. Whatever never worked is not counted: it may be blocked. A
target counts as failed when something of it worked at a second attempt alone, and for lookups also
when the resolver failed an innocuous name beside it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from monitor.detection.observed.kinds import Kind, dns_kind, quic_kind, reached, tcp_kind, tls_kind
from monitor.detection.observed.view import SYSTEM
from probes.wire.measurement import LIVENESS_TARGETS
from probes.wire.observation import Contrast

UNANSWERED = (Kind.DNS_REFUSED, Kind.SERVFAIL, Kind.TIMEOUT)
"""How a resolver fails that is overloaded, limits its queries or loses packets."""
_CUT = (Kind.RESET, Kind.REFUSED, Kind.EOF)
_LEAST = 2
"""One failure is everyday."""
_TENTH, _THIRD = 10, 3


@dataclass(frozen=True, slots=True)
class StepTally:
    """How many of how many targets and liveness hosts failed at one kind of step."""

    total: int = 0
    failed: int = 0

    def __add__(self, other: StepTally) -> StepTally:
        return StepTally(self.total + other.total, self.failed + other.failed)

    def __sub__(self, other: StepTally) -> StepTally:
        return StepTally(self.total - other.total, self.failed - other.failed)

    @property
    def troubled(self) -> bool:
        """A tenth failed, and more than one."""
        return self.failed >= _LEAST and self.failed * _TENTH >= self.total

    @property
    def heavy(self) -> bool:
        """A third failed, and more than one."""
        return self.failed >= _LEAST and self.failed * _THIRD >= self.total


_NONE = StepTally()


@dataclass(frozen=True, slots=True)
class RoundBackground:
    """The background of some measurements of one vantage and round; they add up."""

    lookups: StepTally = _NONE
    connects: StepTally = _NONE
    handshakes: StepTally = _NONE
    quic_passed: int = 0
    quic_silent: int = 0
    """QUIC handshakes that were answered, and those that were not, whatever their name."""
    cuts: StepTally = _NONE
    """Connects and handshakes that were reset or closed: what packet loss does not do."""

    def __add__(self, other: RoundBackground) -> RoundBackground:
        return RoundBackground(
            self.lookups + other.lookups,
            self.connects + other.connects,
            self.handshakes + other.handshakes,
            self.quic_passed + other.quic_passed,
            self.quic_silent + other.quic_silent,
            self.cuts + other.cuts,
        )

    def __sub__(self, other: RoundBackground) -> RoundBackground:
        return RoundBackground(
            self.lookups - other.lookups,
            self.connects - other.connects,
            self.handshakes - other.handshakes,
            self.quic_passed - other.quic_passed,
            self.quic_silent - other.quic_silent,
            self.cuts - other.cuts,
        )

    @property
    def resolver_troubled(self) -> bool:
        """The resolver fails innocuous names, or answers only when asked again."""
        return self.lookups.troubled

    @property
    def flows_troubled(self) -> bool:
        """Connections die at random."""
        return self.connects.troubled or self.handshakes.troubled

    @property
    def lossy(self) -> bool:
        """So many packets are lost that the speed of a connection is chance: connections die, or a
        third of the lookups need a second attempt, as from losses of 5 % in each direction on."""
        return self.flows_troubled or self.lookups.heavy

    @property
    def flows_cut(self) -> bool:
        """Connections are reset or closed at random."""
        return self.flows_troubled and self.cuts.troubled

    @property
    def quic(self) -> bool | None:
        """Whether QUIC passed: False when all that was tried met silence, None when none was."""
        return True if self.quic_passed else False if self.quic_silent else None


NO_BACKGROUND = RoundBackground()


def background(measurements: Iterable[Any]) -> RoundBackground:
    """Return the background that these measurements of one vantage and round show. They may be
    those without what no rule reads (`monitor.detection.judge.known_verdicts`)."""
    return sum(map(_of_one, measurements), NO_BACKGROUND)


def _of_one(measurement: Any) -> RoundBackground:
    if measurement.target not in LIVENESS_TARGETS:
        return _of_unit(measurement.observations)
    units: dict[str, list[Any]] = defaultdict(list)
    for seen in measurement.observations:
        units[getattr(seen, "endpoint", "")].append(seen)
    return sum(map(_of_unit, units.values()), NO_BACKGROUND)


def _of_unit(observations: Iterable[Any]) -> RoundBackground:
    lookups: dict[object, list[bool]] = defaultdict(list)
    connects: dict[object, list[bool]] = defaultdict(list)
    handshakes: dict[object, list[bool]] = defaultdict(list)
    cuts: dict[object, list[bool]] = defaultdict(list)
    passed = silent = 0
    for seen in observations:
        match seen.__struct_config__.tag:
            case "dns" if seen.resolver == SYSTEM:
                kind = dns_kind(seen)
                first = kind not in UNANSWERED and "sent_again" not in seen.evidence
                if seen.contrast is Contrast.INNOCUOUS_NAME:
                    lookups[Contrast.INNOCUOUS_NAME] += [first, True]
                else:
                    lookups[seen.qtype, seen.name] += [first, kind not in UNANSWERED]
            case "tcp" if (kind := tcp_kind(seen)) is not Kind.LOCAL:
                connects[seen.address, seen.port].append(kind is Kind.OK)
                if kind is Kind.OK or kind in _CUT:
                    cuts["tcp", seen.address, seen.port].append(kind is Kind.OK)
            case "tls" if seen.contrast in (None, Contrast.REPEAT):
                kind = tls_kind(seen)
                handshakes[seen.address, seen.port].append(reached(kind))
                if reached(kind) or kind in _CUT:
                    cuts["tls", seen.address, seen.port].append(reached(kind))
            case "quic":
                kind = quic_kind(seen)
                passed += reached(kind) or kind is Kind.ALERT
                silent += kind is Kind.TIMEOUT
            case _:
                pass
    return RoundBackground(
        _tally(lookups), _tally(connects), _tally(handshakes), passed, silent, _tally(cuts)
    )


def _tally(attempts: dict[object, list[bool]]) -> StepTally:
    """One target: whether something of it worked, and not all at the first attempt."""
    working = [tries for tries in attempts.values() if any(tries)]
    return StepTally(bool(working), any(not all(tries) for tries in working))
