"""Censors on a kernel packet queue that set traps for whoever measures.

`python -m tests.lab.trapping`, one order as a JSON object on standard input; it says `ready`.
`act` is one of

- `residual`: kill the connection, and go on for `seconds` with the pair of addresses, whatever is
  said: `then` is `reset` (of what carries a payload) or `drop` (of everything);
- `race`: let everything pass, and send the client an RST as from the server, at once (`late`
  false) or after the first segment of the server's answer (`late` true); in place of the RST an
  `end` of the connection (`fin`) or an answer in the server's place (`alert`, `away`);
- `deaf`: let the name pass, and of this connection nothing that the server sends;
- `swallow`: drop the segment that completes the name's hello, again and again;
- `handshakes`: kill the first connection to each address, and every one to some (`always`).

On port 80 the name is that of a Host header.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from tests.lab.answers import ANSWERS
from tests.lab.hello import server_name, whole_hello
from tests.lab.nfqueue import DROP, Queue
from tests.lab.reassembly import Flow, Segment, reset_both, send

TLS_PORT = 443
_SYN, _RST_ACK, _FIN_ACK, _PSH_ACK = 2, 4 | 16, 1 | 16, 8 | 16
_ENDS = {
    "reset": (_RST_ACK, b""),
    "fin": (_FIN_ACK, b""),
    "alert": (_PSH_ACK, bytes((21, 3, 3, 0, 2, 2, 40))),
    "away": (_PSH_ACK, ANSWERS["away"]),
}
_Key = tuple[str, int, str, int]


@dataclass
class Trap:
    """What a censor remembers."""

    name: str
    act: str
    seconds: float = 0
    then: str = "reset"
    late: bool = False
    end: str = "reset"
    port: int = TLS_PORT
    always: tuple[str, ...] = ()
    flows: dict[_Key, Flow] = field(default_factory=dict)
    until: dict[tuple[str, str], float] = field(default_factory=dict)
    """When the residual blocking of a pair of addresses ends."""
    met: set[str] = field(default_factory=set)
    """Addresses at which a connection was killed."""

    def lets_pass(self, seen: Segment) -> bool:
        """Look at a segment, send what there is to send, say whether it may go on."""
        if seen.source_port == self.port:
            return self._answered(seen)
        pair = (seen.source, seen.to)
        if self.until.get(pair, 0) > time.monotonic():
            if self.then == "drop":
                return False
            if seen.payload:
                reset_both(seen)
                return False
        if self.act == "handshakes":
            if seen.payload and (seen.to in self.always or seen.to not in self.met):
                self.met.add(seen.to)
                reset_both(seen)
                return False
            return True
        if not self._named(seen):
            return True
        if self.act == "residual":
            self.until[pair] = time.monotonic() + self.seconds
            reset_both(seen)
            return False
        if self.act == "race" and not self.late:
            self._end(seen.acknowledged, seen.sequence + len(seen.payload), seen)
        return self.act != "swallow"

    def _named(self, seen: Segment) -> bool:
        """This segment completes a hello with the name."""
        key = (seen.source, seen.source_port, seen.to, seen.to_port)
        if seen.flags & _SYN:
            self.flows[key] = Flow((seen.sequence + 1) % (1 << 32))
        flow = self.flows.get(key)
        if flow is None or not seen.payload:
            return False
        if flow.over:
            return flow.dead and self.act == "swallow"
        flow.parts[(seen.sequence - flow.first) % (1 << 32)] = seen.payload
        text = flow.text()
        flow.over = bool(text) and whole_hello(text)
        flow.dead = flow.over and self._says(text)
        return flow.dead

    def _says(self, text: bytes) -> bool:
        if self.port == TLS_PORT:
            return server_name(text) == self.name
        return f"\r\nhost: {self.name}\r\n".encode() in text.lower()

    def _answered(self, seen: Segment) -> bool:
        """The server's first bytes to a hello with the name are followed by an RST, or lost."""
        flow = self.flows.get((seen.to, seen.to_port, seen.source, seen.source_port))
        if flow is not None and flow.dead and self.late and seen.payload:
            flow.dead = False
            end = (seen.sequence + len(seen.payload)) % (1 << 32)
            turned = Segment(seen.to, seen.source, seen.to_port, seen.source_port, 0, 0, 0, b"")
            self._end(end, seen.acknowledged, turned)
        return not (flow is not None and flow.dead and self.act == "deaf")

    def _end(self, sequence: int, ack: int, seen: Segment) -> None:
        """What ends the connection, to the client of a segment, as from its server."""
        flags, payload = _ENDS[self.end]
        send(
            seen.to, seen.to_port, seen.source, seen.source_port,
            sequence, ack % (1 << 32), flags, payload,
        )  # fmt: skip


def main() -> None:
    """Go on until killed."""
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    trap, queue = Trap(**order), Queue()
    print("ready", flush=True)
    for identity, packet in queue.packets():
        if trap.act == "race" and trap.late and packet:
            # The segment goes on before the RST that follows it.
            seen = Segment.read(packet)
            queue.verdict(identity)
            trap.lets_pass(seen)
        elif trap.lets_pass(Segment.read(packet)):
            queue.verdict(identity)
        else:
            queue.verdict(identity, DROP)


if __name__ == "__main__":
    main()
