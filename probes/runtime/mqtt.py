# SPDX-License-Identifier: Apache-2.0
"""A connection to one MQTT broker, MQTT 5 or 3.1.1. The only file that uses aiomqtt.

It handles what aiomqtt 2.5 does not: a broker that hangs up or stays silent when a CONNACK is
due, a packet or websocket frame of unlimited length, the broker's packet limit, and the reason code
of a PUBACK or SUBACK. Every connection has a client of its own, because paho keeps in its queue
what a failed publish left there. Topics, batches and retries belong to the callers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from probes.runtime.unloaded import without

with without("urllib.request"):  # for proxies by PySocks: more than a megabyte of memory
    import aiomqtt
import msgspec
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from probes.runtime.broker_url import Broker
from probes.runtime.broker_url import BrokerError as BrokerError
from probes.runtime.broker_url import BrokerRefusedError as BrokerRefusedError
from probes.runtime.dial import dial
from probes.runtime.monitor_tls import MonitorTLS, monitor_tls
from probes.runtime.private_authority import remedy
from probes.runtime.stall import while_moving
from probes.runtime.traffic_meter import TrafficMeter, stream_bytes

VERSIONS = ("5", "3.1.1")
CONNACK_SECONDS = 5.0
"""Some brokers of 3.1.1 never answer a CONNECT of MQTT 5: they wait for more bytes."""
ANSWER_SECONDS = 15.0
"""For a PUBACK or SUBACK once everything has arrived."""
PUBLISH_SECONDS = 300.0
"""For a large batch on a slow line that moves."""
KEEPALIVE_SECONDS = 30
T = TypeVar("T")
_silent = logging.getLogger("probes.runtime.mqtt.paho")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


_REFUSED = (4, 5, 134, 135)
"""CONNACK codes for "bad user name or password" and "not authorized": MQTT 3.1.1, section 3.2.2.3,
and MQTT 5, section 3.2.2.2."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What is accepted from a broker that is not trusted; None for no limit."""

    messages: int | None = None
    """Messages that wait to be read; further ones are dropped."""
    packet_bytes: int | None = None
    """Longest packet, and half of the longest websocket frame, which may hold several. MQTT allows
    packets of 256 MB."""
    count_read: Callable[[int], bool] | None = None
    """Told how many bytes were read; returns False to end the connection."""


NO_LIMITS = Limits()


class Message(msgspec.Struct, frozen=True):
    """What the broker delivered."""

    topic: str
    payload: bytes
    retained: bool = False
    """The broker had stored it before the subscription."""


class _Client(aiomqtt.Client):
    """aiomqtt's client with connecting and four callbacks completed and its reading limited;
    `tests/probes/runtime/test_mqtt.py` fails when a release moves them."""

    packet_limit = 0
    refusal = ""
    cause: BaseException | None = None
    """Why the connection could not be read any more."""
    meter: TrafficMeter | None = None
    _dropped = False
    _carried = 0

    @property
    def tcp(self) -> Any:
        """The connection's socket; None when it is closed."""
        sock = self._client._sock
        return getattr(sock, "_socket", sock)  # paho wraps that of a websocket

    @contextlib.asynccontextmanager
    async def while_connected(self) -> AsyncIterator[None]:
        """Run the block as long as there is a connection and it moves: the library would wait for
        the end of its own time limit. Raises MqttError and StalledError."""
        loop = asyncio.get_running_loop()

        def end(_: object) -> None:
            # It may be called once the block has failed by itself: the limit is over then.
            with contextlib.suppress(RuntimeError):
                limit.reschedule(loop.time())

        try:
            async with asyncio.timeout(None) as limit:
                self._disconnected.add_done_callback(end)
                try:
                    async with while_moving(self.tcp, ANSWER_SECONDS):
                        yield
                finally:
                    self._disconnected.remove_done_callback(end)
        except TimeoutError:
            if limit.expired():
                raise aiomqtt.MqttError("the connection was lost") from None
            raise

    def dial(self, broker: Broker, spent: Callable[[int], None]) -> None:
        """Connect as every way to the monitor does."""
        self._client._create_socket_connection = lambda: dial(broker, spent)  # type: ignore[method-assign]

    def wire_bytes(self) -> int:
        """What the connection has carried so far."""
        sock = self._client._sock
        return self._carried if sock is None else self._carried + _wire_bytes(sock)

    def _on_socket_close(self, client: Any, userdata: Any, sock: Any) -> None:
        self._carried += _wire_bytes(sock)
        tls, stream = self._client._ssl_context, getattr(sock, "_socket", sock)
        if isinstance(tls, MonitorTLS) and isinstance(stream, ssl.SSLSocket):
            tls.remember(self._hostname, stream)
        super()._on_socket_close(client, userdata, sock)

    def _client_connect(self) -> None:
        super()._client_connect()
        if self._dropped:  # while this thread connected: nobody waits for it any more
            self._client.on_socket_unregister_write = self._client.on_socket_close = None
            self._client._sock_close()

    def limit_packets(self, most: int, count_read: Callable[[int], bool] | None) -> None:
        """Close the connection over a packet of more than `most` bytes, and when `count_read`
        refuses what was read."""
        unlimited = self._client._sock_recv

        def receive(size: int) -> bytes:
            if size > most:
                # paho takes this for a lost connection and closes it.
                raise ConnectionError(f"a packet of {size} bytes, at most {most}")
            # paho collects a websocket frame to its end, which may never come.
            if len(getattr(self._client._sock, "_readbuffer", b"")) > 2 * most:
                raise ConnectionError(f"a frame of more than {2 * most} bytes")
            try:
                chunk = unlimited(size)
            except OSError as error:
                self.cause = error  # paho does not pass it on
                raise
            if not chunk:
                self.cause = EOFError("the connection was closed")
            if count_read is not None and not count_read(len(chunk)):
                raise ConnectionError("the broker sent too much")
            return chunk

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
        if self._connected.cancelled():
            return  # nobody waits any more; the library would raise
        if not self._connected.done():
            self._connected.set_exception(
                aiomqtt.MqttError("the broker closed the connection before it answered")
            )
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self, client: Any, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        if getattr(reason_code, "is_failure", False):
            self.refusal = str(reason_code)
        super()._on_publish(client, userdata, mid, reason_code, properties)

    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:
        def write() -> None:
            try:
                client.loop_write()
            except Exception as error:
                if not self._disconnected.done():
                    self._disconnected.set_exception(error)

        def watch() -> None:
            # When a machine wakes up, paho sends a ping and closes the socket over the missing
            # answer, both before the loop comes to this; the library would have it watch the
            # closed socket. The thread that connects may close it at this very moment.
            if client._sock is sock:
                with contextlib.suppress(OSError, ValueError):
                    self._loop.add_writer(sock.fileno(), write)

        # paho may call this from the thread that connects.
        self._loop.call_soon_threadsafe(watch)

    async def _wait_for(self, fut: Awaitable[T], timeout: float | None) -> T:
        # asyncio.wait_for loses a cancellation that arrives together with the result (Python 3.11,
        # https://github.com/python/cpython/issues/86296): the task would then never end.
        seconds = self.timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                return await fut
        except TimeoutError:
            raise aiomqtt.MqttError("Operation timed out") from None

    async def drop(self) -> None:
        """Close the socket, whatever state the client is in."""
        self._dropped = True
        # Otherwise paho asks the loop to watch a socket that is closed by the time the loop does;
        # what it has asked for already is done before the socket is closed.
        self._client.on_socket_open = self._client.on_socket_register_write = None
        await asyncio.sleep(0)
        with contextlib.suppress(OSError, ValueError):
            self._client.disconnect()
            self._client._sock_close()
        if self.meter is not None:
            self.meter.unwatch(self.wire_bytes)
        # The loop must run once for the cancelled housekeeping task to end.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for ended in (self._connected, self._disconnected):
            if ended.done() and not ended.cancelled():
                ended.exception()  # else asyncio logs it where nobody was reading


class BrokerConnection:
    """An open connection; every method raises BrokerError when it has died."""

    def __init__(self, client: _Client, broker: Broker, version: str) -> None:
        self._client = client
        self.transport = f"{broker.kind}+{version}"
        """How it is connected, e.g. `mqtts+5`."""
        self.version = version
        self.packet_limit = client.packet_limit
        """Longest packet that the broker accepts; 0 when it gave no limit."""

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False
    ) -> str:
        """Publish; with QoS 1 wait for the broker's PUBACK, which proves only that the broker is
        there. Returns why the broker refused it (MQTT 5, QoS 1), '' when it did not."""
        self._client.refusal = ""
        try:
            async with (
                self._client.while_connected(),
                while_moving(self._client.tcp, ANSWER_SECONDS),
            ):
                await self._client.publish(topic, payload, qos=qos, retain=retain)
        except (aiomqtt.MqttError, ValueError, OSError) as error:
            raise BrokerError(_reason(error)) from self._client.cause
        return self._client.refusal

    async def subscribe(self, topic_filter: str) -> bool:
        """Subscribe with QoS 1. Returns whether the broker allowed it."""
        try:
            async with (
                self._client.while_connected(),
                while_moving(self._client.tcp, ANSWER_SECONDS),
            ):
                granted = await self._client.subscribe(topic_filter, qos=1)
        except (aiomqtt.MqttError, ValueError, OSError) as error:
            raise BrokerError(_reason(error)) from self._client.cause
        return all(getattr(code, "value", code) < 0x80 for code in granted)

    async def messages(self) -> AsyncIterator[Message]:
        """What arrives, until the connection dies: then BrokerError."""
        try:
            async for message in self._client.messages:
                payload = message.payload if isinstance(message.payload, bytes) else b""
                yield Message(str(message.topic), payload, bool(message.retain))
        except (aiomqtt.MqttError, OSError) as error:
            raise BrokerError(_reason(error)) from self._client.cause


def _wire_bytes(sock: Any) -> int:
    try:
        return stream_bytes(getattr(sock, "_socket", sock))  # paho wraps that of a websocket
    except OSError:
        return 0


def _refuses_credentials(error: BaseException) -> bool:
    code = getattr(error, "rc", None)
    return getattr(code, "value", code) in _REFUSED


def _reason(error: BaseException) -> str:
    cause = error.__cause__
    text = remedy(cause) or str(error) or type(error).__name__
    return f"{text} ({cause})" if cause is not None and str(cause) not in ("", text) else text


@contextlib.asynccontextmanager
async def connect(
    broker: Broker,
    *,
    client_id: str,
    user: str = "",
    secret: str = "",
    versions: Sequence[str] = VERSIONS,
    will: tuple[str, bytes] | None = None,
    tls: ssl.SSLContext | None = None,
    limits: Limits = NO_LIMITS,
    meter: TrafficMeter | None = None,
    connack_seconds: float = CONNACK_SECONDS,
) -> AsyncIterator[BrokerConnection]:
    """Connect with a clean session, give the connection, and send DISCONNECT at the end (the
    broker then drops the will).

    `versions` are tried in this order, unless the URL names one. `user` and `secret` replace those
    of the URL. `will` is topic and payload. `tls` replaces the system's and Mozilla's roots.
    `meter` counts what the connection and the attempts to open it carry. Raises BrokerError.
    """
    if broker.encrypted and tls is None:
        tls = await asyncio.to_thread(monitor_tls)
    client: _Client | None = None
    for version in (broker.version,) if broker.version else versions:
        client = _client(broker, version, client_id, user, secret, will, tls, limits)
        client.dial(broker, (lambda _: None) if meter is None else meter.add)
        client.timeout = connack_seconds
        if meter is not None:
            client.meter = meter
            meter.watch(client.wire_bytes)
        try:
            await client.__aenter__()
            break
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            await client.drop()
            # A fault of the network or of TLS is the same with every version.
            if version == versions[-1] or broker.version or isinstance(error.__cause__, OSError):
                kind = BrokerRefusedError if _refuses_credentials(error) else BrokerError
                raise kind(f"{broker.name}: {_reason(error)}") from client.cause
        except BaseException:
            await client.drop()
            raise
    assert client is not None
    client.timeout = PUBLISH_SECONDS
    try:
        yield BrokerConnection(client, broker, version)
    finally:
        client.timeout = 1.0
        with contextlib.suppress(aiomqtt.MqttError, OSError):
            await client.__aexit__(None, None, None)
        await client.drop()


def _client(
    broker: Broker,
    version: str,
    client_id: str,
    user: str,
    secret: str,
    will: tuple[str, bytes] | None,
    tls: ssl.SSLContext | None,
    limits: Limits,
) -> _Client:
    websockets = broker.scheme in ("ws", "wss")
    properties = None
    if version == "5" and limits.packet_bytes is not None:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = limits.packet_bytes
    client = _Client(
        broker.host,
        broker.port,
        username=user or broker.user or None,
        password=(secret if user else broker.secret) or None,
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion.V5 if version == "5" else aiomqtt.ProtocolVersion.V311,
        clean_session=None if version == "5" else True,
        will=None if will is None else aiomqtt.Will(*will, qos=1),
        transport="websockets" if websockets else "tcp",
        websocket_path=broker.path if websockets else None,
        tls_context=tls if broker.encrypted else None,
        keepalive=KEEPALIVE_SECONDS,
        properties=properties,
        max_queued_incoming_messages=limits.messages,
        logger=_silent,
    )
    if limits.packet_bytes is not None:
        client.limit_packets(limits.packet_bytes, limits.count_read)
    return client
