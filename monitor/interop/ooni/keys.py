# SPDX-License-Identifier: Apache-2.0
"""OONI's measurement JSON (data_format_version 0.2.0 and before) to runs.

`queries` (df-002), `tcp_connect` (df-005), `tls_handshakes` (df-006) and `requests` (df-001) become
our observations, failures in OONI's words. What OONI's test helper found (`control`) is a fact and
is kept with the run. Everything OONI concluded (`blocking`, `accessible`, `telegram_web_status`,
...) is kept for the record and not read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from monitor.detection.observed.imported_run import Helper
from monitor.interop.ooni import extension, site_page
from monitor.interop.ooni.csvrows import (
    ENGINES_OF_THE_SYSTEM,
    RowError,
    as_number,
    country_code,
    is_address,
    moment,
    split_url,
)
from monitor.interop.ooni.document import (
    HelperAnswer,
    HTTPResponse,
    OONIConnect,
    OONIExchange,
    OONIHandshake,
    OONIQuery,
    OONIStatus,
    address_of,
    body_of,
    converted,
    decoded,
    entries,
    failure_of,
    from_base64,
    headers_of,
    host_of,
    micros,
    resolver_asn,
    title_of,
    words,
)
from monitor.interop.ooni.run import TESTS, Run, UnsupportedTestError, text, token
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

_MAPPED = ("queries", "tcp_connect", "tls_handshakes", "requests")
_NOT_KEPT = frozenset((*_MAPPED, "client_resolver", "control", "network_events"))
"""What is mapped, what may be a volunteer's address, and every read and write with its time: a
third to a half of what a run would take in the store."""
_LONGEST_DER = 16384
_MOST_CERTIFICATES = 10
_EXCERPT = 2048
_ANSWERED = frozenset(("dns_nxdomain_error", "dns_servfail_error", "dns_refused_error"))
"""Failures that a server's answer caused."""
_BOGON = "dns_bogon_error"
"""OONI's probe takes an answer with a private address for a failure."""
_MOST_HELPED = 64
"""Endpoints of a helper's answer that are kept."""


class _Names:
    """Which names resolved to an address in this run: OONI's connects have addresses only."""

    def __init__(self, queries: list[OONIQuery], targets_by_name: TargetIndex) -> None:
        self._targets_by_name = targets_by_name
        self._answered: dict[str, list[str]] = {}
        self._taken: dict[tuple[str, str, int], int] = {}
        for query in queries:
            for answer in query.answers or ():
                names = self._answered.setdefault(answer.address, [])
                if query.hostname and query.hostname not in names:
                    names.append(query.hostname)

    def of(self, address: str, port: int) -> str:
        """The name of a connect; several names of one address take turns."""
        names = self._answered.get(address)
        if not names:
            return address
        if len(names) == 1:
            return names[0]
        meant = [name for name in names if self._targets_by_name.dials(name, port)] or names
        return min(meant, key=lambda name: self._taken.get((name, address, port), 0))

    def took(self, name: str, address: str, port: int) -> None:
        """Count a connect to a name."""
        key = name, address, port
        self._taken[key] = self._taken.get(key, 0) + 1

    def reached(self, name: str) -> str:
        """The first address that a name resolved to; empty without one."""
        found = (address for address, names in self._answered.items() if name in names)
        return next(found, "")


def run_of(document: Mapping[str, Any], targets_by_name: TargetIndex) -> Run:
    """The run of one measurement. Raises RowError, and UnsupportedTestError for a test that is not
    read."""
    keys = document.get("test_keys")
    if not isinstance(keys, dict):
        raise RowError("test_keys: missing" if keys is None else "test_keys: not an object")
    name = words(document, "test_name")
    if not name:
        raise RowError("test_name: missing")
    if name not in TESTS and name != extension.TEST:
        raise UnsupportedTestError(text(name, 64))
    annotations = document.get("annotations")
    annotations = annotations if isinstance(annotations, dict) else {}
    run = Run(
        report=words(document, "report_id") or words(document, "measurement_uid") or _uid(document),
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
        network_type=text(annotations.get("network_type"), 64),
    )
    # Whoever knows the resolver's network asked somebody for it when the run began.
    run.passed += run.resolver_asn > 0
    queries = list(entries(keys, "queries", OONIQuery))
    names = _Names(queries, targets_by_name)
    for query in queries:
        _lookup(run, query, targets_by_name)
    for connect in entries(keys, "tcp_connect", OONIConnect):
        _connect(run, connect, names, targets_by_name)
    for handshake in entries(keys, "tls_handshakes", OONIHandshake):
        _handshake(run, handshake, names, targets_by_name)
    exchanges = list(entries(keys, "requests", OONIExchange))
    for exchange in exchanges:
        _request(run, exchange, names, targets_by_name)
    run.page = site_page.of_run(run.input, exchanges)
    if decoded(keys.get("control_failure", "")) is None:
        # The run's own question to OONI's helper was answered: it was online.
        run.passed += 1
        run.helper = _helper(run, keys)
    if name == extension.TEST:
        extension.restore(run, decoded(keys))
    else:
        run.left = _left(annotations, keys)
    return run


def _uid(document: Mapping[str, Any]) -> str:
    """The id of a run that was never submitted: its own or, without one, a hash of the run."""
    own = words(document, "id")
    return (
        own
        or hashlib.sha256(msgspec.json.encode(decoded(document), order="sorted")).hexdigest()[:32]
    )


def _helper(run: Run, keys: Mapping[str, Any]) -> Helper | None:
    """What OONI's test helper found of the run's site at the same time."""
    answer = converted(keys.get("control"), HelperAnswer)
    url = split_url(run.input)
    if answer is None or url is None:
        return None
    dns, http = answer.dns, answer.http_request
    return Helper(
        name=text(url[1]),
        dns_failure=failure_of(dns.failure) if dns else None,
        addresses=tuple(filter(is_address, dns.addrs or ()))[:_MOST_HELPED] if dns else (),
        tcp=_ends(answer.tcp_connect),
        tls=_ends(answer.tls_handshake),
        # Older helpers say -1 without a failure when there was no answer.
        http=None if http is None else (http.status_code or 0) > 0 and not http.failure,
        page=None if run.page is None or http is None else site_page.of_helper(http),
    )


def _ends(found: Mapping[str, OONIStatus] | None) -> dict[str, bool]:
    """Whether each endpoint worked for the helper."""
    kept = sorted((found or {}).items())[:_MOST_HELPED]
    return {text(at, 64): not each.failure for at, each in kept}


def _lookup(run: Run, query: OONIQuery, targets_by_name: TargetIndex) -> None:
    name, failure = query.hostname or "", failure_of(query.failure)
    engine = query.asked_by or ""
    found = query.answers or []
    answers = sorted({answer.address for answer in found} - {""})
    aliases = [text(a.hostname).rstrip(".") for a in found if a.answer_type == "CNAME"]
    place = targets_by_name.place(name) if name else None
    run.add_step(place, None, bool(answers) or failure in _ANSWERED)
    if place is None:
        return
    system = engine in ENGINES_OF_THE_SYSTEM
    at_us, took_us = query.span_us()
    reply = DNSReply(
        after_us=took_us,
        rcode=0,
        answers=tuple(answers[:64]),
        cnames=tuple(filter(None, aliases))[:16],
        ttl=min((a.ttl for a in found if a.ttl is not None and a.ttl >= 0), default=None),
    )
    seen = DNSLookup(
        endpoint=place.endpoint,
        purpose=Purpose.SUBJECT if system else Purpose.REFERENCE,
        name=text(name),
        qtype=token(query.query_type) or "ANY",
        # The address of a volunteer's own resolver is not kept.
        resolver="system" if system else token(host_of(query.resolver_address or "")),
        transport=token(engine) if engine in ("tcp", "doh", "dot") else "udp",
        at_us=at_us,
        took_us=took_us,
        failure=failure,
        replies=(reply,) if failure is None or (failure == _BOGON and answers) else (),
    )
    run.seen.setdefault(place.target, []).append(seen)


def _connect(run: Run, connect: OONIConnect, names: _Names, targets_by_name: TargetIndex) -> None:
    address, port, status = connect.ip, connect.port, connect.status
    if not is_address(address) or not 0 <= port <= 65535:
        return
    name = names.of(address, port)
    names.took(name, address, port)
    place = targets_by_name.place(name, port)
    failure = failure_of(status.failure)
    if failure is None and status.success is False:
        failure = "unknown_failure"
    seen: Known | None = None
    if place is not None:
        at_us, took_us = connect.span_us()
        seen = TCPConnect(
            endpoint=place.endpoint,
            address=address,
            port=port,
            at_us=at_us,
            took_us=took_us,
            failure=failure,
        )
    run.add_step(place, seen, failure is None)


def _handshake(run: Run, tls: OONIHandshake, names: _Names, targets_by_name: TargetIndex) -> None:
    if tls.network in ("udp", "quic"):
        return  # over QUIC: another protocol, whose failures say nothing of TLS
    sni, failure = tls.server_name or "", failure_of(tls.failure)
    address, port = address_of(tls.address)
    address = address or names.reached(sni)  # older runs do not say where they shook hands
    name = sni or (names.of(address, port) if address else "")
    place = targets_by_name.place(name, port) if name else None
    seen: Known | None = None
    if place is not None:
        at_us, took_us = tls.span_us()
        seen = TLSHandshake(
            endpoint=place.endpoint,
            address=address,
            port=port,
            sni=text(sni),
            at_us=at_us,
            took_us=took_us,
            failure=failure,
            version=token(tls.tls_version) or None,
            cipher=token(tls.cipher_suite) or None,
            alpn=text(tls.negotiated_protocol) or None,
            verify_code=0 if failure is None and not tls.no_tls_verify else None,
            chain=tuple(_chain(tls, failure is not None)),
        )
    run.add_step(place, seen, failure is None)


def _chain(tls: OONIHandshake, whole: bool) -> Iterator[Certificate]:
    """All certificates of a failed handshake, only the hash of the leaf of a good one."""
    for each in (tls.peer_certificates or [])[: _MOST_CERTIFICATES if whole else 1]:
        if (certificate := _certificate(each.data, whole)) is not None:
            yield certificate


@lru_cache(maxsize=256)
def _certificate(data: str, whole: bool) -> Certificate | None:
    """A certificate from its base64: a service shows the same one everywhere."""
    if not (der := from_base64(data)):
        return None
    kept = der if whole and len(der) <= _LONGEST_DER else b""
    return Certificate(sha256=hashlib.sha256(der).hexdigest(), der=kept)


def _request(run: Run, exchange: OONIExchange, names: _Names, targets_by_name: TargetIndex) -> None:
    request, response = exchange.request, exchange.response or HTTPResponse()
    url, failure = _url(request.url), failure_of(exchange.failure)
    if url is None or (request.tor or {}).get("is_tor"):
        return
    scheme, host, port, path = url
    place = targets_by_name.place(host, port)
    address = address_of(exchange.address)[0]
    if not address:
        address = host if is_address(host) else names.reached(host)
    seen: Known | None = None
    if place is not None:
        body = body_of(response)
        headers = {name.lower(): value for name, value in headers_of(response)}
        at_us, took_us = exchange.span_us()
        seen = HTTPExchange(
            endpoint=place.endpoint,
            address=address,
            port=port,
            host=text(host),
            path=text(path),
            tls=scheme == "https",
            protocol="h2" if exchange.alpn == "h2" else "http/1.1",
            at_us=at_us,
            took_us=took_us,
            failure=failure,
            status=response.code if response.code and 0 < response.code < 1000 else None,
            location=text(headers.get("location")) or None,
            title=title_of(body) or None,
            server=text(headers.get("server")) or None,
            body_bytes=len(body),
            body_sha256=hashlib.sha256(body).hexdigest() if body else None,
            excerpt=body[:_EXCERPT] if scheme == "http" and body else b"",
        )
    run.add_step(place, seen, failure is None)


@lru_cache(maxsize=1024)
def _url(words: str) -> tuple[str, str, int, str] | None:
    return split_url(words)


def _left(annotations: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """What our observations cannot hold, without addresses of a volunteer or of a resolver that may
    be the volunteer's own."""
    left = {
        "platform": text(annotations.get("platform")),
        "keys": {key: decoded(value) for key, value in keys.items() if key not in _NOT_KEPT},
    }
    return {key: value for key, value in left.items() if value}
