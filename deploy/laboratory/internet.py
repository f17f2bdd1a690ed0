# SPDX-License-Identifier: Apache-2.0
"""The demonstration's simulated internet in a separate container, for scripts/compose.

    internet.py PREFIX

It waits until the script has assigned the addresses PREFIX.1 and following to this container, and
writes the catalogue and each vantage's configuration to the shared folder. SIGUSR1 starts the
demonstration's default block, SIGUSR2 lifts it.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import sys
from pathlib import Path

from monitor.demo.world import DEFAULT, World

SHARED = Path("/made/probe")
SEEN_AS = "/laboratory"
"""Path of the shared folder in the probes' containers."""


async def main(prefix: str) -> None:
    """Run the simulated internet until SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    while not all(here(f"{prefix}.{last}") for last in (1, 253)):  # noqa: ASYNC110
        await asyncio.sleep(0.2)  # there is no event to wait for
    async with World(prefix=prefix) as world:
        shutil.copytree(world.catalogue_dir, SHARED / "catalogue", dirs_exist_ok=True)
        for vantage in world.vantages:
            options = {
                "bind": vantage.bind,
                "resolver": vantage.resolver,
                "country": vantage.country,
                "asn": str(vantage.asn),
                "catalogue": f"{SEEN_AS}/catalogue",
                "allow_private": "true",
            }
            lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in options.items())
            (SHARED / f"{vantage.bind}.toml").write_text(lines, encoding="utf-8")
        loop.add_signal_handler(signal.SIGUSR1, world.block, DEFAULT)
        loop.add_signal_handler(signal.SIGUSR2, world.lift)
        (SHARED / "ready").touch()
        print(f"up: {len(world.addresses)} names, block ready: {DEFAULT}", flush=True)
        await stop.wait()


def here(address: str) -> bool:
    """Whether this machine has the address."""
    with socket.socket() as attempt:
        try:
            attempt.bind((address, 0))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
