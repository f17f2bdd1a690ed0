# SPDX-License-Identifier: Apache-2.0
"""A process that makes pages for the web server's: the same application over the same store, behind
a Unix socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import signal
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
from aiohttp import web

from monitor import logs
from monitor.demo import WORDS
from monitor.demo.plan import NETWORK_NAMES
from monitor.detection.policy import Policy
from monitor.metrics.lags import Lags
from monitor.store.database import Database, open_database
from monitor.store.records import StoreUnavailableError
from monitor.store.simulated import is_simulated
from monitor.text import network_names
from monitor.web.app import make_app
from monitor.web.first_pages import ask_for_each
from monitor.web.render import compile_templates
from monitor.web.site import Site
from probes.catalogue.load import load
from probes.runtime.clock import wall_clock

READ_SECONDS = 30.0
"""Longest time that pages, API and metrics wait for the store."""
AT_ONCE_SECONDS = 0.1
"""Of a statement of SQLite: it delays one other page, and to begin again in a thread costs more."""
CACHE_SECONDS = 10.0
"""An answer of the web server is never older than this, before the pace."""
COLLECT_AFTER = 20_000
"""Objects that are made before the garbage collector looks at them; a page has some thousands."""
AGAIN_SECONDS = 1.0
"""Between two attempts to open the store."""


class PageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What pages depend on, besides the store."""

    database: str
    """The URL."""
    catalogue: Path | None
    pace: int
    public_url: str
    interval_seconds: int


async def site_over(settings: PageSettings, database: Database) -> Site:
    """The site of a web server that takes nothing from probes."""
    policy = Policy(pace=settings.pace)
    return Site(
        database=database,
        policy=policy,
        catalogue=load(settings.catalogue),
        clock=wall_clock,
        unready=lambda: (),
        lags=Lags(),
        public_url=settings.public_url,
        demo=await notice(database),
        interval_seconds=settings.interval_seconds,
        cache_seconds=CACHE_SECONDS / policy.pace,
    )


async def notice(database: Database) -> str:
    """What pages say of a store that a demonstration filled, whoever serves it; empty of others.
    Its networks get their names."""
    if not await is_simulated(database):
        return ""
    network_names.name_simulated(NETWORK_NAMES)
    return WORDS


def serve(settings: PageSettings, switch_seconds: float, path: Path, ready: Connection) -> None:
    """Serve until the process is ended, or the one that started it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C ends the web server, which ends this
    sys.setswitchinterval(switch_seconds)
    gc.freeze()
    logs.configure()
    asyncio.run(_serve(settings, path, ready.close))


async def _serve(settings: PageSettings, path: Path, ready: Callable[[], None]) -> None:
    parent, over = multiprocessing.parent_process(), asyncio.Event()
    assert parent is not None
    asyncio.get_running_loop().add_reader(parent.sentinel, over.set)
    async with contextlib.AsyncExitStack() as stack:
        site = await site_over(settings, await stack.enter_async_context(await _opened(settings)))
        runner = web.AppRunner(
            make_app(site, keep=False), access_log=None, handler_cancellation=True
        )
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await stack.enter_async_context(site.background.running())
        site.background.start(site.present.keep)
        site.background.start(site.database.end_shared)
        with contextlib.suppress(StoreUnavailableError):
            await site.present.get()
        await asyncio.to_thread(compile_templates)
        _spare_the_collector()
        await web.UnixSite(runner, str(path)).start()
        ready()
        site.background.start(partial(_warm, site, path))
        await over.wait()


async def _warm(site: Site, path: Path) -> None:
    try:
        await ask_for_each(site, path)
    finally:
        _spare_the_collector()  # what they have left stays as well


def _spare_the_collector() -> None:
    """Keep Python's garbage collector from looking again and again through what stays, and from
    looking many times while one page is made, nearly all of which goes without it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)


async def _opened(settings: PageSettings) -> Database:
    # A page has a dozen statements, most of which take less than it takes to plan them.
    opening = partial(
        open_database,
        settings.database,
        read_seconds=READ_SECONDS,
        at_once=AT_ONCE_SECONDS,
        planned_once=True,
    )
    while True:
        with contextlib.suppress(StoreUnavailableError):
            return await opening()
        await asyncio.sleep(AGAIN_SECONDS)
