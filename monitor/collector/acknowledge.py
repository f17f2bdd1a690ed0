# SPDX-License-Identifier: Apache-2.0
"""Acknowledgements to probes: after the commit, and later for a probe over its rate. They go to
`ack/<probe>`, and to a request over HTTP that waits for one.

An acknowledgement that cannot be published is dropped: the probe sends the batch again, it is a
duplicate, and is acknowledged then.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Mapping
from typing import Protocol

from monitor.collector.interval_slots import Slot
from monitor.metrics.counters import Counters
from probes.runtime.broker_url import BrokerError
from probes.wire import topics
from probes.wire.codec import Ack, encode_message

MAX_SEQUENCES = 1000
"""Batches named in one message."""
MAX_DELAYED = 100_000
_Batch = tuple[str, str, int]
"""Probe, run of its daemon, number of the batch."""


class AckPublisher(Protocol):
    """The part of a connection that is needed."""

    async def publish(self, topic: str, payload: bytes, *, qos: int) -> object:
        """Raises BrokerError."""


class Acknowledger:
    """Publishes acknowledgements when they are due."""

    def __init__(self, counters: Counters) -> None:
        self.connection: AckPublisher | None = None
        """None while there is no connection."""
        self.slots: Mapping[str, Slot] = {}
        """By probe."""
        self.clock_offsets: Mapping[str, int] = {}
        """By how many milliseconds the clock of each probe is ahead of this one."""
        self._counters = counters
        self._due: list[tuple[float, str, str, int, int, str, bool]] = []
        self._pending: set[_Batch] = set()
        self._awaited: dict[_Batch, list[asyncio.Future[Ack | None]]] = {}
        self._changed = asyncio.Event()
        self._closed = False

    def pending(self, probe: str, boot: str, sequence: int) -> bool:
        """Whether this batch is stored and its acknowledgement is only delayed. A probe that
        sends it again meanwhile is not charged for it."""
        return (probe, boot, sequence) in self._pending

    def add(
        self,
        probe: str,
        boot: str,
        sequence: int,
        delay: float,
        quarantined: int = 0,
        reason: str = "",
        held: bool = False,
    ) -> None:
        """Acknowledge a batch after `delay` seconds. So many of its measurements are quarantined,
        the last of them for this reason. A batch that is `held` is not stored, for this reason, and
        its probe is told to keep it."""
        if len(self._due) < MAX_DELAYED:
            due = asyncio.get_running_loop().time() + delay
            heapq.heappush(self._due, (due, probe, boot, sequence, quarantined, reason, held))
            self._pending.add((probe, boot, sequence))
            self._changed.set()

    def leave(self, probe: str, boot: str, sequence: int) -> None:
        """Let nobody wait for the acknowledgement of a batch that gets none."""
        self._answer((probe, boot, sequence), None)

    async def acknowledgement(self, probe: str, boot: str, sequence: int) -> Ack | None:
        """Wait for the acknowledgement of a batch, which is then not published; None when it is
        left to its probe."""
        future: asyncio.Future[Ack | None] = asyncio.get_running_loop().create_future()
        waiting = self._awaited.setdefault((probe, boot, sequence), [])
        waiting.append(future)
        try:
            return await future
        finally:
            waiting.remove(future)
            if not waiting:
                self._awaited.pop((probe, boot, sequence), None)

    def close(self) -> None:
        """Publish what is due by now, then let `run` end."""
        self._closed = True
        self._changed.set()

    async def run(self) -> None:
        """Publish until closed."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            await self._publish(loop.time())
            if self._closed:
                return
            try:
                async with asyncio.timeout_at(self._due[0][0] if self._due else None):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _publish(self, now: float) -> None:
        ready: defaultdict[tuple[str, str], list[tuple[int, int, str, bool]]] = defaultdict(list)
        while self._due and self._due[0][0] <= now:
            _, probe, boot, sequence, quarantined, reason, held = heapq.heappop(self._due)
            self._pending.discard((probe, boot, sequence))
            ready[probe, boot].append((sequence, quarantined, reason, held))
        for (probe, boot), batches in ready.items():
            slot = self.slots.get(probe)
            place, vantages = (None, None) if slot is None else slot
            for start in range(0, len(batches), MAX_SEQUENCES):
                named = batches[start : start + MAX_SEQUENCES]
                sequences = tuple(sequence for sequence, _, _, held in named if not held)
                ack = Ack(
                    boot=boot,
                    sequences=sequences,
                    place=place,
                    vantages=vantages,
                    quarantined=sum(count for _, count, _, _ in named),
                    reason=next(filter(None, (why for _, _, why, _ in reversed(named))), ""),
                    held=tuple(sequence for sequence, _, _, held in named if held),
                    clock_offset_ms=self.clock_offsets.get(probe),
                )
                answered = [self._answer((probe, boot, sequence), ack) for sequence, *_ in named]
                if all(answered) or await self._is_published(probe, ack):
                    self._counters.acknowledged += len(sequences)

    def _answer(self, batch: _Batch, ack: Ack | None) -> bool:
        """Give it to who waits for this batch. Return whether anybody did."""
        waiting = [future for future in self._awaited.get(batch, ()) if not future.done()]
        for future in waiting:
            future.set_result(ack)
        return bool(waiting)

    async def _is_published(self, probe: str, ack: Ack) -> bool:
        if self.connection is None:
            return False
        try:
            await self.connection.publish(topics.ack(probe), encode_message(ack), qos=0)
        except BrokerError:
            return False
        return True
