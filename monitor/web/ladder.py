"""A measurement as ladders: one an endpoint, one rung a step, each with what happened in a
sentence, and the contrasts beside the rung that they explain. Nothing is judged here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from monitor.web import words
from probes.wire.measurement import Measurement
from probes.wire.observation import (
    AnyObservation,
    Contrast,
    DNSLookup,
    HTTPExchange,
    Purpose,
    TCPConnect,
    TLSHandshake,
    Unrecognised,
)

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


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One observation."""

    ok: bool
    where: str
    """Address or resolver."""
    sentence: str
    took_ms: float
    purpose: str
    contrast: str
    raw: str
    """The observation as JSON."""


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
    grouped: dict[str, dict[str, list[AnyObservation]]] = defaultdict(lambda: defaultdict(list))
    for each in measurement.observations:
        if not isinstance(each, Unrecognised):
            grouped[each.endpoint][each.STEP].append(each)
    names = [reference.id for reference in measurement.endpoints]
    names += [name for name in grouped if name not in names]
    made = []
    for name in names:
        rungs = []
        for step in ORDER:
            seen = grouped[name][step]
            if not seen:
                continue
            lines = [line(each) for each in seen]
            subject = tuple(x for x in lines if x.purpose == Purpose.SUBJECT)
            beside = tuple(x for x in lines if x.purpose != Purpose.SUBJECT)
            passed = any(x.ok for x in subject)
            rungs.append(Rung(step=step, ok=passed, lines=subject, beside=beside))
        made.append(Ladder(endpoint=name, rungs=tuple(rungs)))
    return made


def line(each: AnyObservation) -> Line:
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
        case Unrecognised():
            return Line(
                ok=False, where="", sentence=f"a step unknown to this version: {each.step}",
                took_ms=0.0, purpose="", contrast="", raw=each.raw.decode(errors="replace"),
            )  # fmt: skip
    return Line(
        ok=each.failure is None,
        where=where,
        sentence=sentence,
        took_ms=each.took_us / 1000,
        purpose=each.purpose,
        contrast=each.contrast or "",
        raw=msgspec.json.format(msgspec.json.encode(each), indent=1).decode(),
    )


def _dns(seen: DNSLookup) -> tuple[str, str]:
    who = {"system": "this network's resolver", "silent": "an address that runs no DNS"}
    where = f"{who.get(seen.resolver, seen.resolver)} over {seen.transport.upper()}"
    what = f"{seen.name} ({seen.qtype})"
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
    name = f"named {seen.sni}" if seen.sni else "without a name"
    if seen.failure is None:
        return f"handshake completed ({seen.version or 'TLS'}), {name}"
    back = "nothing came back" if not seen.received_bytes else f"{seen.received_bytes} bytes back"
    if seen.plain_http:
        return f"clear-text HTTP in place of TLS, {name}"
    if seen.alert is not None:
        return f"alert {seen.alert} {_ms(seen.took_us)} after our hello, {name}"
    if seen.verify_code:
        return f"{words.failure(seen.failure)} (code {seen.verify_code}), {name}"
    return f"{words.failure(seen.failure)} {_ms(seen.took_us)} after our hello, {name}; {back}"


def _http(seen: HTTPExchange) -> str:
    scheme = "https" if seen.tls else "http"
    what = f"GET {scheme}://{seen.host}{seen.path}"
    if seen.failure is not None:
        return f"{what}: {words.failure(seen.failure)}"
    text = f"{what}: status {seen.status}"
    if seen.location:
        text += f", to {seen.location}"
    if seen.title:
        text += f", “{seen.title}”"
    return text


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:.0f} ms" if microseconds >= 1000 else "under 1 ms"
