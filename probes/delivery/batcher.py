# SPDX-License-Identifier: Apache-2.0
"""Batches made of what the spool holds: measurements of one round, as many as fit into a packet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from probes.delivery.rounds_in_progress import RoundsInProgress
from probes.delivery.spool import Spool, SpoolRow
from probes.delivery.sqlite_file import DiskError
from probes.log import Log
from probes.wire import codec
from probes.wire.bounds import MAX_BATCH_LINES, MAX_PACKET_BYTES

PACKET_OVERHEAD_BYTES = 256
"""Room for the topic and MQTT's own bytes in a packet whose size the broker limits."""
MAX_RAW_BYTES = 1 << 20
"""Most bytes of a batch before compression: a slow connection must be able to send it in time."""
MAX_DISCONNECTS, MIN_LIMIT_BYTES = 3, 16 << 10
REPEAT_LOG_SECONDS = 600.0


class OutgoingBatch(msgspec.Struct, kw_only=True):
    """Measurements that are sent and acknowledged together."""

    sequence: int
    rows: tuple[int, ...]
    """Their sequences in the spool."""
    payload: bytes
    due: float = 0.0
    """Loop time at which it is sent (again)."""
    attempts: int = 0
    held: bool = False
    """Whether the monitor has said that it cannot store it yet."""
    disconnects: int = 0
    """How often the connection was lost before it was confirmed that this batch had arrived."""


class Batcher:
    """Numbers the batches, and remembers what is in one."""

    def __init__(
        self,
        spool: Spool,
        boot: str,
        in_progress: RoundsInProgress,
        log: Log,
        sign: Callable[[codec.BatchHeader, Sequence[bytes]], codec.BatchHeader],
    ) -> None:
        """`sign` returns the header of a batch with these lines, signed if this probe has a key."""
        self._spool, self._boot, self._rounds_in_progress, self._log = spool, boot, in_progress, log
        self._sign, self._sequence = sign, 0
        self._last_batched = 0
        """Highest sequence that is in a batch."""
        self._limit = MAX_PACKET_BYTES

    async def next(self, packet_limit: int) -> OutgoingBatch | None:
        """Return a batch of rows that are in none yet, or None. `packet_limit` is what the way to
        the monitor allows, 0 if it names no limit."""
        try:
            rows = await self._spool.pending(self._last_batched, MAX_BATCH_LINES)
        except DiskError as error:
            self._log("cannot use the spool", every=REPEAT_LOG_SECONDS, reason=str(error))
            return None
        if not rows or self._rounds_in_progress.holds(rows[0].round):
            return None
        chosen = _rows_of_one_round(rows)
        limit = self._limit
        if packet_limit:
            limit = min(limit, packet_limit - PACKET_OVERHEAD_BYTES)
        while len(payload := self._encoded(chosen)) > limit:
            if len(chosen) == 1:
                if len(payload) <= MAX_PACKET_BYTES and not packet_limit:
                    break  # it may still be accepted
                await self._set_apart(chosen[0], len(payload), limit)
                return await self.next(packet_limit)
            chosen = chosen[: len(chosen) // 2]
        batch = OutgoingBatch(
            sequence=self._sequence, rows=tuple(row.sequence for row in chosen), payload=payload
        )
        self._sequence += 1
        self._last_batched = chosen[-1].sequence
        return batch

    def shrink(self, batches: Iterable[OutgoingBatch]) -> bool:
        """If the connection was lost repeatedly over one batch, it may exceed a limit that the
        broker does not announce (MQTT 3.1.1): make smaller ones from now on. Return whether."""
        suspects = [
            len(batch.payload)
            for batch in batches
            if batch.disconnects >= MAX_DISCONNECTS and len(batch.rows) > 1
        ]
        if not suspects or self._limit <= MIN_LIMIT_BYTES:
            return False
        self._limit = max(MIN_LIMIT_BYTES, min(suspects) // 2)
        self._log("batches made smaller", bytes=self._limit)
        return True

    def bound(self, most: int | None) -> None:
        """Make batches of at most so many bytes from now on, if more than one measurement is in
        them; None for as many as a packet may have."""
        self._limit = MAX_PACKET_BYTES if most is None else most

    def take_back(self, batches: Collection[OutgoingBatch]) -> None:
        """Make new batches of what is in these."""
        rows = [row for batch in batches for row in batch.rows]
        self._last_batched = min(rows, default=self._last_batched + 1) - 1

    def _encoded(self, rows: Sequence[SpoolRow]) -> bytes:
        header = codec.BatchHeader(boot=self._boot, sequence=self._sequence)
        lines = [row.line for row in rows]
        return codec.encode_batch(self._sign(header, lines), lines)

    async def _set_apart(self, row: SpoolRow, size: int, limit: int) -> None:
        """Keep a measurement that fits into no packet: a broker would close the connection."""
        self._log("measurement too large to send", sequence=row.sequence, bytes=size, limit=limit)
        try:
            await self._spool.quarantine([row.sequence])
        except DiskError as error:
            self._log("cannot use the spool", every=REPEAT_LOG_SECONDS, reason=str(error))
        self._last_batched = row.sequence


def _rows_of_one_round(rows: Sequence[SpoolRow]) -> list[SpoolRow]:
    """The first rows that belong to one round and stay under MAX_RAW_BYTES, at least one."""
    chosen, size = [rows[0]], len(rows[0].line)
    for row in rows[1:]:
        size += len(row.line)
        if row.round != rows[0].round or size > MAX_RAW_BYTES:
            break
        chosen.append(row)
    return chosen
