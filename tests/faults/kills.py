"""Random `kill -9` of probe, broker, collector and database, one after the other, and whether what
was printed as taken is stored once. `python -m tests.faults.kills` is `./scripts/bench kills`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from tests.faults.fleet import Fleet
from tests.world.postgres import PostgreSQL
from tests.world.waiting import eventually

HONEST = [sys.executable, "-m", "monitor.commands.main", "collect"]
KILLS, LEAST_UNACKNOWLEDGED = 12, 6


@contextlib.asynccontextmanager
async def service() -> AsyncIterator[int]:
    """A TCP service that accepts and closes; its port."""

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def flowing(fleet: Fleet, more: int) -> None:
    """Wait until so many more measurements are stored."""
    before = len(fleet.stored())
    await eventually(
        lambda: len(fleet.stored()) >= before + more, "measurements reach the store", pause=0.05
    )


async def drained(fleet: Fleet) -> tuple[set[str], Counter[str]]:
    """End the probe properly when all is well again, and read both sides."""
    await flowing(fleet, 3)
    await fleet.drain()
    return fleet.taken(), Counter(fleet.stored())


async def killed_at_random(
    fleet: Fleet,
    victims: Sequence[str],
    kills: int,
    least_unacknowledged: int,
    seed: int,
) -> None:
    """Kill one after the other, start it again, and compare what was taken with what is stored."""
    rng = random.Random(seed)
    await fleet.prepare()
    killed: Counter[str] = Counter()
    unacknowledged = 0
    try:
        for name in ("broker", "collector", "probe"):
            fleet.start(name)
        await flowing(fleet, 3)
        while killed.total() < kills or unacknowledged < least_unacknowledged:
            caught = unacknowledged >= least_unacknowledged or killed.total() < 3 * kills
            assert caught, f"seed {seed}: batches are never caught waiting"
            await asyncio.sleep(rng.uniform(0.2, 1.2))
            victim = rng.choice(victims)
            waiting = fleet.unacknowledged()
            fleet.kill(victim)
            killed[victim] += 1
            unacknowledged += waiting > 0
            await asyncio.sleep(rng.uniform(0.0, 0.4))
            fleet.start(victim)
        # Otherwise it may wait for minutes: each connection in vain doubles its pause.
        fleet.kill("probe")
        fleet.start("probe")
        taken, stored = await drained(fleet)
    finally:
        fleet.end()
    print(
        f"seed {seed}: {killed.total()} kills ({dict(killed)}), {unacknowledged} while a batch "
        f"was unacknowledged; {len(taken)} printed as taken, {len(stored)} stored, "
        f"{len(taken - stored.keys())} lost, {sum(n > 1 for n in stored.values())} twice",
        flush=True,
    )
    assert len(taken) > kills
    # A probe that is killed between its spool and the line that it prints has taken one more.
    assert taken <= set(stored), f"seed {seed}"
    assert set(stored.values()) == {1}, f"seed {seed}"


async def _one(seed: int, server: PostgreSQL | None) -> None:
    victims = ("probe", "broker", "collector", *(("database",) if server else ()))
    with tempfile.TemporaryDirectory(prefix="reach-kills-") as place:
        async with service() as port:
            fleet = Fleet(Path(place), port, HONEST, server)
            await killed_at_random(fleet, victims, KILLS, LEAST_UNACKNOWLEDGED, seed)


def main() -> int:
    """Some seeds; 1 when one of them lost or doubled something, or did not come to its end."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20, help="how many random seeds")
    parser.add_argument("--seed", type=int, action="append", help="this seed (repeatable)")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="postgresql")
    given = parser.parse_args()
    failed = 0
    for seed in given.seed or [random.randrange(10**6) for _ in range(given.seeds)]:
        with contextlib.ExitStack() as stack:
            server = None
            if given.database == "postgresql":
                server = PostgreSQL(durable=True)
                stack.callback(server.remove)
                server.start()
            try:
                asyncio.run(_one(seed, server))
            except AssertionError as error:
                failed += 1
                print(f"seed {seed}: {error}", flush=True)
    print("reached" if not failed else f"MISSED: {failed} seeds failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
