# SPDX-License-Identifier: Apache-2.0
"""The Network over real sockets: the only file of the probe that opens one to measure.

The guard on destinations (`probes.net.guard`) is asked here, at connect time, about the address
that is dialled.
"""

from __future__ import annotations

import asyncio
import copy
import socket
import time

from probes.net.guard import Guard
from probes.net.network import ConnectError, Datagrams, DestinationRefusedError, Stream
from probes.net.sockets import (
    HOPS,
    RECVERR,
    SocketAddress,
    SocketDatagrams,
    SocketStream,
    connect,
    read_icmp,
)
from probes.runtime.clock import wall_clock
from probes.runtime.traffic_meter import ICMP_ERROR_BYTES, TrafficMeter, stream_bytes

# Linux socket option that the socket module does not name (include/uapi/linux/in.h).
_IP_BIND_ADDRESS_NO_PORT = 24
# Non-blocking from the start saves a system call; plain integers save the lookups of an enum.
_STREAM = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
_DATAGRAM = int(socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
NARROW_BYTES = 16384
"""Receive buffer of a narrow stream; the kernel doubles it and offers about so much (socket(7)). By
default a server may send 128 kB before anything is read. The first flight of a server, ten
segments, fits. TCP_WINDOW_CLAMP does not hold: the kernel raises it (Linux 6.18)."""


class SocketNetwork:
    """The Network that uses real sockets.

    `bind` is the source address for destinations of its own family; the other family is left
    to the kernel.
    """

    def __init__(self, bind: str | None = None, guard: Guard | None = None) -> None:
        self.meter = TrafficMeter()
        self._guard = guard or Guard()
        self._bind = bind
        self._bind_family = None if bind is None else _family(bind)

    def metered_apart(self) -> SocketNetwork:
        """The same network with a meter of its own, which adds to this one's."""
        apart = copy.copy(self)
        apart.meter = TrafficMeter(self.meter)
        return apart

    def refusal(self, address: str, port: int) -> str | None:
        """Why the guard would refuse this destination; None when it may be dialled."""
        return self._guard.refusal(address, port)

    async def connect(
        self, address: str, port: int, *, hops: int | None = None, narrow: bool = False
    ) -> Stream:
        """Open TCP to one address. Raises ConnectError or DestinationRefusedError."""
        loop = asyncio.get_running_loop()
        sock = None
        try:
            sock, family, destination = self._socket(address, port, _STREAM)
            level, option = RECVERR[family]
            sock.setsockopt(level, option, 1)
            if hops is not None:
                sock.setsockopt(*HOPS[family], hops)
            if narrow:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW_BYTES)
            await connect(loop, sock, destination)
            # From here on as in an app: a later ICMP error must not end the connection.
            sock.setsockopt(level, option, 0)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            failed = ConnectError(error.errno, error.strerror)
            if sock is not None:
                read_icmp(sock, failed)
                failed.icmp_is_own = failed.icmp_from is not None and has_address(failed.icmp_from)
                self.meter.add(ICMP_ERROR_BYTES if failed.icmp_type is not None else 0)
                self._abandon(sock)
            raise failed from error
        except BaseException:
            if sock is not None:
                self._abandon(sock)
            raise
        return SocketStream(loop, sock, self.meter)

    def _abandon(self, sock: socket.socket) -> None:
        """Close a socket that did not connect; the packets that tried to are counted."""
        self.meter.add(stream_bytes(sock))
        sock.close()

    def limit_hops(self, stream: Stream, hops: int) -> None:
        """Set the TTL of what an open stream sends from now on."""
        if not isinstance(stream, SocketStream):
            raise TypeError(f"not a stream of this network: {stream!r}")
        stream.limit_hops(hops)

    def misses_segment(self, stream: Stream) -> bool:
        """Whether segments arrived on an open stream of this network beyond one that is missing."""
        return isinstance(stream, SocketStream) and stream.misses_segment()

    def packets_sent_again(self, stream: Stream) -> int:
        """How many packets this machine has sent again on an open stream, the SYN included."""
        return stream.packets_sent_again() if isinstance(stream, SocketStream) else 0

    def packets_arrived_twice(self, stream: Stream) -> int:
        """How many packets of an open stream the far side says that it had already."""
        return stream.packets_arrived_twice() if isinstance(stream, SocketStream) else 0

    def round_trip_us(self, stream: Stream) -> int:
        """The kernel's estimate of an open stream's round trip in microseconds; 0 for none."""
        return stream.round_trip_us() if isinstance(stream, SocketStream) else 0

    async def datagrams(
        self, address: str, port: int, *, icmp: bool = False, hops: int | None = None
    ) -> Datagrams:
        """Open UDP to one address. Raises OSError or DestinationRefusedError."""
        sock, family, destination = self._socket(address, port, _DATAGRAM)
        try:
            if icmp:
                sock.setsockopt(*RECVERR[family], 1)
            if hops is not None:
                sock.setsockopt(*HOPS[family], hops)
            sock.connect(destination)  # sends nothing: it only sets the destination
        except OSError:
            sock.close()
            raise
        return SocketDatagrams(asyncio.get_running_loop(), sock, icmp, self.meter)

    def clock_us(self) -> int:
        """Monotonic clock in microseconds."""
        return time.monotonic_ns() // 1000

    def wall_ms(self) -> int:
        """Unix time in milliseconds."""
        return wall_clock()

    def _socket(
        self, address: str, port: int, kind: int
    ) -> tuple[socket.socket, socket.AddressFamily, SocketAddress]:
        """Return a bound socket, its family and the destination in the kernel's form."""
        if (rule := self._guard.refusal(address, port)) is not None:
            raise DestinationRefusedError(f"{address}: {rule}")
        family = _family(address)
        host, _, zone = address.partition("%")
        destination: SocketAddress = (host, port)
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


def has_address(address: str) -> bool:
    """Whether this machine has the IP address now."""
    with socket.socket(_family(address), socket.SOCK_DGRAM) as attempt:
        try:
            attempt.bind((address, 0))
        except OSError:
            return False
    return True


def _family(address: str) -> socket.AddressFamily:
    """The family of an address that the guard has accepted."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET
