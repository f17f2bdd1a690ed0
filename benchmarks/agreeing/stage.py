# SPDX-License-Identifier: Apache-2.0
"""The demonstration with a course of its own, as a process: two blocks that overlap, the first of
which comes back while it is clearing and after it has ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from monitor import logs
from monitor.commands.options import build
from monitor.demo.block import DEFAULT, SECOND
from monitor.demo.demonstration import demonstrate
from monitor.demo.script import Act
from monitor.local.probe import LocalMonitor
from monitor.pipeline import everything

SECRET = "REACHWATCH_AGREEMENT_SECRET"
"""Variable of the environment that holds the monitor's own secret at its broker."""
ACTS = (
    Act(DEFAULT, True, "confirmed", 200, shown=False),
    Act(SECOND, True, "confirmed", 200, shown=False),
    Act(DEFAULT, False, "clearing"),
    Act(DEFAULT, True, "confirmed", 300, shown=False),
    Act(DEFAULT, False, "closed"),
    Act(SECOND, False, "closed"),
    Act(DEFAULT, True, "confirmed", 200, shown=False),
    Act(DEFAULT, False, "closed"),
)


@contextlib.asynccontextmanager
async def _with_known_secret(*arguments: Any, **settings: Any) -> AsyncIterator[LocalMonitor]:
    settings["monitor_secret"] = os.environ[SECRET]
    async with everything(*arguments, **settings) as monitor:
        yield monitor


async def main() -> None:
    """Run it until SIGTERM."""
    logs.configure()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await demonstrate(build().read(sys.argv[1:]), stop, _with_known_secret, ACTS)


if __name__ == "__main__":
    asyncio.run(main())
