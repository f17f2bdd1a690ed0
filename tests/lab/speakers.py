"""Servers of the apps' own protocols in the laboratory's internet, one process for all of them.

`python -m tests.lab.speakers`, a JSON list of `[protocol, address, port]` on standard input. It
says `ready` on standard output when every socket listens.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack

from tests.world import app_servers
from tests.world.app_servers import answer, talk


async def main() -> None:
    """Listen, say so, and go on until killed."""
    async with AsyncExitStack() as open_ones:
        for protocol, address, port in json.loads(sys.stdin.readline()):
            server = (
                answer(app_servers.stun, address, port)
                if protocol == "stun"
                else talk(app_servers.BY_PROTOCOL[protocol], address, port)
            )
            await open_ones.enter_async_context(server)
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
