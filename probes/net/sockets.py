# SPDX-License-Identifier: Apache-2.0
"""Streams and datagrams over sockets that are open, with the kernel's own errors and counts."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import sys
from collections.abc import Callable
from typing import TypeAlias

from probes.net.network import ConnectError
from probes.runtime.traffic_meter import ICMP_ERROR_BYTES, TrafficMeter, stream_bytes

OpenSocket: TypeAlias = "socket.socket"
"""None is opened in this file."""
# Linux socket options that the socket module does not name (include/uapi/linux/in.h, in6.h).
_IP_RECVERR = 11
_IPV6_RECVERR = 25
RECVERR = {
    socket.AF_INET: (socket.IPPROTO_IP, _IP_RECVERR),
    socket.AF_INET6: (socket.IPPROTO_IPV6, _IPV6_RECVERR),
}
_MSG_ERRQUEUE = 0x2000
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
HOPS = {
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
_ICMP_ERRNOS = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES)
"""How an ICMP error ends a datagram."""
_DATAGRAM_BYTES = 65535
SocketAddress = tuple[str, int] | tuple[str, int, int, int]


def read_icmp(sock: OpenSocket, error: ConnectError) -> None:
    """Copy type, code and sender of a queued ICMP error into `error`, if there is one."""
    try:
        _, ancillary, _, _ = sock.recvmsg(0, 512, _MSG_ERRQUEUE)
    except OSError:
        return
    for level, kind, payload in ancillary:
        if (level, kind) not in RECVERR.values():
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


class SocketStream:
    """A Stream over a non-blocking socket, without asyncio's transports (they hide errno)."""

    __slots__ = ("_awaiting_reply", "_limited", "_loop", "_meter", "_sock")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: OpenSocket, meter: TrafficMeter
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._meter = meter
        self._limited = False
        self._awaiting_reply = False
        """Something was sent and nothing received since."""

    async def send(self, payload: bytes) -> None:
        """Write all of the payload."""
        await _send_all(self._loop, self._sock, payload)
        self._awaiting_reply = True

    async def receive(self, limit: int = 65536) -> bytes:
        """Return the next bytes; empty when the far side sent FIN."""
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
        self._sock.setsockopt(*RECVERR[self._sock.family], 1)
        self._sock.setsockopt(*HOPS[self._sock.family], hops)

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
        """Close at once."""
        if self._sock.fileno() < 0:
            return
        self._meter.add(stream_bytes(self._sock))
        if self._limited:
            # The kernel must not retransmit what was dropped on purpose.
            self._sock.setsockopt(*HOPS[self._sock.family], -1)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._awaiting_reply = False
        self._sock.close()


class SocketDatagrams:
    """Datagrams over a connected UDP socket. The socket stays registered with the event loop from
    the first wait on, because a DNS lookup waits twice."""

    __slots__ = ("_arrival", "_icmp", "_loop", "_meter", "_sock", "_waiting", "_watched")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: OpenSocket,
        icmp: bool,
        meter: TrafficMeter,
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._icmp = icmp
        self._meter = meter
        self._arrival: bytes | OSError | None = None
        """Read from the socket and not yet returned. It is kept here and not in `_waiting`, because
        a call that is cancelled in the same pass of the event loop loses the future's result."""
        self._waiting: asyncio.Future[None] | None = None
        self._watched = False

    async def send(self, payload: bytes) -> None:
        """Send one datagram."""
        try:
            await _send_all(self._loop, self._sock, payload)
        except OSError as error:
            self._explain(error)
            raise
        self._meter.add_datagram(self._sock.family, len(payload))

    async def receive(self) -> bytes:
        """Return the next datagram."""
        try:
            payload = await self._received()
        except OSError as error:
            if error.errno in _ICMP_ERRNOS:
                self._meter.add(ICMP_ERROR_BYTES)
            self._explain(error)
            raise
        self._meter.add_datagram(self._sock.family, len(payload))
        return payload

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
            read_icmp(self._sock, failed)
            raise failed from error

    def close(self) -> None:
        """Close at once."""
        self._unwatch()
        self._sock.close()


async def connect(
    loop: asyncio.AbstractEventLoop, sock: OpenSocket, destination: SocketAddress
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


def _wake(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


async def _send_all(loop: asyncio.AbstractEventLoop, sock: OpenSocket, payload: bytes) -> None:
    """Send all of it, at once when there is room, as nearly always. Raises OSError."""
    try:
        count = sock.send(payload)
    except BlockingIOError:
        count = 0
    if count < len(payload):
        await loop.sock_sendall(sock, payload[count:])
