# SPDX-License-Identifier: Apache-2.0
"""OONI's flattened observations (`obs_web`, ooni/data `WebObservation`) to runs.

One row is one (name, address, request) of a measurement and may hold a DNS answer, a connect, a
handshake and a request at once. OONI's own columns of judgement (`probe_analysis`,
`failure_class`) are not read.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from monitor.interop.ooni import extension
from monitor.interop.ooni.run import TESTS, Run, UnsupportedTestError, text, token
from monitor.interop.ooni.target_index import TargetIndex
from probes.wire.measurement import Software
from probes.wire.observation import (
    DNSLookup,
    DNSReply,
    HTTPExchange,
    Purpose,
    TCPConnect,
    TLSHandshake,
)

SHARED = ("report_id", "input", "test_name", "measurement_start_time")
"""What exactly the rows of one measurement share."""
ENGINES_OF_THE_SYSTEM = frozenset(("", "system", "getaddrinfo", "golang_net_resolver", "unknown"))


class RowError(Exception):
    """An invalid row; the text gives the column and the reason."""


class ObservationRow(NamedTuple):
    """The columns of one row, as text."""

    report_id: str
    input: str
    test_name: str
    test_version: str
    measurement_uid: str
    probe_cc: str
    probe_asn: str
    resolver_asn: str
    network_type: str
    measurement_start_time: str
    hostname: str
    ip: str
    port: str
    dns_engine: str
    dns_failure: str
    dns_answer: str
    tcp_success: str
    tcp_failure: str
    tls_handshake_time: str
    tls_success: str
    tls_failure: str
    tls_is_certificate_valid: str
    tls_end_entity_certificate_subject_common_name: str
    tls_end_entity_certificate_issuer_common_name: str
    http_request_url: str
    http_failure: str
    http_runtime: str

    @property
    def whose(self) -> tuple[str, ...]:
        """What the rows of one measurement share."""
        return (self.report_id, self.input, self.test_name, self.measurement_start_time)


COLUMNS = ObservationRow._fields
"""The columns that are read."""
REQUIRED = frozenset(COLUMNS) - {
    "test_version",
    "measurement_uid",
    "resolver_asn",
    "network_type",
    "tls_is_certificate_valid",
    "tls_handshake_time",
    "tls_end_entity_certificate_subject_common_name",
    "tls_end_entity_certificate_issuer_common_name",
    "http_runtime",
}


@lru_cache(maxsize=4096)
def moment(words: str) -> int:
    """Unix milliseconds of `2023-11-01 00:18:03` in UTC, with or without an offset. Raises
    RowError."""
    try:
        when = dt.datetime.fromisoformat(words)
    except ValueError:
        raise RowError(f"measurement_start_time: {words[:40]!r} is not a time") from None
    when = when.replace(tzinfo=dt.UTC) if when.tzinfo is None else when
    if when.year < 2012:  # OONI's first measurements
        raise RowError(f"measurement_start_time: {words[:40]!r} is before OONI existed")
    return int(when.timestamp() * 1000)


@lru_cache(maxsize=4096)
def country_code(words: str) -> str:
    """An ISO 3166-1 code in capitals. Raises RowError."""
    if len(words) != 2 or not (words.isascii() and words.isalpha()):
        raise RowError(f"probe_cc: {words[:40]!r} is not a country code")
    return words.upper()


@lru_cache(maxsize=4096)
def as_number(words: str, column: str = "probe_asn") -> int:
    """An autonomous system's number from `AS123`, `123` or `123.0`. Raises RowError."""
    digits = words.removeprefix("AS").removesuffix(".0")
    number = _number(digits)
    if number is None or number > 4_294_967_295:
        raise RowError(f"{column}: {words[:40]!r} is not an AS number")
    return number


@lru_cache(maxsize=4096)
def _port(words: str) -> int:
    number = _number(words.removesuffix(".0"))
    if number is None or number > 65535:
        raise RowError(f"port: {words[:40]!r} is not a port")
    return number


def _number(digits: str) -> int | None:
    """A number of ASCII digits; None for anything else, or for more than Python converts."""
    good = digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS
    return int(digits) if good else None


@lru_cache(maxsize=65536)
def is_address(words: str) -> bool:
    """Whether text is an IP address."""
    try:
        ipaddress.ip_address(words)
    except ValueError:
        return False
    return True


_MOST_DIGITS = 20
_TRUTHS = {"": None, "1": True, "1.0": True, "0": False, "0.0": False, "t": True, "f": False}
_TRUTHS |= {"true": True, "false": False, "True": True, "False": False}


def _truth(row: ObservationRow, column: str) -> bool | None:
    words = getattr(row, column)
    if words not in _TRUTHS:
        raise RowError(f"{column}: {words[:40]!r} is neither true nor false")
    return _TRUTHS[words]


def _seconds(words: str) -> int:
    """Microseconds of a column of seconds; 0 for an invalid one."""
    try:
        micros = float(words) * 1e6 if words else 0.0
    except ValueError:
        return 0
    return int(micros) if 0 <= micros < 1e12 else 0


def inspect(row: ObservationRow) -> None:
    """Raise RowError when a row cannot be mapped, and UnsupportedTestError for a test that is not
    read."""
    if not row.report_id and not row.measurement_uid:
        raise RowError("report_id: empty")
    if not row.test_name:
        raise RowError("test_name: empty")
    if row.test_name not in TESTS and row.test_name != extension.TEST:
        raise UnsupportedTestError(text(row.test_name, 64))
    moment(row.measurement_start_time)
    country_code(row.probe_cc)
    as_number(row.probe_asn)
    if row.ip and not is_address(row.ip):
        raise RowError(f"ip: {row.ip[:60]!r} is not an address")
    if row.port:
        _port(row.port)
    for column in ("tcp_success", "tls_success", "tls_is_certificate_valid"):
        _truth(row, column)
    if (row.tcp_failure or _TRUTHS[row.tcp_success]) and not (row.ip and row.port):
        raise RowError("tcp_success: without an address and a port")


def run_of(rows: Sequence[ObservationRow], targets_by_name: TargetIndex) -> Run:
    """The run of these rows (of one measurement, each checked by `inspect`). Their order does not
    matter, and duplicate rows count once."""
    first = rows[0]
    run = Run(
        report=first.report_id or first.measurement_uid,
        input=first.input,
        name=first.test_name,
        started=moment(first.measurement_start_time),
        country=country_code(first.probe_cc),
        asn=as_number(first.probe_asn),
        version=first.test_version,
        resolver_asn=_resolver(first.resolver_asn),
        software=Software(name="ooni", version=token(first.test_version)),
        network_type=text(first.network_type, 64),
        left={"uid": text(first.measurement_uid)},
    )
    # Whoever knows the resolver's network asked somebody for it when the run began.
    run.passed += run.resolver_asn > 0
    ordered = sorted(set(rows))
    _lookups(run, ordered, targets_by_name)
    for row in ordered:
        # False without a failure is how the columns say that nothing was tried.
        if row.tcp_failure or _TRUTHS[row.tcp_success]:
            _connect(run, row, targets_by_name)
        if row.tls_failure or row.tls_handshake_time or _TRUTHS[row.tls_success]:
            _handshake(run, row, targets_by_name)
        if row.http_request_url:
            _request(run, row, targets_by_name)
    return run


def _resolver(words: str) -> int:
    """The network of a run's resolver; 0 if unknown."""
    try:
        return as_number(words, "resolver_asn")
    except RowError:
        return 0


def _lookups(run: Run, rows: Sequence[ObservationRow], targets_by_name: TargetIndex) -> None:
    """One lookup for each name and engine; each answer has a row."""
    asked: dict[tuple[str, str], list[ObservationRow]] = {}
    for row in rows:
        if row.dns_engine or row.dns_failure or row.dns_answer:
            asked.setdefault((row.hostname, row.dns_engine), []).append(row)
    for (name, engine), found in asked.items():
        answers = {row.dns_answer for row in found if is_address(row.dns_answer)}
        failure = next((row.dns_failure for row in found if row.dns_failure), None)
        place = targets_by_name.place(name)
        seen = None
        if place is not None:
            seen = DNSLookup(
                endpoint=place.endpoint,
                purpose=Purpose.SUBJECT if engine in ENGINES_OF_THE_SYSTEM else Purpose.REFERENCE,
                name=text(name),
                qtype="ANY",
                resolver="system" if engine in ENGINES_OF_THE_SYSTEM else token(engine),
                transport=token(engine) if engine in ("tcp", "doh", "dot") else "udp",
                failure=text(failure) if failure and not answers else None,
                replies=(DNSReply(after_us=0, rcode=0, answers=tuple(sorted(answers))),)
                if answers or not failure
                else (),
            )
        run.add_step(place, seen, bool(answers))


def _connect(run: Run, row: ObservationRow, targets_by_name: TargetIndex) -> None:
    port = _port(row.port) if row.port else 0
    place = targets_by_name.place(row.hostname or row.ip, port)
    seen = None
    if place is not None:
        seen = TCPConnect(
            endpoint=place.endpoint,
            address=row.ip,
            port=port,
            failure=text(row.tcp_failure) or None,
        )
    run.add_step(place, seen, not row.tcp_failure)


def _handshake(run: Run, row: ObservationRow, targets_by_name: TargetIndex) -> None:
    port = _port(row.port) if row.port else 443
    place = targets_by_name.place(row.hostname or row.ip, port)
    valid = _TRUTHS[row.tls_is_certificate_valid]
    failed = row.tls_failure or ("ssl_invalid_certificate" if valid is False else "")
    seen = None
    if place is not None:
        seen = TLSHandshake(
            endpoint=place.endpoint,
            address=row.ip,
            port=port,
            sni=text(row.hostname),
            took_us=_seconds(row.tls_handshake_time),
            failure=text(failed) or None,
            verify_code=0 if valid and not failed else None,
        )
        if failed and row.tls_end_entity_certificate_issuer_common_name:
            run.left.setdefault("certificates", []).append(
                {
                    "address": row.ip,
                    "subject": text(row.tls_end_entity_certificate_subject_common_name),
                    "issuer": text(row.tls_end_entity_certificate_issuer_common_name),
                }
            )
    run.add_step(place, seen, not failed)


def _request(run: Run, row: ObservationRow, targets_by_name: TargetIndex) -> None:
    url = _url(row.http_request_url)
    if url is None:
        run.add_step(None, None, False)
        return
    scheme, host, port, path = url
    place = targets_by_name.place(host, port)
    seen: Any = None
    if place is not None:
        literal = is_address(host)
        seen = HTTPExchange(
            endpoint=place.endpoint,
            address=row.ip or (host if literal else ""),
            port=port,
            host=text(host),
            path=text(path),
            tls=scheme == "https",
            took_us=_seconds(row.http_runtime),
            failure=text(row.http_failure) or None,
        )
    run.add_step(place, seen, not row.http_failure)


@lru_cache(maxsize=4096)
def _url(words: str) -> tuple[str, str, int, str] | None:
    return split_url(words)


def split_url(words: str) -> tuple[str, str, int, str] | None:
    """(scheme, host, port, path) of an http(s) URL; None for anything else."""
    try:
        parts = urlsplit(words)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    return (
        parts.scheme,
        parts.hostname,
        port or (443 if parts.scheme == "https" else 80),
        (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )


def header_of(names: Iterable[str]) -> list[int]:
    """The position of each of COLUMNS (-1: missing). Raises RowError naming what is missing."""
    where = {name: index for index, name in enumerate(names)}
    missing = sorted(REQUIRED - where.keys())
    if len(missing) == len(REQUIRED):
        foreign = any(set(name) & {"\0", "\ufffd"} for name in where)
        why = "not UTF-8" if foreign else "its first line names no column of obs_web"
        raise RowError(f"neither OONI's JSON nor OONI observations (CSV): {why}")
    if missing:
        raise RowError(f"not OONI observations: no column {', '.join(missing)}")
    return [where.get(name, -1) for name in COLUMNS]
