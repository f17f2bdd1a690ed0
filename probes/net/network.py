# SPDX-License-Identifier: Apache-2.0
"""The Network port: the only file of the probe that opens a socket.

Everything that measures receives a `Network`. A call takes one address, never a host name, because
asyncio loses the errno when it tries several. The caller limits the time. The guard on destinations
(`probes.net.guard`) is asked here, at connect time, about the address that is dialled.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Protocol

from probes.net.guard import Guard as Guard
from probes.runtime.clock import wall_clock


class ConnectError(OSError):
    """A failed TCP connect, or a rejected datagram, with the ICMP error that caused it, if any
    (IP_RECVERR)."""

    icmp_type: int | None = None
    icmp_code: int | None = None
    icmp_from: str | None = None


class DestinationRefusedError(Exception):
    """The guard forbids this address; nothing was sent. The text names the rule."""


class Stream(Protocol):
    """One TCP connection. Errors are OSError with the kernel's errno."""

    async def send(self, payload: bytes) -> None:
        """Write all of the payload."""

    async def receive(self, limit: int = 65536) -> bytes:
        """Return the next bytes, at most `limit`; empty when the far side sent FIN."""

    def close(self) -> None:
        """Close at once; safe to call twice."""


class Datagrams(Protocol):
    """One connected UDP socket."""

    async def send(self, payload: bytes) -> None:
        """Send one datagram."""

    async def receive(self) -> bytes:
        """Return the next datagram. OSError (ECONNREFUSED, ...) when ICMP says so."""

    def close(self) -> None:
        """Close at once; safe to call twice."""


SENT_AGAIN = "sent_again"
"""Evidence of a step that succeeded: this machine sent packets of it more than once."""
LATE = "sent_again_answered"
"""Evidence beside it: what was sent first was answered as well, or all of it. Nothing was lost."""


class Network(Protocol):
    """All that a measurement may do outside this process."""

    async def connect(self, address: str, port: int, *, hops: int | None = None) -> Stream:
        """Open TCP to one address. Raises ConnectError or DestinationRefusedError. `hops` is the
        TTL of every packet: a router that drops one answers by ICMP, as in ConnectError."""

    def limit_hops(self, stream: Stream, hops: int) -> None:
        """Set the TTL of what an open stream of this network sends from now on. An ICMP error
        ends `receive` with EHOSTUNREACH, and `close` then sends a RST with the usual TTL."""

    def misses_segment(self, stream: Stream) -> bool:
        """Whether segments arrived on an open stream of this network beyond one that is missing:
        the server answered, and the path lost a part of the answer and its repeats."""

    def packets_sent_again(self, stream: Stream) -> int:
        """How many packets this machine has sent again on an open stream of this network, the SYN
        included; 0 where the kernel does not say."""

    def packets_arrived_twice(self, stream: Stream) -> int:
        """How many packets of an open stream of this network the far side says that it had already
        (RFC 2883); 0 where it does not say, or the kernel is older than 5.4."""

    def round_trip_us(self, stream: Stream) -> int:
        """The kernel's estimate of an open stream's round trip in microseconds; 0 where it has
        none, as after a SYN that was sent again to a server without timestamps (RFC 7323)."""

    async def datagrams(self, address: str, port: int, *, icmp: bool = False) -> Datagrams:
        """Open UDP to one address. Raises OSError or DestinationRefusedError.

        With `icmp` every ICMP error ends `send` and `receive` as a ConnectError with its type,
        code and sender; without it, only port-unreachable does, as a plain OSError.
        """

    def refusal(self, address: str, port: int) -> str | None:
        """Why the guard would refuse this destination; None when it may be dialled."""

    def clock_us(self) -> int:
        """Monotonic clock in microseconds."""

    def wall_ms(self) -> int:
        """Unix time in milliseconds."""


# Linux socket options that the socket module does not name (include/uapi/linux/in.h, in6.h).
_IP_RECVERR = 11
_IP_BIND_ADDRESS_NO_PORT = 24
_IPV6_RECVERR = 25
_RECVERR = {
    socket.AF_INET: (socket.IPPROTO_IP, _IP_RECVERR),
    socket.AF_INET6: (socket.IPPROTO_IPV6, _IPV6_RECVERR),
}
_MSG_ERRQUEUE = 0x2000
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_HOPS = {
    socket.AF_INET: (socket.IPPROTO_IP, socket.IP_TTL),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS),
}
_ORIGIN_ICMP = (2, 3)
_SENT_AGAIN = slice(100, 104)
"""Of `struct tcp_info`: tcpi_total_retrans (include/uapi/linux/tcp.h)."""
_ROUND_TRIP = slice(68, 72)
"""Of `struct tcp_info`: tcpi_rtt."""
_TWICE = slice(216, 220)
"""Of `struct tcp_info`: tcpi_dsack_dups."""
_OUT_OF_ORDER = slice(224, 228)
"""Of `struct tcp_info`: tcpi_rcv_ooopack (include/uapi/linux/tcp.h, since Linux 5.4)."""
# Non-blocking from the start saves a system call; plain integers save the lookups of an enum.
_STREAM = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
_DATAGRAM = int(socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
_DATAGRAM_BYTES = 65535


def _read_icmp(sock: socket.socket, error: ConnectError) -> None:
    """Copy type, code and sender of a queued ICMP error into `error`, if there is one."""
    try:
        _, ancillary, _, _ = sock.recvmsg(0, 512, _MSG_ERRQUEUE)
    except OSError:
        return
    for level, kind, payload in ancillary:
        if (level, kind) not in _RECVERR.values():
            continue
        _, origin, error.icmp_type, error.icmp_code, _, _, _ = _EXTENDED_ERROR.unpack_from(payload)
        if origin not in _ORIGIN_ICMP:
            error.icmp_type = error.icmp_code = None
            continue
        offender = payload[_EXTENDED_ERROR.size :]
        family = struct.unpack_from("=H", offender)[0] if len(offender) >= 2 else 0
        if family == socket.AF_INET and len(offender) >= 8:
            error.icmp_from = socket.inet_ntop(family, offender[4:8])
        elif family == socket.AF_INET6 and len(offender) >= 24:
            error.icmp_from = socket.inet_ntop(family, offender[8:24])


class _SocketStream:
    """A Stream over a non-blocking socket, without asyncio's transports (they hide errno)."""

    __slots__ = ("_awaiting_reply", "_limited", "_loop", "_sock")

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self._sock = sock
        self._limited = False
        self._awaiting_reply = False
        """Something was sent and nothing received since."""

    async def send(self, payload: bytes) -> None:
        await _send_all(self._loop, self._sock, payload)
        self._awaiting_reply = True

    async def receive(self, limit: int = 65536) -> bytes:
        while True:
            # Nothing can have arrived yet just after sending: trying would waste a system call.
            if not self._awaiting_reply:
                try:
                    return self._sock.recv(limit)
                except BlockingIOError:
                    pass
            self._awaiting_reply = False
            await _wait_ready(self._sock.fileno(), self._loop.add_reader, self._loop.remove_reader)

    def limit_hops(self, hops: int) -> None:
        """Set the TTL of what is sent from now on, and receive ICMP errors."""
        self._limited = True
        self._sock.setsockopt(*_RECVERR[self._sock.family], 1)
        self._sock.setsockopt(*_HOPS[self._sock.family], hops)

    def misses_segment(self) -> bool:
        """Whether segments arrived beyond one that is missing; False on kernels before 5.4."""
        info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _OUT_OF_ORDER.stop)
        return any(info[_OUT_OF_ORDER])

    def packets_sent_again(self) -> int:
        """Segments that were sent again, the SYN included."""
        return self._kernel_says(_SENT_AGAIN)

    def packets_arrived_twice(self) -> int:
        """Segments that the far side had already."""
        return self._kernel_says(_TWICE)

    def round_trip_us(self) -> int:
        """The kernel's estimate of the round trip."""
        return self._kernel_says(_ROUND_TRIP)

    def _kernel_says(self, where: slice) -> int:
        info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, where.stop)
        return int.from_bytes(info[where], sys.byteorder)

    def close(self) -> None:
        if self._limited and self._sock.fileno() >= 0:
            # The kernel must not retransmit what was dropped on purpose.
            self._sock.setsockopt(*_HOPS[self._sock.family], -1)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._awaiting_reply = False
        self._sock.close()


class _SocketDatagrams:
    """Datagrams over a connected UDP socket. The socket stays registered with the event loop from
    the first wait on, because a DNS lookup waits twice."""

    __slots__ = ("_arrival", "_icmp", "_loop", "_sock", "_waiting", "_watched")

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, icmp: bool) -> None:
        self._loop = loop
        self._sock = sock
        self._icmp = icmp
        self._arrival: bytes | OSError | None = None
        """Read from the socket and not yet returned. It is kept here and not in `_waiting`, because
        a call that is cancelled in the same pass of the event loop loses the future's result."""
        self._waiting: asyncio.Future[None] | None = None
        self._watched = False

    async def send(self, payload: bytes) -> None:
        try:
            await _send_all(self._loop, self._sock, payload)
        except OSError as error:
            self._explain(error)
            raise

    async def receive(self) -> bytes:
        try:
            return await self._received()
        except OSError as error:
            self._explain(error)
            raise

    async def _received(self) -> bytes:
        if self._arrival is None:
            try:
                return self._sock.recv(_DATAGRAM_BYTES)
            except BlockingIOError:
                pass
            self._waiting = self._loop.create_future()
            if not self._watched:
                self._loop.add_reader(self._sock.fileno(), self._arrived)
                self._watched = True
            await self._waiting
        arrival, self._arrival = self._arrival, None
        if isinstance(arrival, OSError):
            raise arrival
        assert arrival is not None
        return arrival

    def _arrived(self) -> None:
        """Keep a datagram for the waiting call; without one, leave it and stop watching."""
        if self._waiting is None or self._waiting.done():
            self._unwatch()
            return
        try:
            self._arrival = self._sock.recv(_DATAGRAM_BYTES)
        except BlockingIOError:
            return  # wrong checksum
        except OSError as error:
            self._arrival = error
        self._waiting.set_result(None)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._sock.fileno())

    def _explain(self, error: OSError) -> None:
        """Raise the same error with the ICMP error that caused it, where that was requested."""
        if self._icmp:
            failed = ConnectError(error.errno, error.strerror)
            _read_icmp(self._sock, failed)
            raise failed from error

    def close(self) -> None:
        self._unwatch()
        self._sock.close()


class SocketNetwork:
    """The Network that uses real sockets.

    `bind` is the source address for destinations of its own family; the other family is left
    to the kernel.
    """

    def __init__(self, bind: str | None = None, guard: Guard | None = None) -> None:
        self._guard = guard or Guard()
        self._bind = bind
        self._bind_family = None if bind is None else _family(bind)

    def refusal(self, address: str, port: int) -> str | None:
        """Why the guard would refuse this destination; None when it may be dialled."""
        return self._guard.refusal(address, port)

    async def connect(self, address: str, port: int, *, hops: int | None = None) -> Stream:
        """Open TCP to one address. Raises ConnectError or DestinationRefusedError."""
        loop = asyncio.get_running_loop()
        sock = None
        try:
            sock, family, destination = self._socket(address, port, _STREAM)
            level, option = _RECVERR[family]
            sock.setsockopt(level, option, 1)
            if hops is not None:
                sock.setsockopt(*_HOPS[family], hops)
            await _connect(loop, sock, destination)
            # From here on as in an app: a later ICMP error must not end the connection.
            sock.setsockopt(level, option, 0)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            failed = ConnectError(error.errno, error.strerror)
            if sock is not None:
                _read_icmp(sock, failed)
                sock.close()
            raise failed from error
        except BaseException:
            if sock is not None:
                sock.close()
            raise
        return _SocketStream(loop, sock)

    def limit_hops(self, stream: Stream, hops: int) -> None:
        """Set the TTL of what an open stream sends from now on."""
        if not isinstance(stream, _SocketStream):
            raise TypeError(f"not a stream of this network: {stream!r}")
        stream.limit_hops(hops)

    def misses_segment(self, stream: Stream) -> bool:
        """Whether segments arrived on an open stream of this network beyond one that is missing."""
        return isinstance(stream, _SocketStream) and stream.misses_segment()

    def packets_sent_again(self, stream: Stream) -> int:
        """How many packets this machine has sent again on an open stream, the SYN included."""
        return stream.packets_sent_again() if isinstance(stream, _SocketStream) else 0

    def packets_arrived_twice(self, stream: Stream) -> int:
        """How many packets of an open stream the far side says that it had already."""
        return stream.packets_arrived_twice() if isinstance(stream, _SocketStream) else 0

    def round_trip_us(self, stream: Stream) -> int:
        """The kernel's estimate of an open stream's round trip in microseconds; 0 for none."""
        return stream.round_trip_us() if isinstance(stream, _SocketStream) else 0

    async def datagrams(self, address: str, port: int, *, icmp: bool = False) -> Datagrams:
        """Open UDP to one address. Raises OSError or DestinationRefusedError."""
        sock, family, destination = self._socket(address, port, _DATAGRAM)
        try:
            if icmp:
                sock.setsockopt(*_RECVERR[family], 1)
            sock.connect(destination)  # sends nothing: it only sets the destination
        except OSError:
            sock.close()
            raise
        return _SocketDatagrams(asyncio.get_running_loop(), sock, icmp)

    def clock_us(self) -> int:
        """Monotonic clock in microseconds."""
        return time.monotonic_ns() // 1000

    def wall_ms(self) -> int:
        """Unix time in milliseconds."""
        return wall_clock()

    def _socket(
        self, address: str, port: int, kind: int
    ) -> tuple[socket.socket, socket.AddressFamily, _SocketAddress]:
        """Return a bound socket, its family and the destination in the kernel's form."""
        if (rule := self._guard.refusal(address, port)) is not None:
            raise DestinationRefusedError(f"{address}: {rule}")
        family = _family(address)
        host, _, zone = address.partition("%")
        destination: _SocketAddress = (host, port)
        if zone:
            scope = int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
            destination = (host, port, 0, scope)
        sock = socket.socket(family, kind)
        try:
            if self._bind is not None and self._bind_family == family:
                if kind == _STREAM:
                    # The kernel then chooses the port at connect, by the whole four-tuple.
                    sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((self._bind, 0))
        except OSError:
            sock.close()
            raise
        return sock, family, destination


_SocketAddress = tuple[str, int] | tuple[str, int, int, int]


async def _connect(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, destination: _SocketAddress
) -> None:
    """Connect. `loop.sock_connect` would resolve the address once more. Raises OSError."""
    failed = sock.connect_ex(destination)
    if failed == errno.EINPROGRESS:
        await _wait_ready(sock.fileno(), loop.add_writer, loop.remove_writer)
        failed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if failed:
        raise OSError(failed, os.strerror(failed))


async def _wait_ready(
    number: int, watch: Callable[..., object], unwatch: Callable[[int], object]
) -> None:
    """Wait until a descriptor may be read or written. It is given by number, because the event loop
    formats a socket as text for its log."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    watch(number, _wake, over)
    try:
        await over
    finally:
        unwatch(number)


def has_address(address: str) -> bool:
    """Whether this machine has the IP address now."""
    with socket.socket(_family(address), socket.SOCK_DGRAM) as attempt:
        try:
            attempt.bind((address, 0))
        except OSError:
            return False
    return True


def _wake(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


async def _send_all(loop: asyncio.AbstractEventLoop, sock: socket.socket, payload: bytes) -> None:
    """Send all of it, at once when there is room, as nearly always. Raises OSError."""
    try:
        count = sock.send(payload)
    except BlockingIOError:
        count = 0
    if count < len(payload):
        await loop.sock_sendall(sock, payload[count:])


def _family(address: str) -> socket.AddressFamily:
    """The family of an address that the guard has accepted."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET
