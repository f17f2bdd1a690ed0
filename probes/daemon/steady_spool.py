# SPDX-License-Identifier: Apache-2.0
"""The spool as the daemon uses it: an error of the disk is logged, and measuring continues."""

from __future__ import annotations

from collections.abc import Callable

from probes.delivery.spool import Spool, SpoolCounts
from probes.delivery.sqlite_file import DiskError
from probes.log import Log
from probes.wire.measurement import Measurement


class SteadySpool:
    """Stores and counts measurements, and remembers whether the disk works."""

    def __init__(self, spool: Spool, log: Log) -> None:
        self._spool, self._log = spool, log
        self.counts = SpoolCounts()
        """As of the last `count`."""
        self.not_stored = 0
        """Measurements that the disk failed to store."""
        self.trouble = ""
        """The last error of the disk; empty when there is none."""

    async def put(self, draft: Measurement) -> Measurement | None:
        """Store one measurement. Return it as it is on disk, None when it is not."""
        try:
            stored = await self._spool.put(draft)
        except DiskError as error:
            self.not_stored += 1
            self._failed(error)
            return None
        self._works()
        return stored

    async def last_round(self) -> int | None:
        """The last round in the spool, so that a restart does not measure it again."""
        try:
            return await self._spool.last_round()
        except DiskError as error:
            self._failed(error)
            return None

    async def rewrite(self, change: Callable[[Measurement], Measurement]) -> None:
        """Change every measurement that is not acknowledged yet."""
        done = 0
        try:
            while (last := await self._spool.rewrite(change, done)) is not None:
                done = last
        except DiskError as error:
            self._failed(error)

    async def count(self) -> None:
        """Update the counts, and log what the spool has to say."""
        try:
            self.counts = await self._spool.counts()
        except DiskError as error:
            self._failed(error)
        else:
            self._works()
        messages, self._spool.messages[:] = list(self._spool.messages), []
        for message in messages:
            self._log(message)

    async def close(self) -> None:
        """Close the file."""
        await self._spool.close()

    def _failed(self, error: DiskError) -> None:
        self.trouble = str(error)
        self._log(
            "disk error: measuring continues, measurements may be lost",
            every=60.0,
            reason=self.trouble,
        )

    def _works(self) -> None:
        if self.trouble:
            self.trouble = ""
            self._log("the disk works again", not_stored=self.not_stored)
