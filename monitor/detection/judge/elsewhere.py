# SPDX-License-Identifier: Apache-2.0
"""What the addresses that failed at a vantage did elsewhere: whether the path is at fault, or the
server.

Compared are the very addresses, at about the same time: with controls, which try on request what
failed elsewhere (`probes.rounds.handed_over`), and with vantages of other networks whose own
resolvers gave the same. An address has answered where it passed the step that proves its server: a
valid certificate for the name, or the app's own handshake. One vantage is not believed: two owners
must have seen it, neither of whom is the one whose measurement fails. Only controls say that an
address is dead: vantages elsewhere may be blocked as well.

That an address answered from another place does not show by which machine: where a service
announces one address from many places (anycast), it may have been another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from monitor.detection.layers.working import needed_layer
from monitor.detection.model import NOT_KNOWN, Answer, Elsewhere, Layer, State, Verdict
from monitor.detection.observed.kinds import Kind
from monitor.detection.observed.liveness import VantageStatus
from monitor.detection.observed.ranges import family
from monitor.detection.observed.view import AddressView, EndpointView, answers
from probes.wire.measurement import Vantage

DialledAddress = tuple[str, str]
"""The id of an endpoint, and an address of it."""
LEAST_OWNERS = 2
MOST_ANSWERS = 4
"""Answers that a fact carries."""
FAILING = (
    *(State.BLOCKED, State.IMPAIRED, State.THROTTLED),
    *(State.DOWN, State.INCONCLUSIVE),
)
_PROVES = (Layer.TLS, Layer.QUIC, Layer.APP, Layer.UDP)
"""Steps in which the server shows that it is the service's own. Whatever stands on the way accepts
a connection."""


WORKS = frozenset(("proven", "reached"))
"""Fields of `Endings`: how an address ends that works."""


class Endings(NamedTuple):
    """How the addresses of a measurement ended."""

    proven: tuple[DialledAddress, ...] = ()
    """Those whose server showed that it is the service's own."""
    reached: tuple[DialledAddress, ...] = ()
    """The others that passed what their protocol needs, where that is a connection alone."""
    failed: tuple[DialledAddress, ...] = ()


NO_ENDINGS = Endings()


def endings_of(views: Mapping[str, EndpointView]) -> Endings:
    """How the addresses ended that the catalogue or a vantage's own resolvers gave."""
    ended: dict[str, list[DialledAddress]] = {name: [] for name in Endings._fields}
    for id, endpoint in views.items():
        resolved = answers(endpoint.name.lookups.values())
        for address in endpoint.addresses.values():
            if not endpoint.ref.host or address.address in resolved:
                _add(ended, id, endpoint, address)
    return Endings(**{name: tuple(dialled) for name, dialled in ended.items()})


def endings_at_control(views: Mapping[str, EndpointView]) -> Endings:
    """How the addresses ended that a control tried, those handed over to it included."""
    ended: dict[str, list[DialledAddress]] = {name: [] for name in Endings._fields}
    for id, endpoint in views.items():
        for address in (*endpoint.addresses.values(), *endpoint.handed_over.values()):
            _add(ended, id, endpoint, address)
    return Endings(**{name: tuple(dialled) for name, dialled in ended.items()})


def _add(
    ended: Mapping[str, list[DialledAddress]], id: str, endpoint: EndpointView, address: AddressView
) -> None:
    if (name := ending(endpoint, address)) is not None:
        ended[name].append((id, address.address))


def ending(endpoint: EndpointView, address: AddressView) -> str | None:
    """The field of `Endings` that an address belongs to; None where too little was tried."""
    needed = needed_layer(endpoint)
    match needed:
        case Layer.TLS:
            tried, passed = address.tls.tried, address.proven
        case Layer.QUIC:
            tried, passed = address.quic.tried, address.quic.passed
        case Layer.APP | Layer.UDP:
            tried, passed = address.app.tried, address.app.passed
        case _:
            tried, passed = address.tcp.tried, address.tcp.passed
    if passed:
        return "proven" if needed in _PROVES else "reached"
    died = address.tcp.tried and not address.tcp.passed and address.tcp.kind is not Kind.LOCAL
    return "failed" if died or (tried and address.tcp.kind is not Kind.LOCAL) else None


class Sightings:
    """The addresses of one target that proved themselves at vantages in one round."""

    def __init__(self) -> None:
        self._proven: dict[
            tuple[DialledAddress, ...], dict[tuple[str, int], list[tuple[int, str]]]
        ] = {}
        """By addresses that ended so together: (start, owner) of the first few of each network."""

    def add(self, endings: Endings, vantage: Vantage, owner: str, started: int) -> None:
        """Add a measurement of a vantage, in whatever order they come."""
        if endings.proven and vantage.asn:
            by_network = self._proven.setdefault(endings.proven, {})
            first = by_network.setdefault((vantage.country, vantage.asn), [])
            if owner not in [known for _, known in first]:
                first.append((started, owner))
            else:
                first[:] = [
                    (min(at, started) if known == owner else at, known) for at, known in first
                ]
            first.sort()
            del first[LEAST_OWNERS + 1 :]

    def answers(self, dialled: DialledAddress, vantage: Vantage, owner: str) -> list[Answer]:
        """Where an address proved itself outside the network of a vantage; empty unless two other
        owners saw it."""
        owners: set[str] = set()
        places: dict[tuple[str, int], int] = {}
        for together, by_network in self._proven.items():
            if dialled not in together:
                continue
            for network, first in by_network.items():
                if network == (vantage.country, vantage.asn):
                    continue
                for started, other in first:
                    if other != owner:
                        owners.add(other)
                        places[network] = min(started, places.get(network, started))
        if len(owners) < LEAST_OWNERS:
            return []
        return [
            Answer(dialled[1], country, asn, started)
            for (country, asn), started in sorted(places.items())
        ]


class ControlSighting(NamedTuple):
    """How addresses ended at a control."""

    probe: str
    vantage: Vantage
    started: int
    endings: Endings


def dialled_in_vain(
    endings: Endings, verdict: Verdict, status: VantageStatus
) -> tuple[DialledAddress, ...]:
    """The addresses whose failure a verdict may rest on: not those of a forged answer, nor those of
    an address family that does not work at the vantage."""
    if not endings.failed or verdict.state not in FAILING:
        return ()
    if any(finding.blocked and finding.layer is Layer.DNS for finding in verdict.findings):
        return ()
    if status.international is None:
        return endings.failed
    families = status.passage.families
    return tuple(dialled for dialled in endings.failed if family(dialled[1]) in families)


class Comparison(NamedTuple):
    """What is known of the addresses that failed in one measurement."""

    elsewhere: Elsewhere = NOT_KNOWN
    untried: tuple[DialledAddress, ...] = ()
    """Those that no control has tried."""


def compared(
    failed: Iterable[DialledAddress],
    controls: Sequence[ControlSighting],
    sightings: Sightings | None,
    vantage: Vantage,
    owner: str,
) -> Comparison:
    """Compare addresses that failed with what was seen of them elsewhere. Of a control counts what
    it saw last (`controls` are in order of time)."""
    answered: list[Answer] = []
    untried: list[DialledAddress] = []
    dead = 0
    for dialled in failed:
        last = _at_controls(dialled, controls)
        here = [answer for answer in last.values() if answer is not None]
        if not here and sightings is not None:
            here = sightings.answers(dialled, vantage, owner)
        answered += here
        dead += bool(last) and not here
        if not last:
            untried.append(dialled)
    told = tuple(dict.fromkeys(answered))[:MOST_ANSWERS]
    return Comparison(Elsewhere(told, dead) if told or dead else NOT_KNOWN, tuple(untried))


def _at_controls(
    dialled: DialledAddress, controls: Iterable[ControlSighting]
) -> dict[str, Answer | None]:
    """Where an address answered last, by control; None for one at which it is dead."""
    last: dict[str, Answer | None] = {}
    for control in controls:
        ended = control.endings
        if dialled in ended.proven or dialled in ended.reached:
            place = control.vantage
            last[control.probe] = Answer(
                dialled[1], place.country, place.asn, control.started, True
            )
        elif dialled in ended.failed:
            last[control.probe] = None
    return last
