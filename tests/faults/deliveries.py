"""The delivery of one probe through a world that loses, doubles, delays and reorders messages,
wipes its broker and kills both ends, by one seed: the production spool, outbox, batches and their
decoding, without sockets. What was taken is stored once in the end, byte for byte.
`./scripts/bench deliveries` plays ten thousand seeds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from monitor.collector.unpack import unpack
from probes.delivery.batch_signer import BatchSigner
from probes.delivery.outbox import DeliveryTimes, Outbox
from probes.delivery.spool import Spool
from probes.log import Log
from probes.wire import codec
from tests.probes.delivery.test_spool import PROBE, draft

AT_ONCE = DeliveryTimes(ack=0.0, ack_most=0.0, held=0.0)
STEPS, MOST_TO_HEAL = 40, 2000
SEEDS = 10_000


class UndeliveredError(AssertionError):
    """Something was lost, doubled or changed, or is never delivered."""


@dataclass
class World:
    """What is where, and what becomes of it."""

    directory: Path
    rng: random.Random
    boots: int = 0
    taken: dict[str, bytes] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    up: list[bytes] = field(default_factory=list)
    """Batches on their way."""
    down: list[codec.Ack] = field(default_factory=list)
    """Acknowledgements on their way."""

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start the probe, or start it again after `kill -9`: only the spool is left."""
        self.boots += 1
        log = Log(io.StringIO())
        self.spool = Spool(self.directory, PROBE)
        self.outbox = Outbox(
            self.spool,
            f"boot{self.boots}",
            now_ms=lambda: 5,
            rng=self.rng,
            log=log,
            signer=BatchSigner(self.directory, log),
            times=AT_ONCE,
        )

    async def take(self) -> None:
        """Measure something."""
        at = 1000 * self.rng.randrange(1, 8)
        measurement = await self.spool.put(draft(at, pad=self.rng.choice((0, 9, 40_000))))
        if measurement is not None:
            self.taken[measurement.id] = codec.encode(measurement)

    async def send(self) -> None:
        """Send what is new and what is due again; some of it is lost or doubled."""
        sent = [self.outbox.attempt(batch) for batch in self.outbox.due()]
        while (batch := await self.outbox.next_batch(0)) is not None:
            sent.append(self.outbox.attempt(batch))
        for payload in sent:
            self.up += [payload] * self.rng.choice((0, 1, 1, 1, 2))

    def collect(self) -> None:
        """Store the batch of some connection, whichever arrives; the collector may die before, or
        between commit and acknowledgement."""
        if not self.up or self.rng.random() < 0.1:
            return
        batch = unpack(self.up.pop(self.rng.randrange(len(self.up))))
        if batch.bad or batch.header is None:
            raise UndeliveredError(f"a batch of ours is malformed: {batch.bad}")
        for (_, envelope), line in zip(batch.entries, batch.lines, strict=True):
            if self.stored.setdefault(envelope.id, line) != line:
                raise UndeliveredError(f"{envelope.id} came twice with other bytes")
        if self.rng.random() < 0.8:
            ack = codec.Ack(boot=batch.header.boot, sequences=(batch.header.sequence,))
            self.down += [ack] * self.rng.choice((1, 1, 2))

    async def hear(self) -> None:
        """Take some acknowledgement; it may be one of an earlier run."""
        if self.down and self.rng.random() < 0.9:
            await self.outbox.acknowledge(self.down.pop(self.rng.randrange(len(self.down))))

    async def kill(self) -> None:
        """Kill the probe: what it had in memory is gone."""
        await self.spool.close()
        self.start()

    def wipe(self) -> None:
        """Wipe the broker: all that is on its way is gone."""
        self.up.clear()
        self.down.clear()

    async def heal(self) -> None:
        """Nothing fails any more: everything is delivered."""
        self.rng = random.Random(1)
        for _ in range(MOST_TO_HEAL):
            await self.send()
            self.collect()
            await self.hear()
            if self.outbox.is_empty and not (await self.spool.counts()).pending:
                return
        raise UndeliveredError("it is never delivered")


async def play(seed: int, directory: Path) -> int:
    """One seed; return how many measurements were taken. Raises UndeliveredError."""
    world = World(directory, random.Random(seed))
    actions = (
        *(world.take, world.take, world.send, world.send, world.collect, world.collect),
        *(world.hear, world.hear, world.kill, world.wipe),
    )
    weights = (*(4, 4, 3, 3, 4, 4), *(3, 3, 1, 1))
    try:
        for action in world.rng.choices(actions, weights, k=STEPS):
            if (made := action()) is not None:
                await made
        await world.heal()
        if world.stored != world.taken:
            lost = sorted(world.taken.keys() - world.stored.keys())
            raise UndeliveredError(f"lost {lost}, of {len(world.taken)}")
    finally:
        await world.spool.close()
    return len(world.taken)


@contextlib.contextmanager
def memory() -> Iterator[Path]:
    """A directory that needs no disk, where there is one."""
    here = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=here if here.is_dir() else None) as place:
        yield Path(place)


def main() -> int:
    """Play many seeds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--seed", type=int, action="append", help="this one (repeatable)")
    given = parser.parse_args()
    began, taken, failed = time.monotonic(), 0, 0
    seeds = given.seed or range(given.seeds)
    for seed in seeds:
        with memory() as directory:
            try:
                taken += asyncio.run(play(seed, directory))
            except UndeliveredError as error:
                failed += 1
                print(f"seed {seed}: {error}", flush=True)
    seconds = time.monotonic() - began
    print(f"{len(seeds):,} seeds, {taken:,} measurements, {failed} failures, {seconds:.0f} s")
    print("reached" if not failed else "MISSED")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
