"""The client of a bucket, at a server that fails in every way that passes."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from monitor.follow import pace
from monitor.follow.bucket import (
    FILE_ATTEMPTS,
    Bucket,
    FailingFileError,
    MissingFileError,
    SourceError,
    session,
)
from monitor.follow.layout import Listed, SourceFile, file_of
from monitor.follow.pace import RateLimit
from tests.world.bucket import key

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
EMPTY = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
FILE = file_of(Listed(key("2026010103"), "v1", 9))
assert isinstance(FILE, SourceFile)


async def asked(
    handler: Handler, ask: Callable[[Bucket], Awaitable[None]]
) -> tuple[Bucket, list[str]]:
    app = web.Application()
    app.router.add_get("/{tail:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/b"
    waits: list[str] = []
    try:
        async with session(url) as client:
            limit = RateLimit(1e9, asyncio.get_running_loop().time)
            await ask(bucket := Bucket(client, url, limit, waits.append))
    finally:
        await runner.cleanup()
    return bucket, waits


@pytest.fixture(autouse=True)
def _short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "FIRST_REST_SECONDS", 0.01)
    monkeypatch.setattr(pace, "LONGEST_ASKED_SECONDS", 0.02)


async def listed(bucket: Bucket) -> None:
    assert await bucket.folders("raw/") == []


@pytest.mark.parametrize(
    ("status", "reason"), [(429, "throttled"), (503, "throttled"), (500, "unavailable")]
)
async def test_what_passes_is_waited_for_and_told(status: int, reason: str) -> None:
    answers = iter([status, status, 200])

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=next(answers), body=EMPTY, headers={"Retry-After": "30"})

    bucket, waits = await asked(handler, listed)
    assert dict(bucket.failures) == {reason: 2}
    assert [text.split(";")[0][:8] for text in waits] == [f"HTTP {status}", f"HTTP {status}", ""]
    assert waits[0].endswith("tries again in 0 s")


async def test_what_does_not_pass_is_one_line() -> None:
    async def refused(request: web.Request) -> web.Response:
        return web.Response(status=403)

    with pytest.raises(SourceError, match=r"/b: HTTP 403 Forbidden for /b\?list-type=2"):
        await asked(refused, listed)

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<html>a page</html>")

    with pytest.raises(SourceError, match="<html> in place of <ListBucketResult>: is it the URL"):
        await asked(page, listed)


async def test_a_file_that_breaks_off_is_fetched_again_and_a_missing_one_is_not() -> None:
    turns = iter([b"abcd", b"abcdefghi"])

    async def handler(request: web.Request) -> web.StreamResponse:
        body = next(turns, None)
        if body is None:
            return web.Response(status=404)
        response = web.StreamResponse(headers={"Content-Length": "9"})
        await response.prepare(request)
        await response.write(body)
        if len(body) < 9:
            assert request.transport is not None
            request.transport.close()
        return response

    async def fetch(bucket: Bucket) -> None:
        into = io.BytesIO()
        await bucket.fetch(FILE, into)
        assert into.getvalue() == b"abcdefghi"
        with pytest.raises(MissingFileError):
            await bucket.fetch(FILE, into)

    bucket, _ = await asked(handler, fetch)
    assert dict(bucket.failures) == {"broken_off": 1}


async def test_a_file_that_fails_alone_is_given_up_and_named() -> None:
    async def handler(request: web.Request) -> web.Response:
        listing = "list-type" in request.query
        return web.Response(status=200 if listing else 500, body=EMPTY)

    async def fetch(bucket: Bucket) -> None:
        with pytest.raises(FailingFileError, match="HTTP 500"):
            await bucket.fetch(FILE, io.BytesIO())

    bucket, waits = await asked(handler, fetch)
    assert dict(bucket.failures) == {"unavailable": FILE_ATTEMPTS}
    assert waits[-1] == ""


async def test_a_server_that_fails_altogether_is_waited_for() -> None:
    answers = iter([500] * (FILE_ATTEMPTS + 3))

    async def handler(request: web.Request) -> web.Response:
        status = next(answers, 200)
        return web.Response(status=status, body=EMPTY if "list-type" in request.query else b"x")

    async def fetch(bucket: Bucket) -> None:
        with pytest.raises(FailingFileError):  # it answers a listing first
            await bucket.fetch(FILE, io.BytesIO())
        into = io.BytesIO()
        await bucket.fetch(FILE, into)
        assert into.getvalue() == b"x"

    bucket, _ = await asked(handler, fetch)
    assert dict(bucket.failures) == {"unavailable": FILE_ATTEMPTS + 3}


@pytest.mark.parametrize("spared", ["", "127.0.0.1"])
async def test_the_proxy_of_the_environment_is_asked(
    monkeypatch: pytest.MonkeyPatch, spared: str
) -> None:
    asked_for: list[tuple[str, str | None]] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked_for.append((request.raw_path, request.headers.get("Proxy-Authorization")))
        return web.Response(body=EMPTY)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    here = f"127.0.0.1:{runner.addresses[0][1]}"
    monkeypatch.setenv("http_proxy", f"http://me:secret@{here}")
    monkeypatch.setenv("no_proxy", spared)
    url = f"http://{here}/b"
    async with session(url) as client:
        await listed(Bucket(client, url, RateLimit(1e9, lambda: 0.0), lambda _: None))
    await runner.cleanup()
    path = "/b?list-type=2&prefix=raw/&delimiter=/"
    wanted = (path, None) if spared else (f"http://{here}{path}", "Basic bWU6c2VjcmV0")
    assert asked_for == [wanted]
