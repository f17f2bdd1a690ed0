# SPDX-License-Identifier: Apache-2.0
"""Where the monitor is reached, from a URL: a broker, or the web server itself; and what goes wrong
there. Apart from the connection, because checking an option, or taking measurements over HTTP, must
not load the MQTT client."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from probes.runtime.options import authority
from probes.runtime.proxy import Proxy

PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
WEB_PORTS = {"http": 80, "https": 443}


class BrokerError(Exception):
    """The broker cannot be reached, refused, or the connection died. One line, no secret."""


class BrokerRefusedError(BrokerError):
    """The broker does not accept the user or the secret."""


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """Where a broker is, or the monitor's web server, and how it is dialled."""

    scheme: str
    host: str
    port: int
    path: str = "/mqtt"
    user: str = ""
    secret: str = ""
    version: str = ""
    """`5` or `3.1.1` when the URL says so (`?version=3.1.1`); otherwise both are tried."""
    address: str = ""
    """What is dialled in place of the host's addresses (`?address=192.0.2.1`). Certificates are
    still compared with the host."""
    proxy: Proxy | None = None
    """Dials for this machine."""

    @property
    def encrypted(self) -> bool:
        """Whether TLS is used."""
        return self.scheme in ("mqtts", "wss", "https")

    @property
    def over_http(self) -> bool:
        """Whether it is the web server that takes batches, without MQTT."""
        return self.scheme in WEB_PORTS

    @property
    def kind(self) -> str:
        """Its kind of way to the monitor: `mqtts`, `proxy+https`."""
        return f"proxy+{self.scheme}" if self.proxy else self.scheme

    @property
    def exposed(self) -> bool:
        """Whether the connection, and the secret, can be read outside this machine."""
        local = self.host == "localhost" or self.host.startswith("127.") or self.host == "::1"
        return not (self.encrypted or local)

    @property
    def name(self) -> str:
        """The URL without user and secret, for logs."""
        at = f"?address={self.address}" if self.address else ""
        by = f" by {self.proxy.name}" if self.proxy else ""
        return f"{self.scheme}://{authority(self.host, self.port)}{at}{by}"


def parse_broker(text: str) -> Broker:
    """Return the broker that a URL names. Raises ValueError with the reason."""
    return _parsed(text, PORTS, "mqtt://, mqtts://, ws:// or wss://")


def parse_way(text: str) -> Broker:
    """Return the broker or web server that a URL names. Raises ValueError with the reason."""
    schemes = "mqtts://, wss://, https://, mqtt://, ws:// or http://"
    return _parsed(text, {**PORTS, **WEB_PORTS}, schemes)


def _parsed(text: str, ports: Mapping[str, int], schemes: str) -> Broker:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"not a URL: {error}") from None
    if parts.scheme not in ports:
        raise ValueError(f"must begin with {schemes}")
    if not parts.hostname:
        raise ValueError("names no host")
    query = parse_qs(parts.query)
    version, address = (query.get(name, [""])[0] for name in ("version", "address"))
    if version not in ("", "5", "3.1.1"):
        raise ValueError("version must be 5 or 3.1.1")
    if address:
        address = str(ipaddress.ip_address(address))
    return Broker(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or ports[parts.scheme],
        path=parts.path.rstrip("/") if parts.scheme in WEB_PORTS else parts.path or "/mqtt",
        user=unquote(parts.username or ""),
        secret=unquote(parts.password or ""),
        version=version,
        address=address,
    )


def way_url(text: str) -> str:
    """A URL that `parse_way` takes; the reader of an option."""
    parse_way(text)
    return text


def broker_url(text: str) -> str:
    """A URL that `parse_broker` takes; the reader of an option."""
    parse_broker(text)
    return text
