# SPDX-License-Identifier: Apache-2.0
"""Where a broker is, from its URL, and what goes wrong with one. Apart from the connection, because
checking an option, or taking measurements over HTTP, must not load the MQTT client."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from probes.runtime.options import authority

PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


class BrokerError(Exception):
    """The broker cannot be reached, refused, or the connection died. One line, no secret."""


class BrokerRefusedError(BrokerError):
    """The broker does not accept the user or the secret."""


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """Where a broker is."""

    scheme: str
    host: str
    port: int
    path: str = "/mqtt"
    user: str = ""
    secret: str = ""
    version: str = ""
    """`5` or `3.1.1` when the URL says so (`?version=3.1.1`); otherwise both are tried."""

    @property
    def encrypted(self) -> bool:
        """Whether TLS is used."""
        return self.scheme in ("mqtts", "wss")

    @property
    def exposed(self) -> bool:
        """Whether the connection, and the secret, can be read outside this machine."""
        local = self.host == "localhost" or self.host.startswith("127.") or self.host == "::1"
        return not (self.encrypted or local)

    @property
    def name(self) -> str:
        """The URL without user and secret, for logs."""
        return f"{self.scheme}://{authority(self.host, self.port)}"


def parse_broker(text: str) -> Broker:
    """Return the broker that a URL names. Raises ValueError with the reason."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"not a URL: {error}") from None
    if parts.scheme not in PORTS:
        raise ValueError("must begin with mqtt://, mqtts://, ws:// or wss://")
    if not parts.hostname:
        raise ValueError("names no host")
    version = parse_qs(parts.query).get("version", [""])[0]
    if version not in ("", "5", "3.1.1"):
        raise ValueError("version must be 5 or 3.1.1")
    return Broker(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or PORTS[parts.scheme],
        path=parts.path or "/mqtt",
        user=unquote(parts.username or ""),
        secret=unquote(parts.password or ""),
        version=version,
    )


def broker_url(text: str) -> str:
    """A URL that `parse_broker` takes; the reader of an option."""
    parse_broker(text)
    return text
