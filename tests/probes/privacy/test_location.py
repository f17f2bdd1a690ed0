"""Where the probe is: asked of a collector over real HTTP, struck out, hidden from the log."""

from __future__ import annotations

import asyncio
import contextlib
import io
from pathlib import Path

import pytest

from probes.config import Wish
from probes.log import Log
from probes.privacy import geo
from probes.privacy.location import Whereabouts
from probes.wire.measurement import Vantage
from tests.probes.privacy.test_own_words import table
from tests.world.desk import desk


async def test_the_collector_tells_our_address_once_and_the_table_where_that_is(
    tmp_path: Path,
) -> None:
    table(tmp_path)
    assert (tmp_path / geo.FILE_NAME).exists()
    places: list[Vantage] = []
    cleaned = asyncio.Event()
    with desk() as front:
        front.answer("/api/v1/whoami", 200, {"address": "192.0.2.9"})
        wish = Wish(directory=tmp_path, interval_ms=1, collector=front.url, secret="hush")
        log = Log(io.StringIO())
        where = Whereabouts(wish, ["9.9.9.9"], log, places.append)
        where.look()
        assert places[-1].country == "ZZ"
        assert "192.0.2.9" not in where.own

        async def clean() -> None:
            assert "192.0.2.9" in where.own
            cleaned.set()

        async with asyncio.TaskGroup() as group:
            asking = group.create_task(where.find_out(clean))
            await where.known()
            asking.cancel()
    assert cleaned.is_set()
    assert (places[-1].country, places[-1].asn, places[-1].resolver_asn) == ("RU", 64501, 19281)
    assert {"192.0.2.9", "hush"} <= log.hide


async def test_what_waits_is_cleaned_again_when_our_address_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probes.privacy.location.LOOK_SECONDS", 0.01)
    cleaned: list[str] = []
    with desk() as front:
        front.answer("/api/v1/whoami", 200, {"address": "192.0.2.9"})
        wish = Wish(directory=tmp_path, interval_ms=1, collector=front.url)
        where = Whereabouts(wish, [], Log(io.StringIO()), lambda _: None)

        async def clean() -> None:
            cleaned.extend(a for a in ("192.0.2.9", "192.0.2.77") if a in where.own)
            front.answer("/api/v1/whoami", 200, {"address": "192.0.2.77"})

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            asking = group.create_task(where.find_out(clean))
            while len(cleaned) < 3:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            asking.cancel()
    # The old one stays a secret: what is under way was measured from there.
    assert cleaned == ["192.0.2.9", "192.0.2.9", "192.0.2.77"]


async def test_a_new_connection_asks_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that come back have a new address, which services may tell back the same minute."""
    cleaned: list[tuple[str, ...]] = []
    with desk() as front:
        front.answer("/api/v1/whoami", 200, {"address": "192.0.2.9"})
        wish = Wish(directory=tmp_path, interval_ms=1, collector=front.url)
        where = Whereabouts(wish, [], Log(io.StringIO()), lambda _: None)

        async def clean() -> None:
            cleaned.append(where.own)

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            asking = group.create_task(where.find_out(clean))
            await where.known()
            front.answer("/api/v1/whoami", 200, {"address": "192.0.2.77"})
            assert not await where.connected_anew(), "asked a moment ago"
            monkeypatch.setattr("probes.privacy.location.RECENT_SECONDS", 0.0)
            assert await where.connected_anew()
            assert not await where.connected_anew()
            asking.cancel()
    assert len(cleaned) == 2
    assert {"192.0.2.9", "192.0.2.77"} <= set(cleaned[1])


async def test_a_collector_that_does_not_answer_costs_a_moment_only(tmp_path: Path) -> None:
    places: list[Vantage] = []
    wish = Wish(directory=tmp_path, interval_ms=1, country="FR", collector="http://127.0.0.1:9")
    where = Whereabouts(wish, [], Log(io.StringIO()), places.append)

    async def never() -> None:
        raise AssertionError("nothing became known")

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(where.find_out(never))
        await where.known()
        asking.cancel()
    assert places[-1].country == "FR"


async def test_without_a_collector_nothing_is_asked_or_waited_for(tmp_path: Path) -> None:
    where = Whereabouts(Wish(directory=tmp_path, interval_ms=1), [], Log(io.StringIO()), print)
    async with contextlib.AsyncExitStack():
        async with asyncio.timeout(1):
            await where.known()
            await where.find_out(lambda: asyncio.sleep(0))
