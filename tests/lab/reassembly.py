"""A censor on the path that puts TCP segments together before it looks for the name.

The segment that completes a ClientHello with the name is swallowed, and both ends get an RST, as
from the other one. It says on standard error in how many segments each hello came.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from dataclasses import dataclass, field

from tests.lab.hello import server_name, whole_hello
from tests.lab.nfqueue import DROP, Queue

SPLIT = "ClientHello in segments:"
_SYN, _RST, _ACK = 2, 4, 16


@dataclass(frozen=True)
class Segment:
    """What of a TCP segment concerns a censor."""

    source: str
    to: str
    source_port: int
    to_port: int
    sequence: int
    acknowledged: int
    flags: int
    payload: bytes

    @classmethod
    def read(cls, packet: bytes) -> Segment:
        """From an IP packet without extension headers."""
        if packet[0] >> 4 == 4:
            start, family, addresses = (packet[0] & 15) * 4, socket.AF_INET, (12, 16, 20)
            end = int.from_bytes(packet[2:4], "big")
        else:
            start, family, addresses = 40, socket.AF_INET6, (8, 24, 40)
            end = 40 + int.from_bytes(packet[4:6], "big")
        a, b, c = addresses
        ports = struct.unpack_from("!HHIIBB", packet, start)
        return cls(
            socket.inet_ntop(family, packet[a:b]),
            socket.inet_ntop(family, packet[b:c]),
            *ports[:4],
            ports[5],
            packet[start + (ports[4] >> 4) * 4 : end],
        )


@dataclass
class Flow:
    """What a client has said so far in one connection."""

    first: int
    """Sequence number of the first byte."""
    parts: dict[int, bytes] = field(default_factory=dict)
    over: bool = False
    """Its hello was read: pass everything, or (dead) nothing."""
    dead: bool = False

    def text(self) -> bytes:
        """What came without a gap."""
        whole = b""
        for at, part in sorted(self.parts.items()):
            if at > len(whole):
                break
            whole = whole[:at] + part
        return whole


def reassemble(queue: Queue, name: str) -> None:
    """Kill every flow whose ClientHello holds the name, however it is cut."""
    flows: dict[tuple[str, int, str, int], Flow] = {}
    for identity, packet in queue.packets():
        seen = Segment.read(packet)
        key = (seen.source, seen.source_port, seen.to, seen.to_port)
        if seen.flags & _SYN:
            flows[key] = Flow((seen.sequence + 1) % (1 << 32))
        flow = flows.get(key)
        if flow is None or not _kills(flow, seen, name):
            queue.verdict(identity)
        else:
            queue.verdict(identity, DROP)
            reset_both(seen)


def _kills(flow: Flow, seen: Segment, name: str) -> bool:
    if flow.dead or flow.over or not seen.payload:
        return flow.dead
    flow.parts[(seen.sequence - flow.first) % (1 << 32)] = seen.payload
    text = flow.text()
    if whole_hello(text) and text:
        flow.over, flow.dead = True, server_name(text) == name
        print(
            SPLIT, len(flow.parts), "dead" if flow.dead else "passed", file=sys.stderr, flush=True
        )
    return flow.dead


def reset_both(seen: Segment) -> None:
    """An RST to the server as from the client, and one to the client as from the server."""
    send(seen.source, seen.source_port, seen.to, seen.to_port, seen.sequence, 0, _RST)
    send(
        seen.to,
        seen.to_port,
        seen.source,
        seen.source_port,
        seen.acknowledged,
        (seen.sequence + len(seen.payload)) % (1 << 32),
        _RST | _ACK,
    )


def send(
    source: str,
    source_port: int,
    to: str,
    to_port: int,
    sequence: int,
    ack: int,
    flags: int,
    payload: bytes = b"",
) -> None:
    """Send a segment as from `source`; what cannot be sent is lost, as on any way."""
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    ends = socket.inet_pton(family, source) + socket.inet_pton(family, to)
    ports = struct.pack("!HHIIBBHHH", source_port, to_port, sequence, ack, 0x50, flags, 512, 0, 0)
    tcp = ports + payload
    odd = b"\0" * (len(tcp) % 2)
    check = _checksum(ends + struct.pack("!HH", socket.IPPROTO_TCP, len(tcp)) + tcp + odd)
    tcp = tcp[:16] + struct.pack("!H", check) + tcp[18:]
    if family == socket.AF_INET:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 60, socket.IPPROTO_TCP, 0)
    else:
        head = struct.pack("!IHBB", 6 << 28, len(tcp), socket.IPPROTO_TCP, 60)
    with (
        socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw,
        contextlib.suppress(OSError),
    ):
        raw.sendto(head + ends + tcp, (to, 0))


def _checksum(words: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
