# SPDX-License-Identifier: Apache-2.0
"""The HTTP server around an application: deadlines and limits that aiohttp does not have.

A connection ends when its request head is not complete in time, when it is idle, or when the client
does not read the response. Connections are limited in number and by address, and requests at the
same time by caller. Behind a reverse proxy the caller is the last address in X-Forwarded-For; it
is believed only from a proxy on this machine or one that the operator has named.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from monitor.listener import Ended, Listener, Network, connection_limit, one_address

HEAD_SECONDS = 10.0
"""For the head of the first request, after the connection was made."""
IDLE_SECONDS = 75.0
"""For the head of the next one, as nginx has it."""
BODY_SECONDS = 10.0
"""For a request that has a body; most of them are small."""
SLOW_BODIES: web.AppKey[Mapping[str, float]] = web.AppKey("slow bodies", Mapping)
"""Paths whose body may take longer, with the seconds."""
LASTING: web.AppKey[frozenset[str]] = web.AppKey("lasting", frozenset)
"""Paths whose requests stay, and have limits of their own on how many there are."""
SWITCH: web.AppKey[Callable[[asyncio.BaseTransport, asyncio.Protocol], None]] = web.AppKey("switch")
"""Gives a connection to another protocol; set by `serving`."""
READ_SECONDS = 30.0
"""A client that reads nothing of a response for this long is disconnected."""
MAX_CONNECTIONS = 2000
MAX_PER_ADDRESS = 100
MAX_REQUESTS = 16
"""Of one caller at the same time. A browser uses six."""
SHUTDOWN_SECONDS = 2.0
"""How long requests in progress may take once the server was asked to stop."""


@contextlib.asynccontextmanager
async def serving(
    app: web.Application, host: str, port: int, proxies: Sequence[Network] = ()
) -> AsyncIterator[int]:
    """Serve an application until the block ends; gives the port. Raises OSError when the address
    cannot be used. No access log: it would hold volunteers' addresses."""
    guards: dict[asyncio.BaseTransport, _Guard] = {}
    app[SWITCH] = lambda transport, protocol: guards[transport].switch(protocol)
    app.middlewares.insert(0, _limiting(guards, proxies, app))
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=SHUTDOWN_SECONDS,
        keepalive_timeout=IDLE_SECONDS,
        handler_cancellation=True,  # what nobody waits for any more is not read from the store
    )
    await runner.setup()

    def guard(ended: Ended) -> asyncio.Protocol:
        assert runner.server is not None
        return _Guard(runner.server(), guards, ended)

    listener = Listener(
        "web server",
        guard,
        max_connections=connection_limit(MAX_CONNECTIONS),
        max_per_address=MAX_PER_ADDRESS,
        proxies=proxies,
    )
    try:
        bound = await listener.start(host, port)
        yield bound
    finally:
        listener.close()
        await runner.cleanup()
        for each in list(guards):
            assert isinstance(each, asyncio.Transport)
            each.abort()


class _Guard(asyncio.Protocol):
    """aiohttp's protocol for one connection, with deadlines."""

    def __init__(
        self,
        inner: asyncio.Protocol,
        guards: dict[asyncio.BaseTransport, _Guard],
        ended: Ended,
    ) -> None:
        self._inner, self._guards, self._ended = inner, guards, ended
        self._switched: asyncio.Protocol | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._deadline: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._guards[transport] = self
        self.wait_for_head(HEAD_SECONDS)
        self._inner.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.head_is_complete()
        self.resume_timer()
        del self._guards[self._transport]
        if self._switched is not None:
            self._switched.connection_lost(error)
        self._inner.connection_lost(error)
        self._ended()

    def switch(self, protocol: asyncio.Protocol) -> None:
        """What arrives from now on is for another protocol; the connection stays guarded."""
        self._switched = protocol

    def data_received(self, data: bytes) -> None:
        (self._switched or self._inner).data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._reading = self._loop.call_later(READ_SECONDS, self._transport.abort)
        (self._switched or self._inner).pause_writing()

    def resume_writing(self) -> None:
        self.resume_timer()
        (self._switched or self._inner).resume_writing()

    def resume_timer(self) -> None:
        """The client reads."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def wait_for_head(self, seconds: float) -> None:
        """Disconnect when no request begins within this time."""
        self.head_is_complete()
        self._deadline = self._loop.call_later(seconds, self._transport.abort)

    def head_is_complete(self) -> None:
        """A request has begun."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _limiting(
    guards: dict[asyncio.BaseTransport, _Guard],
    proxies: Sequence[Network],
    app: web.Application,
) -> Middleware:
    """The middleware that tells a connection's guard when a request begins and ends, and limits
    what one caller has in progress."""
    running: Counter[str] = Counter()
    slow_bodies, lasting = app.get(SLOW_BODIES, {}), app.get(LASTING, frozenset())

    @web.middleware
    async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
        guard = guards.get(request.transport) if request.transport is not None else None
        if guard is not None:
            guard.head_is_complete()
        # A client may send lines of its own; a proxy adds to the last one, or adds a line.
        forwarded = request.headers.getall("X-Forwarded-For", [])
        address = caller(request.remote or "", ",".join(forwarded), proxies)
        if address != request.remote:
            request = request.clone(remote=address)
        key = "" if request.path in lasting else one_address(address)
        running[key] += 1
        try:
            # Loopback is the operator, or a proxy that names no caller.
            if key and running[key] > MAX_REQUESTS:
                return web.Response(
                    status=429, text="too many requests at once\n", headers={"Retry-After": "1"}
                )
            seconds = slow_bodies.get(request.path, BODY_SECONDS)
            async with asyncio.timeout(seconds if request.can_read_body else None):
                return await handler(request)
        except TimeoutError:
            return web.Response(status=408, text="the request did not arrive in time\n")
        finally:
            running[key] -= 1
            if not running[key]:
                del running[key]
            if guard is not None and request.transport is not None:
                guard.wait_for_head(IDLE_SECONDS)

    return limit


def caller(peer: str, forwarded: str, proxies: Sequence[Network]) -> str:
    """The address of whoever asks: of the connection, or what a trusted proxy says."""
    try:
        address = _address(peer)
    except ValueError:
        return peer
    if address.is_loopback or any(address in network for network in proxies):
        with contextlib.suppress(ValueError):
            return str(_address(forwarded.rpartition(",")[2]))
    return str(address) if address.version == 4 else peer


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address as proxies write it: with a port, in brackets, in quotes, with a zone, or one of
    IPv4 within one of IPv6, as on a socket for both. Raises ValueError."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    found = ipaddress.ip_address(text.partition("%")[0])
    return found if found.version == 4 else found.ipv4_mapped or found
