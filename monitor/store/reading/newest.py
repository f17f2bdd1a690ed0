# SPDX-License-Identifier: Apache-2.0
"""What the present state is shown from; `monitor.store.newest` writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from monitor.detection.model import Verdict
from monitor.detection.sequence.present import LatestVerdict
from monitor.store import tables as t
from monitor.store.engines import ReadTransaction
from monitor.store.records import Filter
from monitor.store.statements import where_equal

_verdict = msgspec.json.Decoder(Verdict)


async def revisions(connection: ReadTransaction) -> Mapping[str, int]:
    """A number for each service that was ever judged; it grows whenever the conclusions about the
    service change."""
    r = t.revision.c
    rows = await connection.execute(sa.select(r.service, r.number))
    return {row.service: row.number for row in rows}


async def newest_verdicts(
    connection: ReadTransaction,
    since: int,
    chosen: Filter = Filter(),  # noqa: B008 - frozen
) -> Sequence[LatestVerdict]:
    """The newest verdict of each vantage on each target, in rounds from `since` on. The filter's
    own times are not used."""
    v = t.newest_verdict.c
    query = where_equal(
        sa.select(v.target, v.country, v.asn, v.probe, v.round, v.body)
        .where(v.round >= since)
        .order_by(v.target, v.country, v.asn, v.probe),
        (v.service, chosen.service),
        (v.target, chosen.target),
        (v.country, chosen.country),
        (v.asn, chosen.asn),
    )
    decoded: dict[bytes, Verdict] = {}
    found = []
    for target, country, asn, probe, round, body in await connection.execute(query):
        # Of the thousands of verdicts on one target most are the same.
        if (verdict := decoded.get(body)) is None:
            verdict = decoded[body] = _verdict.decode(body)
        found.append(LatestVerdict(target, country, asn, probe, round, verdict))
    return found
