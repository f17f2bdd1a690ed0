# SPDX-License-Identifier: Apache-2.0
"""What the web server needs to take measurements itself, where a broker cannot be reached."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Sequence

from monitor.collector.intake import Intake
from monitor.store.database import Database
from monitor.store.reading.retests import open_retests
from monitor.store.records import StoreUnavailableError
from monitor.store.retests import OpenRetest

READ_AGAIN_MS = 1000


class OpenRetests:
    """What probes are asked to measure again, read again no more often than every second: in the
    store they are those of whichever process detects."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database, self._clock = database, clock
        self._read_ms = 0
        self._open: Sequence[OpenRetest] = ()
        self._turn = asyncio.Lock()

    async def of(self, country: str, asn: int) -> tuple[Sequence[bytes], bool]:
        """The requests to a network that can still be met, the newest first, and whether there were
        any lately; none while the store is away: a status is taken all the same."""
        async with self._turn:
            now = self._clock()
            if not 0 <= now - self._read_ms < READ_AGAIN_MS:
                with contextlib.suppress(StoreUnavailableError):
                    async with self._database.reading() as connection:
                        self._open = await open_retests(connection, now)
                self._read_ms = now
        here = [each for each in self._open if (each.country, each.asn) == (country, asn)]
        return [request.body for request in here if request.ends > now], bool(here)


@dataclasses.dataclass(frozen=True, slots=True)
class Reception:
    """The intake of this process, and what probes are told by it."""

    intake: Intake
    authenticate: Callable[[str, str], Awaitable[bool]]
    """Whether a probe's secret is right; the broker's. Raises StoreUnavailableError."""
    retests: OpenRetests
    catalogue: Callable[[], bytes] = bytes
    """The signed catalogue; empty for none."""
    stream: Callable[[str], asyncio.Protocol | None] | None = None
    """Makes the broker's side of a connection of MQTT from the client's address, None for one too
    many; None where no broker is joined to the web server."""
    place_of: Callable[[str], tuple[str, int] | None] | None = None
    """The country and network of a probe's latest measurements, whose retests it may read; None
    where nobody knows."""
