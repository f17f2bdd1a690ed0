# SPDX-License-Identifier: Apache-2.0
"""One answer for many requests: a page is made once however many people ask for it at the moment.

An answer is given for as long as nothing new was concluded. After that, and every few seconds for
what changes with the clock, it is given once more while a new one is made behind it, so that
nobody waits. A request waits only when there is no answer that is young enough. An answer is not
made again before KEEP_FACTOR times as long as it took have passed: one page, however often it is
asked for, takes at most a tenth of the process's time. Whoever asks for what nobody asked before,
as with a parameter that means nothing, waits in a line of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDict

from monitor.listener import one_address
from monitor.web.background import Background

KEEP_FACTOR = 10.0
MAX_BYTES = 32 << 20
"""Bodies of all kept answers; the least recently used go first."""
MAX_ENTRIES = 2000
OWN_AT_ONCE = 2
"""New answers that are made at the same time for one caller."""
WITHOUT_QUERY = ("/metrics",)
"""Addresses whose answer does not depend on the query."""
STREAMED = re.compile("/e/[0-9a-f]{16}/measurements[.]")
"""Addresses whose answer is sent in parts while it is made, however long a reader takes."""
PRIVATE = ("/healthz", "/readyz", "/static/", "/api/v1/whoami", "/live/", "/mqtt")
"""What depends on the caller, must be true at this moment, or is kept elsewhere."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Entry:
    status: int
    headers: CIMultiDict[str]
    body: bytes
    revision: int
    """Of what was concluded when the answer was begun."""
    made: float
    """Monotonic seconds."""
    took: float
    """Seconds."""


def is_public(request: web.Request) -> bool:
    """Whether the answer is the same for everybody, and made as a whole."""
    return (
        request.method == "GET"
        and not request.path.startswith(PRIVATE)
        and not STREAMED.match(request.path)
    )


class ResponseCache:
    """Answers by path and query. No answer is given `max_seconds` after it was made; 0 keeps none.
    `revision` gives a number that changes whenever something is concluded; `background` makes the
    next answer behind one that is given."""

    def __init__(
        self,
        max_seconds: float,
        revision: Callable[[], int],
        background: Background,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_seconds, self._revision, self._clock = max_seconds, revision, clock
        self._background = background
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._first: dict[Key, asyncio.Future[bool]] = {}
        """Answers that are being made; True when others need not make it themselves: it is kept,
        or the request went away and another one is the first."""
        self._bytes = 0
        self._lines: dict[str, asyncio.Semaphore] = {}
        """Of the callers for whom new answers are being made."""
        self._waiting: Counter[str] = Counter()

    def clear(self) -> None:
        """Forget every answer."""
        self._entries.clear()
        self._bytes = 0

    def covers(self, request: web.Request) -> bool:
        """Whether answers to such a request may be shared."""
        return self._max_seconds > 0 and is_public(request)

    async def answer(
        self,
        request: web.Request,
        make: Callable[[], Awaitable[web.StreamResponse]],
        language: str = "",
    ) -> web.StreamResponse:
        """A kept answer in this language that is young enough, or a new one from `make`."""
        packed = "gzip" in request.headers.get("Accept-Encoding", "")
        negotiated = request.headers.get("Accept", "")
        if request.path != "/metrics":
            wants_page = request.path.startswith("/runbooks/") and "text/html" in negotiated
            negotiated = "html" if wants_page else ""
        place = request.path if request.path in WITHOUT_QUERY else request.path_qs
        key = (place, f"{packed} {negotiated} {language}")
        while True:
            entry = self._entries.get(key)
            if entry is not None and self._clock() - entry.made <= self._max_seconds:
                self._entries.move_to_end(key)
                if self._is_due(key, entry):
                    self._background.start(functools.partial(self._renew, key, make))
                headers = CIMultiDict(entry.headers)
                return web.Response(status=entry.status, headers=headers, body=entry.body)
            if (first := self._first.get(key)) is None:
                async with self._line(one_address(request.remote or "")):
                    if key not in self._first and self._entries.get(key) is entry:
                        return await self._make(key, make)
                continue
            if not await asyncio.shield(first):
                return await make()

    @contextlib.asynccontextmanager
    async def _line(self, caller: str) -> AsyncIterator[None]:
        """The turn of a caller; loopback is the operator, or a proxy that names no caller."""
        if not caller:
            yield
            return
        line = self._lines.setdefault(caller, asyncio.Semaphore(OWN_AT_ONCE))
        self._waiting[caller] += 1
        try:
            async with line:
                yield
        finally:
            self._waiting[caller] -= 1
            if not self._waiting[caller]:
                del self._waiting[caller], self._lines[caller]

    def _is_due(self, key: Key, entry: _Entry) -> bool:
        if key in self._first:
            return False
        age = self._clock() - entry.made
        old = age > self._max_seconds / 2 or entry.revision != self._revision()
        return old and age > KEEP_FACTOR * entry.took

    async def _renew(self, key: Key, make: Callable[[], Awaitable[web.StreamResponse]]) -> None:
        # Others that asked in the same pass of the event loop have begun a task each; one that
        # never waits has made the answer before the next begins.
        entry = self._entries.get(key)
        if entry is not None and self._is_due(key, entry):
            await self._make(key, make)

    async def _make(
        self, key: Key, make: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        made = self._first[key] = asyncio.get_running_loop().create_future()
        shared = False
        began, revision = self._clock(), self._revision()
        try:
            response = await make()
            if (
                isinstance(response, web.Response)
                and response.status == 200
                and isinstance(response.body, bytes)
            ):
                self._keep(key, response, response.body, revision, self._clock() - began)
                shared = True
            return response
        except asyncio.CancelledError:
            shared = True
            raise
        finally:
            del self._first[key]
            made.set_result(shared)

    def _keep(
        self, key: Key, response: web.Response, body: bytes, revision: int, took: float
    ) -> None:
        self._drop(key)
        headers = CIMultiDict(response.headers)
        headers.popall("Content-Length", None)
        self._entries[key] = _Entry(response.status, headers, body, revision, self._clock(), took)
        self._bytes += len(body)
        while self._bytes > MAX_BYTES or len(self._entries) > MAX_ENTRIES:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Key) -> None:
        if (entry := self._entries.pop(key, None)) is not None:
            self._bytes -= len(entry.body)


CACHE: web.AppKey[ResponseCache] = web.AppKey("response_cache", ResponseCache)
