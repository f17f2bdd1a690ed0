# SPDX-License-Identifier: Apache-2.0
"""Hourly counts page by page, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from monitor.store.database import Database
from monitor.store.engines import writing
from monitor.store.reading.timeline import timeline
from monitor.store.records import Filter
from monitor.store.tables import cell, target
from tests.monitor.store.samples import HOUR, NOON, judged_store


async def test_the_timeline_is_paged_over_ties(store: Database) -> None:
    await judged_store(store)
    async with store.reading() as connection:
        whole = await timeline(connection)
        assert len(whole) == 4
        assert [(b.hour, b.key) for b in whole] == sorted((b.hour, b.key) for b in whole)
        assert {each.n for each in whole} == {3}
        found, after = [], None
        for _ in range(10):
            page = await timeline(connection, after=after, limit=1)
            if not page:
                break
            found += page
            after = (page[-1].hour, page[-1].key)
        assert found == list(whole)
        assert len(await timeline(connection, Filter(service="wechat"))) == 2
        assert await timeline(connection, Filter(service="wech_t")) == []
        assert await timeline(connection, Filter(service="%")) == []
        assert len(await timeline(connection, Filter(country="FR", asn=64503))) == 2
        assert await timeline(connection, Filter(until=NOON)) == []
        assert len(await timeline(connection, Filter(since=NOON + HOUR - 1))) == 4
        assert await timeline(connection, Filter(since=NOON + HOUR)) == []


@pytest.mark.parametrize(
    "place", [{}, {"asn": 64501}, {"country": "RU"}], ids=["anywhere", "network", "country"]
)
async def test_a_services_timeline_goes_over_hours_without_cells(
    store: Database, place: dict[str, Any]
) -> None:
    await judged_store(store)
    hours = [*range(100, 103), 130, *range(700, 720)]
    targets = ("wechat/a", "wechat/b")
    numbered = [{"number": 90 + n, "id": id, "service": "wechat"} for n, id in enumerate(targets)]
    cells = [
        {
            "hour": NOON + hour * HOUR,
            "target": id,
            "country": "RU",
            "asn": 64501 + n,
            "state": "ok",
            "rule": "tls.ok",
            "n": 1,
            "vantages": 1,
            "all_vantages": 1,
        }
        for hour in hours
        for id in targets
        for n in range(9)
    ]
    async with writing(store.engines) as connection:
        await connection.execute(sa.insert(target), numbered)
        await connection.execute(sa.insert(cell), cells)
    chosen = Filter(service="wechat", since=NOON + 99 * HOUR, **place)
    async with store.reading() as connection:
        whole = await timeline(connection, chosen, limit=1000)
        networks = 1 if "asn" in place else 9
        assert [each.hour for each in whole] == [
            NOON + hour * HOUR for hour in hours for _ in range(2 * networks)
        ]
        found, after = list(whole[:0]), None
        while page := await timeline(connection, chosen, after=after, limit=7):
            found += page
            after = (page[-1].hour, page[-1].key)
        assert found == list(whole)
