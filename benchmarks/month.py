# SPDX-License-Identifier: Apache-2.0
"""Make a store of thirty days to look at pages with: `./scripts/bench month --out FILE`.

What is in it: `tests/world/month.py`. It ends with the present hour.

    ./scripts/bench month --out /tmp/month.sqlite
    reachwatch serve --database sqlite+aiosqlite:////tmp/month.sqlite --interval 1800
    ./scripts/bench month --database postgresql+asyncpg://…      into an empty database
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monitor.store.database import migrate
from probes.runtime.progress import ProgressLine
from tests.world.month import HOUR, Month, fill


async def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--out", type=Path, help="a new SQLite file")
    place.add_argument("--database", help="URL of an empty database")
    given = parser.parse_args()
    if given.out is not None and given.out.exists():
        parser.error(f"{given.out} is there already")
    url = given.database or f"sqlite+aiosqlite:///{given.out.resolve()}"
    await migrate(url)
    now = int(time.time() * 1000)
    began = time.monotonic()
    line = ProgressLine(sys.stderr, 0.5)
    await fill(url, Month(now - now % HOUR), line.show)
    line.clear()
    print(f"{url}: filled in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    asyncio.run(main())
