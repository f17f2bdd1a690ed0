# SPDX-License-Identifier: Apache-2.0
"""The lease: which of several detectors works on a shard and may save conclusions.

Who saves has to hold it: the transaction that saves renews it at its end, or fails. So a leader
that was suspended, or that renews too late, cannot overwrite what its successor says, and a long
transaction does not cost a leader its lease. Whoever stands by only reads, and never waits for a
writer or makes one wait, until there is something to take.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.engines import Engines, reading, writing
from monitor.store.records import StoreUnavailableError
from monitor.store.shard import ALL, PATTERN, Shard
from monitor.store.tables import lease

LOCK = 0x5245_4143_4803
"""Key of PostgreSQL's advisory lock around taking a lease ("REACH", 3)."""
_Row = tuple[str, str, int]
"""Name, holder and time of expiry."""

_of_another_count = "name LIKE :every AND name NOT LIKE :these"
# A late leader of another number of parts finds its lease gone, as it finds its own taken. Where
# it is saving at this moment its row is locked, and renewed afterwards: then it stays.
_end_those_of_another_count = sa.text(
    f"DELETE FROM lease WHERE {_of_another_count} AND expires <= :now"
)
_take = sa.text(
    "INSERT INTO lease (name, holder, expires) "
    "SELECT CAST(:name AS TEXT), CAST(:holder AS TEXT), CAST(:expires AS BIGINT) "
    # Detectors that share the work otherwise would work on the same services.
    f"WHERE NOT EXISTS (SELECT 1 FROM lease WHERE {_of_another_count} AND expires > :now) "
    "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires = excluded.expires "
    "WHERE lease.holder = excluded.holder OR lease.expires <= :now"
)


class Lease:
    """The lease that this process holds or waits for."""

    def __init__(self, engines: Engines, now: Callable[[], int]) -> None:
        self._engines, self._now = engines, now
        self._holder: str | None = None
        """Whose lease this object holds; None before `lead`."""
        self._shard = ALL
        self._leads = False
        self._length_ms = self._ahead_ms = 0
        """Of the lease; and how far the clock of its holder is ahead of `now`."""
        self._unchanged: dict[_Row, int] = {}
        """Leases as last seen, each with when it was first seen so."""

    @property
    def shard(self) -> Shard:
        """What it is a lease on."""
        return self._shard

    async def lead(self, holder: str, seconds: int, now: int, shard: Shard = ALL) -> bool:
        """Take or renew the lease on a shard for `seconds` (0: release it); False while another
        holder's is valid, or one on a part of another number of parts.

        `now` is Unix milliseconds. After this, whatever is saved on this database is refused once
        another process has taken the lease. It cannot be renewed then either, and the first call
        after that takes it anew.
        """
        goes_on = self._leads and (holder, shard) == (self._holder, self._shard)
        self._holder, self._shard = holder, shard
        self._length_ms, self._ahead_ms = seconds * 1000, now - self._now()
        if goes_on or not seconds:
            async with writing(self._engines) as connection:
                self._leads = await self._renew(connection, now)
        else:
            self._leads = await self._may_be_taken(now) and await self._acquire(now)
        return self._leads

    async def _may_be_taken(self, now: int) -> bool:
        """Whether nobody holds it, or one has to be removed that nobody renews."""
        query = sa.select(lease.c.name, lease.c.holder, lease.c.expires)
        async with reading(self._engines) as connection:
            rows: list[_Row] = [tuple(row) for row in await connection.execute(query)]
        # min(): a clock that is set back must not prolong the wait.
        self._unchanged = {row: min(self._unchanged.get(row, now), now) for row in rows}
        return bool(self._abandoned(now)) or not any(self._excludes(row, now) for row in rows)

    def _excludes(self, row: _Row, now: int) -> bool:
        name, holder, expires = row
        if expires <= now:
            return False
        if name == self._shard.name:
            return holder != self._holder
        return not self._shard.is_beside(name)

    def _abandoned(self, now: int) -> list[_Row]:
        """Those that were not renewed for the term of a lease. Their time of expiry is by the clock
        of their holder, which may have been hours ahead of this one."""
        return [row for row, since in self._unchanged.items() if now - since > self._length_ms]

    async def _acquire(self, now: int) -> bool:
        values = {
            "name": self._shard.name,
            "holder": self._holder,
            "expires": now + self._length_ms,
            "now": now,
            "every": PATTERN,
            "these": self._shard.pattern,
        }
        async with writing(self._engines) as connection:
            if not self._engines.sqlite:  # where two that exclude each other could begin at once
                await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
            await connection.execute(_end_those_of_another_count, values)
            taken = (await connection.execute(_take, values)).rowcount == 1
            if not taken:
                for row in self._abandoned(now):
                    same = sa.tuple_(lease.c.name, lease.c.holder, lease.c.expires) == row
                    await connection.execute(sa.delete(lease).where(same))
        return taken

    async def check(self, connection: AsyncConnection) -> None:
        """Raise StoreUnavailableError when another process has taken it: what is to be written is
        in vain. `renew` decides; until then the lease can be renewed beside the transaction."""
        if self._holder is None:
            return
        query = sa.select(lease.c.holder).where(lease.c.name == self._shard.name)
        if (holder := (await connection.execute(query)).scalar()) != self._holder:
            raise StoreUnavailableError(f"{self._engines.place}: detector {holder} is active now")

    async def renew(self, connection: AsyncConnection) -> None:
        """Renew it at the end of a transaction, and keep others from taking it until that is
        committed. Raises StoreUnavailableError when another process has taken it."""
        now = self._now() + self._ahead_ms
        if self._holder is not None and not await self._renew(connection, now):
            raise StoreUnavailableError(f"{self._engines.place}: another detector is active now")

    async def _renew(self, connection: AsyncConnection, now: int) -> bool:
        """Renew it; False when another process has taken it since this one did, even if it is free
        again: what this one knows is out of date then."""
        mine = lease.c.name == self._shard.name, lease.c.holder == self._holder
        prolong = sa.update(lease).where(*mine).values(expires=now + self._length_ms)
        return (await connection.execute(prolong)).rowcount == 1
