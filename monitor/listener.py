# SPDX-License-Identifier: Apache-2.0
"""A TCP listener that a flood of connections cannot exhaust: the broker's and the web server's.

asyncio's own servers accept without a limit, count a TLS handshake for a minute, and write a
traceback a second once descriptors run out. This one has a limit on all connections, one on those
of an address, counts from the accept on, and says once a minute what it refused.
Addresses are never logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import resource
import socket
from collections import Counter
from collections.abc import Callable, Sequence

from monitor.seldom_log import SeldomLog

BACKLOG = 512
ACCEPTS_AT_ONCE = 4
"""Connections accepted before others are served: what takes many turns, as a batch does on its way
to the disk, waits in each of them for as many that are new."""
PAUSE_SECONDS = 0.5
"""Nothing is accepted for this long after an accept has failed."""
LISTENERS = 2
"""Of a process: the broker's and the web server's."""
RESERVED_DESCRIPTORS = 128
"""For the store, files, logs and outgoing connections."""
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Ended = Callable[[], None]
MakeProtocol = Callable[[Ended], asyncio.Protocol]


def connection_limit(wanted: int) -> int:
    """`wanted`, or what the process's limit on open files leaves for each of its listeners. The
    soft limit is raised to the hard one first, as servers do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted * LISTENERS + RESERVED_DESCRIPTORS
    if soft < most:
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min(wanted, (soft - RESERVED_DESCRIPTORS) // LISTENERS))


class Listener:
    """Accepts connections and gives each to a protocol of its own.

    `make` gets a function that the protocol calls when its connection has ended. `max_per_address`
    counts an IPv6 /64 as one address; loopback and `proxies` are not limited by it.
    """

    def __init__(
        self,
        name: str,
        make: MakeProtocol,
        *,
        max_connections: int,
        max_per_address: int,
        proxies: Sequence[Network] = (),
    ) -> None:
        self._proxies = tuple(proxies)
        self._name, self._make = name, make
        self._max_connections, self._max_per_address = max_connections, max_per_address
        self._log = SeldomLog(logging.getLogger("reachwatch.listener"))
        self._sockets: list[socket.socket] = []
        self._addresses: Counter[str] = Counter()
        self._starting: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.refused = 0
        """Connections closed at once because of a limit."""
        self.accept_errors = 0

    async def start(self, host: str, port: int) -> int:
        """Bind and accept; return the port of the first address. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        try:
            for family, kind, protocol, _, address in dict.fromkeys(found):
                self._sockets.append(_bound(family, kind, protocol, address))
        except OSError:
            self.close()
            raise
        for listening in self._sockets:
            loop.add_reader(listening, self._accept, listening)
        return int(self._sockets[0].getsockname()[1])

    def close(self) -> None:
        """Accept no more. Connections go on."""
        for listening in self._sockets:
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(listening)
            listening.close()
        self._sockets.clear()
        for task in self._starting:
            task.cancel()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(listening, error)
                    return
                continue  # the client has gone already
            self._admit(accepted, address)

    def _admit(self, accepted: socket.socket, address: tuple[str, int]) -> None:
        release = self.count(one_address(address[0], self._proxies))
        if release is None:
            accepted.close()
            return
        accepted.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._begin(accepted, release))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    def count(self, key: str) -> Ended | None:
        """Count a connection of one address, as `one_address` names it, until the function that is
        returned is called; None for one too many."""
        if self.connections >= self._max_connections or (
            key and self._addresses[key] >= self._max_per_address
        ):
            self.refused += 1
            self._log.warning(
                "%s: connections are refused, %d so far: %d are open",
                self._name,
                self.refused,
                self.connections,
            )
            return None
        self.connections += 1
        self._addresses[key] += 1
        ended = False

        def release() -> None:
            nonlocal ended
            if not ended:
                ended = True
                self.connections -= 1
                self._addresses[key] -= 1
                if not self._addresses[key]:
                    del self._addresses[key]

        return release

    async def _begin(self, accepted: socket.socket, release: Ended) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: self._make(release), accepted)
        except OSError:
            release()  # the client has gone
        except BaseException:
            release()
            accepted.close()
            raise

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        self.accept_errors += 1
        self._log.warning(
            "%s: no connection can be accepted: %s (%d times so far)",
            self._name,
            error.strerror,
            self.accept_errors,
        )
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)

        def resume() -> None:
            if listening in self._sockets:
                loop.add_reader(listening, self._accept, listening)

        loop.call_later(PAUSE_SECONDS, resume)


def _bound(family: int, kind: int, protocol: int, address: object) -> socket.socket:
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.setblocking(False)
        listening.bind(address)  # type: ignore[arg-type]
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def one_address(text: str, exempt: Sequence[Network] = ()) -> str:
    """What counts as one address; empty for loopback and what is exempt."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_loopback or any(found in network for network in exempt):
        return ""
    return str(found) if found.version == 4 else str(int(found) >> 64)
