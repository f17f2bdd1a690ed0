# SPDX-License-Identifier: Apache-2.0
"""The one file of the monitor that knows aiomqtt: a connection to a broker.

MQTT 5 is tried first and 3.1.1 when the broker wants it. Messages arrive as values; a
connection that dies raises `BrokerUnreachableError` from whatever waits on it. A connection is
made anew each time, because paho goes on holding what a failed publish left in its queue.
Topics, batches and retries are not known here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
from collections.abc import AsyncIterator
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import aiomqtt
import msgspec

PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
CONNECT_SECONDS = 10.0
KEEPALIVE_SECONDS = 30
_silent = logging.getLogger("reachwatch.mqtt.paho")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


class BrokerUnreachableError(Exception):
    """The broker cannot be reached, refused, or went away. One line, no secret."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a broker is."""

    scheme: str
    host: str
    port: int
    path: str = "/mqtt"
    user: str = ""
    secret: str = ""

    @property
    def name(self) -> str:
        """The URL without user and secret, for logs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class Message(msgspec.Struct, frozen=True):
    """What the broker delivered."""

    topic: str
    payload: bytes
    retained: bool = False
    """It was kept by the broker from before we subscribed."""


def parse_url(text: str) -> Address:
    """Return the broker that a URL names. Raises ValueError with the reason in one line."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"broker URL: {error}") from None
    if parts.scheme not in PORTS:
        raise ValueError("broker URL: must begin with mqtt://, mqtts://, ws:// or wss://")
    if not parts.hostname:
        raise ValueError("broker URL: names no host")
    return Address(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or PORTS[parts.scheme],
        path=parts.path or "/mqtt",
        user=unquote(parts.username or ""),
        secret=unquote(parts.password or ""),
    )


class _Client(aiomqtt.Client):
    """aiomqtt's client, which would wait for ever on a broker that hangs up before CONNACK;
    `tests/monitor/broker/test_client.py` fails when a release moves the callback."""

    def _on_disconnect(
        self,
        client: Any,
        userdata: Any,
        flags: Any,
        reason_code: Any,
        properties: Any = None,
    ) -> None:
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError("it hung up before answering"))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    async def drop(self) -> None:
        """Close the socket, whatever state the client is in."""
        with contextlib.suppress(OSError, ValueError):
            self._client.disconnect()
            self._client._sock_close()
        # The loop must run once for the cancelled housekeeping task to end.
        await asyncio.sleep(0)
        await asyncio.sleep(0)


class Connection:
    """A live connection; every method raises BrokerUnreachableError when it has died."""

    def __init__(self, client: _Client, version: str) -> None:
        self._client = client
        self.version = version
        """`5` or `3.1.1`."""

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False
    ) -> None:
        """Publish; with QoS 1 wait for the broker's PUBACK, which proves only that it is there.

        Quality 0 is what acknowledgements take: a lost one is asked for by a resend.
        """
        try:
            await self._client.publish(topic, payload, qos=qos, retain=retain)
        except (aiomqtt.MqttError, ValueError, OSError) as error:
            raise BrokerUnreachableError(_reason(error)) from None

    async def subscribe(self, topic_filter: str) -> None:
        """Subscribe with QoS 1."""
        try:
            granted = await self._client.subscribe(topic_filter, qos=1)
        except (aiomqtt.MqttError, ValueError, OSError) as error:
            raise BrokerUnreachableError(_reason(error)) from None
        if any(getattr(code, "value", code) >= 0x80 for code in granted):
            raise BrokerUnreachableError(f"the broker refused the subscription {topic_filter}")

    async def messages(self) -> AsyncIterator[Message]:
        """What arrives, until the connection dies. A reader that waits lets them pile up in
        memory, so whoever reads must be quick."""
        try:
            async for message in self._client.messages:
                payload = message.payload if isinstance(message.payload, bytes) else b""
                yield Message(str(message.topic), payload, bool(message.retain))
        except (aiomqtt.MqttError, OSError) as error:
            raise BrokerUnreachableError(_reason(error)) from None


def _reason(error: BaseException) -> str:
    cause = error.__cause__
    text = str(error) or type(error).__name__
    return f"{text} ({cause})" if cause is not None and str(cause) not in ("", text) else text


@contextlib.asynccontextmanager
async def connected(
    url: str,
    user: str,
    secret: str,
    *,
    purpose: str = "monitor",
    version: Literal["", "5", "3.1.1"] = "",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Connection]:
    """Connect with a clean session and a client id of its own, give the connection, and end it.

    Without `version` MQTT 5 is tried, then 3.1.1. `tls` replaces the system's roots for
    `mqtts` and `wss`. Raises BrokerUnreachableError, or ValueError for a bad URL.
    """
    address = parse_url(url)
    client, chosen = None, version
    for chosen in (version,) if version else ("5", "3.1.1"):
        client = await _client(address, user, secret, purpose, chosen, tls)
        try:
            await client.__aenter__()
            break
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            await client.drop()
            client = None
            if chosen == "5" and not version and _wants_older(error):
                continue
            raise BrokerUnreachableError(f"{address.name}: {_reason(error)}") from None
        except BaseException:
            await client.drop()
            raise
    assert client is not None
    try:
        yield Connection(client, chosen)
    finally:
        client.timeout = 1.0
        with contextlib.suppress(aiomqtt.MqttError, OSError):
            await client.__aexit__(None, None, None)
        await client.drop()


def _wants_older(error: Exception) -> bool:
    code = getattr(error, "rc", None)
    return "nsupported protocol" in str(code) or "hung up before answering" in str(error)


async def _client(
    address: Address,
    user: str,
    secret: str,
    purpose: str,
    version: str,
    tls: ssl.SSLContext | None,
) -> _Client:
    websockets = address.scheme in ("ws", "wss")
    encrypted = address.scheme in ("mqtts", "wss")
    if encrypted and tls is None:
        tls = await asyncio.to_thread(ssl.create_default_context)
    return _Client(
        address.host,
        address.port,
        username=user or address.user or None,
        password=(secret if user else address.secret) or None,
        identifier=f"{purpose}-{secrets.token_hex(6)}",
        protocol=aiomqtt.ProtocolVersion.V5 if version == "5" else aiomqtt.ProtocolVersion.V311,
        clean_session=None if version == "5" else True,
        transport="websockets" if websockets else "tcp",
        websocket_path=address.path if websockets else None,
        tls_context=tls if encrypted else None,
        timeout=CONNECT_SECONDS,
        keepalive=KEEPALIVE_SECONDS,
        logger=_silent,
    )
