# SPDX-License-Identifier: Apache-2.0
"""Traffic as an interface counts it: bytes of packets, both ways, from the kernel's own counts.

A TCP connection is read once, when it is closed: bytes and segments, those of the handshake and
those sent again included. The segments that will end it are added. Kernels before 4.19 do not say
what was sent again; where the kernel says nothing at all, a connection is estimated from its
handshake alone (`_ESTIMATE`), and the limits on what is read bound the error.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import TypeAlias

OpenSocket: TypeAlias = "socket.socket"
"""None is opened in this file."""
_ETHERNET = 14
"""Of each packet, on Ethernet and on Wi-Fi; the interface of a mobile line counts less."""
_HEADERS = {socket.AF_INET: _ETHERNET + 20, socket.AF_INET6: _ETHERNET + 40}
_UDP_HEADER = 8
_TCP_HEADER, _TIMESTAMPS = 20, 12
_SYN_OPTIONS = 20
"""Of the first segment in each direction (MSS, SACK, timestamps, window scale)."""
_CLOSED, _CLOSE_WAIT = 7, 8
_LAST_SEGMENTS = {_CLOSED: 0, _CLOSE_WAIT: 2}
_LAST_OF_BOTH = 5
"""Segments that end a connection, by its state (include/net/tcp_states.h): none after a reset, our
FIN and its acknowledgement after that of the far side; else both, and what TLS says to it."""
_ESTIMATE = 400
ICMP_ERROR_BYTES = _ETHERNET + 88
"""One that quotes a SYN over IPv4."""
# Of `struct tcp_info` (include/uapi/linux/tcp.h).
_STATE, _OPTIONS, _TIMESTAMPS_IN_USE = 0, 5, 1
_ACKED_RECEIVED = struct.Struct("=QQ"), 120
_SEGMENTS = struct.Struct("=II"), 136
_SENT = struct.Struct("=Q"), 200
_ENOUGH = 208


class TrafficMeter:
    """What has crossed the wire since it was made."""

    def __init__(self, whole: TrafficMeter | None = None) -> None:
        """What is added here is added to the `whole` as well."""
        self._whole, self._closed = whole, 0
        self._open: list[Callable[[], int]] = []

    def total(self) -> int:
        """Return the bytes so far, those of watched connections as of now."""
        return self._closed + sum(bytes_now() for bytes_now in self._open)

    def add(self, count: int) -> None:
        """Add bytes of packets."""
        self._closed += count
        if self._whole is not None:
            self._whole.add(count)

    def add_datagram(self, family: socket.AddressFamily, payload: int) -> None:
        """Add one datagram with so many bytes of payload."""
        self.add(_HEADERS[family] + _UDP_HEADER + payload)

    def watch(self, bytes_now: Callable[[], int]) -> None:
        """Count a connection that lasts, until `unwatch`."""
        self._open.append(bytes_now)

    def unwatch(self, bytes_now: Callable[[], int]) -> None:
        """Add what the connection has carried, and ask it no more."""
        self._open.remove(bytes_now)
        self.add(bytes_now())


def stream_bytes(sock: OpenSocket) -> int:
    """Return what a TCP connection has carried, or the attempt to open it, in bytes of packets with
    the segments that are to close it. The socket must not be closed."""
    try:
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ENOUGH)
    except OSError:
        return _ESTIMATE
    if len(told) < _SEGMENTS[1] + _SEGMENTS[0].size:
        return _ESTIMATE
    acked, received = _ACKED_RECEIVED[0].unpack_from(told, _ACKED_RECEIVED[1])
    sent = _SENT[0].unpack_from(told, _SENT[1])[0] if len(told) >= _ENOUGH else acked
    segments_out, segments_in = _SEGMENTS[0].unpack_from(told, _SEGMENTS[1])
    header = _HEADERS[sock.family] + _TCP_HEADER
    options = _TIMESTAMPS if told[_OPTIONS] & _TIMESTAMPS_IN_USE else 0
    segments = segments_out + segments_in
    if not acked:
        # Never open, for a SYN that is acknowledged counts as a byte: SYNs alone, and perhaps a
        # RST, which has no options.
        return int(segments * header + segments_out * _SYN_OPTIONS)
    closing = _LAST_SEGMENTS.get(told[_STATE], _LAST_OF_BOTH) * (header + options)
    syns = 2 * (_SYN_OPTIONS - options)
    return int(sent + received + segments * (header + options) + syns + closing)
