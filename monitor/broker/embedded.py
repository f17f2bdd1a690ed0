# SPDX-License-Identifier: Apache-2.0
"""The broker inside `reachwatch up`: the sockets, clocks and limits around `router`.

MQTT 3.1.1 and 5 for hundreds of probes up to some thousands, because messages are batches; a fleet
beyond one machine uses mosquitto. Nobody's address is kept or logged.

What a client cannot do to others: send faster than the broker reads it (RATE_BYTES), make the
broker keep what it does not read (PROBE_QUEUE_BYTES), or occupy a connection without credentials
for longer than CONNECT_SECONDS. While the monitor itself reads too slowly, or its collector has not
subscribed, probes are not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from monitor.broker import access
from monitor.broker.connection import ServerConnection
from monitor.broker.packets import Connect, Publish, Subscribe
from monitor.broker.properties import PacketError, Reason
from monitor.broker.router import Client, MayReceive, Router
from monitor.listener import Ended, Listener, connection_limit, one_address
from monitor.seldom_log import SeldomLog
from monitor.store.records import StoreUnavailableError
from probes.runtime.options import authority
from probes.wire import topics

MAX_CONNECTIONS = 10_000
MAX_PER_ADDRESS = 500
"""Probes behind one address: a provider's NAT, a university."""
MAX_WAITING = 512
"""Connections whose CONNECT has not arrived. The oldest goes when there are more: a client sends
its CONNECT at once."""
CONNECT_SECONDS = 10.0
SWEEP_SECONDS = 1.0
RECHECK_SECONDS = 4.0
"""How often the credentials of connected probes are asked for again: a revoked probe is off
within ten seconds."""
AUTHENTICATIONS_AT_ONCE = 4
"""Each asks the store, in turns of the event loop that a batch on its way to the disk shares."""
RATE_BYTES = 512 << 10
"""Bytes a second that are read of one probe in the long run."""
BURST_BYTES = 8 << 20
"""Bytes that are read at once: a spool that drains."""
PACKET_COST_BYTES = 32 << 10
"""What a packet counts besides its bytes: of small ones, 256 at once and 16 a second."""
PROBE_QUEUE_BYTES = 1 << 20
MONITOR_SLOW_BYTES, MONITOR_QUEUE_BYTES = 8 << 20, 64 << 20
"""Unread by a client of the monitor: from here on probes wait; it is disconnected."""
STALL_SECONDS = 20.0
"""A client of the monitor that reads nothing for this long is disconnected."""
RESUMED_AT_ONCE = 32
CLOSE_SECONDS = 1.0
_COLLECTED = topics.measurements("p"), topics.status("p")
"""A collector has subscribed to topics like these."""

Authenticate = Callable[[str, str], Awaitable[bool]]


class EmbeddedBrokerError(Exception):
    """The broker cannot start. The text is one line."""


class _Credit:
    """What a probe may still send at once: a burst, and so many bytes a second."""

    def __init__(self, now: float) -> None:
        self.left, self._counted = float(BURST_BYTES), now

    def earn(self, now: float) -> None:
        """Add what the time since the last call is worth."""
        earned = (now - self._counted) * RATE_BYTES
        self.left, self._counted = min(BURST_BYTES, self.left + earned), now

    def spend(self, size: int) -> None:
        """Take what was sent; who goes on beyond it waits no longer than for a burst."""
        self.left = max(-BURST_BYTES, self.left - size)

    @property
    def wait(self) -> float:
        """Seconds until some of it is left."""
        return max(0.0, -self.left / RATE_BYTES)


class _Link(asyncio.Protocol):
    """One connection: a transport, the protocol's state, and a client once it is admitted."""

    def __init__(self, broker: EmbeddedBroker, ended: Ended) -> None:
        self._broker, self._ended = broker, ended
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport
        self.connection = ServerConnection()
        self.client: Client | None = None
        self.active = self._loop.time()
        """When the client sent something, or could have."""
        self.silence = CONNECT_SECONDS
        """Seconds without a byte after which it is disconnected."""
        self.stalled: float | None = None
        """Since when the client has read nothing of a long queue."""
        self._credit = _Credit(self.active)
        self._paused = False
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._broker.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()
        self._broker.lost(self)
        self._ended()

    def data_received(self, data: bytes) -> None:
        self.active = self._loop.time()
        self._credit.spend(len(data))
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        """Do what the client asks for, until it has to wait."""
        try:
            while events := self.connection.receive(data):
                data, published = b"", False
                for event in events:
                    if self.client is not None:
                        self._credit.spend(PACKET_COST_BYTES)
                        published |= isinstance(event, Publish)
                        self._broker.router.handle(self.client, event)
                        if isinstance(event, Subscribe) and self.client.trusted:
                            self._broker.readers_changed()
                    elif isinstance(event, Connect):
                        self._pause()
                        self._task = self._loop.create_task(self._admit(event))
                        return
                self._broker.flush()
                if self._has_to_wait(published):
                    break
        except PacketError as error:
            self._broker.log.info("a connection is closed: %s", error)
            self.connection.close(error.reason)
            self.end()
        self._broker.flush()
        self.flush()

    async def _admit(self, connect: Connect) -> None:
        reason = await self._broker.judge(connect)
        if self.transport.is_closing():
            return
        if reason is not Reason.SUCCESS:
            self.connection.refuse(reason)
            self.end()
            return
        self.client, keepalive = self._broker.admitted(self, connect)
        # One that connects again has no other burst.
        self._credit = self._broker.credits.setdefault(self.client.user, self._credit)
        self._credit.earn(self._loop.time())
        self._credit.spend(PACKET_COST_BYTES)
        self.silence = keepalive * 1.5
        self._broker.flush()
        # With what the client sent behind its CONNECT.
        if self._credit.wait and not self.client.trusted:
            self.flush()
            self._loop.call_later(self._credit.wait, self.resume)
        else:
            self.resume()

    def _has_to_wait(self, published: bool) -> bool:
        """Whether a probe is read no further for now."""
        if self.client is None or self.client.trusted:
            return False
        self._credit.earn(self._loop.time())
        if published and self._broker.monitor_is_slow:
            self.wait_for_the_monitor()
        elif self._credit.wait:
            self._pause()
            self._loop.call_later(self._credit.wait, self.resume)
        return self._paused

    def wait_for_the_monitor(self) -> None:
        """Read no further until the monitor reads what this probe sends."""
        self._pause()
        self._broker.waiting[self] = None

    def _pause(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on, beginning with what has arrived already."""
        if not self._paused or self.transport.is_closing():
            return
        if self._broker.lacks_collector and self.client is not None and not self.client.trusted:
            self.flush()  # the answer to its CONNECT
            self.wait_for_the_monitor()
        else:
            self._paused = False
            self.active = self._loop.time()
            self._receive(b"")
            if not self._paused and not self.transport.is_closing():
                self.transport.resume_reading()

    def flush(self) -> None:
        """Write what the connection has to say."""
        if (output := self.connection.take_output()) and not self.transport.is_closing():
            self.transport.write(output)
        if self.client is None or self.transport.is_closing():
            return
        unread = self.transport.get_write_buffer_size() + self.connection.waiting_bytes
        if unread > (MONITOR_QUEUE_BYTES if self.client.trusted else PROBE_QUEUE_BYTES):
            self._broker.log.warning("%s reads too slowly, disconnected", self.client.user)
            self.transport.abort()
        elif self.client.trusted:
            self._broker.is_slow(self, unread > MONITOR_SLOW_BYTES)

    def pause_writing(self) -> None:
        self.stalled = self._loop.time()

    def resume_writing(self) -> None:
        self.stalled = None
        self.flush()

    def end(self) -> None:
        """Close the connection once everything is written."""
        if not self.transport.is_closing():
            self.flush()
            self.transport.close()
            self._loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def sweep(self, now: float, late: float) -> None:
        """Disconnect a client that has been silent, or has read nothing, for too long. For `late`
        seconds this process stood still itself, and what the client sent was not read."""
        self.active = min(now, self.active + late)
        if self.stalled is not None:
            self.stalled = min(now, self.stalled + late)
        waited = self._paused and self.client is not None
        if not waited and now - self.active > self.silence:
            self.connection.close(Reason.KEEP_ALIVE_TIMEOUT)
            self.flush()
            self.transport.abort()
        elif self.stalled is not None and now - self.stalled > STALL_SECONDS:
            self.transport.abort()


class EmbeddedBroker:
    """An MQTT broker in this process, as an async context manager.

    `authenticate(user, secret)` answers for probes, at their connection and every few seconds
    after; the monitor's own user and secret are compared here. `port` 0 takes a free one. With
    `awaits_collector` probes are not read while no collector has subscribed: what they published
    would be confirmed and reach nobody, and they send it again only after ten seconds.
    Raises EmbeddedBrokerError on entering when the address is taken, or is not loopback: there is
    no TLS.
    """

    def __init__(
        self,
        host: str,
        port: int,
        authenticate: Authenticate,
        monitor_user: str,
        monitor_secret: str,
        *,
        awaits_collector: bool = False,
        max_connections: int = MAX_CONNECTIONS,
        recheck_seconds: float = RECHECK_SECONDS,
        may_receive: MayReceive = access.anybody_may_receive,
    ) -> None:
        self.host, self.port = host, port
        self._may_receive, self._awaits_collector = may_receive, awaits_collector
        self.lacks_collector = awaits_collector
        """Nobody reads what probes publish."""
        self._ask = authenticate
        self._monitor_user, self._monitor_secret = monitor_user, monitor_secret
        self.log = SeldomLog(logging.getLogger("reachwatch.broker"))
        self._max_connections, self._recheck_seconds = max_connections, recheck_seconds
        self._at_once = asyncio.Semaphore(AUTHENTICATIONS_AT_ONCE)
        self.credits: dict[str, _Credit] = {}
        """Of those that are connected, and of those that have not earned all of it again."""
        self._links: dict[Client, _Link] = {}
        self._unadmitted: dict[_Link, None] = {}
        self._open: set[_Link] = set()
        self._changed: set[Client] = set()
        self._slow: set[_Link] = set()
        self.waiting: dict[_Link, None] = {}
        """Probes that are read no further until the monitor reads again."""
        self._stack = contextlib.AsyncExitStack()
        self._closed = asyncio.Event()
        self._listener: Listener
        self.router: Router

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"mqtt://{authority(self.host, self.port)}"

    async def __aenter__(self) -> EmbeddedBroker:
        """Bind and serve."""
        if not _loopback(self.host):
            raise EmbeddedBrokerError(
                f"{self.host}: not loopback, and this broker has no TLS; use mosquitto"
            )
        clock = asyncio.get_running_loop().time
        self.router = Router(
            self._monitor_user,
            self._changed.add,
            self._end_client,
            clock,
            self.log,
            self._may_receive,
        )
        self._listener = Listener(
            "broker",
            lambda ended: _Link(self, ended),
            max_connections=connection_limit(self._max_connections),
            max_per_address=MAX_PER_ADDRESS,
        )
        try:
            self.port = await self._listener.start(self.host, self.port)
        except OSError as error:
            place = f"{self.host}:{self.port}"
            raise EmbeddedBrokerError(f"{place}: {error.strerror or error}") from None
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._close)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            for task in (self._sweep(), self._recheck()):
                stack.callback(group.create_task(task).cancel)
            self._stack = stack.pop_all()
        return self

    def side(self, address: str) -> asyncio.Protocol | None:
        """The broker's side of a connection that another server of this process carries for a
        client at this address; None for one too many. Its limits are those of all connections."""
        release = self._listener.count(one_address(address))
        return None if release is None else _Link(self, release)

    async def __aexit__(self, *error: Any) -> bool | None:
        """Close every connection and the listener, within CLOSE_SECONDS."""
        return await self._stack.__aexit__(*error)

    async def _close(self) -> None:
        self._listener.close()
        for link in list(self._open):
            link.connection.close(Reason.SERVER_SHUTTING_DOWN)
            link.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._all_closed()
        for link in list(self._open):
            link.transport.abort()
        await self._all_closed()

    async def _all_closed(self) -> None:
        while self._open:
            self._closed.clear()
            await self._closed.wait()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while True:
            due = now + SWEEP_SECONDS
            await asyncio.sleep(SWEEP_SECONDS)
            now = loop.time()
            for link in list(self._open):
                link.sweep(now, now - due)
            self._forget_credits(now)

    def _forget_credits(self, now: float) -> None:
        connected = {client.user for client in self._links}
        for user in self.credits.keys() - connected:
            self.credits[user].earn(now)
            if self.credits[user].left >= BURST_BYTES:
                del self.credits[user]

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(self._recheck_seconds)
            for client in self.router.clients:
                # While the store is unavailable nobody is revoked.
                with contextlib.suppress(StoreUnavailableError):
                    if not await self._authenticate(client.user, client.secret):
                        self.log.info("%s: revoked, disconnected", client.user)
                        client.connection.close(Reason.NOT_AUTHORIZED)
                        self._end_client(client)

    async def _authenticate(self, user: str, secret: str) -> bool:
        if user == self._monitor_user:
            given, kept = (text.encode() for text in (secret, self._monitor_secret))
            return hmac.compare_digest(given, kept)
        return await self._ask(user, secret)

    async def judge(self, connect: Connect) -> Reason:
        """Whether a client is let in: SUCCESS, or why not."""
        if connect.level not in (4, 5):
            return Reason.UNSUPPORTED_VERSION
        user, secret = connect.user, connect.secret
        if not user or not secret:
            return Reason.NOT_AUTHORIZED
        try:
            async with self._at_once:
                if not await self._authenticate(user, secret):
                    self.log.info("refused %r: credentials are wrong or revoked", user[:64])
                    return Reason.BAD_CREDENTIALS
        except StoreUnavailableError as error:
            self.log.warning("credentials cannot be checked: %s", error)
            return Reason.SERVER_UNAVAILABLE
        return self.router.refusal(connect)

    def opened(self, link: _Link) -> None:
        """A connection was made."""
        self._open.add(link)
        self._unadmitted[link] = None
        if len(self._unadmitted) > MAX_WAITING:
            oldest = next(iter(self._unadmitted))
            del self._unadmitted[oldest]
            oldest.transport.abort()

    def admitted(self, link: _Link, connect: Connect) -> tuple[Client, int]:
        """Let a client in; its keepalive in seconds."""
        self._unadmitted.pop(link, None)
        client, keepalive = self.router.join(connect, link.connection)
        self._links[client] = link
        limit = MONITOR_SLOW_BYTES if client.trusted else PROBE_QUEUE_BYTES
        link.transport.set_write_buffer_limits(high=limit)
        return client, keepalive

    def lost(self, link: _Link) -> None:
        """A connection has ended."""
        self._open.discard(link)
        self._unadmitted.pop(link, None)
        self.waiting.pop(link, None)
        if link.client is not None:
            self._links.pop(link.client, None)
            self.router.leave(link.client)
            if link.client.trusted:
                self.readers_changed()
            self.flush()
        self.is_slow(link, False)
        self._closed.set()

    def _end_client(self, client: Client) -> None:
        if (link := self._links.get(client)) is not None:
            link.end()

    def flush(self) -> None:
        """Write to every client that something was delivered to."""
        while self._changed:
            if (link := self._links.get(self._changed.pop())) is not None:
                link.flush()

    @property
    def monitor_is_slow(self) -> bool:
        """A client of the monitor has much to read yet."""
        return bool(self._slow)

    def is_slow(self, link: _Link, slow: bool) -> None:
        """Note whether a client of the monitor reads too slowly."""
        if slow:
            self._slow.add(link)
        elif link in self._slow:
            self._slow.discard(link)
            self._resume_waiting()

    def readers_changed(self) -> None:
        """A client of the monitor has subscribed or gone: let probes wait, or wait no more."""
        if not self._awaits_collector:
            return
        self.lacks_collector = not all(map(self.router.has_reader, _COLLECTED))
        if self.lacks_collector:
            for client, link in self._links.items():
                if not client.trusted:
                    link.wait_for_the_monitor()
        else:
            self._resume_waiting()

    def _resume_waiting(self) -> None:
        if self._slow or self.lacks_collector or not self.waiting:
            return
        for link in list(self.waiting)[:RESUMED_AT_ONCE]:
            del self.waiting[link]
            link.resume()
        asyncio.get_running_loop().call_later(0.01, self._resume_waiting)


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
