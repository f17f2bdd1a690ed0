"""Servers of QUIC and of the apps' own protocols in the laboratory's internet, one process for all
of them.

`python -m tests.lab.speakers`, on standard input a JSON object: `quic`, what
`tests.lab.quic_services` listens to, and `apps`, a list of `[protocol, address, port]`. It says
`ready` on standard output when every socket listens.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack

from tests.lab import quic_services
from tests.world import app_servers
from tests.world.app_servers import answer, talk


async def main() -> None:
    """Listen, say so, and go on until killed."""
    orders = json.loads(sys.stdin.readline())
    async with AsyncExitStack() as open_ones:
        await quic_services.listen(orders["quic"])
        for protocol, address, port in orders["apps"]:
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
