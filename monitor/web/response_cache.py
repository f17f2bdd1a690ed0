# SPDX-License-Identifier: Apache-2.0
"""One answer for many requests: a page is made once however many people ask for it at the moment.

An answer is kept for KEEP_FACTOR times as long as it took to make, and never longer than the site
allows. So making one page again and again takes at most a tenth of the process's time, and an
answer that costs nothing is never old. While an old answer is made anew, others get the old one.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDict

KEEP_FACTOR = 10.0
STALE_FACTOR = 2.0
"""An answer older than this many times its own lifetime is not given while a new one is made."""
MAX_BYTES = 32 << 20
"""Bodies of all kept answers; the least recently used go first."""
MAX_ENTRIES = 2000
PRIVATE = ("/healthz", "/readyz", "/static/", "/api/v1/whoami")
"""What depends on the caller, must be true at this moment, or is kept elsewhere."""

Key = tuple[str, str]


@dataclass(slots=True)
class _Entry:
    status: int
    headers: CIMultiDict[str]
    body: bytes
    made: float
    """Monotonic seconds."""
    lifetime: float
    making: bool = False
    """Some request is making a newer one."""


class ResponseCache:
    """Answers by path and query. `max_seconds`: no answer is kept longer; 0 keeps none."""

    def __init__(self, max_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_seconds, self._clock = max_seconds, clock
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._first: dict[Key, asyncio.Future[bool]] = {}
        """Requests that make an answer; True when others need not make it themselves: it is kept,
        or the request went away and another one is the first."""
        self._bytes = 0

    def covers(self, request: web.Request) -> bool:
        """Whether answers to such a request may be shared."""
        return (
            self._max_seconds > 0
            and request.method == "GET"
            and not request.path.startswith(PRIVATE)
        )

    async def answer(
        self, request: web.Request, make: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """A kept answer that is young enough, or a new one from `make`."""
        packed = "gzip" in request.headers.get("Accept-Encoding", "")
        negotiated = request.headers.get("Accept", "") if request.path == "/metrics" else ""
        key = (request.path_qs, f"{packed} {negotiated}")
        while True:
            entry = self._entries.get(key)
            if entry is not None:
                age = self._clock() - entry.made
                busy = entry.making and age <= STALE_FACTOR * entry.lifetime
                if age <= entry.lifetime or busy:
                    self._entries.move_to_end(key)
                    headers = CIMultiDict(entry.headers)
                    return web.Response(status=entry.status, headers=headers, body=entry.body)
            if (first := self._first.get(key)) is None:
                return await self._make(key, entry, make)
            if not await asyncio.shield(first):
                return await make()

    async def _make(
        self,
        key: Key,
        old: _Entry | None,
        make: Callable[[], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        made = self._first[key] = asyncio.get_running_loop().create_future()
        shared = False
        if old is not None:
            old.making = True
        began = self._clock()
        try:
            response = await make()
            if (
                isinstance(response, web.Response)
                and response.status == 200
                and isinstance(response.body, bytes)
            ):
                self._keep(key, response, response.body, self._clock() - began)
                shared = True
            return response
        except asyncio.CancelledError:
            shared = True
            raise
        finally:
            if old is not None:
                old.making = False
            del self._first[key]
            made.set_result(shared)

    def _keep(self, key: Key, response: web.Response, body: bytes, took: float) -> None:
        self._drop(key)
        headers = CIMultiDict(response.headers)
        headers.popall("Content-Length", None)
        lifetime = min(self._max_seconds, KEEP_FACTOR * took)
        self._entries[key] = _Entry(response.status, headers, body, self._clock(), lifetime)
        self._bytes += len(body)
        while self._bytes > MAX_BYTES or len(self._entries) > MAX_ENTRIES:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Key) -> None:
        if (entry := self._entries.pop(key, None)) is not None:
            self._bytes -= len(entry.body)


CACHE: web.AppKey[ResponseCache] = web.AppKey("response_cache", ResponseCache)
