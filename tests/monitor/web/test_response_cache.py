"""Answers that are shared: how often a page is made, and how old an answer may be."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from monitor.web import response_cache
from monitor.web.background import Background
from monitor.web.response_cache import KEEP_FACTOR, OWN_AT_ONCE, ResponseCache
from tests.world.waiting import eventually


class Origin:
    """A web server that makes numbered answers; its clock moves only when the test says so."""

    def __init__(self) -> None:
        self.now, self.took, self.made = 0.0, 1.0, 0
        self.making = self.most = 0
        self.status = 200
        self.asked: list[str] = []
        self.gate: asyncio.Event | None = None
        self.revision = 1
        self.background = Background()
        self.cache = ResponseCache(60.0, lambda: self.revision, self.background, lambda: self.now)
        app = web.Application(middlewares=[self._shared])
        app.router.add_get("/{path:.*}", self._answer)
        self.client = TestClient(TestServer(app, handler_cancellation=True))

    @web.middleware
    async def _shared(self, request: web.Request, handler) -> web.StreamResponse:
        self.asked.append(request.path)
        request = request.clone(remote=request.headers.get("From", request.remote))

        async def make() -> web.StreamResponse:
            return await handler(request)

        covered = self.cache.covers(request)
        return await (self.cache.answer(request, make) if covered else make())

    async def _answer(self, request: web.Request) -> web.Response:
        self.made += 1
        self.making += 1
        self.most = max(self.most, self.making)
        try:
            return await self._number(f"{self.made}")
        finally:
            self.making -= 1

    async def _number(self, text: str) -> web.Response:
        if self.gate is not None:
            await self.gate.wait()
        self.now += self.took
        return web.Response(text=text, status=self.status, headers={"Vary": "Accept-Encoding"})

    async def get(self, path: str = "/", **headers: str) -> str:
        answer = await self.client.get(path, headers=headers)
        assert answer.headers["Vary"] == "Accept-Encoding"
        return await answer.text()


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    made = Origin()
    async with made.client, made.background.running():
        yield made


async def test_an_answer_lasts_until_something_is_concluded(origin: Origin) -> None:
    assert await origin.get() == "1"
    origin.now += 30.0
    assert [await origin.get(), await origin.get()] == ["1", "1"]
    origin.revision += 1
    assert await origin.get() == "1"  # nobody waits: the next answer is made behind this one
    await eventually(lambda: origin.made == 2)
    assert await origin.get() == "2"


async def test_an_answer_is_made_again_after_half_of_its_time(origin: Origin) -> None:
    await origin.get()
    origin.now += 30.001
    assert await origin.get() == "1"
    await eventually(lambda: origin.made == 2)
    assert await origin.get() == "2"


async def test_no_answer_is_older_than_allowed(origin: Origin) -> None:
    await origin.get()
    origin.now += 60.001
    assert await origin.get() == "2"


async def test_making_one_page_takes_at_most_a_tenth_of_the_time(origin: Origin) -> None:
    await origin.get()
    origin.revision += 1
    origin.now += KEEP_FACTOR * origin.took
    assert [await origin.get(), await origin.get()] == ["1", "1"]
    assert origin.made == 1
    origin.now += 0.001
    await origin.get()
    await eventually(lambda: origin.made == 2)


async def test_many_at_once_share_one_answer(origin: Origin) -> None:
    origin.gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(origin.get()) for _ in range(20)]
        await eventually(lambda: origin.made == 1)
        origin.gate.set()
    assert {task.result() for task in asked} == {"1"}
    assert origin.made == 1


async def test_while_a_new_answer_is_made_others_get_the_old_one(origin: Origin) -> None:
    await origin.get()
    origin.gate = asyncio.Event()
    origin.now += 40.0
    assert [await origin.get(), await origin.get()] == ["1", "1"]
    await eventually(lambda: origin.made == 2)
    origin.now += 20.001  # now it is too old to be given
    late = asyncio.create_task(origin.get())
    await eventually(lambda: len(origin.asked) == 4)
    assert not late.done()
    origin.gate.set()
    assert await late == "2"


@pytest.mark.parametrize("waits", [True, False])
async def test_of_many_who_find_it_due_one_makes_it_again(origin: Origin, waits: bool) -> None:
    assert await origin.get() == "1"
    origin.now += KEEP_FACTOR * origin.took + 1
    origin.revision += 1
    origin.gate = asyncio.Event()
    if not waits:
        origin.gate.set()
    # In one pass of the event loop, before any task that they start has begun.
    request = make_mocked_request("GET", "/", {"Accept-Encoding": "gzip"})
    answers = [
        origin.cache.answer(request, functools.partial(origin._answer, request)) for _ in "abc"
    ]
    assert [each.text for each in await asyncio.gather(*answers)] == ["1"] * 3
    await eventually(lambda: origin.made > 1)
    origin.gate.set()
    await eventually(lambda: not origin.background._tasks)
    assert origin.made == 2
    assert await origin.get() == "2"


async def test_a_visitor_who_leaves_passes_the_turn_on(origin: Origin) -> None:
    origin.gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(origin.get())
        await eventually(lambda: origin.made == 1)
        others = [group.create_task(origin.get()) for _ in range(3)]
        first.cancel()
        await eventually(lambda: origin.made == 2)  # one of the others, for all of them
        origin.gate.set()
    assert {task.result() for task in others} == {"2"}


async def test_junk_queries_wait_in_a_line_of_their_own(origin: Origin) -> None:
    """Each is a page that nobody has asked for, so each is made anew."""
    origin.gate = asyncio.Event()
    junk = [asyncio.create_task(origin.get(f"/?x={n}", From="192.0.2.1")) for n in range(12)]
    await eventually(lambda: origin.made == OWN_AT_ONCE and len(origin.asked) == 12)
    other = asyncio.create_task(origin.get("/?x=1000", From="192.0.2.2"))
    await eventually(lambda: origin.made == OWN_AT_ONCE + 1)
    local = asyncio.create_task(origin.get("/?x=1001"))
    await eventually(lambda: origin.made == OWN_AT_ONCE + 2)
    origin.gate.set()
    assert sorted(map(int, await asyncio.gather(*junk, other, local))) == list(range(1, 15))
    assert origin.most == OWN_AT_ONCE + 2
    assert not origin.cache._lines
    # Whoever waited for what another request has made meanwhile takes that.
    origin.gate.clear()
    same = [asyncio.create_task(origin.get(f"/?y={n % 3}", From="192.0.2.1")) for n in range(9)]
    await eventually(lambda: len(origin.asked) == 23)
    origin.gate.set()
    assert len(set(await asyncio.gather(*same))) == 3
    assert origin.made == 17


async def test_the_query_of_metrics_means_nothing(origin: Origin) -> None:
    assert {await origin.get(f"/metrics?x={n}") for n in range(5)} == {"1"}


async def test_failures_and_other_queries_are_not_shared(origin: Origin) -> None:
    origin.status = 503
    assert [await origin.get(), await origin.get()] == ["1", "2"]
    origin.status = 200
    assert [await origin.get("/?a=1"), await origin.get("/?a=2")] == ["3", "4"]
    assert await origin.get("/?a=1", **{"Accept-Encoding": "identity"}) == "5"
    assert [await origin.get("/readyz"), await origin.get("/readyz")] == ["6", "7"]
    assert [await origin.get("/api/v1/whoami"), await origin.get("/api/v1/whoami")] == ["8", "9"]


async def test_metrics_are_kept_by_format(origin: Origin) -> None:
    assert await origin.get("/metrics", Accept="text/plain") == "1"
    assert await origin.get("/metrics", Accept="application/openmetrics-text") == "2"
    assert await origin.get("/metrics", Accept="text/plain") == "1"


async def test_runbooks_alone_are_kept_for_browsers_and_for_programs(origin: Origin) -> None:
    for path, made in (("/runbooks/A.md", ["1", "2", "1"]), ("/c/RU", ["3", "3", "3"])):
        wanted = ("text/html,*/*;q=0.8", "*/*", "text/html")
        assert [await origin.get(path, Accept=each) for each in wanted] == made


async def test_memory_is_bounded(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_cache, "MAX_ENTRIES", 2)
    for path in ("/a", "/b", "/c"):
        await origin.get(path)
    assert await origin.get("/c") == "3"
    assert await origin.get("/a") == "4"
    monkeypatch.setattr(response_cache, "MAX_BYTES", 0)
    assert [await origin.get("/d"), await origin.get("/d")] == ["5", "6"]


async def test_nothing_is_kept_when_no_time_is_allowed(origin: Origin) -> None:
    origin.cache = ResponseCache(0.0, lambda: 1, origin.background)
    assert [await origin.get(), await origin.get()] == ["1", "2"]
