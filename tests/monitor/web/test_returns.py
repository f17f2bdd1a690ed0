"""Events that are the same block before and after a pause."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from monitor.detection.model import EventState, Tier
from monitor.store.records import Conclusions
from monitor.web.returns import APART_MS, Neighbours, neighbours
from monitor.web.site import Site
from tests.monitor.store.samples import event
from tests.world import site as world
from tests.world.scenery import HOUR, NOW
from tests.world.site import client

FIRST = event("0000000000000001", onset=NOW, state=EventState.CLOSED, closed=NOW + 5 * HOUR)
SECOND = event("0000000000000002", onset=NOW + 8 * HOUR, tier=Tier.CONFIRMED)


def test_a_block_that_comes_back_is_named_by_both() -> None:
    older = replace(FIRST, id="0000000000000003", onset=NOW - HOUR, closed=NOW - HOUR // 2)
    both = (older, FIRST, SECOND)
    assert neighbours(FIRST, both) == Neighbours(older, SECOND)
    assert neighbours(SECOND, both) == Neighbours(FIRST, None)
    assert neighbours(older, reversed(both)) == Neighbours(None, FIRST)


@pytest.mark.parametrize(
    "changes",
    [
        {"asns": (64502,)},
        {"targets": ("wechat/other",)},
        {"source": "ooni"},
        {"tier": Tier.UNCONFIRMED},
        {"state": EventState.RETRACTED},
        {"state": EventState.OPEN, "closed": None},
        {"onset": NOW - APART_MS, "closed": SECOND.onset - APART_MS - 1},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_another_block_is_not_named(changes: dict[str, object]) -> None:
    assert neighbours(SECOND, [replace(FIRST, **changes)]).before is None


async def test_page_and_api_link_them(site: Site) -> None:
    old = next(event for event in world.events() if event.id == world.CLOSED)
    new = next(event for event in world.events() if event.id == world.CONFIRMED)
    async with client(site) as web:
        for id, name, other in (
            (new.id, "follows", old.id),
            (old.id, "followed_by", new.id),
        ):
            form = await (await web.get(f"/api/v1/events/{id}")).json()
            assert form[name] == other
            page = await (await web.get(f"/e/{id}")).text()
            assert re.search(f'<dt>(Earlier|Later)</dt><dd><small><a href="/e/{other}">', page)
        await site.database.conclusions.save(
            [
                Conclusions(
                    service="wechat", round=NOW, state=b"", events=(replace(new, asns=(1,)),)
                )
            ],
            1,
        )
        form = await (await web.get(f"/api/v1/events/{old.id}")).json()
        assert form["followed_by"] is None
