# SPDX-License-Identifier: Apache-2.0
"""What a probe delivers, whichever way it came: the one path into the store.

    put -> queue -> batch_writer (decode, admit, commit) -> acknowledge -> broker or HTTP request

A monitor in one process has one intake for the broker and the web server, so that a probe's rate
and quota are the same over both.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container

from monitor.collector.acknowledge import Acknowledger
from monitor.collector.batch_writer import FINISH_SECONDS, BatchWriter, CollectorStore
from monitor.collector.message_queue import MessageQueue, Received
from monitor.collector.unpack import readable_header
from monitor.metrics.counters import Counters
from probes.runtime.clock import wall_clock
from probes.wire.codec import Ack

LOG = logging.getLogger("reachwatch.collector")
LAST_ACK_SECONDS = 0.5
"""For acknowledgements after what has arrived is stored."""


class Intake:
    """Stores and acknowledges what is put into it, until `stop`."""

    def __init__(
        self,
        store: CollectorStore,
        counters: Counters,
        stop: asyncio.Event,
        *,
        known_targets: Container[str] | None = None,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        """Measurements of targets that are not in `known_targets` are quarantined; None accepts
        any."""
        self.counters, self.stop = counters, stop
        self.acknowledger = Acknowledger(counters)
        self._queue, self._clock = MessageQueue(), clock
        counters.waiting = lambda: (self._queue.messages, self._queue.bytes)
        self._writer = BatchWriter(
            self._queue, store, self.acknowledger, counters, stop, clock, known_targets
        )

    def put(self, probe: str, payload: bytes, *, status: bool = False) -> bool:
        """Take a batch or a status message; False when a message was dropped for want of room."""
        arrived = Received(probe=probe, payload=payload, received=self._clock(), status=status)
        if self._queue.put(arrived):
            return True
        self.counters.dropped += 1
        return False

    async def deliver(self, probe: str, payload: bytes) -> Ack | None:
        """Take a batch and wait for its acknowledgement, for ever where there is none: the caller
        has a time limit. None for what no acknowledgement could name, for want of room, or for
        what is of the future."""
        header = readable_header(payload)
        if not self.put(probe, payload) or header is None:
            return None
        return await self.acknowledger.acknowledgement(probe, header.boot, header.sequence)

    async def run(self) -> None:
        """Store and acknowledge until `stop`, and then what has arrived, as far as it takes no
        longer than FINISH_SECONDS. Waits for an unavailable store; `counters.unready` gives the
        reason."""
        async with asyncio.TaskGroup() as group:
            storing = group.create_task(self._writer.run())
            acknowledging = group.create_task(self.acknowledger.run())
            await self.stop.wait()
            self._queue.close()
            _, late = await asyncio.wait([storing], timeout=FINISH_SECONDS)
            if late:
                # The commit is rolled back: nothing is acknowledged, and its probes send it again.
                LOG.warning(
                    "stopped before %d messages were stored; probes send them again",
                    self._queue.messages,
                )
                storing.cancel()
                await asyncio.wait(late)
            self.acknowledger.close()
            await asyncio.wait([acknowledging], timeout=LAST_ACK_SECONDS)
            acknowledging.cancel()
