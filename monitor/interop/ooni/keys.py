# SPDX-License-Identifier: Apache-2.0
"""OONI's measurement JSON (data_format_version 0.2.0 and before) to runs.

`queries` (df-002), `tcp_connect` (df-005), `tls_handshakes` (df-006) and `requests` (df-001) become
our observations, failures in OONI's words. Everything OONI concluded (`blocking`, `accessible`,
`telegram_web_status`, ...) is kept for the record and not read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from typing import Any

from monitor.interop.ooni import extension
from monitor.interop.ooni.csvrows import (
    ENGINES_OF_THE_SYSTEM,
    RowError,
    as_number,
    country_code,
    is_address,
    moment,
    split_url,
)
from monitor.interop.ooni.fields import (
    Entry,
    address_of,
    body_of,
    entries,
    failure_of,
    headers_of,
    host_of,
    inner,
    micros,
    port_of,
    resolver_asn,
    times,
    words,
)
from monitor.interop.ooni.run import Run, text, token
from monitor.interop.ooni.target_index import TargetIndex
from probes.wire.measurement import Software
from probes.wire.observation import (
    Certificate,
    DNSLookup,
    DNSReply,
    HTTPExchange,
    Known,
    Purpose,
    TCPConnect,
    TLSHandshake,
)

_MAPPED = frozenset(("queries", "tcp_connect", "tls_handshakes", "requests"))
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_LONGEST_DER = 16384
_MOST_CERTIFICATES = 10
_EXCERPT = 2048
_RCODES = {"dns_nxdomain_error": 3, "dns_servfail_error": 2, "dns_refused_error": 5}


class _Names:
    """Which names resolved to an address in this run: OONI's connects have addresses only."""

    def __init__(self, keys: Entry, targets_by_name: TargetIndex) -> None:
        self._atlas = targets_by_name
        self._answered: dict[str, list[str]] = {}
        self._taken: dict[tuple[str, str, int], int] = {}
        for query in entries(keys, "queries"):
            for answer in entries(query, "answers"):
                address = answer.get("ipv4") or answer.get("ipv6")
                names = self._answered.setdefault(str(address), [])
                if (name := words(query, "hostname")) and name not in names:
                    names.append(name)

    def of(self, address: str, port: int) -> str:
        """The name of a connect; several names of one address take turns."""
        names = self._answered.get(address)
        if not names:
            return address
        meant = [name for name in names if self._atlas.dials(name, port)] or names
        return min(meant, key=lambda name: self._taken.get((name, address, port), 0))

    def took(self, name: str, address: str, port: int) -> None:
        """Count a connect to a name."""
        key = name, address, port
        self._taken[key] = self._taken.get(key, 0) + 1

    def reached(self, name: str) -> list[str]:
        """Addresses that a name resolved to."""
        return [address for address, names in self._answered.items() if name in names]


def run_of(document: Entry, targets_by_name: TargetIndex) -> Run:
    """The run of one measurement. Raises RowError."""
    keys = document.get("test_keys")
    if not isinstance(keys, dict):
        raise RowError("test_keys: missing" if keys is None else "test_keys: not an object")
    name = words(document, "test_name")
    if not name:
        raise RowError("test_name: missing")
    if not words(document, "report_id") and not words(document, "id"):
        raise RowError("report_id: missing")
    run = Run(
        report=words(document, "report_id") or words(document, "id"),
        input=words(document, "input"),
        name=name,
        started=moment(words(document, "measurement_start_time")),
        country=country_code(words(document, "probe_cc")),
        asn=as_number(str(document.get("probe_asn", ""))),
        version=words(document, "test_version"),
        resolver_asn=resolver_asn(document),
        software=Software(
            name=token(words(document, "software_name")) or "ooni",
            version=token(words(document, "software_version")),
        ),
        took_us=micros(document.get("test_runtime")),
    )
    # Whoever knows the resolver's network asked somebody for it when the run began.
    run.passed += run.resolver_asn > 0
    names = _Names(keys, targets_by_name)
    for entry in entries(keys, "queries"):
        _lookup(run, entry, targets_by_name)
    for entry in entries(keys, "tcp_connect"):
        _connect(run, entry, names, targets_by_name)
    for entry in entries(keys, "tls_handshakes"):
        _handshake(run, entry, names, targets_by_name)
    for entry in entries(keys, "requests"):
        _request(run, entry, names, targets_by_name)
    if keys.get("control_failure", "") is None:
        # The run's own question to OONI's helper was answered: it was online.
        run.passed += 1
    if name == extension.TEST:
        extension.restore(run, keys)
    else:
        run.left = _left(document, keys)
    return run


def _lookup(run: Run, entry: Entry, targets_by_name: TargetIndex) -> None:
    name, failure = words(entry, "hostname"), failure_of(entry.get("failure"))
    engine = words(entry, "engine")
    answers = sorted(
        {
            str(answer[kind])
            for answer in entries(entry, "answers")
            for kind in ("ipv4", "ipv6")
            if is_address(str(answer.get(kind) or ""))
        }
    )
    aliases = [
        text(answer["hostname"]).rstrip(".")
        for answer in entries(entry, "answers")
        if answer.get("answer_type") == "CNAME" and isinstance(answer.get("hostname"), str)
    ]
    ttls = [a["ttl"] for a in entries(entry, "answers") if isinstance(a.get("ttl"), int)]
    place = targets_by_name.place(name) if name else None
    run.add_step(place, None, bool(answers) or failure in _RCODES)
    if place is None:
        return
    system = engine in ENGINES_OF_THE_SYSTEM
    at, took = times(entry)
    seen = DNSLookup(
        endpoint=place.endpoint,
        purpose=Purpose.SUBJECT if system else Purpose.REFERENCE,
        name=text(name),
        qtype=token(words(entry, "query_type")) or "ANY",
        # The address of a volunteer's own resolver is not kept.
        resolver="system" if system else token(host_of(words(entry, "resolver_address"))),
        transport=token(engine) if engine in ("tcp", "doh", "dot") else "udp",
        at_us=at,
        took_us=took,
        failure=failure,
        replies=(
            DNSReply(
                after_us=took,
                rcode=0,
                answers=tuple(answers[:64]),
                cnames=tuple(aliases[:16]),
                ttl=min(ttls, default=None),
            ),
        )
        if failure is None
        else (),
    )
    run.seen.setdefault(place.target, []).append(seen)


def _connect(run: Run, entry: Entry, names: _Names, targets_by_name: TargetIndex) -> None:
    address, port = words(entry, "ip"), port_of(entry.get("port"))
    status = entry.get("status")
    if not is_address(address) or port is None or not isinstance(status, dict):
        return
    name = names.of(address, port)
    names.took(name, address, port)
    place = targets_by_name.place(name, port)
    at, took = times(entry)
    failure = failure_of(status.get("failure"))
    if failure is None and status.get("success") is False:
        failure = "unknown_failure"
    seen: Known | None = None
    if place is not None:
        seen = TCPConnect(
            endpoint=place.endpoint,
            address=address,
            port=port,
            at_us=at,
            took_us=took,
            failure=failure,
        )
    run.add_step(place, seen, failure is None)


def _handshake(run: Run, entry: Entry, names: _Names, targets_by_name: TargetIndex) -> None:
    if entry.get("network") in ("udp", "quic"):
        return  # over QUIC: another protocol, whose failures say nothing of TLS
    sni, failure = words(entry, "server_name"), failure_of(entry.get("failure"))
    address, port = address_of(entry)
    if not address:  # older runs do not say where they shook hands
        address = next(iter(names.reached(sni)), "")
    name = sni or (names.of(address, port) if address else "")
    place = targets_by_name.place(name, port) if name else None
    at, took = times(entry)
    seen: Known | None = None
    if place is not None:
        verified = failure is None and not entry.get("no_tls_verify")
        seen = TLSHandshake(
            endpoint=place.endpoint,
            address=address,
            port=port,
            sni=text(sni),
            at_us=at,
            took_us=took,
            failure=failure,
            version=token(words(entry, "tls_version")) or None,
            cipher=token(words(entry, "cipher_suite")) or None,
            alpn=text(words(entry, "negotiated_protocol")) or None,
            verify_code=0 if verified else None,
            chain=tuple(_chain(entry, failure is not None)),
        )
    run.add_step(place, seen, failure is None)


def _chain(entry: Entry, whole: bool) -> Iterator[Certificate]:
    """All certificates of a failed handshake, only the hash of the leaf of a good one."""
    for each in entries(entry, "peer_certificates")[: _MOST_CERTIFICATES if whole else 1]:
        try:
            der = base64.b64decode(words(each, "data"), validate=True)
        except (binascii.Error, ValueError):
            continue
        if der:
            kept = der if whole and len(der) <= _LONGEST_DER else b""
            yield Certificate(sha256=hashlib.sha256(der).hexdigest(), der=kept)


def _request(run: Run, entry: Entry, names: _Names, targets_by_name: TargetIndex) -> None:
    request, response = inner(entry, "request"), inner(entry, "response")
    url = split_url(words(request, "url"))
    failure = failure_of(entry.get("failure"))
    if url is None or inner(request, "tor").get("is_tor"):
        return
    scheme, host, port, path = url
    place = targets_by_name.place(host, port)
    address = address_of(entry)[0]
    if not address:
        address = host if is_address(host) else next(iter(names.reached(host)), "")
    at, took = times(entry)
    seen: Known | None = None
    if place is not None:
        body = body_of(response)
        headers = {name.lower(): value for name, value in headers_of(response)}
        status = response.get("code")
        title = _TITLE.search(body.decode("utf-8", "replace"))
        seen = HTTPExchange(
            endpoint=place.endpoint,
            address=address,
            port=port,
            host=text(host),
            path=text(path),
            tls=scheme == "https",
            protocol="h2" if entry.get("alpn") == "h2" else "http/1.1",
            at_us=at,
            took_us=took,
            failure=failure,
            status=status if isinstance(status, int) and 0 < status < 1000 else None,
            location=text(headers.get("location")) or None,
            title=text(" ".join(title[1].split())) or None if title else None,
            server=text(headers.get("server")) or None,
            body_bytes=len(body),
            body_sha256=hashlib.sha256(body).hexdigest() if body else None,
            excerpt=body[:_EXCERPT] if scheme == "http" and body else b"",
        )
    run.add_step(place, seen, failure is None)


def _left(document: Entry, keys: Entry) -> dict[str, Any]:
    """What our observations cannot hold, without addresses of a volunteer or of a resolver that may
    be the volunteer's own."""
    annotations = inner(document, "annotations")
    left = {
        "network_type": text(annotations.get("network_type")),
        "platform": text(annotations.get("platform")),
        "keys": {
            key: value
            for key, value in keys.items()
            if key not in _MAPPED and key != "client_resolver"
        },
    }
    return {key: value for key, value in left.items() if value}
