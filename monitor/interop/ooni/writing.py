# SPDX-License-Identifier: Apache-2.0
"""Our measurements as OONI's JSON (data_format_version 0.2.0): df-000, 001, 002, 005 and 006.

`input` is the target and `test_name` is `reachwatch`, because OONI has no such test. What OONI has
no key for is in `x_reachwatch` (`monitor.interop.ooni.extension`). No measurement holds a
volunteer's address, so none can be exported; `probe_ip` is 127.0.0.1, as in OONI's own.
"""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any, assert_never

import msgspec

from monitor.detection.model import Stored
from monitor.interop.ooni.extension import FRAME, KEY, TEST, ExtensionFrame, extension_entry
from probes.runtime.options import authority
from probes.wire.observation import (
    AnyObservation,
    AppExchange,
    Certificate,
    DNSLookup,
    HTTPExchange,
    Known,
    PathTrace,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
    Transfer,
    Unrecognised,
)

FORMAT_VERSION = "0.2.0"
_EXTENSIONS = dict.fromkeys(
    ("dnst", "httpt", "netevents", "tcpconnect", "tlshandshake", "tunnel"), 0
)
_encoder = msgspec.json.Encoder()

Entry = dict[str, Any]


def line(stored: Stored) -> bytes:
    """One measurement as one line of JSON, without the newline."""
    return _encoder.encode(document(stored))


def document(stored: Stored) -> Entry:
    """One measurement as OONI's object."""
    measured, place = stored.measurement, stored.measurement.vantage
    keys: Entry = {
        "queries": [],
        "tcp_connect": [],
        "tls_handshakes": [],
        "requests": [],
        "network_events": [],
        KEY: [],
        FRAME: ExtensionFrame(
            id=measured.id,
            target=measured.target,
            combine=measured.combine,
            endpoints=measured.endpoints,
            started=measured.started,
            took_us=measured.took_us,
        ),
    }
    for index, seen in enumerate(measured.observations):
        name, entry = _entry(seen)
        own = extension_entry(index, seen)
        keys[name].append(own if name == KEY else {**entry, "transaction_id": index, KEY: own})
    return {
        "annotations": {
            "architecture": "",
            "engine_name": TEST,
            "engine_version": measured.software.version,
            "network_type": "unknown",
            "origin": stored.role.value,
            "platform": "",
        },
        "data_format_version": FORMAT_VERSION,
        "extensions": _EXTENSIONS,
        "id": measured.id,
        "input": measured.target,
        "measurement_start_time": _time(measured.started),
        "options": [],
        "probe_asn": f"AS{place.asn}",
        "probe_cc": place.country,
        "probe_ip": "127.0.0.1",
        "probe_network_name": "",
        "report_id": report_id(stored),
        "resolver_asn": f"AS{place.resolver_asn}",
        "resolver_ip": "",
        "resolver_network_name": "",
        "software_name": measured.software.name,
        "software_version": measured.software.version,
        "test_helpers": {},
        "test_keys": keys,
        "test_name": TEST,
        "test_runtime": measured.took_us / 1e6,
        "test_start_time": _time(measured.round),
        "test_version": str(measured.v),
    }


def report_id(stored: Stored) -> str:
    """OONI's form of a report id, one a measurement; nothing of the probe can be read from it."""
    measured, place = stored.measurement, stored.measurement.vantage
    when = dt.datetime.fromtimestamp(measured.started / 1000, dt.UTC)
    return f"{when:%Y%m%dT%H%M%SZ}_{TEST}_{place.country}_{place.asn}_n1_{measured.id[:16]}"


def _time(milliseconds: int) -> str:
    return f"{dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC):%Y-%m-%d %H:%M:%S}"


def _entry(seen: AnyObservation) -> tuple[str, Entry]:
    """The key of `test_keys` an observation goes under, and its entry there."""
    match seen:
        case DNSLookup():
            return "queries", _query(seen)
        case TCPConnect():
            status = {"failure": seen.failure, "success": seen.failure is None}
            entry = {"ip": seen.address, "port": seen.port, "status": status}
            return "tcp_connect", {**entry, **_times(seen)}
        case TLSHandshake():
            return "tls_handshakes", {
                "network": "tcp",
                "cipher_suite": seen.cipher or "",
                "tls_version": seen.version or "",
                **_handshake(seen),
            }
        case QUICHandshake():
            return "tls_handshakes", {
                "network": "udp",
                "cipher_suite": "",
                "tls_version": "",
                **_handshake(seen),
            }
        case HTTPExchange():
            return "requests", _request(seen)
        case Transfer() | AppExchange() | PathTrace() | Unrecognised():
            return KEY, {}
        case _:
            assert_never(seen)


def _query(seen: DNSLookup) -> Entry:
    reply = seen.replies[0] if seen.replies else None
    answers: list[Entry] = []
    if reply is not None:
        answers = [{"answer_type": "CNAME", "hostname": a, "ttl": reply.ttl} for a in reply.cnames]
        for address in reply.answers:
            kind, key = ("AAAA", "ipv6") if ":" in address else ("A", "ipv4")
            answers.append({"answer_type": kind, key: address, "ttl": reply.ttl})
    return {
        "answers": answers,
        "engine": "system" if seen.resolver == "system" else seen.transport,
        "failure": seen.failure,
        "hostname": seen.name,
        "query_type": seen.qtype,
        "raw_response": None,
        "rcode": reply.rcode if reply else None,
        # Our names of public resolvers; of a volunteer's own, nothing is known here.
        "resolver_address": "" if seen.resolver == "system" else seen.resolver,
        **_times(seen),
    }


def _handshake(seen: TLSHandshake | QUICHandshake) -> Entry:
    return {
        "address": authority(seen.address, seen.port),
        "failure": seen.failure,
        "so_error": None,
        "negotiated_protocol": seen.alpn or "",
        "no_tls_verify": False,
        "peer_certificates": [_certificate(each) for each in seen.chain if each.der],
        "server_name": seen.sni,
        "outer_server_name": "",
        "echconfig": "",
        **_times(seen),
    }


def _certificate(certificate: Certificate) -> Entry:
    return {"data": base64.b64encode(certificate.der).decode(), "format": "base64"}


def _request(seen: HTTPExchange) -> Entry:
    known_headers = (("Location", seen.location), ("Server", seen.server))
    headers = {name: value for name, value in known_headers if value}
    answered = seen.status is not None
    response: Entry = {
        "code": seen.status or 0,
        "headers": headers,
        "headers_list": [[name, value] for name, value in headers.items()],
        "body": seen.excerpt.decode("utf-8", "replace"),
        "body_is_truncated": seen.body_bytes > len(seen.excerpt),
    }
    return {
        "failure": seen.failure,
        "request": {
            "method": "GET",
            "url": url_of(seen),
            "headers": {"Host": seen.host},
            "headers_list": [["Host", seen.host]],
            "body": "",
            "tor": {"exit_ip": None, "exit_name": None, "is_tor": False},
            "x_transport": "tcp",
        },
        "response": response if answered else {"headers": {}, "headers_list": [], "body": ""},
        "network": "tcp",
        "address": authority(seen.address, seen.port),
        "alpn": "h2" if seen.protocol == "h2" else "http/1.1",
        **_times(seen),
    }


def url_of(seen: HTTPExchange) -> str:
    """The URL of a request."""
    scheme, usual = ("https", 443) if seen.tls else ("http", 80)
    return f"{scheme}://{authority(seen.host, seen.port, usual)}{seen.path}"


def _times(seen: Known) -> Entry:
    words = (seen.purpose.value, *((seen.contrast.value,) if seen.contrast else ()))
    return {"t0": seen.at_us / 1e6, "t": (seen.at_us + seen.took_us) / 1e6, "tags": list(words)}
