from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import h11
import pytest

from probes.runtime import http_connection
from probes.runtime.broker_url import BrokerError, parse_way
from probes.runtime.http_connection import HTTPConnection, open_http
from probes.runtime.stall import StalledError
from probes.runtime.traffic_meter import TrafficMeter
from tests.world.narrow_path import narrow_path

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def opened(port: int, meter: TrafficMeter | None = None, most: int = 10**9) -> HTTPConnection:
    left = most

    def count_read(count: int) -> bool:
        nonlocal left
        left -= count
        return left >= 0

    way = parse_way(f"http://127.0.0.1:{port}/base")
    return await open_http(way, meter or TrafficMeter(), count_read)


async def closed(connection: HTTPConnection) -> None:
    connection.close()
    await asyncio.sleep(0.01)  # what was aborted is closed by the loop


def answering(answer: bytes, requests: list[bytes] | None = None) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                if requests is not None:
                    requests.append(head + body)
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            writer.transport.abort()

    return serve


async def test_requests_follow_each_other_over_one_connection() -> None:
    requests: list[bytes] = []
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    async with await asyncio.start_server(answering(answer, requests), "127.0.0.1", 0) as server:
        meter = TrafficMeter()
        port = server.sockets[0].getsockname()[1]
        connection = await opened(port, meter)
        for body in (b"one", b"two"):
            said = await connection.post("/x", body, {"Authorization": "Basic eA=="}, 100)
            assert (said.status, said.body) == (200, b"ok")
            assert connection.is_reusable
        await closed(connection)
        assert 600 < meter.total() < 2500
    head = requests[0].decode().lower()
    assert head.startswith(f"post /base/x http/1.1\r\nhost: 127.0.0.1:{port}\r\n")
    assert "authorization: basic ea==" in head


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + b"x" * 900, BrokerError),
        (b"SSH-2.0-OpenSSH\r\n\r\n", h11.ProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", h11.ProtocolError),
    ],
)
async def test_answers_that_are_none_are_refused(answer: bytes, kind: type[Exception]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        connection = await opened(server.sockets[0].getsockname()[1])
        with pytest.raises(kind):
            await connection.post("/", b"", {}, 100)
        assert not connection.is_reusable
        await closed(connection)


async def test_what_is_read_is_counted_and_limited() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + b"x" * 9
    async with await asyncio.start_server(answering(answer), "127.0.0.1", 0) as server:
        connection = await opened(server.sockets[0].getsockname()[1], most=50)
        await connection.post("/", b"", {}, 100)
        with pytest.raises(BrokerError, match="sent too much"):
            await connection.post("/", b"", {}, 100)
        await closed(connection)


async def test_a_frozen_connection_is_given_up_and_a_slow_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_connection, "ANSWER_SECONDS", 60.0)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with (
        await asyncio.start_server(answering(answer), "127.0.0.1", 0) as server,
        narrow_path(server.sockets[0].getsockname()[1]) as path,
    ):
        path.rate = 8_000
        connection = await opened(path.port)
        assert (await connection.post("/", bytes(20_000), {}, 100)).status == 200
        await closed(connection)
        path.rate, path.freeze_after = None, 5_000
        connection = await opened(path.port)
        with pytest.raises(StalledError):
            await connection.post("/", bytes(200_000), {}, 100)
        await closed(connection)
