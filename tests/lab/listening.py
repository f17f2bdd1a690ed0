"""Writes down which retests are asked for, until it is ended:
`python -m tests.lab.listening URL USER SECRET_FILE FILE`. One line each: its topic and its JSON.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from monitor.broker.client import connected
from probes.wire import topics


async def listen(url: str, user: str, secret: str, file: Path) -> None:
    """Says "ready" on stdout when it hears everything."""
    with file.open("a") as heard:
        async with connected(url, user, secret) as connection:
            await connection.subscribe(f"{topics.PREFIX}/retest/#")
            print("ready", flush=True)
            async for message in connection.messages():
                place = message.topic.removeprefix(f"{topics.PREFIX}/retest/")
                print(place, message.payload.decode(), file=heard, flush=True)


if __name__ == "__main__":
    asyncio.run(listen(*sys.argv[1:3], Path(sys.argv[3]).read_text(), Path(sys.argv[4])))
