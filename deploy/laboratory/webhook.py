# SPDX-License-Identifier: Apache-2.0
"""Receive Alertmanager's notifications; print each alert as a JSON line with its arrival time."""

from __future__ import annotations

import asyncio
import json
import signal
import time

from aiohttp import web

PORT = 9095


async def receive(request: web.Request) -> web.Response:
    """Print the alerts of one notification."""
    for alert in (await request.json())["alerts"]:
        received = {
            "at": time.time(),
            "status": alert["status"],
            "labels": alert["labels"],
            "annotations": alert["annotations"],
        }
        print(json.dumps(received, sort_keys=True), flush=True)
    return web.Response(text="received\n")


async def main() -> None:
    """Listen until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = web.Application()
    app.router.add_post("/{path:.*}", receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", PORT).start()
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
