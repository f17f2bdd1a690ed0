"""A censor on the path that reads QUIC Initials and makes flows with a name vanish.

The datagram that completes the hello is swallowed with all that follow it; or it still passes
(`late`), as China's censor lets it, and only what follows is swallowed.
"""

from __future__ import annotations

import sys

from tests.lab.initials import Reader
from tests.lab.nfqueue import ACCEPT, DROP, Queue

READ = "Initials read:"
_Flow = tuple[bytes, bytes]


def blind(queue: Queue, name: str, late: bool) -> None:
    """Let no flow come about whose hello holds the name; say on standard error which were read."""
    reader = Reader()
    told: set[_Flow] = set()
    for identity, packet in queue.packets():
        flow, payload = datagram(packet)
        read = reader.read(flow, payload)
        first = read is not None and flow not in told
        if first:
            told.add(flow)
            print(READ, reader.datagrams(flow), read == name, file=sys.stderr, flush=True)
        passes = read != name or (late and first)
        queue.verdict(identity, ACCEPT if passes else DROP)


def datagram(packet: bytes) -> tuple[_Flow, bytes]:
    """The flow (addresses, ports) and the payload of a UDP datagram in an IP packet without
    extension headers."""
    if packet[0] >> 4 == 4:
        start, addresses = (packet[0] & 15) * 4, packet[12:20]
    else:
        start, addresses = 40, packet[8:40]
    return (addresses, packet[start : start + 4]), packet[start + 8 :]
