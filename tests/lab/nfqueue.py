"""A kernel packet queue in pure Python: just bind, read packets, give verdicts.

nftables has no `queue` statement in every kernel, so packets come by iptables' NFQUEUE target.
Numbers from include/uapi/linux/netfilter/nfnetlink_queue.h.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Iterator

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 3 << 8  # NFNL_SUBSYS_QUEUE
_PACKET, _VERDICT, _CONFIG = _SUBSYSTEM, _SUBSYSTEM | 1, _SUBSYSTEM | 2
_VERDICTS = _SUBSYSTEM | 3
_CFG_CMD, _CFG_PARAMS = 1, 2
_ATTR_HEADER, _ATTR_VERDICT, _ATTR_PAYLOAD = 1, 2, 10
_BIND, _COPY_HEAD, _COPY_PACKET = 1, 1, 2
_REQUEST = 1
_SOL_NETLINK, _NO_ENOBUFS = 270, 5  # include/uapi/linux/netlink.h
_SO_RCVBUFFORCE = 33  # include/uapi/asm-generic/socket.h
_ROOM = 8 << 20
ACCEPT, DROP = 1, 0


def _attribute(kind: int, payload: bytes) -> bytes:
    length = 4 + len(payload)
    return struct.pack("=HH", length, kind) + payload + b"\0" * (-length % 4)


class Queue:
    """One queue of this network namespace."""

    def __init__(self, number: int = 0, *, copy: bool = True) -> None:
        self._number = number
        mode = _COPY_PACKET if copy else _COPY_HEAD
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        # Where a busy machine lets the queue run over, a packet is lost, and not the censor.
        self._socket.setsockopt(_SOL_NETLINK, _NO_ENOBUFS, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        self._socket.bind((0, 0))
        self._send(_CONFIG, _attribute(_CFG_CMD, struct.pack("!BxH", _BIND, socket.AF_INET)))
        self._send(_CONFIG, _attribute(_CFG_PARAMS, struct.pack("!IB", 0xFFFF, mode)))

    def _send(self, kind: int, attributes: bytes) -> None:
        body = struct.pack("!BBH", socket.AF_UNSPEC, 0, self._number) + attributes
        head = struct.pack("=IHHII", 16 + len(body), kind, _REQUEST, 0, os.getpid())
        self._socket.send(head + body)

    def packets(self) -> Iterator[tuple[int, bytes]]:
        """Yield (packet id, IP packet) for ever; each needs a verdict."""
        while True:
            yield from self.batch()

    def waits(self, seconds: float | None) -> bool:
        """A packet is there, at once or within so many seconds (None: whenever)."""
        return bool(select.select([self._socket], [], [], seconds and max(0.0, seconds))[0])

    def batch(self) -> Iterator[tuple[int, bytes]]:
        """The next packets, as the kernel hands them over; without copies they are empty."""
        batch = self._socket.recv(1 << 17)
        while len(batch) >= 16:
            length, kind = struct.unpack_from("=IH", batch)
            if kind == _PACKET:
                yield self._packet(batch[20:length])
            batch = batch[(length + 3) & ~3 :]

    @staticmethod
    def _packet(attributes: bytes) -> tuple[int, bytes]:
        identity, payload = 0, b""
        while len(attributes) >= 4:
            length, kind = struct.unpack_from("=HH", attributes)
            content = attributes[4:length]
            if kind & 0x7FFF == _ATTR_HEADER:
                (identity,) = struct.unpack_from("!I", content)
            elif kind & 0x7FFF == _ATTR_PAYLOAD:
                payload = content
            attributes = attributes[(length + 3) & ~3 :]
        return identity, payload

    def accept_up_to(self, identity: int) -> None:
        """Let this packet and all before it go on."""
        self._send(_VERDICTS, _attribute(_ATTR_VERDICT, struct.pack("!II", ACCEPT, identity)))

    def verdict(self, identity: int, verdict: int = ACCEPT) -> None:
        """Let a packet go on, or drop it."""
        self._send(_VERDICT, _attribute(_ATTR_VERDICT, struct.pack("!II", verdict, identity)))


def datagram(source: str, source_port: int, to: str, to_port: int, payload: bytes) -> bytes:
    """Return an IPv4 UDP packet; the kernel fills length and checksum of the IP header, and a
    UDP checksum of 0 means none (RFC 768)."""
    udp = struct.pack("!HHHH", source_port, to_port, 8 + len(payload), 0) + payload
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x45, 0, 20 + len(udp), 0, 0, 60, socket.IPPROTO_UDP, 0,
        socket.inet_aton(source), socket.inet_aton(to),
    )  # fmt: skip
    return head + udp
