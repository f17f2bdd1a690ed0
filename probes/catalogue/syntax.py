# SPDX-License-Identifier: Apache-2.0
"""The syntax of host names, addresses (with or without a port), URLs and paths.

Each function returns the canonical text or raises ValueError whose message completes the
sentence "key: …". Nothing is resolved and nothing is dialled here; whether an address may be
dialled is for the guard in `probes.net.guard`.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from probes.runtime.options import authority

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
MAX_TEXT = 1024
"""Longest text of a catalogue, the same as `probes.wire.bounds.Text`."""


def quoted(value: object) -> str:
    """Return a value as it can stand in a one-line message: quoted, printable, short."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def one_line(value: str) -> str:
    """Return text, a path for instance, with whatever is not printable escaped."""
    return value if value.isprintable() else ascii(value)[1:-1]


def text(value: str) -> str:
    """Return printable text. Raises ValueError when empty, too long or with control characters."""
    if not value.strip():
        raise ValueError("is empty")
    if len(value) > MAX_TEXT:
        raise ValueError(f"has {len(value)} characters, at most {MAX_TEXT}")
    if _UNPRINTABLE.search(value):
        raise ValueError(f"has control characters: {quoted(value)}")
    return value


def host(value: str) -> str:
    """Return a host name in lower case. Raises ValueError, also for an IP address."""
    if not value:
        raise ValueError("is empty")
    if not value.isascii():
        raise ValueError(f"write the name in its ASCII form (xn--…), got {quoted(value)}")
    name = value.lower()
    if name.endswith("."):
        raise ValueError(f"write the name without the dot at its end, got {quoted(value)}")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        raise ValueError(f"expected a host name, got the address {quoted(value)}")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"not a host name: {quoted(value)}")
    if labels[-1].isdecimal():
        raise ValueError(f"neither a host name nor an address: {quoted(value)}")
    for label in labels:
        if label.startswith("xn--"):
            try:
                label.encode("ascii").decode("idna")
            except UnicodeError:
                raise ValueError(f"{quoted(label)} is not a valid IDNA label") from None
    return name


def address(value: str) -> str:
    """Return an IPv4 or IPv6 address in canonical form. Raises ValueError."""
    try:
        if "%" in value:
            raise ValueError
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(f"expected an IPv4 or IPv6 address, got {quoted(value)}") from None


def host_or_address(value: str) -> str:
    """Return a host name or an address, each in its canonical form. Raises ValueError."""
    try:
        return str(ipaddress.ip_address(value)) if "%" not in value else host(value)
    except ValueError:
        return host(value)


def split_address(value: str, default_port: int) -> tuple[str, int]:
    """Take apart `8.8.8.8`, `8.8.8.8:53`, `2001:db8::1` or `[2001:db8::1]:53`.

    Returns the canonical address and the port, `default_port` when none is written. Raises
    ValueError.
    """
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", value, re.DOTALL)
    if bracketed:
        name, port = bracketed[1], bracketed[2]
    elif value.count(":") == 1:
        name, _, port = value.partition(":")
    else:
        name, port = value, None
    canonical = address(name)
    if port is None:
        return canonical, default_port
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"expected a port 1..65535 after the address, got {quoted(value)}")
    return canonical, int(port)


def address_with_port(value: str) -> str:
    """Return `address` or `address:port` (IPv6 with a port in brackets). Raises ValueError."""
    name, port = split_address(value, 0)
    return authority(name, port) if port else name


def https_url(value: str) -> str:
    """Return a URL as a DoH client may use it. Raises ValueError."""
    text(value)
    if not value.isascii() or " " in value:
        raise ValueError(f"not a URL: {quoted(value)}")
    try:
        parts = urlsplit(value)
        name, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"not a URL: {quoted(value)} ({error})") from None
    if parts.scheme != "https":
        raise ValueError(f"expected https://…, got {quoted(value)}")
    if parts.username is not None or parts.fragment or port == 0:
        raise ValueError(f"a URL must not have a user, a fragment or port 0: {quoted(value)}")
    host_or_address(name)
    return value


def path(value: str) -> str:
    """Return a path (with query) as a request line may hold it. Raises ValueError."""
    text(value)
    if not re.fullmatch(r"/[\x21-\x22\x24-\x7e]*", value):
        raise ValueError(
            f"expected a path that starts with / in printable ASCII, got {quoted(value)}"
        )
    return value
