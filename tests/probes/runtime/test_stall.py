from __future__ import annotations

import asyncio

import pytest

from probes.runtime.stall import StalledError, while_moving
from tests.world.narrow_path import drop_what_arrives


async def pair() -> tuple[asyncio.StreamWriter, asyncio.StreamWriter, asyncio.Server]:
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accepted.put(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    _, ours = await asyncio.open_connection(*server.sockets[0].getsockname())
    return ours, await accepted.get(), server


async def test_a_frozen_connection_is_told_from_one_that_waits() -> None:
    ours, theirs, server = await pair()
    sock = ours.get_extra_info("socket")
    ours.write(b"x" * 1000)
    async with while_moving(sock, 60, 0.4):
        await asyncio.sleep(1.2)  # everything has arrived: who answers takes its time
    drop_what_arrives(theirs.get_extra_info("socket"))
    ours.write(b"y" * 1000)
    with pytest.raises(StalledError):
        async with while_moving(sock, 60, 0.4):
            await asyncio.sleep(60)
    for writer in (ours, theirs):
        writer.transport.abort()
    server.close()


async def test_an_answer_that_does_not_come_is_waited_for_no_longer() -> None:
    ours, theirs, server = await pair()
    ours.write(b"x")
    with pytest.raises(StalledError):
        async with while_moving(ours.get_extra_info("socket"), 0.5, 0.2):
            await asyncio.sleep(60)
    for writer in (ours, theirs):
        writer.transport.abort()
    server.close()


async def test_what_is_received_counts_as_movement() -> None:
    ours, theirs, server = await pair()
    sock = ours.get_extra_info("socket")
    async with while_moving(sock, 0.4, 0.4):
        for _ in range(12):
            theirs.write(b"z")
            await asyncio.sleep(0.1)
    for writer in (ours, theirs):
        writer.transport.abort()
    server.close()


async def test_a_closed_socket_and_a_time_limit_inside_are_no_stall() -> None:
    async with while_moving(None, 60, 0.1):
        await asyncio.sleep(0.3)
    with pytest.raises(TimeoutError) as caught:
        async with while_moving(None, 60, 60), asyncio.timeout(0.05):
            await asyncio.sleep(60)
    assert not isinstance(caught.value, StalledError)
