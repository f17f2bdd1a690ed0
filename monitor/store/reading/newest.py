# SPDX-License-Identifier: Apache-2.0
"""What the present state is shown from: the newest verdict of each vantage on each target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from monitor.detection.sequence.present import LatestVerdict
from monitor.store import tables as t
from monitor.store.cells import Where, load_vantages
from monitor.store.engines import ReadTransaction
from monitor.store.verdicts import read_newest


async def revisions(connection: ReadTransaction) -> Mapping[str, int]:
    """A number for each service that was ever judged; it grows whenever the conclusions about the
    service change."""
    r = t.revision.c
    rows = await connection.execute(sa.select(r.service, r.number))
    return {row.service: row.number for row in rows}


async def newest_verdicts(
    connection: ReadTransaction, service: str, since: int, vantages: dict[int, Where]
) -> Sequence[LatestVerdict]:
    """The newest verdict of each vantage on each target of a service, in rounds from `since` on.

    `vantages` is what is known of them by number, and gets those that are missing. Of two verdicts
    in one round that of the later arrival counts.
    """
    newest: dict[tuple[str, str], LatestVerdict] = {}
    async for _, round, judged in read_newest(connection, service, since, 2**62):
        await load_vantages(connection, judged.vantages, vantages)
        entries = zip(reversed(judged.vantages), reversed(judged.which), strict=True)
        for number, which in entries:
            said = judged.said[which]
            probe, country, asn = vantages[number]
            if (key := (said.target, probe)) not in newest:
                newest[key] = LatestVerdict(said.target, country, asn, probe, round, said)
    return sorted(newest.values(), key=lambda one: (one.target, one.country, one.asn, one.probe))
