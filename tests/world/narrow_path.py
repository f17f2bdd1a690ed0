"""A path to a server on loopback that can be closed, slowed, or frozen after some bytes, as a
censor does it: packets vanish, and nothing is reset."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

_SO_ATTACH_FILTER = 26
_CHUNK = 1024


class NarrowPath:
    """A relay; what it does may be changed at any time, for connections that come then."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.is_closed = False
        """Refuse: connections are reset at once."""
        self.freeze_after: int | None = None
        """Bytes of a connection, both ways together, after which nothing passes any more."""
        self.rate: float | None = None
        """Bytes a second."""
        self.carried: list[int] = []
        """Of each connection."""
        self._open: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Reset the connections that are open."""
        for writer in self._open:
            _reset(writer)

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        if self.is_closed:
            _reset(writer)
            return
        number = len(self.carried)
        self.carried.append(0)
        freeze_after = self.freeze_after
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        frozen = asyncio.Event()
        self._open.add(writer)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while chunk := await source.read(_CHUNK):
                if self.rate is not None:
                    await asyncio.sleep(len(chunk) / self.rate)
                self.carried[number] += len(chunk)
                if freeze_after is not None and self.carried[number] > freeze_after:
                    drop_what_arrives(writer.get_extra_info("socket"))
                    frozen.set()
                if frozen.is_set():
                    continue  # read on, so that more is sent, which is dropped
                sink.write(chunk)
                await sink.drain()
            if sink.can_write_eof():
                sink.write_eof()

        try:
            with contextlib.suppress(OSError):
                async with asyncio.TaskGroup() as group:
                    group.create_task(pump(reader, back))
                    group.create_task(pump(there, writer))
        except* OSError:
            pass
        finally:
            self._open.discard(writer)
            for end in (writer, back):
                end.transport.abort()


def drop_what_arrives(sock: Any) -> None:
    """Have the kernel drop every packet to this socket before TCP sees it: no acknowledgement is
    sent any more."""
    program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # BPF: return 0
    sock.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program))
    )


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.asynccontextmanager
async def narrow_path(port: int) -> AsyncIterator[NarrowPath]:
    """A path to this port."""
    path = NarrowPath(port)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await path.relay(reader, writer)
        tasks.discard(task)

    listening = socket.socket()
    # Little is acknowledged before it is counted.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    listening.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(serve, sock=listening)
    path.port = listening.getsockname()[1]
    try:
        yield path
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(list(tasks))
        await asyncio.sleep(0.01)  # transports that were aborted are closed
