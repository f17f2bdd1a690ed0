# SPDX-License-Identifier: Apache-2.0
"""Observations in sentences. Nothing is judged here."""

from __future__ import annotations

from typing import assert_never

from monitor.web.text import words
from monitor.web.text.certificates import safe_text
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
    if isinstance(each, DNSLookup):
        return _dns(each)
    return f"{each.address} port {each.port}", _describe_at_address(each)


def _describe_at_address(
    each: TCPConnect
    | TLSHandshake
    | QUICHandshake
    | HTTPExchange
    | Transfer
    | AppExchange
    | PathTrace,
) -> str:
    match each:
        case TCPConnect():
            return _tcp(each)
        case TLSHandshake():
            return _tls(each)
        case QUICHandshake():
            return _quic(each)
        case HTTPExchange():
            return _http(each)
        case Transfer():
            return _transfer(each)
        case AppExchange():
            return _app(each)
        case PathTrace():
            return _path(each)
        case _:
            assert_never(each)


def _resolver(seen: DNSLookup) -> str:
    who = {"system": "this network's resolver", "silent": "an address that runs no DNS"}
    return f"{who.get(seen.resolver, seen.resolver)} over {seen.transport.upper()}"


def _dns(seen: DNSLookup) -> tuple[str, str]:
    where = _resolver(seen)
    what = f"{safe_text(seen.name)} ({seen.qtype})"
    if seen.contrast is Contrast.SILENT_ADDRESS:
        if not seen.replies:
            return where, f"no answer for {what}, as it should be"
        return where, f"an answer for {what} from an address that runs no DNS: injected on the path"
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
    return words.failure(seen.failure) + _icmp(seen)


def _icmp(seen: TCPConnect | QUICHandshake | AppExchange) -> str:
    if seen.icmp_type is None:
        return ""
    kind = _ICMP.get(
        (seen.icmp_type, seen.icmp_code or 0), f"ICMP {seen.icmp_type}/{seen.icmp_code}"
    )
    return f" (ICMP: {kind}" + (f", from {seen.icmp_from})" if seen.icmp_from else ")")


def _tls(seen: TLSHandshake) -> str:
    hello = (
        f"our TLS ClientHello for {safe_text(seen.sni)}"
        if seen.sni
        else "our TLS ClientHello without a name"
    )
    if seen.failure is None:
        return f"handshake completed ({seen.version or 'TLS'}) after {hello}"
    back = "no reply" if not seen.received_bytes else f"{seen.received_bytes} bytes back"
    after = f"{_ms(seen.took_us)} after {hello}"
    if seen.plain_http:
        return f"clear-text HTTP in place of TLS {after}"
    if seen.alert is not None:
        return f"alert {seen.alert} {after}"
    if seen.verify_code:
        return f"{words.failure(seen.failure)} (code {seen.verify_code}) {after}"
    return f"{words.failure(seen.failure)} {after}; {back}"


def _quic(seen: QUICHandshake) -> str:
    hello = f"our QUIC ClientHello for {safe_text(seen.sni)}"
    if seen.failure is None:
        return f"QUIC handshake completed ({seen.version or 'v1'}) after {hello}"
    back = "no reply" if not seen.received_bytes else f"{seen.received_bytes} bytes back"
    closed = "" if seen.close_code is None else f", closed with code {seen.close_code:#x}"
    failure = words.failure(seen.failure) + _icmp(seen)
    return f"{failure} {_ms(seen.took_us)} after {hello}; {back}{closed}"


def _transfer(seen: Transfer) -> str:
    name = f"naming {safe_text(seen.sni)}" if seen.sni else "without a name"
    text = f"{seen.received_bytes} bytes in {_ms(seen.took_us)} {name}"
    if seen.silence_us >= 1_000_000:
        text += f", of which {_ms(seen.silence_us)} without a byte"
    return text if seen.failure is None else f"{text}: {words.failure(seen.failure)}"


def _app(seen: AppExchange) -> str:
    what = f"{seen.protocol} over {seen.transport}"
    if seen.failure is not None:
        return f"{what}: {words.failure(seen.failure)}{_icmp(seen)}"
    if seen.spoke:
        return f"{what}: a server that speaks it answered ({seen.reply or 'kind not stated'})"
    return f"{what}: {seen.received_bytes} bytes that are not of this protocol"


def _path(seen: PathTrace) -> str:
    hops = [
        f"{hop.ttl}: {hop.hello or 'not sent'}" + (f" ({hop.router})" if hop.router else "")
        for hop in seen.hops
    ]
    return f"TTL-limited ClientHello for {safe_text(seen.sni)}: {'; '.join(hops) or 'none sent'}"


def _http(seen: HTTPExchange) -> str:
    scheme = "https" if seen.tls else "http"
    what = f"GET {safe_text(f'{scheme}://{seen.host}{seen.path}')}"
    if seen.failure is not None:
        return f"{what}: {words.failure(seen.failure)}"
    text = f"{what}: status {seen.status}"
    if seen.location:
        text += f", to {safe_text(seen.location)}"
    if seen.title:
        text += f", “{safe_text(seen.title)}”"
    return text


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:.0f} ms" if microseconds >= 1000 else "under 1 ms"
