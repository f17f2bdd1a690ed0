"""`kill -9` at each single `fsync`, of a probe's spool and of the monitor's store: what was printed
as taken, or would have been acknowledged, is there afterwards. `./scripts/bench fsyncs` does all.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from monitor.store.database import open_database
from monitor.store.tables import measurement
from probes.delivery.spool import Spool, read_lines
from probes.wire import codec
from tests.monitor.store.samples import admitted, id_of
from tests.probes.delivery.test_spool import PROBE, draft

ROOT = Path(__file__).resolve().parents[2]
CALLS = "fsync,fdatasync"
ROUNDS = 4
HANG_SECONDS = 120


async def fill_spool(directory: Path) -> None:
    """Take measurements, print each, and drop what is acknowledged, as a daemon does."""
    spool = Spool(directory, PROBE)
    for number in range(ROUNDS):
        for _ in range(2):
            taken = await spool.put(draft())
            assert taken is not None, "the disk is fine"
            print(taken.id, flush=True)
        print(f"-{taken.id}", flush=True)
        await spool.acknowledge([2 * number + 2])
    await spool.close()


async def fill_store(directory: Path) -> None:
    """Commit batches, and print what would be acknowledged then."""
    database = await open_database(f"sqlite+aiosqlite:///{directory / 'store.db'}")
    for number in range(ROUNDS):
        batch = [admitted(3 * number + n) for n in range(3)]
        await database.facts.add(batch, [])
        for each in batch:
            print(id_of(each), flush=True)
    await database.close()


async def in_spool(directory: Path) -> set[str]:
    """The ids in a spool that was opened again and takes more."""
    spool = Spool(directory, PROBE)
    await spool.put(draft())
    await spool.close()
    return {codec.decode(line).id for _, line in read_lines(directory, last=10**6)}


async def in_store(directory: Path) -> set[str]:
    """The ids in a store that was opened again and takes more."""
    database = await open_database(f"sqlite+aiosqlite:///{directory / 'store.db'}")
    await database.facts.add([admitted(999)], [])
    async with database.reading() as connection:
        rows = (await connection.execute(sa.select(measurement.c.id))).scalars().all()
    await database.close()
    return {each.hex() if isinstance(each, bytes) else str(each) for each in rows}


FILLS = {"spool": fill_spool, "store": fill_store}
READS: dict[str, Callable[[Path], Coroutine[Any, Any, set[str]]]] = {
    "spool": in_spool,
    "store": in_store,
}


def killed_at(what: str, number: int) -> tuple[bool, int]:
    """Fill one of them and kill it at its `fsync` of this number; return whether there was one, and
    how many measurements had been printed. Raises AssertionError when one of them is lost."""
    with tempfile.TemporaryDirectory(prefix="reachwatch-fsync-") as place:
        done = subprocess.run(
            [
                *("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={CALLS}"),
                *("-e", f"inject={CALLS}:signal=KILL:when={number}"),
                *(sys.executable, "-m", "tests.faults.fsyncs", what, place),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=HANG_SECONDS,
            check=False,
        )
        was_killed = done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
        assert was_killed or done.returncode == 0, done.stderr
        words = set(done.stdout.split())
        acknowledged = {word[1:] for word in words if word.startswith("-")}
        printed = {word for word in words if not word.startswith("-")}
        kept = asyncio.run(READS[what](Path(place)))
        lost = printed - kept - acknowledged
        assert not lost, f"{what}, fsync {number}: {sorted(lost)}"
        return was_killed, len(printed)


def every(what: str) -> Iterator[int]:
    """Kill it at each `fsync` in turn, until there is none of that number."""
    number = 1
    while True:
        was_killed, printed = killed_at(what, number)
        if not was_killed:
            return
        yield printed
        number += 1


def main() -> int:
    """Kill both at each `fsync`; or, for the process that is killed, fill one of them."""
    if len(sys.argv) == 3:
        asyncio.run(FILLS[sys.argv[1]](Path(sys.argv[2])))
        return 0
    for what in FILLS:
        printed = list(every(what))
        print(f"{what}: killed at each of {len(printed)} fsyncs, nothing lost", flush=True)
    print("reached: nothing that was printed is lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
