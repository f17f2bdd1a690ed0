# SPDX-License-Identifier: Apache-2.0
"""What the present state is shown from; `monitor.store.newest` writes it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from monitor.detection.model import Verdict
from monitor.detection.sequence.present import LatestVerdict
from monitor.store import tables as t
from monitor.store.engines import ReadTransaction
from monitor.store.records import Filter
from monitor.store.statements import where_equal

_verdict = msgspec.json.Decoder(Verdict)


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
    return [
        LatestVerdict(
            target=target,
            country=country,
            asn=asn,
            probe=probe,
            round=round,
            verdict=_verdict.decode(body),
        )
        for target, country, asn, probe, round, body in await connection.execute(query)
    ]
