# SPDX-License-Identifier: Apache-2.0
"""A public bucket over HTTP: listings and files, as patiently as its server asks for.

What may pass (no connection, 429, 5xx, an answer that breaks off) is tried again for ever, after a
rest that all requests share. What will not pass is a SourceError. A file that fails again and again
while the server answers otherwise is a FailingFileError: the others need not wait for it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import IO, TypeVar
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from monitor.follow.layout import Listed, SourceFile
from monitor.follow.listing import ListingError, Page, page_of, query
from monitor.follow.pace import RateLimit, asked_seconds, rest_seconds, uniform

CHUNK_BYTES = 1 << 16
LONGEST_LISTING = 8 << 20
CONNECT_SECONDS, SILENT_SECONDS = 30.0, 60.0
AT_ONCE = 12
"""Requests at a time. A day has some sixteen thousand files of 20 kB: from a server that takes
100 ms for each, they come in 140 seconds."""
FILE_ATTEMPTS = 5
"""Failures of one file in a row after which the server is asked for something else."""
_T = TypeVar("_T")


class SourceError(Exception):
    """The source cannot be used, and waiting will not help; one line."""


class MissingFileError(Exception):
    """A file that was listed is not there."""


class FailingFileError(Exception):
    """A file that the server cannot give, while it gives others; how it fails."""


class _PassingError(Exception):
    """What may be over when it is tried again."""

    def __init__(self, reason: str, text: str, asked: float | None = None) -> None:
        super().__init__(text)
        self.reason, self.asked = reason, asked


class Bucket:
    """A bucket by its URL. `failures` counts by reason what was tried again; `on_wait` gets what is
    waited for, and an empty text when it is over."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        rate: RateLimit,
        on_wait: Callable[[str], None],
    ) -> None:
        self.url = url.rstrip("/")
        self._session, self._rate, self._on_wait = session, rate, on_wait
        self.failures: Counter[str] = Counter()
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._rest_until = 0.0
        self._in_a_row = 0

    async def objects(self, prefix: str) -> AsyncIterator[Listed]:
        """Everything below a prefix. Raises SourceError."""
        async for page in self._pages(prefix, folders=False):
            for listed in page.objects:
                yield listed

    async def folders(self, prefix: str) -> list[str]:
        """The folders right below a prefix. Raises SourceError."""
        return [
            folder async for page in self._pages(prefix, folders=True) for folder in page.prefixes
        ]

    async def _pages(self, prefix: str, *, folders: bool) -> AsyncIterator[Page]:
        after = ""
        while True:
            asked = query(prefix, folders=folders, after=after)
            page = await self._patiently(partial(self._page, asked))
            yield page
            if not (after := page.next):
                return

    async def _page(self, asked: Mapping[str, str]) -> Page:
        async with self._session.get(self.url, params=asked) as response:
            await self._accept(response)
            body = b""
            while chunk := await response.content.read(LONGEST_LISTING - len(body)):
                body += chunk
        try:
            return page_of(body)
        except ListingError as error:
            raise SourceError(f"{self.url}: {error}: is it the URL of a bucket?") from None

    async def fetch(self, file: SourceFile, into: IO[bytes]) -> None:
        """Write a file. Raises MissingFileError, FailingFileError and SourceError."""
        folder = query(file.key.rpartition("/")[0] + "/", folders=True)
        await self._patiently(partial(self._fetch, file, into), partial(self._page, folder))

    async def _fetch(self, file: SourceFile, into: IO[bytes]) -> None:
        into.seek(0)
        into.truncate()
        async with self._session.get(f"{self.url}/{file.key}") as response:
            if response.status == 404:
                raise MissingFileError(file.key)
            await self._accept(response)
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                into.write(chunk)
                if pause := self._rate.spend(len(chunk)):
                    await asyncio.sleep(pause)
        expected = response.content_length
        if expected is not None and into.tell() != expected:
            raise _PassingError("broken_off", f"{file.key} broke off")
        into.seek(0)

    async def _accept(self, response: aiohttp.ClientResponse) -> None:
        """Raise where there is no answer to read."""
        status = response.status
        if status == 200:
            return
        text = f"HTTP {status} {response.reason or ''}".strip()
        if status in (408, 429) or status >= 500:
            asked = asked_seconds(response.headers.get("Retry-After", ""), dt.datetime.now(dt.UTC))
            reason = "throttled" if status in (429, 503) else "unavailable"
            raise _PassingError(reason, text, asked)
        raise SourceError(f"{self.url}: {text} for {response.url.path_qs[:200]}")

    async def _patiently(
        self,
        ask: Callable[[], Awaitable[_T]],
        ask_otherwise: Callable[[], Awaitable[object]] | None = None,
    ) -> _T:
        """Ask until there is an answer. After some failures in a row the server is asked otherwise,
        if a way is given: when it answers that, FailingFileError is raised."""
        loop = asyncio.get_running_loop()
        failed, how = 0, ""
        while True:
            async with self._turn:
                if (left := self._rest_until - loop.time()) > 0:
                    await asyncio.sleep(left)
                    continue  # another request may have prolonged it
                try:
                    if failed >= FILE_ATTEMPTS and ask_otherwise is not None:
                        await ask_otherwise()
                        self._answered()
                        raise FailingFileError(how)
                    answer = await ask()
                except _PassingError as error:
                    failed, how = failed + 1, str(error)
                    self._rest(error)
                except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                    named = str(error) or type(error).__name__
                    broken = isinstance(error, aiohttp.ClientPayloadError)
                    reason = "broken_off" if broken else "unavailable"
                    failed, how = failed + 1, named.splitlines()[0][:200]
                    self._rest(_PassingError(reason, how))
                else:
                    self._answered()
                    return answer

    def _answered(self) -> None:
        """Nothing is waited for any more."""
        if self._in_a_row:
            self._in_a_row = 0
            self._on_wait("")

    def _rest(self, error: _PassingError) -> None:
        self.failures[error.reason] += 1
        self._in_a_row += 1
        now = asyncio.get_running_loop().time()
        seconds = rest_seconds(self._in_a_row, error.asked, uniform)
        self._rest_until = max(self._rest_until, now + seconds)
        self._on_wait(f"{error}; tries again in {self._rest_until - now:.0f} s")


def session(url: str) -> aiohttp.ClientSession:
    """A session for the bucket at a URL. Sizes and versions are those of what is stored, so nothing
    is unpacked on the way."""
    return aiohttp.ClientSession(
        auto_decompress=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "reachwatch"},
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS
        ),
        connector=aiohttp.TCPConnector(limit=AT_ONCE),
        proxy=_proxy(URL(url)),
    )


def _proxy(url: URL) -> str | None:
    """The proxy that the environment names for a URL. It is asked once: aiohttp's `trust_env` asks
    in two threads at each request, a third of what it costs."""
    named = getproxies().get(url.scheme)
    return None if proxy_bypass(url.host or "") else named
