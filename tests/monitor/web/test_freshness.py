"""How old what pages and badges show is."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from monitor.store import tables as t
from monitor.store.bulk_insert import RECEIVED
from monitor.store.shard import Shard
from monitor.web.freshness import Freshness, conclusions_lag, freshness
from monitor.web.site import Site
from tests.world import site as world
from tests.world.site import client, opened


async def test_freshness(site: Site, empty: Site) -> None:
    fresh = await freshness(site)
    assert fresh.line.startswith("Last measurement ")
    assert not fresh.stalled
    assert not fresh.behind


async def test_nothing_yet(empty: Site) -> None:
    assert await freshness(empty) == Freshness("No measurements yet.")


async def test_missing_measurements_are_reported(world_file: Path, tmp_path: Path) -> None:
    later = world.NOW + 40 * world.MINUTE
    async with opened(world_file, tmp_path, clock=lambda: later) as site, client(site) as web:
        fresh = await freshness(site)
        assert fresh.stalled
        assert fresh.line.startswith("The monitor has received nothing for ")
        assert "fresh stalled" in await (await web.get("/")).text()


async def test_a_store_that_is_away_is_a_sentence(site: Site, tmp_path: Path) -> None:
    await site.database.close()
    (tmp_path / "site.sqlite").rename(tmp_path / "gone")
    assert await freshness(site) == Freshness("The store cannot be read at the moment.", True)


async def test_a_lag_of_the_conclusions_is_a_sentence_on_every_page(
    world_file: Path, tmp_path: Path
) -> None:
    async with opened(world_file, tmp_path) as site, client(site) as web:
        interval, close = world.INTERVAL, 1000 * site.policy.rounds.round_close_seconds
        due = world.START + 2 * interval + close
        assert not conclusions_lag(site, due + interval, world.START)
        delay = conclusions_lag(site, due + interval + 1, world.START)
        assert delay is not None
        assert delay.text.startswith("Conclusions lag behind measurements by ")
        assert delay.judged == world.START + interval
        async with site.database.engines.write.begin() as connection:
            await connection.execute(
                sa.update(t.detector_state).values(round=world.START - 4 * world.HOUR)
            )
        for path in ("/", "/s/wechat", "/method", "/status"):
            text = await (await web.get(path)).text()
            assert 'class="band lag"' in text, path
            assert "Conclusions lag behind measurements by" in text


async def test_a_detector_that_ended_is_a_sentence_on_every_page(site: Site) -> None:
    """Long before the conclusions lag by a round; not while it is late, nor where all is judged."""
    arrived = 2 * world.MINUTE
    assert await site.database.lease.lead("somebody", 1, world.NOW - arrived - 1000)
    assert not (await freshness(site)).behind
    unread = sa.update(t.cursor).values(value=t.cursor.c.value - 1)
    async with site.database.engines.write.begin() as connection:
        await connection.execute(unread)
    async with client(site) as web:
        for path in ("/", "/s/wechat", "/method"):
            text = await (await web.get(path)).text()
            assert "No detector has run for 2 min: blocks that began or ended after" in text, path
        badge = await (await web.get("/badge/wechat.svg")).text()
        assert "WeChat: blocked in 1 country (as of " in badge
        shard = next(part for part in (Shard(1, 2), Shard(2, 2)) if not part.has("wechat"))
        other = next(part for part in (Shard(1, 2), Shard(2, 2)) if part.has("wechat"))
        async with site.database.engines.write.begin() as connection:
            for part, expires in ((shard, world.NOW - arrived), (other, world.NOW + arrived)):
                row = {"name": part.name, "holder": "h", "expires": expires}
                await connection.execute(sa.insert(t.lease).values(row))
        badge = await (await web.get("/badge/wechat.svg")).text()
        assert "as of" not in badge
    fresh = await freshness(world.site_of(site.database, clock=lambda: world.NOW - world.MINUTE))
    assert not fresh.behind


async def test_old_measurements_that_are_imported_today_are_no_lag(
    world_file: Path, tmp_path: Path
) -> None:
    """Their rounds are judged, and there are no others."""
    later = world.NOW + 1000 * 24 * world.HOUR
    async with opened(world_file, tmp_path, clock=lambda: later) as site:
        async with site.database.engines.write.begin() as connection:
            of_last = sa.update(t.cursor).where(t.cursor.c.name == RECEIVED)
            await connection.execute(of_last.values(value=later - world.MINUTE))
        assert await freshness(site) == Freshness("Last measurement 60 s ago.")
