# SPDX-License-Identifier: Apache-2.0
"""Messages that arrived and are not yet stored: in bounded memory, and fair to every probe.

The connection must always be read, or the broker closes it. Each probe has a queue of its own and
they are served in turn, so that a flood of one probe delays nobody else. When there is no room
the newest message of whoever occupies most is dropped. It was not acknowledged: its probe sends
it again.
"""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec

MAX_BYTES = 32 << 20
MAX_MESSAGES = 10_000
PROBE_BYTES = 4 << 20
PROBE_MESSAGES = 64
"""Of one probe. It has four batches of at most 256 KiB unacknowledged at a time."""


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a probe."""

    probe: str
    """From the topic, which only this probe may write to."""
    payload: bytes
    received: int
    """Unix milliseconds."""
    status: bool = False
    """A status message; else a batch."""


class _Queue:
    """The messages of one probe."""

    def __init__(self) -> None:
        self.messages: deque[Received] = deque()
        self.bytes = 0


class MessageQueue:
    """A bounded queue of messages for each probe."""

    def __init__(
        self,
        max_bytes: int = MAX_BYTES,
        max_messages: int = MAX_MESSAGES,
        *,
        probe_bytes: int = PROBE_BYTES,
        probe_messages: int = PROBE_MESSAGES,
    ) -> None:
        self._max_bytes, self._max_messages = max_bytes, max_messages
        self._probe_bytes, self._probe_messages = probe_bytes, probe_messages
        self._queues: dict[str, _Queue] = {}
        """By probe; the first one is served next."""
        self.bytes = self.messages = 0
        """What waits, of all probes."""
        self.arrived = 0
        """Messages that came, those that were dropped too."""
        self._closed = False
        self._changed = asyncio.Event()

    def put(self, arrived: Received) -> bool:
        """Queue a message; False when a message, this one or another, was dropped for it."""
        self.arrived += 1
        size = len(arrived.payload)
        queue = self._queues.get(arrived.probe) or _Queue()
        own_full = (
            queue.bytes + size > self._probe_bytes or len(queue.messages) >= self._probe_messages
        )
        if self._closed or own_full or size > self._max_bytes:
            return False
        dropped = False
        while self.bytes + size > self._max_bytes or self.messages >= self._max_messages:
            largest = max(self._queues.values(), key=lambda each: each.bytes)
            if largest.bytes <= queue.bytes + size:
                return False
            self._drop_newest(largest)
            dropped = True
        queue.messages.append(arrived)
        self._queues[arrived.probe] = queue
        self._count(queue, size, 1)
        self._changed.set()
        return not dropped

    def close(self) -> None:
        """Accept no more messages; those in the queue can still be taken."""
        self._closed = True
        self._changed.set()

    async def get(self) -> Received | None:
        """The oldest message of the probe whose turn it is, waiting for one; None when it is
        closed and empty."""
        while not self._queues:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        probe = next(iter(self._queues))
        queue = self._queues.pop(probe)
        arrived = queue.messages.popleft()
        self._count(queue, -len(arrived.payload), -1)
        if queue.messages:
            self._queues[probe] = queue
        return arrived

    def _drop_newest(self, queue: _Queue) -> None:
        newest = queue.messages.pop()
        self._count(queue, -len(newest.payload), -1)
        if not queue.messages:
            del self._queues[newest.probe]

    def _count(self, queue: _Queue, size: int, messages: int) -> None:
        queue.bytes += size
        self.bytes += size
        self.messages += messages
