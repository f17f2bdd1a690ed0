# SPDX-License-Identifier: Apache-2.0
"""Fields of OONI's JSON, read without trusting their types.

Also unwraps a measurement from the JSON of Explorer and the API.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from monitor.interop.ooni.csvrows import RowError, as_number, is_address, split_url
from monitor.interop.ooni.run import text

Entry = Mapping[str, Any]


def entries(entry: Entry, key: str) -> list[dict[str, Any]]:
    """The objects in a list; other values are ignored."""
    found = entry.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def inner(entry: Entry, key: str) -> dict[str, Any]:
    """An object inside another; empty when there is none."""
    found = entry.get(key)
    return found if isinstance(found, dict) else {}


def words(entry: Entry, key: str) -> str:
    """A string; empty when there is none."""
    found = entry.get(key)
    return found if isinstance(found, str) else ""


def failure_of(value: object) -> str | None:
    """A failure string of OONI; None for success, which old runs wrote as false. Anything else is
    `unknown_failure`."""
    if isinstance(value, str):
        return text(value) or None
    return None if value is None or value is False else "unknown_failure"


def port_of(value: object) -> int | None:
    """A port; None if it is invalid."""
    digits = str(value) if isinstance(value, int | str) else ""
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 5:
        return None
    return int(digits) if int(digits) <= 65535 else None


def address_of(entry: Entry) -> tuple[str, int]:
    """Address and port of `address`; ("", 443) when it is not given."""
    address, _, port = words(entry, "address").rpartition(":")
    address = address.strip("[]")
    number = port_of(port)
    return (address, number) if is_address(address) and number is not None else ("", 443)


def host_of(resolver: str) -> str:
    """The host of a resolver given as a URL, else its name."""
    url = split_url(resolver)
    return url[1] if url else resolver


def resolver_asn(document: Entry) -> int:
    """The network of a run's resolver; 0 if unknown."""
    try:
        return as_number(str(document.get("resolver_asn") or "0"), "resolver_asn")
    except RowError:
        return 0


def micros(value: object) -> int:
    """Seconds as microseconds; 0 for an invalid time."""
    if not isinstance(value, int | float) or not 0 <= value < 1e6:
        return 0
    return int(value * 1e6)


def times(entry: Entry) -> tuple[int, int]:
    """(start, length) in microseconds; older runs give only the end."""
    end = micros(entry.get("t"))
    start = micros(entry["t0"]) if "t0" in entry else end
    return start, max(0, end - start)


def headers_of(response: Entry) -> Iterator[tuple[str, str]]:
    """Names and values of an answer's headers."""
    pairs = response.get("headers_list") or list(inner(response, "headers").items())
    for pair in pairs if isinstance(pairs, list) else []:
        if isinstance(pair, list | tuple) and len(pair) == 2:
            name, value = pair
            if isinstance(name, str) and isinstance(value, str):
                yield name, value


def body_of(response: Entry) -> bytes:
    """The body of an answer: text, or `{"format": "base64", "data": ...}`."""
    body = response.get("body")
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    if isinstance(body, dict) and body.get("format") == "base64":
        try:
            return base64.b64decode(words(body, "data"), validate=True)
        except (binascii.Error, ValueError):
            return b""
    return b""


def document_of(value: object) -> Entry:
    """The measurement inside the JSON of Explorer or the API. Raises RowError."""
    measurement_id = ""
    for _ in range(4):
        if not isinstance(value, dict):
            break
        if "test_keys" in value:
            return value if "report_id" in value else {**value, "report_id": measurement_id}
        measurement_id = str(value.get("report_id") or measurement_id)
        inside = value.get("raw_measurement", value.get("body"))
        if isinstance(inside, str):
            try:
                inside = msgspec.json.decode(inside)
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                raise RowError(f"body: {error}") from None
        value = inside
    raise RowError("no OONI measurement: no test_keys")
