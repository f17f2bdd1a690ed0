# SPDX-License-Identifier: Apache-2.0
"""Clients that ask for one page after another over connections that stay open.

They share the machine with the server that is measured, so they do nothing with an answer but find
its end.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Iterator, Sequence

REQUEST = "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n"


async def ask_for_all(host: str, port: int, paths: Sequence[str], at_once: int) -> list[float]:
    """Milliseconds that each answer took, with so many clients at once. Raises RuntimeError for an
    answer without success and for a connection that ends before its answer."""
    loop, took, waiting = asyncio.get_running_loop(), list[float](), iter(paths)
    client = functools.partial(_Client, f"{host}:{port}", waiting, took)
    connections = [await loop.create_connection(client, host, port) for _ in range(at_once)]
    try:
        await asyncio.gather(*(made.done for _transport, made in connections))
    finally:
        for transport, _made in connections:
            transport.abort()
    return took


class _Client(asyncio.Protocol):
    def __init__(self, host: str, waiting: Iterator[str], took: list[float]) -> None:
        self._host, self._waiting, self._took = host, waiting, took
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """When there is nothing more to ask for."""
        self._path = ""
        self._began = 0.0
        self._answer = bytearray()
        self._length = 0
        """Of the answer with its head; 0 until that has arrived."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._length and (end := self._answer.find(b"\r\n\r\n")) >= 0:
            status, *lines = bytes(self._answer[:end]).lower().split(b"\r\n")
            if status.split(b" ")[1] != b"200":
                self._fail(status.decode())
                return
            lengths = [line for line in lines if line.startswith(b"content-length:")]
            self._length = end + 4 + int(lengths[0].partition(b":")[2])
        if self._length and len(self._answer) >= self._length:
            self._took.append((time.perf_counter() - self._began) * 1000)
            self._ask()

    def connection_lost(self, _error: Exception | None) -> None:
        self._fail("the connection has ended")

    def _ask(self) -> None:
        path = next(self._waiting, None)
        if path is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._path, self._length = path, 0
        self._answer.clear()
        self._began = time.perf_counter()
        self._transport.write(REQUEST.format(path=path, host=self._host).encode())

    def _fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(f"{self._path}: {reason}"))
            self._transport.close()
