# SPDX-License-Identifier: Apache-2.0
"""The broker inside `reachwatch up`: amqtt in this process, behind our own gate.

MQTT 3.1.1, enough for hundreds of probes because messages are batches; a fleet beyond one
machine uses mosquitto. It keeps no queue across connections: the probes' spools are the
record. amqtt sees only admitted clients and allowed packets, on an external listener.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import ssl
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from amqtt.adapters import StreamReaderAdapter, WriterAdapter  # type: ignore[import-untyped]
from amqtt.broker import Broker  # type: ignore[import-untyped]
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType  # type: ignore[import-untyped]
from amqtt.plugins.base import BaseAuthPlugin  # type: ignore[import-untyped]
from amqtt.session import Session  # type: ignore[import-untyped]

from monitor.broker import gate, packets
from monitor.broker.gate import LOG, Authenticate
from monitor.broker.packets import Connect, PacketError
from monitor.store.records import StoreUnavailableError

RECHECK_SECONDS = 4.0
"""How often the credentials of connected probes are asked for again: a revoked probe is off
within ten seconds."""
DRAIN_SECONDS = 20.0
SETTLE_SECONDS = 2.0
QUEUE_LIMIT, TASK_LIMIT = 64, 4096
"""Messages on their way inside amqtt before probes have to wait."""


class EmbeddedBrokerError(Exception):
    """The broker cannot start. The text is one line."""


class ListenerCertificate(NamedTuple):
    """Certificate chain and private key of the listener, PEM files."""

    chain: Path
    key: Path


class GateAuthentication(BaseAuthPlugin):  # type: ignore[misc]
    """amqtt's authentication: whoever reaches it has passed the gate."""

    async def authenticate(self, *, session: Session) -> bool | None:
        """Yes."""
        return True


class _Router(Broker):  # type: ignore[misc]
    """amqtt's broker, except that retained messages go to subscribers alone.

    amqtt sends the retained messages of everybody's filters to every client that connects,
    and iterates over the subscriptions while it does so.
    """

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        if any(s is session for s, _ in self._subscriptions.get(subscription[0], ())):
            await super()._publish_retained_messages_for_subscription(subscription, session)

    def pending(self, client: str) -> int:
        """Messages taken from this client and not yet routed."""
        session, _ = self._sessions.get(client, (None, None))
        return session.delivered_message_queue.qsize() if session else 0

    async def room_for(self, client: str) -> None:
        """Wait while so much is on its way that probes should not add to it."""
        while (  # noqa: ASYNC110 - amqtt has no event for it
            self._broadcast_queue.qsize() > QUEUE_LIMIT
            or len(self._tasks_queue) > TASK_LIMIT
            or self.pending(client) > QUEUE_LIMIT
        ):
            await asyncio.sleep(0.01)


class _Writer(WriterAdapter):  # type: ignore[misc]
    """The way back to a client; one that does not read for long is cut off."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def write(self, data: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(data)

    async def drain(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._writer.drain()
        except (TimeoutError, OSError):
            self._writer.transport.abort()

    def get_peer_info(self) -> tuple[str, int]:
        """Nobody's address: amqtt would log it."""
        return "client", 0

    def get_ssl_info(self) -> ssl.SSLObject | None:
        return None

    async def close(self) -> None:
        self._writer.close()


class _Client:
    """One admitted connection."""

    def __init__(self, user: str, secret: str, writer: asyncio.StreamWriter) -> None:
        self.user, self.secret, self.writer = user, secret, writer
        self.ended = asyncio.Event()

    def close(self) -> None:
        """End it; its will is published."""
        self.writer.transport.abort()


class EmbeddedBroker:
    """An MQTT 3.1.1 broker in this process, as an async context manager.

    `authenticate(user, secret)` answers for probes, at their connection and every few seconds
    after; the monitor's own user and secret are compared here. `port` 0 takes a free one.
    Raises EmbeddedBrokerError on entering when the address is taken, or is not loopback and
    there is no certificate.
    """

    def __init__(
        self,
        host: str,
        port: int,
        authenticate: Authenticate,
        monitor_user: str,
        monitor_secret: str,
        *,
        certificate: ListenerCertificate | None = None,
        max_connections: int = 2000,
        recheck_seconds: float = RECHECK_SECONDS,
    ) -> None:
        self.host, self.port = host, port
        self._ask = authenticate
        self._monitor_user, self._monitor_secret = monitor_user, monitor_secret
        self._certificate = certificate
        self._max_connections, self._recheck_seconds = max_connections, recheck_seconds
        self._clients: dict[str, _Client] = {}
        self._serving: set[asyncio.Task[Any]] = set()
        self._stack = contextlib.AsyncExitStack()
        self._ending = False
        self._router: _Router

    @property
    def url(self) -> str:
        """Where clients connect."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self._certificate else 'mqtt'}://{host}:{self.port}"

    async def __aenter__(self) -> EmbeddedBroker:
        """Bind and serve."""
        if not self._certificate and not _loopback(self.host):
            raise EmbeddedBrokerError(
                f"{self.host}: an address that is not loopback needs a certificate"
            )
        # amqtt logs client addresses, and tracebacks for clients that do not acknowledge.
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        logging.getLogger("transitions").setLevel(logging.CRITICAL)
        async with contextlib.AsyncExitStack() as stack:
            context = self._tls()
            self._router = _Router(
                BrokerConfig(
                    listeners={"default": ListenerConfig(type=ListenerType.EXTERNAL)},
                    plugins={f"{__name__}.GateAuthentication": {}},
                )
            )
            await self._router.start()
            stack.push_async_callback(self._router.shutdown)
            try:
                server = await asyncio.start_server(self._serve, self.host, self.port, ssl=context)
            except OSError as error:
                place = f"{self.host}:{self.port}"
                raise EmbeddedBrokerError(f"{place}: {error.strerror or error}") from None
            self.port = int(server.sockets[0].getsockname()[1])
            stack.push_async_callback(self._end, server)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            recheck = group.create_task(self._recheck())
            stack.callback(recheck.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        """Close every connection and the listener."""
        return await self._stack.__aexit__(kind, error, trace)

    def _tls(self) -> ssl.SSLContext | None:
        if self._certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(*self._certificate)
        except OSError as error:
            raise EmbeddedBrokerError(
                f"{self._certificate.chain}: {error.strerror or error}"
            ) from None
        return context

    async def _end(self, server: asyncio.Server) -> None:
        self._ending = True
        server.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)
        await server.wait_closed()

    async def _authenticate(self, user: str, secret: str) -> bool:
        if user == self._monitor_user:
            return secret == self._monitor_secret
        return await self._ask(user, secret)

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(self._recheck_seconds)
            for client in list(self._clients.values()):
                # While the store is unavailable nobody is revoked.
                with contextlib.suppress(StoreUnavailableError):
                    if not await self._authenticate(client.user, client.secret):
                        LOG.info("%s: revoked, disconnected", client.user)
                        client.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            if len(self._serving) <= self._max_connections:
                connect = await gate.admit(reader, writer, self._authenticate, self._monitor_user)
                if connect is not None:
                    await self._hold(connect, reader, writer)
        except (PacketError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            LOG.debug("connection closed: %s", error)
        except asyncio.CancelledError:
            # The broker ends. asyncio's streams of 3.11 report a cancelled callback as an error.
            if not self._ending:
                raise
        finally:
            self._serving.discard(task)
            writer.close()

    async def _hold(
        self, connect: Connect, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        assert connect.user is not None
        assert connect.secret is not None
        # A probe's client id is its user name, whatever it says: it cannot take over another.
        own = connect.user != self._monitor_user
        name = connect.user if own else f"monitor/{connect.client_id.hex() or id(writer)}"
        while (previous := self._clients.get(name)) is not None:
            previous.close()
            await previous.ended.wait()
        client = self._clients[name] = _Client(connect.user, connect.secret, writer)
        inner = asyncio.StreamReader()
        inner.feed_data(connect.admitted(name))
        try:
            async with asyncio.TaskGroup() as group:
                pump = group.create_task(self._pump(name, connect, reader, writer, inner))
                await self._route(inner, writer)
                pump.cancel()
        finally:
            del self._clients[name]
            client.ended.set()

    async def _route(self, inner: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._router.external_connected(
                StreamReaderAdapter(inner), _Writer(writer), "default"
            )
        except Exception as error:  # amqtt's own faults end one connection, not the broker
            LOG.warning("internal error of the broker on one connection: %r", error)

    async def _pump(
        self,
        name: str,
        connect: Connect,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        inner: asyncio.StreamReader,
    ) -> None:
        """Feed what is allowed to amqtt until the client goes, politely or not."""
        assert connect.user is not None
        own = connect.user != self._monitor_user
        try:
            while True:
                packet = await gate.next_packet(reader, connect.keepalive)
                if packet.kind == packets.DISCONNECT:
                    await self._settle(name)
                    inner.feed_data(packet.encode())
                    # An end of stream right behind it would count as a loss.
                    await asyncio.sleep(SETTLE_SECONDS)
                    break
                onward, answer = (
                    gate.check_probe_packet(connect.user, packet)
                    if own
                    else (gate.check_monitor_packet(packet), b"")
                )
                if onward:
                    inner.feed_data(onward)
                if answer and not writer.is_closing():
                    writer.write(answer)
                await asyncio.sleep(0)
                if own:
                    await self._router.room_for(name)
        except PacketError as error:
            LOG.warning("%s: disconnected: %s", connect.user, error)
        except (TimeoutError, asyncio.IncompleteReadError, OSError):
            pass  # gone: amqtt publishes its will
        await self._settle(name)
        inner.feed_eof()

    async def _settle(self, name: str) -> None:
        """Let amqtt take what was fed: it forgets the rest of a session that ends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                for _ in range(5):
                    await asyncio.sleep(0)
                while self._router.pending(name):  # noqa: ASYNC110 - amqtt has no event for it
                    await asyncio.sleep(0.005)


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
