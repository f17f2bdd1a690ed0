"""A process that makes pages of one line, for tests of what keeps such processes."""

from __future__ import annotations

import asyncio
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from aiohttp import web


def serve(path: Path, ready: Connection) -> None:
    """Answer with what was asked for; `/s/crash` ends the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_serve(path, ready))


async def _serve(path: Path, ready: Connection) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/s/crash":
            os._exit(1)
        asked = sorted(name for name in request.headers if name not in ("Host", "User-Agent"))
        headers = {"Reachwatch-Conclusions": "7", "X-Asked": ", ".join(asked)}
        return web.Response(text=f"{request.path_qs} by another", headers=headers)

    app = web.Application()
    app.router.add_get("/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    ready.close()
    await asyncio.Event().wait()
