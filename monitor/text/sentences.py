# SPDX-License-Identifier: Apache-2.0
"""Observations in sentences. Nothing is judged here."""

from __future__ import annotations

from typing import assert_never

from monitor.text import words
from monitor.text.certificates import safe_text
from monitor.text.language import _
from probes.wire.observation import (
    AppExchange,
    Contrast,
    DNSLookup,
    HTTPExchange,
    Known,
    PathTrace,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
    Transfer,
)

ANY_TYPE = "ANY"
"""Type of a lookup by the operating system (getaddrinfo), which does not say what it asked for, nor
how."""
_ICMP = {
    (3, 0): "network unreachable",
    (3, 1): "host unreachable",
    (3, 3): "port unreachable",
    (3, 9): "network prohibited",
    (3, 10): "host prohibited",
    (3, 13): "prohibited by an administrator",
}
"""ICMP type 3 codes (RFC 792, RFC 1812 section 5.2.7.1)."""


def describe_observation(each: Known) -> tuple[str, str]:
    """Address or resolver of an observation, and its outcome in words."""
    match each:
        case DNSLookup():
            return _dns(each)
        case TCPConnect():
            text = _tcp(each)
        case TLSHandshake():
            text = _tls(each)
        case QUICHandshake():
            text = _quic(each)
        case HTTPExchange():
            text = _http(each)
        case Transfer():
            text = _transfer(each)
        case AppExchange():
            text = _app(each)
        case PathTrace():
            text = _path(each)
        case _:
            assert_never(each)
    if not each.address:  # imported requests do not always have one
        return _("port %(port)s", port=each.port), text
    return _("%(address)s port %(port)s", address=each.address, port=each.port), text


def _resolver(seen: DNSLookup) -> str:
    who = {"system": _("this network's resolver"), "silent": _("an address that runs no DNS")}
    name = who.get(seen.resolver, seen.resolver)
    if seen.qtype == ANY_TYPE and seen.resolver == "system":
        return name
    return _("%(resolver)s over %(transport)s", resolver=name, transport=seen.transport.upper())


def _dns(seen: DNSLookup) -> tuple[str, str]:
    where = _resolver(seen)
    what = safe_text(seen.name)
    if seen.qtype != ANY_TYPE:
        what += f" ({seen.qtype})"
    if seen.contrast is Contrast.SILENT_ADDRESS:
        if not seen.replies:
            return where, _("no answer for %(what)s, as it should be", what=what)
        return where, _(
            "an answer for %(what)s from an address that runs no DNS: it was given on the path",
            what=what,
        )
    if seen.failure is not None:
        return where, f"{what}: {words.failure(seen.failure)}"
    text = _("%(what)s is %(answers)s", what=what, answers=", ".join(seen.answers))
    if len(seen.replies) > 1:
        text += "; " + _(
            "a second answer came %(time)s after the question: %(answers)s",
            time=_ms(seen.replies[1].after_us),
            answers=", ".join(seen.replies[1].answers) or _("no address"),
        )
    return where, text


def _tcp(seen: TCPConnect) -> str:
    if seen.failure is None:
        return _("connected")
    return words.failure(seen.failure) + _icmp(seen)


def _icmp(seen: TCPConnect | QUICHandshake | AppExchange) -> str:
    if seen.icmp_type is None:
        return ""
    key = seen.icmp_type, seen.icmp_code or 0
    kind = _(_ICMP[key]) if key in _ICMP else f"ICMP {seen.icmp_type}/{seen.icmp_code}"
    if seen.icmp_from:
        return " " + _("(ICMP: %(kind)s, from %(router)s)", kind=kind, router=seen.icmp_from)
    return f" (ICMP: {kind})"


def _tls(seen: TLSHandshake) -> str:
    hello = (
        _("our TLS ClientHello for %(name)s", name=safe_text(seen.sni))
        if seen.sni
        else _("our TLS ClientHello without a name")
    )
    if seen.failure is None:
        return _(
            "handshake completed (%(version)s) after %(hello)s",
            version=seen.version or "TLS",
            hello=hello,
        )
    if seen.plain_http:
        what = _("clear-text HTTP in place of TLS")
    elif seen.alert is not None:
        what = _("alert %(number)s", number=seen.alert)
    else:
        what = words.failure(seen.failure)
        if seen.verify_code:
            what = _("%(failure)s (code %(code)s)", failure=what, code=seen.verify_code)
    said = _("%(what)s %(time)s after %(hello)s", what=what, time=_ms(seen.took_us), hello=hello)
    if seen.plain_http or seen.alert is not None or seen.verify_code:
        return said
    return f"{said}; {_back(seen.received_bytes)}"


def _back(received: int) -> str:
    return _("%(n)s bytes back", n=received) if received else _("no reply")


def _quic(seen: QUICHandshake) -> str:
    hello = _("our QUIC ClientHello for %(name)s", name=safe_text(seen.sni))
    if seen.failure is None:
        return _(
            "QUIC handshake completed (%(version)s) after %(hello)s",
            version=seen.version or "v1",
            hello=hello,
        )
    said = _(
        "%(what)s %(time)s after %(hello)s",
        what=words.failure(seen.failure) + _icmp(seen),
        time=_ms(seen.took_us),
        hello=hello,
    )
    said += f"; {_back(seen.received_bytes)}"
    if seen.close_code is None:
        return said
    return said + ", " + _("closed with code %(code)s", code=f"{seen.close_code:#x}")


def _transfer(seen: Transfer) -> str:
    name = _("naming %(name)s", name=safe_text(seen.sni)) if seen.sni else _("without a name")
    text = _(
        "%(n)s bytes in %(time)s %(name)s",
        n=seen.received_bytes,
        time=_ms(seen.took_us),
        name=name,
    )
    if seen.silence_us >= 1_000_000:
        text += ", " + _("of which %(time)s without a byte", time=_ms(seen.silence_us))
    return text if seen.failure is None else f"{text}: {words.failure(seen.failure)}"


def _app(seen: AppExchange) -> str:
    what = _("%(protocol)s over %(transport)s", protocol=seen.protocol, transport=seen.transport)
    if seen.failure is not None:
        return f"{what}: {words.failure(seen.failure)}{_icmp(seen)}"
    if seen.spoke:
        return _(
            "%(what)s: a server that speaks it answered (%(reply)s)",
            what=what,
            reply=seen.reply or _("kind not stated"),
        )
    return _(
        "%(what)s: %(n)s bytes that are not of this protocol", what=what, n=seen.received_bytes
    )


def _path(seen: PathTrace) -> str:
    nothing = _("not sent") if seen.sni else _("no answer in time")
    hops = "; ".join(
        f"{hop.ttl}: {hop.syn or hop.hello or nothing}" + (f" ({hop.router})" if hop.router else "")
        for hop in seen.hops
    ) or _("none sent")
    if not seen.sni:
        return _("TTL-limited connections: %(hops)s", hops=hops)
    return _("TTL-limited ClientHello for %(name)s: %(hops)s", name=safe_text(seen.sni), hops=hops)


def _http(seen: HTTPExchange) -> str:
    scheme = "https" if seen.tls else "http"
    what = f"GET {safe_text(f'{scheme}://{seen.host}{seen.path}')}"
    if seen.failure is not None:
        return f"{what}: {words.failure(seen.failure)}"
    text = _("%(what)s: status %(status)s", what=what, status=seen.status)
    if seen.location:
        text += ", " + _("to %(location)s", location=safe_text(seen.location))
    if seen.title:
        text += f", “{safe_text(seen.title)}”"
    return text


def _ms(microseconds: int) -> str:
    if microseconds >= 1000:
        return _("%(n)s ms", n=f"{microseconds / 1000:.0f}")
    return _("under 1 ms")
