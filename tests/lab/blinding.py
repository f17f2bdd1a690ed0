"""A censor on the path that reads QUIC Initials and makes flows with a name vanish.

The datagram that completes the hello is swallowed with all that follow it; or it still passes
(`late`), as China's censor lets it, and only what follows is swallowed. With `residual` the pair of
addresses is cut off for so many seconds, whatever the name.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict

from tests.lab.initials import Reader
from tests.lab.nfqueue import ACCEPT, DROP, Queue

READ = "Initials read:"
_Flow = tuple[bytes, bytes]


def blind(queue: Queue, name: str, late: bool, residual: float = 0) -> None:
    """Let no flow come about whose hello holds the name; say on standard error which were read."""
    reader = Reader()
    told: set[_Flow] = set()
    cut: defaultdict[bytes, float] = defaultdict(float)
    """Until when, by pair of addresses."""
    for identity, packet in queue.packets():
        flow, payload = datagram(packet)
        read = reader.read(flow, payload)
        first = read is not None and flow not in told
        if first:
            told.add(flow)
            print(READ, reader.datagrams(flow), read == name, file=sys.stderr, flush=True)
        passes = read != name or (late and first)
        if cut[flow[0]] > time.monotonic():
            passes = False
        elif read == name:
            cut[flow[0]] = time.monotonic() + residual
        queue.verdict(identity, ACCEPT if passes else DROP)


def datagram(packet: bytes) -> tuple[_Flow, bytes]:
    """The flow (addresses, ports) and the payload of a UDP datagram in an IP packet without
    extension headers."""
    if packet[0] >> 4 == 4:
        start, addresses = (packet[0] & 15) * 4, packet[12:20]
    else:
        start, addresses = 40, packet[8:40]
    return (addresses, packet[start : start + 4]), packet[start + 8 :]
