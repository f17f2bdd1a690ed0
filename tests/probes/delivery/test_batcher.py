"""What goes into one batch."""

from __future__ import annotations

import sys
from pathlib import Path

from probes.delivery.batcher import (
    MAX_DISCONNECTS,
    MIN_LIMIT_BYTES,
    PACKET_OVERHEAD_BYTES,
    Batcher,
    OutgoingBatch,
)
from probes.delivery.rounds_in_progress import RoundsInProgress
from probes.delivery.spool import Spool
from probes.log import Log
from probes.wire import codec
from probes.wire.bounds import MAX_PACKET_BYTES
from tests.probes.delivery.test_broker_client import heavy
from tests.probes.delivery.test_spool import PROBE, draft

PATIENT = 100.0


class Rig:
    """A batcher of a spool."""

    def __init__(self, directory: Path) -> None:
        self.spool = Spool(directory, PROBE)
        self.in_progress = RoundsInProgress(PATIENT, PATIENT)
        self.batcher = Batcher(
            self.spool, "boot", self.in_progress, Log(sys.stderr), lambda header, lines: header
        )

    async def batches(self, packet_limit: int = 0) -> list[OutgoingBatch]:
        """All that there are now."""
        batches = []
        while (batch := await self.batcher.next(packet_limit)) is not None:
            batches.append(batch)
        return batches


async def test_a_batch_holds_one_round_and_no_row_is_in_two(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for round_ms in (1000, 1000, 2000):
        await rig.spool.put(draft(round_ms))
    first, second = await rig.batches()
    assert [(batch.sequence, batch.rows) for batch in (first, second)] == [(0, (1, 2)), (1, (3,))]
    arrived = codec.decode_batch(second.payload)
    assert (arrived.header.boot, arrived.header.sequence, len(arrived.lines)) == ("boot", 1, 1)
    rig.in_progress.begin(4000)
    await rig.spool.put(draft(3000))
    await rig.spool.put(draft(4000))
    assert [batch.rows for batch in await rig.batches()] == [(4,)], "the open round waits"
    rig.in_progress.end(4000)
    assert [batch.rows for batch in await rig.batches()] == [(5,)]
    await rig.spool.close()


async def test_what_fits_into_no_packet_is_set_apart(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for size in (20_000, 20_000, 200_000, 20_000):
        await rig.spool.put(heavy(1, size))
    batches = await rig.batches(packet_limit=60_000)
    assert [row for batch in batches for row in batch.rows] == [1, 2, 4]
    assert all(len(batch.payload) <= 60_000 - PACKET_OVERHEAD_BYTES for batch in batches)
    assert (await rig.spool.counts()).quarantined == 1
    await rig.spool.close()


def lost(payload: int, rows: int = 2, times: int = MAX_DISCONNECTS) -> OutgoingBatch:
    return OutgoingBatch(
        sequence=0, rows=tuple(range(1, rows + 1)), payload=bytes(payload), disconnects=times
    )


async def test_batches_shrink_when_the_connection_was_lost_over_one_of_them(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path)
    assert not rig.batcher.shrink([lost(200_000, times=MAX_DISCONNECTS - 1)])
    assert not rig.batcher.shrink([lost(200_000, rows=1)]), "it cannot be split"
    assert rig.batcher.shrink([lost(2 * MIN_LIMIT_BYTES), lost(MAX_PACKET_BYTES)])
    assert not rig.batcher.shrink([lost(200_000)]), "not below the least"
    for _ in range(4):
        await rig.spool.put(heavy(1, 8_000))
    assert len(await rig.batches()) > 1
    await rig.spool.close()


async def test_what_is_taken_back_is_made_anew_from_the_spool(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for round_ms in (1000, 2000):
        await rig.spool.put(draft(round_ms))
    before = await rig.batches()
    rig.batcher.take_back(before)
    after = await rig.batches()
    assert [batch.rows for batch in after] == [batch.rows for batch in before]
    assert [batch.sequence for batch in after] == [2, 3], "an old acknowledgement is not theirs"
    await rig.spool.close()
