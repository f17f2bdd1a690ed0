# SPDX-License-Identifier: Apache-2.0
"""Enrolment tokens and enrolled probes.

Stores and compares hashes; the caller makes secrets and hashes them. Enrolment is safe because
the statement that finds the token also decrements its uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.driver_reads import unnamed
from monitor.store.engines import Engines, reading, writing
from monitor.store.records import Probe, ProbeKey, Seen, Token
from monitor.store.tables import probe as probe_table
from monitor.store.tables import probe_key
from monitor.store.tables import token as token_table
from probes.wire.measurement import Role

_TOKEN = [token_table.c[name] for name in Token.__struct_fields__]
_KEY = [probe_key.c[name] for name in ProbeKey.__struct_fields__]
_PROBE = [probe_table.c[name] for name in Probe.__struct_fields__]
_STATUSES = sa.select(probe_table.c.id, probe_table.c.status)
_PROBE_BY_ID = sa.select(*_PROBE).where(
    probe_table.c.id == sa.bindparam("id", type_=probe_table.c.id.type)
)


class Registry:
    """Tokens and probes. Every method is one transaction."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def add_token(self, token: Token) -> None:
        """Store a new token."""
        values = {name: getattr(token, name) for name in Token.__struct_fields__}
        async with writing(self._engines) as connection:
            await connection.execute(sa.insert(token_table), values)

    async def tokens(self) -> Sequence[Token]:
        """All tokens, newest first."""
        query = sa.select(*_TOKEN).order_by(token_table.c.created.desc(), token_table.c.id)
        async with reading(self._engines) as connection:
            return [Token(**row._mapping) for row in await connection.execute(query)]

    async def revoke_token(self, id: str, now: int) -> bool:
        """Revoke a token; False when there is none. The time of the first revocation stays."""
        return await self._revoke(token_table, id, now)

    async def allows(self, token_id: str, secret_sha256: str, role: str, now: int) -> bool:
        """Whether this is a valid token of a role that enrols no probe; it is not used up."""
        c = token_table.c
        query = sa.select(c.id).where(
            c.id == token_id,
            c.secret_sha256 == secret_sha256,
            c.role == role,
            c.expires > now,
            c.revoked.is_(None),
        )
        async with reading(self._engines) as connection:
            return (await connection.execute(query)).first() is not None

    async def owner_of(self, token_id: str, secret_sha256: str) -> str | None:
        """Whose token this is, valid or not; None when there is none."""
        c = token_table.c
        query = sa.select(c.owner).where(c.id == token_id, c.secret_sha256 == secret_sha256)
        async with reading(self._engines) as connection:
            return (await connection.execute(query)).scalar()

    async def enrol(
        self,
        token_id: str,
        secret_sha256: str,
        probe: Probe,
        secret_hash: str,
        now: int,
        key: ProbeKey | None = None,
        mark: str = "",
    ) -> Token | None:
        """Use the token once and store the probe with the hash of its MQTT secret, its key and its
        mark, atomically; the token's role and owner go to the probe. None when the token is
        unknown, wrong, used up, expired or revoked, or when the probe's id is taken (the token is
        then not used)."""
        use = (
            sa.update(token_table)
            .where(
                token_table.c.id == token_id,
                token_table.c.secret_sha256 == secret_sha256,
                token_table.c.uses_left > 0,
                token_table.c.expires > now,
                token_table.c.revoked.is_(None),
                token_table.c.role.in_(tuple(Role)),
            )
            .values(uses_left=token_table.c.uses_left - 1)
        )
        try:
            async with writing(self._engines) as connection:
                if (await connection.execute(use)).rowcount != 1:
                    return None
                query = sa.select(*_TOKEN).where(token_table.c.id == token_id)
                used = Token(**(await connection.execute(query)).one()._mapping)
                values = {name: getattr(probe, name) for name in Probe.__struct_fields__}
                values |= {"owner": used.owner, "role": used.role, "secret_hash": secret_hash}
                values |= {"mark": mark}
                known = sa.select(probe_table.c.id).where(
                    probe_table.c.owner == used.owner, probe_table.c.vouched
                )
                values["vouched"] = (await connection.execute(known)).first() is not None
                await connection.execute(sa.insert(probe_table), values)
                if key is not None:
                    await connection.execute(sa.insert(probe_key), msgspec.structs.asdict(key))
                return used
        except sa.exc.IntegrityError:
            return None

    async def probe(self, id: str) -> Probe | None:
        """One probe."""
        async with reading(self._engines) as connection:
            found = await connection.execute(_PROBE_BY_ID, {"id": id})
            return next((_probe(row) for row in found), None)

    async def probes(self, ids: Sequence[str] | None = None) -> Sequence[Probe]:
        """All probes, or those of some ids; newest first."""
        query = sa.select(*_PROBE).order_by(probe_table.c.enrolled.desc(), probe_table.c.id)
        if ids is not None:
            query = query.where(probe_table.c.id.in_(ids))
        async with reading(self._engines) as connection:
            return [_probe(row) for row in await connection.execute(query)]

    async def statuses(self) -> Sequence[tuple[str, bytes]]:
        """The id and the last status message of every probe: of a thousand the other columns take
        longer than these."""
        async with reading(self._engines) as connection:
            rows = unnamed(await connection.execute(_STATUSES))
            return [(id, bytes(status)) for id, status in rows]

    async def keys(self, probe: str | None = None) -> Sequence[ProbeKey]:
        """The keys of one probe or of all, those that are revoked too, the newest first."""
        query = sa.select(*_KEY).order_by(probe_key.c.since.desc(), probe_key.c.id)
        if probe is not None:
            query = query.where(probe_key.c.probe == probe)
        async with reading(self._engines) as connection:
            return [ProbeKey(**row._mapping) for row in await connection.execute(query)]

    async def replace_key(self, key: ProbeKey, replaced: Sequence[str]) -> None:
        """Store a new key of a probe, and revoke those with these ids."""
        async with writing(self._engines) as connection:
            await self._revoke_keys(connection, key.probe, key.since, replaced)
            await connection.execute(sa.insert(probe_key), msgspec.structs.asdict(key))

    async def revoke_keys(self, probe: str, now: int) -> int:
        """Revoke the keys of a probe. Return how many were in use."""
        async with writing(self._engines) as connection:
            return await self._revoke_keys(connection, probe, now)

    async def _revoke_keys(
        self, connection: AsyncConnection, probe: str, now: int, ids: Sequence[str] | None = None
    ) -> int:
        change = (
            sa.update(probe_key)
            .where(probe_key.c.probe == probe, probe_key.c.revoked.is_(None))
            .values(revoked=now)
        )
        if ids is not None:
            change = change.where(probe_key.c.id.in_(ids))
        return (await connection.execute(change)).rowcount

    async def secret_hash(self, probe: str) -> str | None:
        """Hash of the MQTT secret of a probe that is not revoked."""
        query = sa.select(probe_table.c.secret_hash).where(
            probe_table.c.id == probe, probe_table.c.revoked.is_(None)
        )
        async with reading(self._engines) as connection:
            return (await connection.execute(query)).scalar()

    async def revoke_probe(self, id: str, now: int) -> bool:
        """Revoke a probe; False when there is none. The time of the first revocation stays."""
        return await self._revoke(probe_table, id, now)

    async def trust_place(self, id: str) -> bool:
        """Believe a probe's country and network, whatever its enrolment was seen from; False when
        there is no such probe."""
        change = (
            sa.update(probe_table).where(probe_table.c.id == id).values(seen_country="", seen_asn=0)
        )
        async with writing(self._engines) as connection:
            return (await connection.execute(change)).rowcount == 1

    async def note_connection(self, id: str, country: str, asn: int) -> None:
        """Store from which country and network a probe connected last."""
        where = {"connected_country": country, "connected_asn": asn}
        async with writing(self._engines) as connection:
            await connection.execute(
                sa.update(probe_table).where(probe_table.c.id == id).values(**where)
            )

    async def vouch(self, owner: str) -> int:
        """Vouch for an owner: for the probes enrolled so far, and those that will be. Returns how
        many there are now."""
        change = sa.update(probe_table).where(probe_table.c.owner == owner).values(vouched=True)
        async with writing(self._engines) as connection:
            return (await connection.execute(change)).rowcount

    async def record_seen(self, seen: Sequence[Seen]) -> None:
        """Store when probes last sent something, and their status. An older message that arrives
        late changes nothing, nor does an unknown probe."""
        if not seen:
            return
        async with writing(self._engines) as connection:
            for one in sorted(seen, key=lambda each: each.at):
                reported = {"status": one.status, "country": one.country, "asn": one.asn}
                last = probe_table.c.last_seen
                await connection.execute(
                    sa.update(probe_table)
                    .where(probe_table.c.id == one.probe, sa.or_(last.is_(None), last <= one.at))
                    .values(
                        last_seen=one.at,
                        **{name: value for name, value in reported.items() if value is not None},
                    )
                )

    async def _revoke(self, table: sa.Table, id: str, now: int) -> bool:
        change = (
            sa.update(table)
            .where(table.c.id == id)
            .values(revoked=sa.func.coalesce(table.c.revoked, now))
        )
        async with writing(self._engines) as connection:
            return (await connection.execute(change)).rowcount == 1


def _probe(row: Any) -> Probe:
    return Probe(**(dict(row._mapping) | {"status": bytes(row.status)}))
