"""Stories are made once for each form of an event, one at a time, and waited for as asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from msgspec.structs import replace

from monitor.commands.explain import Explanation, NotExplainableError
from monitor.store.records import StoreUnavailableError
from monitor.web.explanation_cache import MAX_KEPT, ExplanationCache
from tests.monitor.store.samples import NOON, event

ONE = event("00000000000000aa", updated=NOON)


class Desk:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may = asyncio.Event()
        self.trouble: Exception | None = None

    async def explain(self, id: str) -> Explanation:
        self.asked.append(id)
        await self.may.wait()
        if self.trouble is not None:
            raise self.trouble
        return Explanation(event=ONE, series_rounds=())


@contextlib.asynccontextmanager
async def running(desk: Desk) -> AsyncIterator[ExplanationCache]:
    stories = ExplanationCache(desk.explain)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stories.run())
        yield stories
        task.cancel()


async def test_made_once_and_again_when_the_event_changed() -> None:
    desk = Desk()
    desk.may.set()
    async with running(desk) as stories:
        first = await stories.get(ONE)
        assert isinstance(first, Explanation)
        assert await stories.get(ONE) is first
        assert await stories.get(replace(ONE, updated=NOON + 1)) is not first
    assert desk.asked == [ONE.id, ONE.id]


async def test_who_is_impatient_gets_it_later() -> None:
    desk = Desk()
    async with running(desk) as stories:
        assert await stories.get(ONE, 0.01) is None
        assert await stories.get(ONE, 0.01) is None
        desk.may.set()
        assert isinstance(await stories.get(ONE), Explanation)
        desk.may.clear()
        before = await stories.get(ONE)
        assert await stories.get(replace(ONE, updated=NOON + 1), 0.01) is before
    assert desk.asked == [ONE.id, ONE.id]


async def test_an_event_without_explanation_has_a_reason() -> None:
    desk = Desk()
    desk.may.set()
    async with running(desk) as stories:
        desk.trouble = NotExplainableError(f"{ONE.id}: its measurements are no longer kept")
        assert await stories.get(ONE) == "its measurements are no longer kept"
        desk.trouble = StoreUnavailableError("no connection to 10.0.0.1")
        assert await stories.get(replace(ONE, updated=1)) == "the store is away"


async def test_the_cache_is_bounded() -> None:
    desk = Desk()
    desk.may.set()
    async with running(desk) as stories:
        for n in range(MAX_KEPT + 1):
            await stories.get(replace(ONE, updated=n))
        await stories.get(replace(ONE, updated=MAX_KEPT))
        assert len(desk.asked) == MAX_KEPT + 1
        await stories.get(replace(ONE, updated=0))
        assert len(desk.asked) == MAX_KEPT + 2
