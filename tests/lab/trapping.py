"""Censors on a kernel packet queue that set traps for whoever measures.

`python -m tests.lab.trapping`, one order as a JSON object on standard input; it says `ready`.
`act` is one of

- `residual`: kill the connection, and go on for `seconds` with the pair of addresses, whatever is
  said: `then` is `reset` (of what carries a payload) or `drop` (of everything);
- `race`: let everything pass, and send the client an RST as from the server, at once (`late`
  false) or after the first segment of the server's answer (`late` true).
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from tests.lab.hello import server_name, whole_hello
from tests.lab.nfqueue import DROP, Queue
from tests.lab.reassembly import Flow, Segment, reset_both, send

PORT = 443
_SYN, _RST_ACK = 2, 4 | 16
_Key = tuple[str, int, str, int]


@dataclass
class Trap:
    """What a censor remembers."""

    name: str
    act: str
    seconds: float = 0
    then: str = "reset"
    late: bool = False
    flows: dict[_Key, Flow] = field(default_factory=dict)
    until: dict[tuple[str, str], float] = field(default_factory=dict)
    """When the residual blocking of a pair of addresses ends."""

    def lets_pass(self, seen: Segment) -> bool:
        """Look at a segment, send what there is to send, say whether it may go on."""
        if seen.source_port == PORT:
            self._answered(seen)
            return True
        pair = (seen.source, seen.to)
        if self.until.get(pair, 0) > time.monotonic():
            if self.then == "drop":
                return False
            if seen.payload:
                reset_both(seen)
                return False
        if not self._named(seen):
            return True
        if self.act == "residual":
            self.until[pair] = time.monotonic() + self.seconds
            reset_both(seen)
            return False
        if not self.late:
            _reset_client(seen.acknowledged, seen.sequence + len(seen.payload), seen)
        return True

    def _named(self, seen: Segment) -> bool:
        """This segment completes a hello with the name."""
        key = (seen.source, seen.source_port, seen.to, seen.to_port)
        if seen.flags & _SYN:
            self.flows[key] = Flow((seen.sequence + 1) % (1 << 32))
        flow = self.flows.get(key)
        if flow is None or flow.over or not seen.payload:
            return False
        flow.parts[(seen.sequence - flow.first) % (1 << 32)] = seen.payload
        text = flow.text()
        flow.over = bool(text) and whole_hello(text)
        flow.dead = flow.over and server_name(text) == self.name
        return flow.dead

    def _answered(self, seen: Segment) -> None:
        """The server's first bytes to a hello with the name are followed by an RST."""
        flow = self.flows.get((seen.to, seen.to_port, seen.source, seen.source_port))
        if flow is not None and flow.dead and self.late and seen.payload:
            flow.dead = False
            end = (seen.sequence + len(seen.payload)) % (1 << 32)
            turned = Segment(seen.to, seen.source, seen.to_port, seen.source_port, 0, 0, 0, b"")
            _reset_client(end, seen.acknowledged, turned)


def _reset_client(sequence: int, ack: int, seen: Segment) -> None:
    """An RST to the client of a segment, as from its server."""
    send(
        seen.to, seen.to_port, seen.source, seen.source_port,
        sequence, ack % (1 << 32), _RST_ACK,
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
