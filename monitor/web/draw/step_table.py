# SPDX-License-Identifier: Apache-2.0
"""A measurement as tables: one for each endpoint, one row for each step, with a sentence for each
observation and the contrasts beside the step that they explain. Nothing is judged here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from monitor.text.certificates import CertificateSummary, safe_text, summarise_certificate
from monitor.text.language import _
from monitor.text.sentences import describe_observation
from probes.wire.failure import Failure
from probes.wire.measurement import Measurement
from probes.wire.observation import (
    Contrast,
    DNSLookup,
    HTTPExchange,
    Known,
    PathTrace,
    Purpose,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
    Unrecognised,
    step_of,
)

STEP_ORDER = ("dns", "tcp", "tls", "quic", "http", "transfer", "app", "path")


WORKS, FAILS, NEUTRAL = "works", "fails", ""
ANSWERED = "answered"
"""Something came back, and by itself nothing shows that it is from the service."""
CONTRASTS = {
    Contrast.INNOCUOUS_NAME: "with a harmless name",
    Contrast.REFLECTOR: "the same name to a server of ours",
    Contrast.CLASSICAL_HELLO: "with a shorter ClientHello",
    Contrast.NO_VERIFY: "looking past the certificate",
    Contrast.SILENT_ADDRESS: "query to an address that runs no DNS",
    Contrast.NAME_BELOW: "query for a name that should not exist",
    Contrast.REPEAT: "once more",
}
UNNAMED = {
    Purpose.SUBJECT: "",
    Purpose.CONTRAST: "over another transport",
    Purpose.REFERENCE: "another resolver",
}
"""The comparison that an observation without a named contrast makes."""
_FAMILIES = {"A": "IPv4", "AAAA": "IPv6"}
_NO_FAMILY = frozenset((Failure.NETWORK_UNREACHABLE, Failure.ADDRESS_NOT_AVAILABLE))
"""Failures of a machine without IPv6 (or IPv4), when no ICMP message came."""


class ObservationLine(msgspec.Struct, frozen=True, kw_only=True):
    """One observation."""

    outcome: str
    """`works`, `answered`, `fails`, or empty for none of these: a name without IPv6 address, a
    vantage without IPv6, no answer from an address without DNS, a path trace."""
    where: str
    """Address or resolver."""
    sentence: str
    took_ms: float
    contrast: str
    """What was changed, in words; empty for what the app itself does."""
    certificates: tuple[CertificateSummary, ...] = ()


class StepRow(msgspec.Struct, frozen=True, kw_only=True):
    """One step of one endpoint."""

    step: str
    ok: bool
    lines: tuple[ObservationLine, ...]
    comparisons: tuple[ObservationLine, ...]
    """Contrasts and references."""


class EndpointSteps(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint."""

    endpoint: str
    steps: tuple[StepRow, ...]


def endpoint_steps(measurement: Measurement) -> Sequence[EndpointSteps]:
    """Return a table for each endpoint, in the order of the measurement."""
    grouped: dict[str, dict[str, list[Known]]] = defaultdict(lambda: defaultdict(list))
    for each in measurement.observations:
        if not isinstance(each, Unrecognised):
            grouped[each.endpoint][step_of(type(each))].append(each)
    names = [reference.id for reference in measurement.endpoints]
    names += [name for name in grouped if name not in names]
    no_family = _missing_families(measurement)
    return [
        EndpointSteps(
            endpoint=safe_text(name),
            steps=tuple(
                _step_row(step, grouped[name][step], no_family)
                for step in STEP_ORDER
                if grouped[name][step]
            ),
        )
        for name in names
    ]


def _missing_families(measurement: Measurement) -> frozenset[str]:
    """Address families without any connection: every one failed on the vantage's own machine."""
    tried: dict[str, list[bool]] = defaultdict(list)
    for each in measurement.observations:
        if isinstance(each, TCPConnect):
            own = each.failure in _NO_FAMILY and each.icmp_type is None
            tried[_family(each.address)].append(own)
    return frozenset(family for family, own in tried.items() if all(own))


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def _step_row(step: str, seen: Sequence[Known], no_family: frozenset[str]) -> StepRow:
    subject, comparisons = [], []
    for each in seen:
        made = _neutral(each, seen, no_family) or observation_line(each)
        # A path trace is no step of the app; it has a row of its own.
        if each.purpose is Purpose.SUBJECT or isinstance(each, PathTrace):
            subject.append(_with_contrast(made, each, seen))
        else:
            comparisons.append(made)
    outcomes = [each.outcome for each in subject]
    ok = not {WORKS, ANSWERED}.isdisjoint(outcomes) or FAILS not in outcomes
    return StepRow(step=step, ok=ok, lines=tuple(subject), comparisons=tuple(comparisons))


def _neutral(
    each: Known, seen: Sequence[Known], no_family: frozenset[str]
) -> ObservationLine | None:
    """The line of an observation that neither works nor fails; else None."""
    match each:
        case DNSLookup(failure=Failure.DNS_NO_ANSWER, qtype=qtype) if qtype in _FAMILIES:
            others = (
                other
                for other in seen
                if isinstance(other, DNSLookup)
                and (other.name, other.resolver, other.transport) == (
                    each.name, each.resolver, each.transport
                )
            )  # fmt: skip
            if any(other.answers and other.qtype != qtype for other in others):
                text = _(
                    "%(name)s has no %(family)s address", name=each.name, family=_FAMILIES[qtype]
                )
                return _make_line(each, NEUTRAL, describe_observation(each)[0], text)
        case PathTrace(failure=None):
            return _make_line(each, NEUTRAL, *describe_observation(each))
        case (
            DNSLookup(contrast=Contrast.SILENT_ADDRESS, replies=())
            | DNSLookup(contrast=Contrast.NAME_BELOW)
        ):
            return _make_line(each, NEUTRAL, *describe_observation(each))
        case TCPConnect(failure=failure, icmp_type=None) if failure in _NO_FAMILY:
            family = _family(each.address)
            if family in no_family:
                return _make_line(
                    each, NEUTRAL, each.address, _("this vantage has no %(family)s", family=family)
                )
    return None


def _with_contrast(made: ObservationLine, each: Known, seen: Sequence[Known]) -> ObservationLine:
    """A failed handshake, with the harmless name that the same server answered."""
    if not isinstance(each, TLSHandshake) or each.failure is None:
        return made
    for other in seen:
        if (
            isinstance(other, TLSHandshake)
            and other.contrast is Contrast.INNOCUOUS_NAME
            and other.address == each.address
            and other.failure is None
        ):
            text = _(
                "%(failure)s; with %(name)s the same server answered",
                failure=made.sentence,
                name=safe_text(other.sni),
            )
            return msgspec.structs.replace(made, sentence=text)
    return made


def observation_line(each: Known) -> ObservationLine:
    """One observation in words."""
    where, sentence = describe_observation(each)
    injected = (
        isinstance(each, DNSLookup)
        and each.contrast is Contrast.SILENT_ADDRESS
        and bool(each.replies)
    )
    proves = not isinstance(each, DNSLookup | HTTPExchange) and getattr(each, "spoke", True)
    outcome = WORKS if proves else ANSWERED
    if each.failure is not None or injected:
        outcome = FAILS
    return _make_line(each, outcome, where, sentence)


def _make_line(each: Known, outcome: str, where: str, sentence: str) -> ObservationLine:
    contrast = CONTRASTS[each.contrast] if each.contrast is not None else UNNAMED[each.purpose]
    contrast = _(contrast) if contrast else ""
    failed = each.failure is not None
    chain = each.chain if failed and isinstance(each, TLSHandshake | QUICHandshake) else ()
    return ObservationLine(
        outcome=outcome,
        where=where,
        sentence=sentence,
        took_ms=each.took_us / 1000,
        contrast=contrast,
        certificates=tuple(summarise_certificate(certificate) for certificate in chain),
    )
