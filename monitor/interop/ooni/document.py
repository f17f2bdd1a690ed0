# SPDX-License-Identifier: Apache-2.0
"""OONI's measurement JSON as types: df-000, df-001, df-002, df-005, df-006 and the helper's answer
of web_connectivity (ts-017).

A document is a stranger's. What identifies the run must be right (`RowError` otherwise); an entry
of a list that does not fit its type is left out, because one odd entry must not cost the run.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec

from monitor.interop.ooni.csvrows import RowError, as_number, is_address, split_url
from monitor.interop.ooni.run import text

Failure = str | bool | None
"""A failure string; None for success, which old runs wrote as false."""
_T = TypeVar("_T")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


class OONIEntry(msgspec.Struct):
    """What entries of every list have. Times are seconds since the run began; older runs give only
    the end."""

    failure: Failure = None
    t0: float | None = None
    t: float | None = None

    def span_us(self) -> tuple[int, int]:
        """Start and duration, in microseconds."""
        end = micros(self.t)
        start = end if self.t0 is None else micros(self.t0)
        return start, max(0, end - start)


class OONIAnswer(msgspec.Struct):
    """An answer of a name server."""

    answer_type: str | None = None
    hostname: str | None = None
    ipv4: str | None = None
    ipv6: str | None = None
    ttl: int | None = None

    @property
    def address(self) -> str:
        """The address; empty for an alias, or when it is none."""
        found = self.ipv4 or self.ipv6 or ""
        return found if is_address(found) else ""


class OONIQuery(OONIEntry):
    """df-002."""

    hostname: str | None = None
    asked_by: str | None = msgspec.field(name="engine", default=None)
    query_type: str | None = None
    resolver_address: str | None = None
    answers: list[OONIAnswer] | None = None


class OONIStatus(msgspec.Struct):
    """How a connect ended."""

    failure: Failure = None
    success: bool | None = None


class OONIConnect(OONIEntry, kw_only=True):
    """df-005."""

    ip: str
    port: int
    status: OONIStatus


class OONICertificate(msgspec.Struct):
    """A certificate in base64; plain text in none of OONI's formats."""

    data: str = ""


class OONIHandshake(OONIEntry):
    """df-006."""

    network: str | None = None
    address: str | None = None
    server_name: str | None = None
    tls_version: str | None = None
    cipher_suite: str | None = None
    negotiated_protocol: str | None = None
    no_tls_verify: bool | None = None
    peer_certificates: list[OONICertificate] | None = None


class HTTPRequest(msgspec.Struct):
    """The request of an exchange."""

    url: str
    tor: dict[str, Any] | None = None


class HTTPResponse(msgspec.Struct):
    """The answer of an exchange; values that are not text may be `{"format": "base64", ...}`."""

    code: int | None = None
    headers: dict[str, Any] | None = None
    headers_list: list[Any] | None = None
    body: Any = None


class OONIExchange(OONIEntry, kw_only=True):
    """df-001."""

    request: HTTPRequest
    response: HTTPResponse | None = None
    address: str | None = None
    alpn: str | None = None


class HelperDNS(msgspec.Struct):
    """The helper's lookup of the site's name."""

    failure: Failure = None
    addrs: list[str] | None = None


class HelperHTTP(msgspec.Struct):
    """The helper's request of the site; a status of -1 or 0 when there was no answer."""

    failure: Failure = None
    status_code: int | None = None
    title: str | None = None
    body_length: int | None = None
    headers: dict[str, Any] | None = None


class HelperAnswer(msgspec.Struct):
    """`control`: what OONI's test helper found of the same site at the same time. Handshakes are
    in 0.5 alone."""

    dns: HelperDNS | None = None
    tcp_connect: dict[str, OONIStatus] | None = None
    tls_handshake: dict[str, OONIStatus] | None = None
    http_request: HelperHTTP | None = None


def entries(keys: Mapping[str, Any], name: str, kind: type[_T]) -> Iterable[_T]:
    """The entries of a list that fit their type."""
    found = keys.get(name)
    if isinstance(found, msgspec.Raw):
        try:
            # At once, where all of them fit.
            return _list_decoder(kind).decode(found)  # type: ignore[arg-type]
        except (msgspec.ValidationError, OverflowError):
            found = msgspec.json.decode(found)
    fitting = (converted(entry, kind) for entry in (found if isinstance(found, list) else ()))
    return [entry for entry in fitting if entry is not None]


@cache
def _list_decoder(kind: type[_T]) -> msgspec.json.Decoder[list[_T]]:
    return msgspec.json.Decoder(list[kind], strict=False)  # type: ignore[valid-type]


def converted(value: object, kind: type[_T]) -> _T | None:
    """A value as its type; None when it does not fit."""
    try:
        return msgspec.convert(decoded(value), kind, strict=False)
    except (msgspec.ValidationError, OverflowError):
        return None


def shallow(line: bytes) -> dict[str, Any] | None:
    """A measurement whose `test_keys` are not decoded yet: most of a run's bytes are in keys that
    nobody reads. None when the line holds none, or one inside of something else. Raises
    DecodeError, UnicodeError and RecursionError."""
    try:
        document: dict[str, Any] = dict(_undecoded.decode(line))
        if "test_keys" not in document:
            return None
        keys = _undecoded.decode(document.pop("test_keys"))
    except msgspec.ValidationError:
        return None
    return {key: decoded(value) for key, value in document.items()} | {"test_keys": keys}


_undecoded = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decoded(value: object) -> Any:
    """A value of `shallow` as Python's own."""
    match value:
        case msgspec.Raw():
            return msgspec.json.decode(value)
        case dict():
            return {key: decoded(inside) for key, inside in value.items()}
    return value


def words(document: Mapping[str, Any], key: str) -> str:
    """A string; empty when there is none."""
    found = document.get(key)
    return found if isinstance(found, str) else ""


def failure_of(value: Failure) -> str | None:
    """A failure string of OONI; None for success. What is neither is `unknown_failure`."""
    if isinstance(value, str):
        return text(value) or None
    return "unknown_failure" if value else None


def micros(seconds: object) -> int:
    """Seconds as microseconds; 0 for an invalid time."""
    if not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e6:
        return 0
    return int(seconds * 1e6)


def address_of(authority: str | None) -> tuple[str, int]:
    """Address and port of `192.0.2.1:443`; ("", 443) when there are none."""
    address, _, port = (authority or "").rpartition(":")
    address = address.strip("[]")
    if is_address(address) and re.fullmatch("[0-9]{1,5}", port) and int(port) <= 65535:
        return address, int(port)
    return "", 443


def host_of(resolver: str) -> str:
    """The host of a resolver given as a URL, else its name."""
    url = split_url(resolver)
    return url[1] if url else resolver


def resolver_asn(document: Mapping[str, Any]) -> int:
    """The network of a run's resolver; 0 if unknown."""
    try:
        return as_number(str(document.get("resolver_asn") or "0"), "resolver_asn")
    except RowError:
        return 0


def headers_of(response: HTTPResponse) -> Iterator[tuple[str, str]]:
    """Names and values of an answer's headers."""
    for pair in response.headers_list or (response.headers or {}).items():
        match pair:
            case [str(name), str(value)]:
                yield name, value


def body_of(response: HTTPResponse) -> bytes:
    """The body of an answer: text, or `{"format": "base64", "data": ...}`."""
    match response.body:
        case str(body):
            return body.encode("utf-8", "surrogatepass")
        case {"format": "base64", "data": str(data)}:
            return from_base64(data)
    return b""


def title_of(body: bytes) -> str:
    """The title of a page; empty without one."""
    title = _TITLE.search(body.decode("utf-8", "replace"))
    return text(" ".join(title[1].split())) if title else ""


def from_base64(data: str) -> bytes:
    """Bytes of base64; empty when it is none."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return b""


def document_of(value: object) -> dict[str, Any]:
    """The measurement inside the JSON of Explorer or the API, which know its uid, or of a post to
    OONI's collector. Raises RowError."""
    known: dict[str, str] = {}
    for _ in range(4):
        if not isinstance(value, dict):
            break
        known |= {
            key: each
            for key in ("report_id", "measurement_uid")
            if isinstance(each := value.get(key), str) and each
        }
        if "test_keys" in value:
            return {**value, **known}
        inside = value.get("raw_measurement", value.get("body", value.get("content")))
        if isinstance(inside, str):
            try:
                inside = msgspec.json.decode(inside)
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                raise RowError(f"body: {error}") from None
        value = inside
    raise RowError("not an OONI measurement: no test_keys")
