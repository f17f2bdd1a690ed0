"""The HTTP server against clients that are slow on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from monitor import http_server
from monitor.http_server import caller, serving
from tests.world.waiting import eventually


@pytest.fixture
async def port() -> AsyncIterator[int]:
    release = asyncio.Event()

    async def quick(request: web.Request) -> web.Response:
        return web.Response(text=request.remote or "")

    async def slow(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response(text="done")

    async def post(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    async def free(request: web.Request) -> web.Response:
        release.set()
        return web.Response()

    app = web.Application()
    app.router.add_get("/", quick)
    app.router.add_get("/slow", slow)
    app.router.add_get("/free", free)
    app.router.add_post("/", post)
    app.router.add_post("/long", post)
    app[http_server.SLOW_BODIES] = {"/long": 300.0}
    async with serving(app, "127.0.0.1", 0) as bound:
        yield bound


async def ask(port: int, sent: bytes) -> bytes:
    """What is answered until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_a_request_head_that_never_ends_is_cut_off(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.2)
    for sent in (b"", b"GET / HTTP/1.1\r\nHost: x\r\nX: "):
        assert await ask(port, sent) == b""


async def test_a_head_that_trickles_is_cut_off_too(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte is no new beginning."""
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nX: ")

    async def trickle() -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.02)

    task = asyncio.create_task(trickle())
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    task.cancel()
    writer.close()


async def test_an_idle_connection_is_closed_after_its_answer(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "IDLE_SECONDS", 0.2)
    answer = await ask(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.endswith(b"127.0.0.1")


async def test_a_body_that_does_not_come(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "BODY_SECONDS", 0.2)
    monkeypatch.setattr(http_server, "IDLE_SECONDS", 0.2)
    answer = await ask(port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 408")


async def test_a_path_may_have_more_time_for_its_body(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "BODY_SECONDS", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /long HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nab"
    )
    await asyncio.sleep(0.4)
    writer.write(b"cd")
    assert (await reader.read()).endswith(b"4")
    writer.close()


async def test_a_response_that_is_not_read_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "READ_SECONDS", 0.05)
    guard = http_server._Guard(asyncio.Protocol(), {}, lambda: None)
    transport = Wall()
    guard.connection_made(transport)
    guard.pause_writing()
    guard.resume_writing()
    guard.pause_writing()
    await eventually(lambda: transport.aborted)
    guard.connection_lost(None)
    assert transport.aborted == 1


class Wall(asyncio.Transport):
    """A transport that only counts how often it was given up."""

    aborted = 0

    def abort(self) -> None:
        self.aborted += 1


async def test_one_caller_has_so_many_requests_at_once_behind_a_proxy_too(port: int) -> None:
    most = http_server.MAX_REQUESTS
    one, two = ({"X-Forwarded-For": f"198.51.100.9, 192.0.2.{n}"} for n in (1, 2))
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async with session.get(url, headers=one) as answer:
            assert await answer.text() == "192.0.2.1"
        held = [asyncio.create_task(_status(session, f"{url}/slow", one)) for _ in range(most)]
        await eventually(lambda: _status_is(session, url, one, 429))
        assert await _status(session, url, two) == 200
        assert await _status(session, f"{url}/free", two) == 200
        assert [await each for each in held] == [200] * most
        assert await _status(session, url, one) == 200


async def _status(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> int:
    async with session.get(url, headers=headers) as answer:
        await answer.read()
        return answer.status


async def _status_is(
    session: aiohttp.ClientSession, url: str, headers: dict[str, str], wanted: int
) -> bool:
    return await _status(session, url, headers) == wanted


@pytest.mark.parametrize(
    "lines",
    [
        ("198.51.100.7", "203.0.113.66"),
        ("198.51.100.7, 198.51.100.8", "203.0.113.66"),
        ("198.51.100.7", "198.51.100.8, 203.0.113.66"),
        ("127.0.0.1", "", "203.0.113.66"),
    ],
)
async def test_of_several_lines_the_last_hop_is_believed(port: int, lines: tuple[str, ...]) -> None:
    """HAProxy adds a line of its own behind those that a client sent."""
    head = "".join(f"X-Forwarded-For: {line}\r\n" for line in lines)
    sent = f"GET / HTTP/1.1\r\nHost: x\r\n{head}Connection: close\r\n\r\n"
    assert (await ask(port, sent.encode())).endswith(b"\r\n\r\n203.0.113.66")


def test_who_is_believed_to_name_the_caller() -> None:
    inside = [ipaddress.ip_network("10.0.0.0/8")]
    for peer, forwarded, proxies, wanted in (
        ("127.0.0.1", "192.0.2.1", (), "192.0.2.1"),
        ("::1", "9.9.9.9, 192.0.2.1", (), "192.0.2.1"),
        ("10.0.0.2", "192.0.2.1", (), "10.0.0.2"),
        ("10.0.0.2", "192.0.2.1", inside, "192.0.2.1"),
        ("10.0.0.2", "2001:db8::1", inside, "2001:db8::1"),
        ("10.0.0.2", "unknown", inside, "10.0.0.2"),
        ("10.0.0.2", "", inside, "10.0.0.2"),
        ("192.0.2.7", "192.0.2.1", inside, "192.0.2.7"),
        ("10.0.0.2", "192.0.2.1:4711", inside, "192.0.2.1"),
        ("10.0.0.2", '"[2001:db8::1]:4711"', inside, "2001:db8::1"),
        ("10.0.0.2", "[2001:db8::1]", inside, "2001:db8::1"),
        ("10.0.0.2", "fe80::1%eth0", inside, "fe80::1"),
        ("10.0.0.2", "::ffff:192.0.2.1", inside, "192.0.2.1"),
        ("::ffff:10.0.0.2", "192.0.2.1", inside, "192.0.2.1"),
        ("::ffff:127.0.0.1", "192.0.2.1", (), "192.0.2.1"),
        ("::ffff:192.0.2.7", "192.0.2.1", inside, "192.0.2.7"),
        ("10.0.0.2", "192.0.2.1, 192.0.2.7/24", inside, "10.0.0.2"),
        ("10.0.0.2", "192.0.2.1, ", inside, "10.0.0.2"),
    ):
        assert caller(peer, forwarded, proxies) == wanted
