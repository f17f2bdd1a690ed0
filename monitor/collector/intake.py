# SPDX-License-Identifier: Apache-2.0
"""Messages that arrived and are not yet stored, in bounded memory.

The connection must always be read, or the broker closes it. When the store is slow or unavailable
the newest messages are dropped here. They were not acknowledged: their probes send them again.
"""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec

MAX_BYTES = 32 << 20
MAX_MESSAGES = 10_000


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a probe."""

    probe: str
    """From the topic, which only this probe may write to."""
    payload: bytes
    received: int
    """Unix milliseconds."""
    status: bool = False
    """A status message; else a batch."""


class Intake:
    """A bounded queue of messages."""

    def __init__(self, max_bytes: int = MAX_BYTES, max_messages: int = MAX_MESSAGES) -> None:
        self._max_bytes, self._max_messages = max_bytes, max_messages
        self._waiting: deque[Received] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = asyncio.Event()

    def put(self, arrived: Received) -> bool:
        """Queue a message; False when there is no room."""
        full = (
            self._bytes + len(arrived.payload) > self._max_bytes
            or len(self._waiting) >= self._max_messages
        )
        if full or self._closed:
            return False
        self._waiting.append(arrived)
        self._bytes += len(arrived.payload)
        self._changed.set()
        return True

    def close(self) -> None:
        """Accept no more messages; those in the queue can still be taken."""
        self._closed = True
        self._changed.set()

    async def get(self) -> Received | None:
        """The oldest message, waiting for one; None when it is closed and empty."""
        while not self._waiting:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        arrived = self._waiting.popleft()
        self._bytes -= len(arrived.payload)
        return arrived
