"""A process that makes pages of one line, for tests of what keeps such processes."""

from __future__ import annotations

import asyncio
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from aiohttp import web


def serve(path: Path, ready: Connection) -> None:
    """Answer with what was asked for; `/s/crash` ends the process, `/s/wrong` is a fault in it,
    `/s/wait` waits for ever, and `/s/waiting` tells how many do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_serve(path, ready))


async def _serve(path: Path, ready: Connection) -> None:
    waiting = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal waiting
        match request.path:
            case "/s/crash":
                os._exit(1)
            case "/s/wrong":
                raise RuntimeError
            case "/s/waiting":
                return web.Response(text=str(waiting))
            case "/s/wait":
                waiting += 1
                try:
                    await asyncio.Event().wait()
                finally:
                    waiting -= 1
        asked = sorted(name for name in request.headers if name not in ("Host", "User-Agent"))
        headers = {
            "Reachwatch-Conclusions": "7",
            "X-Asked": ", ".join(asked),
            "X-Queued": request.headers["Queued"],
        }
        more = "." * int(request.query.get("more", "0"))
        return web.Response(text=f"{request.path_qs} by another{more}", headers=headers)

    app = web.Application()
    app.router.add_get("/{any:.*}", answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    ready.close()
    await asyncio.Event().wait()
