# SPDX-License-Identifier: Apache-2.0
"""The store of a process that starts while PostgreSQL is away: it waits, and says so.

A SQLite file that cannot be opened is a slip of whoever started the process, and is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from aiohttp import web

from monitor.metrics import process
from monitor.store.database import Database, StoreRefusedError, open_database
from monitor.store.records import StoreUnavailableError

log = logging.getLogger("reachwatch")
RETRY_SECONDS = 2.0


class StoppedError(Exception):
    """The process was asked to end before it had a store."""


async def open_available(
    url: str,
    stop: asyncio.Event,
    serving: Callable[[web.Application], AbstractAsyncContextManager[None]],
    read_seconds: float,
) -> Database:
    """Open the store, as soon as it is available. While it is not, `serving` shows that the process
    is alive and not ready. Raises StoreUnavailableError where there is nothing to wait for, and
    StoppedError."""
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(_open(url, serving, read_seconds))
        stopping = group.create_task(stop.wait())
        await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
        opening.cancel()
        stopping.cancel()
    if opening.cancelled():
        raise StoppedError
    opened = opening.result()
    if isinstance(opened, StoreUnavailableError):
        raise opened
    return opened


async def _open(
    url: str,
    serving: Callable[[web.Application], AbstractAsyncContextManager[None]],
    read_seconds: float,
) -> Database | StoreUnavailableError:
    """The store, or why there is nothing to wait for."""
    reason = ""
    app = process.make_app(lambda: (), lambda: (f"store: {reason}",))
    async with contextlib.AsyncExitStack() as stack:
        while True:
            try:
                return await open_database(url, read_seconds=read_seconds)
            except StoreUnavailableError as error:
                if isinstance(error, StoreRefusedError) or url.startswith("sqlite"):
                    return error
                if not reason:
                    await stack.enter_async_context(serving(app))
                if str(error) != reason:
                    log.warning("waiting for the store: %s", error)
                reason = str(error)
            await asyncio.sleep(RETRY_SECONDS)
