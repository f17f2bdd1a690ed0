# SPDX-License-Identifier: Apache-2.0
"""The follower of a public source that `reachwatch up --follow` runs as a child process: what it
unpacks and decodes takes no time from the pages."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from monitor.local.children import keep_running

COMMAND = (sys.executable, "-m", "monitor.commands.main", "follow")


def follow_command(given: argparse.Namespace) -> list[str]:
    """The command for the options of `up`."""
    words = [*COMMAND, given.follow]
    single = {
        "--data": given.data,
        "--database": given.database,
        "--catalogue": given.catalogue,
        "--source": given.source,
        "--since": f"{given.since}s",
        "--rate": given.rate,
    }
    for option, value in single.items():
        if value is not None:
            words += [option, str(value)]
    for option, values in (("--tests", given.tests), ("--countries", given.countries)):
        if values:
            words += [option, ",".join(values)]
    return words


async def follow_source(given: argparse.Namespace, data: Path, stop: asyncio.Event) -> None:
    """Follow until `stop`; its output goes to a file in the data directory."""
    async with asyncio.TaskGroup() as group:
        name = f"the follower of {given.follow}"
        child = group.create_task(keep_running(name, follow_command(given), data / "follow.log"))
        await stop.wait()
        child.cancel()
