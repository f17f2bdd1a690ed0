"""A broker of MQTT 3.1.1 alone, in front of a real one: two ways in which such brokers answer a
CONNECT of MQTT 5."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def only_3_1_1(port: int, *, silent: bool = False) -> AsyncIterator[int]:
    """Give the port of a relay to the broker on `port`. It refuses MQTT 5 with the return code of
    3.1.1, or (`silent`) never answers."""

    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readexactly(12)
            if b"MQTT\x05" in head:
                if silent:
                    await reader.read()
                else:
                    writer.write(b"\x20\x02\x00\x01")
            else:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
                far_writer.write(head)
                await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        await _close(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    # The clients have gone: no connection may be left when the event loop is closed.
    await asyncio.gather(*filter(None, serving))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
