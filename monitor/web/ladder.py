"""A measurement as ladders: one an endpoint, one rung a step, each with what happened in a
sentence, and the contrasts beside the rung that they explain. Nothing is judged here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import assert_never

import msgspec

from monitor.web import words
from monitor.web.certificates import Shown, plain, shown
from probes.wire.failure import Failure
from probes.wire.measurement import Measurement
from probes.wire.observation import (
    Contrast,
    DNSLookup,
    HTTPExchange,
    Purpose,
    TCPConnect,
    TLSHandshake,
    Unrecognised,
)

Seen = DNSLookup | TCPConnect | TLSHandshake | HTTPExchange
ORDER = ("dns", "tcp", "tls", "http")
_ICMP = {
    (3, 0): "network unreachable",
    (3, 1): "host unreachable",
    (3, 3): "port unreachable",
    (3, 9): "network prohibited",
    (3, 10): "host prohibited",
    (3, 13): "prohibited by an administrator",
}
"""ICMP type 3 codes (RFC 792, RFC 1812 section 5.2.7.1)."""


WORKS, FAILS, NEUTRAL = "works", "fails", ""
CONTRASTS = {
    Contrast.INNOCUOUS_NAME: "with a harmless name",
    Contrast.REFLECTOR: "the same name to a server of ours",
    Contrast.CLASSICAL_HELLO: "with a shorter hello",
    Contrast.NO_VERIFY: "looking past the certificate",
    Contrast.SILENT_ADDRESS: "asking where nobody answers",
    Contrast.REPEAT: "once more",
}
_FAMILIES = {"A": "IPv4", "AAAA": "IPv6"}
_NO_FAMILY = frozenset((Failure.NETWORK_UNREACHABLE, Failure.ADDRESS_NOT_AVAILABLE))
"""How a machine without IPv6 (or IPv4) fails, when no ICMP message said so."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One observation."""

    outcome: str
    """`works`, `fails`, or empty where it is neither: a name that has no IPv6 address, a vantage
    that has no IPv6, an address that runs no DNS and stays silent."""
    where: str
    """Address or resolver."""
    sentence: str
    took_ms: float
    contrast: str
    """What was changed, in words; empty for what the app itself would do."""
    certificates: tuple[Shown, ...] = ()


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One step of one endpoint."""

    step: str
    ok: bool
    lines: tuple[Line, ...]
    beside: tuple[Line, ...]
    """Contrasts and references."""


class Ladder(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint."""

    endpoint: str
    rungs: tuple[Rung, ...]


def ladders(measurement: Measurement) -> Sequence[Ladder]:
    """Return a ladder for each endpoint of the measurement, in its order."""
    grouped: dict[str, dict[str, list[Seen]]] = defaultdict(lambda: defaultdict(list))
    for each in measurement.observations:
        if not isinstance(each, Unrecognised):
            grouped[each.endpoint][each.STEP].append(each)
    names = [reference.id for reference in measurement.endpoints]
    names += [name for name in grouped if name not in names]
    no_family = _missing_families(measurement)
    return [
        Ladder(
            endpoint=name,
            rungs=tuple(
                _rung(step, grouped[name][step], no_family) for step in ORDER if grouped[name][step]
            ),
        )
        for name in names
    ]


def _missing_families(measurement: Measurement) -> frozenset[str]:
    """Address families that the vantage does not have: all that it dialled there failed at
    once, on its own machine."""
    tried: dict[str, list[bool]] = defaultdict(list)
    for each in measurement.observations:
        if isinstance(each, TCPConnect):
            own = each.failure in _NO_FAMILY and each.icmp_type is None
            tried[_family(each.address)].append(own)
    return frozenset(family for family, own in tried.items() if all(own))


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def _rung(step: str, seen: Sequence[Seen], no_family: frozenset[str]) -> Rung:
    subject, beside = [], []
    for each in seen:
        made = _neutral(each, seen, no_family) or line(each)
        if each.purpose is Purpose.SUBJECT:
            subject.append(_with_contrast(made, each, seen))
        else:
            beside.append(made)
    outcomes = [each.outcome for each in subject]
    ok = WORKS in outcomes or FAILS not in outcomes
    return Rung(step=step, ok=ok, lines=tuple(subject), beside=tuple(beside))


def _neutral(each: Seen, seen: Sequence[Seen], no_family: frozenset[str]) -> Line | None:
    """The line of an observation that is no failure though nothing came of it; else None."""
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
                text = f"{each.name} has no {_FAMILIES[qtype]} address"
                return _line(each, NEUTRAL, _resolver(each), text)
        case DNSLookup(contrast=Contrast.SILENT_ADDRESS, replies=()):
            where, sentence = _dns(each)
            return _line(each, NEUTRAL, where, sentence)
        case TCPConnect(failure=failure, icmp_type=None) if failure in _NO_FAMILY:
            family = _family(each.address)
            if family in no_family:
                return _line(each, NEUTRAL, each.address, f"this vantage has no {family}")
    return None


def _with_contrast(made: Line, each: Seen, seen: Sequence[Seen]) -> Line:
    """A handshake that died, with the harmless name that passed at the same server."""
    if not isinstance(each, TLSHandshake) or each.failure is None:
        return made
    for other in seen:
        if (
            isinstance(other, TLSHandshake)
            and other.contrast is Contrast.INNOCUOUS_NAME
            and other.address == each.address
            and other.failure is None
        ):
            text = f"{made.sentence}; with {plain(other.sni)} the same server answered"
            return msgspec.structs.replace(made, sentence=text)
    return made


def line(each: Seen) -> Line:
    """One observation in words."""
    match each:
        case DNSLookup():
            where, sentence = _dns(each)
        case TCPConnect():
            where, sentence = f"{each.address} port {each.port}", _tcp(each)
        case TLSHandshake():
            where, sentence = f"{each.address} port {each.port}", _tls(each)
        case HTTPExchange():
            where, sentence = f"{each.address} port {each.port}", _http(each)
        case _:
            assert_never(each)
    injected = (
        isinstance(each, DNSLookup)
        and each.contrast is Contrast.SILENT_ADDRESS
        and bool(each.replies)
    )
    outcome = FAILS if each.failure is not None or injected else WORKS
    return _line(each, outcome, where, sentence)


def _line(each: Seen, outcome: str, where: str, sentence: str) -> Line:
    if each.contrast is not None:
        contrast = CONTRASTS[each.contrast]
    else:
        contrast = "another resolver" if each.purpose is Purpose.REFERENCE else ""
    chain = each.chain if isinstance(each, TLSHandshake) and each.failure is not None else ()
    return Line(
        outcome=outcome,
        where=where,
        sentence=sentence,
        took_ms=each.took_us / 1000,
        contrast=contrast,
        certificates=tuple(shown(certificate) for certificate in chain),
    )


def _resolver(seen: DNSLookup) -> str:
    who = {"system": "this network's resolver", "silent": "an address that runs no DNS"}
    return f"{who.get(seen.resolver, seen.resolver)} over {seen.transport.upper()}"


def _dns(seen: DNSLookup) -> tuple[str, str]:
    where = _resolver(seen)
    what = f"{plain(seen.name)} ({seen.qtype})"
    if seen.contrast is Contrast.SILENT_ADDRESS:
        if not seen.replies:
            return where, f"no answer for {what}, as it should be"
        return where, f"an answer for {what}, where nobody can have answered: injected on the path"
    if seen.failure is not None:
        return where, f"{what}: {words.failure(seen.failure)}"
    text = f"{what} is {', '.join(seen.answers)}"
    if len(seen.replies) > 1:
        others = ", ".join(seen.replies[1].answers) or "no address"
        text += (
            f"; a second answer came {_ms(seen.replies[1].after_us)} after the question: {others}"
        )
    return where, text


def _tcp(seen: TCPConnect) -> str:
    if seen.failure is None:
        return "connected"
    text = words.failure(seen.failure)
    if seen.icmp_type is not None:
        kind = _ICMP.get(
            (seen.icmp_type, seen.icmp_code or 0), f"ICMP {seen.icmp_type}/{seen.icmp_code}"
        )
        text += f" (ICMP: {kind}" + (f", from {seen.icmp_from})" if seen.icmp_from else ")")
    return text


def _tls(seen: TLSHandshake) -> str:
    hello = f"our hello that named {plain(seen.sni)}" if seen.sni else "our hello without a name"
    if seen.failure is None:
        return f"handshake completed ({seen.version or 'TLS'}) after {hello}"
    back = "nothing came back" if not seen.received_bytes else f"{seen.received_bytes} bytes back"
    after = f"{_ms(seen.took_us)} after {hello}"
    if seen.plain_http:
        return f"clear-text HTTP in place of TLS {after}"
    if seen.alert is not None:
        return f"alert {seen.alert} {after}"
    if seen.verify_code:
        return f"{words.failure(seen.failure)} (code {seen.verify_code}) {after}"
    return f"{words.failure(seen.failure)} {after}; {back}"


def _http(seen: HTTPExchange) -> str:
    scheme = "https" if seen.tls else "http"
    what = f"GET {plain(f'{scheme}://{seen.host}{seen.path}')}"
    if seen.failure is not None:
        return f"{what}: {words.failure(seen.failure)}"
    text = f"{what}: status {seen.status}"
    if seen.location:
        text += f", to {plain(seen.location)}"
    if seen.title:
        text += f", “{plain(seen.title)}”"
    return text


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:.0f} ms" if microseconds >= 1000 else "under 1 ms"
