# SPDX-License-Identifier: Apache-2.0
"""Other processes that make pages, so that a web server uses every core.

The web server's own process holds what there must be one of: the socket, limits, kept answers,
counters, enrolment and delivery. An answer that is the same for everybody, and that it does not
have, it takes from the process that makes the fewest. Each of these is the same application over
the same store behind a Unix socket; it knows nothing of the caller but the language. While none is
ready the web server makes the answer itself. One that ends is started again, and whoever waited for
it is told to come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from monitor.store.shared_transactions import Queued
from monitor.web.queued import queued_header
from monitor.web.response_cache import is_public

log = logging.getLogger(__name__)
AT_ONCE = 2
"""Answers that are made at the same time, for each process: while one waits for the database the
other goes on. All that wait are in one line, so that none waits behind a slow one while another
process has nothing to do; and few connections are used, each of which has in memory what most
pages read."""
ANSWER_SECONDS = 40.0
"""Longer than the store may take (`pipeline.READ_SECONDS`), after which the process says so."""
RESTART_SECONDS = 1.0
END_SECONDS = 2.0
RETRY_AFTER_SECONDS = 1
OWN = ("/metrics", "/status", "/data")
"""What tells of the web server's own process, or is a file that this one makes."""
PASSED_ON = ("Accept", "Accept-Encoding", "Accept-Language", "Cookie")
"""Headers on which an answer depends."""
_OF_CONNECTION = ("Connection", "Content-Length", "Date", "Keep-Alive", "Server")
Serve = Callable[[Path, Connection], None]
"""Serves pages at a Unix socket until the process is ended, and says when it is ready by closing
the connection; runs in the process, so it is sent there by name."""


class ProcessEndedError(Exception):
    """The process that was making an answer has ended, or does not answer."""


class _Process:
    """One of the processes, whichever has its place now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.current: BaseProcess | None = None
        self.session: aiohttp.ClientSession | None = None
        """While it is ready."""
        self.making = 0
        """Answers that it makes at the moment."""

    def give_up(self) -> None:
        """End it, where it has not ended yet: nobody else shall wait for it."""
        self.session = None
        if self.current is not None:
            self.current.kill()


class PageProcesses:
    """Keeps `count` processes running while the block of `running` lasts."""

    def __init__(self, count: int, serve: Serve, preload: Sequence[str]) -> None:
        """`preload` are modules that are loaded once, for all of them."""
        self._count, self._serve = count, serve
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        self._processes: list[_Process] = []
        self._turns = asyncio.Semaphore(count * AT_ONCE)
        self._waiting = 0
        self.ended = 0
        """How many have ended by themselves."""

    @property
    def ready(self) -> int:
        """How many make pages at the moment."""
        return sum(process.session is not None for process in self._processes)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run them until the block ends."""
        with tempfile.TemporaryDirectory(prefix="reachwatch-pages-") as directory:
            self._processes = [_Process(Path(directory, str(n))) for n in range(self._count)]
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._keep(each)) for each in self._processes]
                    yield
                    for task in tasks:
                        task.cancel()
            finally:
                await asyncio.to_thread(_end, [each.current for each in self._processes])

    async def _keep(self, process: _Process) -> None:
        while True:
            await self._run(process)
            self.ended += 1
            log.warning("a process that makes pages has ended; another one is started")
            await asyncio.sleep(RESTART_SECONDS)

    async def _run(self, process: _Process) -> None:
        process.path.unlink(missing_ok=True)
        own, theirs = self._context.Pipe()
        with contextlib.closing(own):
            started = self._context.Process(
                target=self._serve, args=(process.path, theirs), name="pages", daemon=True
            )
            await _in_thread(started.start)
            process.current = started
            theirs.close()
            await _readable(own.fileno())
        connector = aiohttp.UnixConnector(str(process.path), limit=0)
        limit = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=limit,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            process.session = session
            try:
                await _readable(started.sentinel)
            finally:
                process.session = None

    def covers(self, request: web.Request) -> bool:
        """Whether they make the answer to such a request."""
        return is_public(request) and not request.path.startswith(OWN)

    async def answer(self, request: web.Request) -> web.Response | None:
        """The answer from the process that makes the fewest, None while none is ready. Raises
        ProcessEndedError."""
        async with self._turn() as queued:
            ready = [each for each in self._processes if each.session is not None]
            if not ready:
                return None
            process = min(ready, key=lambda each: each.making)
            assert process.session is not None
            process.making += 1
            try:
                return await _ask(process.session, request, queued)
            except ProcessEndedError:
                process.give_up()
                raise
            finally:
                process.making -= 1

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[Queued]:
        arrived = time.monotonic()
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield Queued(arrived, followed=self._waiting > 0)
        finally:
            self._turns.release()


async def _ask(
    session: aiohttp.ClientSession, request: web.Request, queued: Queued
) -> web.Response:
    passed_on = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
    # aiohttp's client would ask for compressed answers by itself.
    headers = {"Accept-Encoding": "identity", "Accept": "*/*"} | passed_on | queued_header(queued)
    address = URL(f"http://pages{request.rel_url.raw_path_qs}", encoded=True)
    try:
        async with session.get(address, headers=headers, allow_redirects=False) as answer:
            body = await answer.read()
    except (aiohttp.ClientError, OSError) as error:  # TimeoutError is one of the latter
        raise ProcessEndedError from error
    kept = CIMultiDict(answer.headers)
    for name in _OF_CONNECTION:
        kept.popall(name, None)
    return web.Response(status=answer.status, headers=kept, body=body)


async def _readable(descriptor: int) -> None:
    """Return once something can be read there, or its other end is closed."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, done.set)
    try:
        await done.wait()
    finally:
        loop.remove_reader(descriptor)


async def _in_thread(start: Callable[[], None]) -> None:
    """Call a function that waits for seconds, until all modules are loaded; in a thread of its own,
    for which a web server that ends does not wait."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        try:
            start()
        finally:
            with contextlib.suppress(RuntimeError):  # the event loop has ended
                loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, daemon=True).start()
    await done.wait()


def _end(processes: Sequence[BaseProcess | None]) -> None:
    running = [process for process in processes if process is not None]
    for process in running:
        process.terminate()
    for process in running:
        process.join(END_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join(END_SECONDS)
