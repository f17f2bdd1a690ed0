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
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from monitor.interop.ooni import own
from monitor.interop.ooni.csvrows import (
    ENGINES_OF_THE_SYSTEM,
    RowError,
    as_number,
    country_code,
    is_address,
    moment,
    split_url,
)
from monitor.interop.ooni.names import Atlas
from monitor.interop.ooni.run import Run, text, token
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

Entry = Mapping[str, Any]


class _Names:
    """Which names led to an address in this run: OONI's connects know only addresses."""

    def __init__(self, keys: Entry, atlas: Atlas) -> None:
        self._atlas = atlas
        self._answered: dict[str, list[str]] = {}
        self._taken: dict[tuple[str, str, int], int] = {}
        for query in _entries(keys, "queries"):
            for answer in _entries(query, "answers"):
                address = answer.get("ipv4") or answer.get("ipv6")
                names = self._answered.setdefault(str(address), [])
                if (name := _words(query, "hostname")) and name not in names:
                    names.append(name)

    def of(self, address: str, port: int) -> str:
        """The name that was meant; where several share an address, each in its turn."""
        names = self._answered.get(address)
        if not names:
            return address
        meant = [name for name in names if self._atlas.dials(name, port)] or names
        return min(meant, key=lambda name: self._taken.get((name, address, port), 0))

    def took(self, name: str, address: str, port: int) -> None:
        """Remember that a connect was given to a name."""
        key = name, address, port
        self._taken[key] = self._taken.get(key, 0) + 1

    def reached(self, name: str) -> list[str]:
        """Addresses that a name led to."""
        return [address for address, names in self._answered.items() if name in names]


def run_of(document: Entry, atlas: Atlas) -> Run:
    """The run that one measurement tells of. Raises RowError."""
    keys = document.get("test_keys")
    if not isinstance(keys, dict):
        raise RowError("test_keys: missing" if keys is None else "test_keys: not an object")
    name = _words(document, "test_name")
    if not name:
        raise RowError("test_name: missing")
    if not _words(document, "report_id") and not _words(document, "id"):
        raise RowError("report_id: missing")
    run = Run(
        report=_words(document, "report_id") or _words(document, "id"),
        input=_words(document, "input"),
        name=name,
        started=moment(_words(document, "measurement_start_time")),
        country=country_code(_words(document, "probe_cc")),
        asn=as_number(str(document.get("probe_asn", ""))),
        version=_words(document, "test_version"),
        resolver_asn=_resolver_asn(document),
        software=Software(
            name=token(_words(document, "software_name")) or "ooni",
            version=token(_words(document, "software_version")),
        ),
        took_us=_micros(document.get("test_runtime")),
    )
    # Whoever knows the resolver's network asked somebody for it when the run began.
    run.passed += run.resolver_asn > 0
    names = _Names(keys, atlas)
    for entry in _entries(keys, "queries"):
        _lookup(run, entry, atlas)
    for entry in _entries(keys, "tcp_connect"):
        _connect(run, entry, names, atlas)
    for entry in _entries(keys, "tls_handshakes"):
        _handshake(run, entry, names, atlas)
    for entry in _entries(keys, "requests"):
        _request(run, entry, names, atlas)
    if keys.get("control_failure", "") is None:
        # The run's own question to OONI's helper was answered: it was online.
        run.passed += 1
    if name == own.TEST:
        own.restore(run, keys)
    else:
        run.left = _left(document, keys)
    return run


def _lookup(run: Run, entry: Entry, atlas: Atlas) -> None:
    name, failure = _words(entry, "hostname"), entry.get("failure")
    engine = _words(entry, "engine")
    answers = sorted(
        {
            str(answer[kind])
            for answer in _entries(entry, "answers")
            for kind in ("ipv4", "ipv6")
            if is_address(str(answer.get(kind) or ""))
        }
    )
    aliases = [
        text(answer["hostname"]).rstrip(".")
        for answer in _entries(entry, "answers")
        if answer.get("answer_type") == "CNAME" and isinstance(answer.get("hostname"), str)
    ]
    ttls = [a["ttl"] for a in _entries(entry, "answers") if isinstance(a.get("ttl"), int)]
    place = atlas.place(name) if name else None
    run.note(place, None, bool(answers) or failure in _RCODES)
    if place is None:
        return
    system = engine in ENGINES_OF_THE_SYSTEM
    at, took = _times(entry)
    seen = DNSLookup(
        endpoint=place.endpoint,
        purpose=Purpose.SUBJECT if system else Purpose.REFERENCE,
        name=text(name),
        qtype=token(_words(entry, "query_type")) or "ANY",
        # The address of a volunteer's own resolver is not kept.
        resolver="system" if system else token(_host_of(_words(entry, "resolver_address"))),
        transport=token(engine) if engine in ("tcp", "doh", "dot") else "udp",
        at_us=at,
        took_us=took,
        failure=_failure(failure),
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


def _connect(run: Run, entry: Entry, names: _Names, atlas: Atlas) -> None:
    address, port = _words(entry, "ip"), _port(entry.get("port"))
    status = entry.get("status")
    if not is_address(address) or port is None or not isinstance(status, dict):
        return
    name = names.of(address, port)
    names.took(name, address, port)
    place = atlas.place(name, port)
    at, took = _times(entry)
    failure = _failure(status.get("failure"))
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
    run.note(place, seen, failure is None)


def _handshake(run: Run, entry: Entry, names: _Names, atlas: Atlas) -> None:
    if entry.get("network") in ("udp", "quic"):
        return  # over QUIC: another protocol, whose failures say nothing of TLS
    sni, failure = _words(entry, "server_name"), _failure(entry.get("failure"))
    address, port = _place_of(entry)
    if not address:  # older runs do not say where they shook hands
        address = next(iter(names.reached(sni)), "")
    name = sni or (names.of(address, port) if address else "")
    place = atlas.place(name, port) if name else None
    at, took = _times(entry)
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
            version=token(_words(entry, "tls_version")) or None,
            cipher=token(_words(entry, "cipher_suite")) or None,
            alpn=text(_words(entry, "negotiated_protocol")) or None,
            verify_code=0 if verified else None,
            chain=tuple(_chain(entry, failure is not None)),
        )
    run.note(place, seen, failure is None)


def _chain(entry: Entry, whole: bool) -> Iterator[Certificate]:
    """All certificates of a failed handshake, the leaf's hash of a good one."""
    for each in _entries(entry, "peer_certificates")[: _MOST_CERTIFICATES if whole else 1]:
        try:
            der = base64.b64decode(_words(each, "data"), validate=True)
        except (binascii.Error, ValueError):
            continue
        if der:
            kept = der if whole and len(der) <= _LONGEST_DER else b""
            yield Certificate(sha256=hashlib.sha256(der).hexdigest(), der=kept)


def _request(run: Run, entry: Entry, names: _Names, atlas: Atlas) -> None:
    request, response = _object(entry, "request"), _object(entry, "response")
    url = split_url(_words(request, "url"))
    failure = _failure(entry.get("failure"))
    if url is None or _object(request, "tor").get("is_tor"):
        return
    scheme, host, port, path = url
    place = atlas.place(host, port)
    address = _place_of(entry)[0]
    if not address:
        address = host if is_address(host) else next(iter(names.reached(host)), "")
    at, took = _times(entry)
    seen: Known | None = None
    if place is not None:
        body = _body(response)
        headers = {name.lower(): value for name, value in _headers(response)}
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
    run.note(place, seen, failure is None)


def _left(document: Entry, keys: Entry) -> dict[str, Any]:
    """What has no place in our observations. Addresses of a volunteer or of a resolver that may
    be one's own are not among it."""
    annotations = _object(document, "annotations")
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


def _entries(entry: Entry, key: str) -> list[dict[str, Any]]:
    found = entry.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _object(entry: Entry, key: str) -> dict[str, Any]:
    found = entry.get(key)
    return found if isinstance(found, dict) else {}


def _words(entry: Entry, key: str) -> str:
    found = entry.get(key)
    return found if isinstance(found, str) else ""


def _failure(value: object) -> str | None:
    return text(value) or None if isinstance(value, str) else None


def _port(value: object) -> int | None:
    port = int(value) if isinstance(value, str) and value.isdigit() else value
    return port if isinstance(port, int) and 0 <= port <= 65535 else None


def _place_of(entry: Entry) -> tuple[str, int]:
    """Address and port of `address`; ("", 443) when it is not given."""
    address, _, port = _words(entry, "address").rpartition(":")
    address = address.strip("[]")
    if not is_address(address) or not port.isdigit():
        return "", 443
    return address, int(port)


def _host_of(resolver: str) -> str:
    url = split_url(resolver)
    return url[1] if url else resolver


def _resolver_asn(document: Entry) -> int:
    try:
        return as_number(str(document.get("resolver_asn") or "0"), "resolver_asn")
    except RowError:
        return 0


def _micros(value: object) -> int:
    if not isinstance(value, int | float) or not 0 <= value < 1e6:
        return 0
    return int(value * 1e6)


def _times(entry: Entry) -> tuple[int, int]:
    """(start, length) in microseconds; older runs give only the end."""
    end = _micros(entry.get("t"))
    start = _micros(entry["t0"]) if "t0" in entry else end
    return start, max(0, end - start)


def _headers(response: Entry) -> Iterator[tuple[str, str]]:
    pairs = response.get("headers_list") or list(_object(response, "headers").items())
    for pair in pairs if isinstance(pairs, list) else []:
        if isinstance(pair, list | tuple) and len(pair) == 2:
            name, value = pair
            if isinstance(name, str) and isinstance(value, str):
                yield name, value


def _body(response: Entry) -> bytes:
    """The body of an answer: text, or `{"format": "base64", "data": ...}`."""
    body = response.get("body")
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    if isinstance(body, dict) and body.get("format") == "base64":
        try:
            return base64.b64decode(_words(body, "data"), validate=True)
        except (binascii.Error, ValueError):
            return b""
    return b""


def document_of(value: object) -> Entry:
    """The measurement inside what Explorer and the API wrap around it. Raises RowError."""
    measurement_id = ""
    for _ in range(4):
        if not isinstance(value, dict):
            break
        if "test_keys" in value:
            return value if "report_id" in value else {**value, "report_id": measurement_id}
        measurement_id = str(value.get("report_id") or measurement_id)
        inner = value.get("raw_measurement", value.get("body"))
        if isinstance(inner, str):
            try:
                inner = msgspec.json.decode(inner)
            except (msgspec.DecodeError, UnicodeError) as error:
                raise RowError(f"body: {error}") from None
        value = inner
    raise RowError("no OONI measurement: no test_keys")
