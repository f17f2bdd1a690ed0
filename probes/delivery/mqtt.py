# SPDX-License-Identifier: Apache-2.0
"""The one file that knows aiomqtt: a connection to one broker, MQTT 5 or 3.1.1.

What aiomqtt 2.5 leaves open is closed here: a broker that hangs up, or says nothing, where a
CONNACK is due, or announces a packet without measure; the broker's packet limit; the reason in a
PUBACK. A connection is made anew each time, because paho goes on holding what a failed publish left
in its queue. Batches, acknowledgements and retries are not known here.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import ssl
from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import certifi
import msgspec

from probes.spared import sparing
from probes.wire.bounds import MAX_PACKET_BYTES

# paho would load dnspython's resolver for SRV lookups, which nobody here asks for, and that loads
# all of aioquic where it is installed: 14 MB and a tenth of a second. And it looks for proxies in
# the environment, by a module of 0.5 MB, where PySocks is installed.
with sparing(absent=["dns.resolver"], empty=[] if find_spec("socks") else ["urllib.request"]):
    import aiomqtt
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
CONNACK_SECONDS = 5.0
"""amqtt 0.12 never answers a CONNECT of MQTT 5, it waits for more bytes."""
PUBLISH_SECONDS = 60.0
MOST_WAITING = 256
"""Messages not read yet; what a flooding broker sends besides is dropped, and an acknowledgement
that was among it comes again."""
MOST_PACKET_BYTES = MAX_PACKET_BYTES
"""Longest packet taken from a broker: acknowledgements and requests are far shorter, and MQTT
allows 256 MB, which a small machine does not have."""
MOST_FRAME_BYTES = 2 * MAX_PACKET_BYTES
"""Longest frame of a websocket, which may hold several packets."""
KEEPALIVE_SECONDS = 30
_silent = logging.getLogger("reachprobe.mqtt")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


class BrokerError(Exception):
    """The broker cannot be reached, refused, or went away. One line, no secret."""


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """Where a broker is."""

    scheme: str
    host: str
    port: int
    path: str = "/mqtt"
    user: str = ""
    secret: str = ""
    version: str = ""
    """`5` or `3.1.1` when the URL says so (`?version=3.1.1`); else both are tried."""

    @property
    def encrypted(self) -> bool:
        """Whether TLS is used."""
        return self.scheme in ("mqtts", "wss")

    @property
    def exposed(self) -> bool:
        """Whether others than this machine can read what goes there, the secret included."""
        local = self.host == "localhost" or self.host.startswith("127.") or self.host == "::1"
        return not (self.encrypted or local)

    @property
    def name(self) -> str:
        """The URL without user and secret, for logs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class Message(msgspec.Struct, frozen=True):
    """What the broker delivered."""

    topic: str
    payload: bytes


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


class _Client(aiomqtt.Client):
    """aiomqtt's client with three callbacks completed and its reading bounded;
    `tests/probes/delivery/test_mqtt.py` fails when a release moves them."""

    packet_limit = 0
    refusal = ""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        unbounded = self._client._sock_recv

        def receive(size: int) -> bytes:
            if size > MOST_PACKET_BYTES:
                # To paho a connection that was lost, which it then closes.
                raise ConnectionError(f"a packet of {size} bytes, at most {MOST_PACKET_BYTES}")
            # paho keeps a frame of a websocket to its end, and that may never come.
            if len(getattr(self._client._sock, "_readbuffer", b"")) > MOST_FRAME_BYTES:
                raise ConnectionError(f"a frame of more than {MOST_FRAME_BYTES} bytes")
            return unbounded(size)

        self._client._sock_recv = receive  # type: ignore[method-assign, assignment]

    def _on_connect(
        self,
        client: Any,
        userdata: Any,
        flags: Any,
        reason_code: ReasonCode,
        properties: Any = None,
    ) -> None:
        self.packet_limit = int(getattr(properties, "MaximumPacketSize", 0) or 0)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: Any,
        userdata: Any,
        flags: Any,
        reason_code: ReasonCode,
        properties: Any = None,
    ) -> None:
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError("it hung up before answering"))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self, client: Any, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        if getattr(reason_code, "is_failure", False):
            self.refusal = str(reason_code)
        super()._on_publish(client, userdata, mid, reason_code, properties)

    async def drop(self) -> None:
        """Close the socket, whatever state the client is in."""
        # Else paho asks the loop to watch a socket that is closed by the time the loop does.
        self._client.on_socket_register_write = None
        with contextlib.suppress(OSError, ValueError):
            self._client.disconnect()
            self._client._sock_close()
        # The loop must run once for the cancelled housekeeping task to end.
        await asyncio.sleep(0)
        await asyncio.sleep(0)


class Connection:
    """A live connection; every method raises BrokerError when it has died."""

    def __init__(self, client: _Client, broker: Broker, version: str) -> None:
        self._client = client
        self.transport = f"{broker.scheme}+{version}"
        """How it is connected, e.g. `mqtts+5`."""
        self.version = version
        self.packet_limit = client.packet_limit
        """Longest packet that the broker takes; 0 when it did not say."""

    async def publish(self, topic: str, payload: bytes) -> str:
        """Publish with QoS 1 and wait for the broker's PUBACK, which proves nothing but
        that the broker is there. Returns why the broker refused it (MQTT 5), else ''."""
        self._client.refusal = ""
        try:
            await self._client.publish(topic, payload, qos=1)
        except (aiomqtt.MqttError, ValueError, OSError) as error:
            raise BrokerError(_reason(error)) from None
        return self._client.refusal

    async def subscribe(self, topic: str) -> None:
        """Subscribe with QoS 1."""
        try:
            await self._client.subscribe(topic, qos=1)
        except (aiomqtt.MqttError, ValueError, OSError) as error:
            raise BrokerError(_reason(error)) from None

    async def messages(self) -> AsyncIterator[Message]:
        """What arrives, until the connection dies: then BrokerError."""
        try:
            async for message in self._client.messages:
                payload = message.payload
                yield Message(str(message.topic), payload if isinstance(payload, bytes) else b"")
        except (aiomqtt.MqttError, OSError) as error:
            raise BrokerError(_reason(error)) from None


def _reason(error: BaseException) -> str:
    cause = error.__cause__
    text = str(error) or type(error).__name__
    return f"{text} ({cause})" if cause is not None and str(cause) not in ("", text) else text


@functools.lru_cache(maxsize=1)
def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


@contextlib.asynccontextmanager
async def connect(
    broker: Broker,
    *,
    version: str,
    user: str,
    secret: str,
    client_id: str,
    will: tuple[str, bytes],
    connack_seconds: float = CONNACK_SECONDS,
) -> AsyncIterator[Connection]:
    """Connect, give the connection, and say DISCONNECT at the end (no will then).

    `version` is `5` or `3.1.1`. Raises BrokerError.
    """
    websockets = broker.scheme in ("ws", "wss")
    transport: Literal["tcp", "websockets"] = "websockets" if websockets else "tcp"
    client = _Client(
        broker.host,
        broker.port,
        username=user or broker.user or None,
        password=(secret if user else broker.secret) or None,
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion.V5 if version == "5" else aiomqtt.ProtocolVersion.V311,
        clean_session=None if version == "5" else True,
        will=aiomqtt.Will(will[0], will[1], qos=1),
        transport=transport,
        websocket_path=broker.path if websockets else None,
        tls_context=(await asyncio.to_thread(_context)) if broker.encrypted else None,
        timeout=connack_seconds,
        keepalive=KEEPALIVE_SECONDS,
        max_queued_incoming_messages=MOST_WAITING,
        logger=_silent,
    )
    try:
        await client.__aenter__()
    except (aiomqtt.MqttError, OSError, ValueError) as error:
        await client.drop()
        raise BrokerError(f"{broker.name}: {_reason(error)}") from None
    except BaseException:
        await client.drop()
        raise
    client.timeout = PUBLISH_SECONDS
    try:
        yield Connection(client, broker, version)
    finally:
        client.timeout = 1.0
        with contextlib.suppress(aiomqtt.MqttError, OSError):
            await client.__aexit__(None, None, None)
        await client.drop()
