# SPDX-License-Identifier: Apache-2.0
"""Clients of the bench ask for every page once and read each answer to its end."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from benchmarks.size.asking import ask_for_all


@asynccontextmanager
async def server(answer):
    """Serve what `answer` gives for a path, as pieces; gives the port and the paths asked for."""
    asked = []

    async def serve(reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            asked.append(head.split()[1].decode())
            for piece in answer(asked[-1]):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if writer.is_closing():
                return

    async def quietly(reader, writer):
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(quietly, "127.0.0.1") as listening:
        yield listening.sockets[0].getsockname()[1], asked
        await asyncio.sleep(0.01)  # what serves a connection notices that it has ended


PATHS = [f"/s/{n}" for n in range(30)]


@pytest.mark.parametrize("size", [1, 200, 7000])
async def test_every_page_is_asked_for_once_and_read_to_its_end(size):
    def answer(path):
        whole = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size
        return [whole[:30], whole[30:]]

    async with server(answer) as (port, asked):
        took = await ask_for_all("127.0.0.1", port, PATHS, 4)
    assert sorted(asked) == sorted(PATHS)
    assert len(took) == 30


async def test_an_answer_without_success_ends_it():
    def answer(path):
        return [b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"]

    async with server(answer) as (port, _asked):
        with pytest.raises(RuntimeError, match=r"/s/[01]: http/1.1 503"):
            await ask_for_all("127.0.0.1", port, PATHS, 2)


async def test_a_connection_that_ends_within_an_answer_ends_it():
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(RuntimeError, match="the connection has ended"):
            await ask_for_all("127.0.0.1", port, PATHS, 2)
