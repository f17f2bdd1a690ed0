# SPDX-License-Identifier: Apache-2.0
"""How many measurements a second one collector stores, beside what the databases take without it:
`./scripts/bench ingest`.

Everything stores the same measurements (a fleet's rounds over the whole catalogue), durably, and
all ways take turns in one run, because a machine is faster at one moment than at another:

    raw      a client that writes decoded rows of 15 columns with the JSON line, unique by id, 1,000
             in a transaction: `executemany` on SQLite, COPY and merge on PostgreSQL
    store    signed batches from the collector's queue: unpacked, verified, admitted, committed, to
             be acknowledged
    pipe     `mosquitto_sub | psql COPY` into one jsonb column: nothing is decoded, compared or
             acknowledged after storing
    broker   the same batches through mosquitto, the collector and its acknowledgements

Prints the median rate of each, the processor time of the collector's process, bytes in the store,
and the ratios that docs/evaluation/storage.md quotes; exit 1 when a goal is missed and `--strict`
is given.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import asyncpg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.size.rounds import CONTROLS, Rounds
from monitor.collector.acknowledge import Acknowledger
from monitor.collector.batch_writer import BatchWriter
from monitor.collector.intake import Intake
from monitor.collector.message_queue import MessageQueue, Received
from monitor.collector.subscriber import run_collector
from monitor.metrics.counters import Counters
from monitor.store.database import Database, open_database
from monitor.store.records import Admitted, ProbeKey
from probes.delivery import signing_key
from probes.delivery.signing_key import SigningKey
from probes.wire import topics
from probes.wire.codec import BatchHeader, encode_batch
from tests.world.mosquitto import Mosquitto, running_mosquitto
from tests.world.postgres import PostgreSQL

GROUP = 1000
_WIDE = (
    "CREATE TABLE wide (id TEXT PRIMARY KEY, probe TEXT, target TEXT, service TEXT, country TEXT, "
    "asn BIGINT, round BIGINT, started BIGINT, took_us BIGINT, received BIGINT, owner TEXT, "
    "role TEXT, interval_ms BIGINT, catalogue TEXT, line TEXT)"
)
GOALS = {
    ("sqlite store", "sqlite raw"): 0.6,
    ("postgresql store", "postgresql raw"): 0.9,
    ("postgresql broker", "postgresql pipe"): 1.2,
}
MAX_BYTES = 45.0
"""An observation in the store, verdicts included; here there are none yet."""


@dataclass(frozen=True)
class Load:
    """What is stored in each run."""

    measurements: list[Admitted]
    batches: list[Received]
    owners: dict[str, tuple[str, str, int]]
    """Probe -> (owner, role, enrolled)."""
    keys: dict[str, SigningKey]
    """Of each probe: what it signs its batches with."""

    @property
    def observations(self) -> int:
        """How many observations there are in all."""
        return sum(len(one.stored.measurement.observations) for one in self.measurements)


@dataclass
class Results:
    """Rates, processor time and sizes by way."""

    rates: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    bytes: dict[str, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def timed(self, way: str, count: int) -> Any:
        """Measure the block."""
        began, used = time.perf_counter(), time.process_time()
        yield
        self.cpu[way].append((time.process_time() - used) / count * 1e6)
        self.rates[way].append(count / (time.perf_counter() - began))

    def rate(self, way: str) -> float:
        """The median."""
        return statistics.median(self.rates[way])


def make_load(count: int) -> Load:
    """Rounds of 20 probes, as recent as a collector takes them."""
    now = time.time_ns() // 1_000_000
    interval = 300_000
    fleet = Rounds(vantages=20 - CONTROLS, start=now - now % interval - 20 * interval)
    measurements: list[Admitted] = []
    batches: list[Received] = []
    owners = {}
    keys: dict[str, SigningKey] = {}
    for number in range(20):
        for sent in fleet.made(number):
            if len(measurements) >= count:
                return Load(measurements, batches, owners, keys)
            stored = sent[0].stored
            probe = stored.measurement.probe
            lines = [one.line for one in sent]
            key = keys.setdefault(probe, signing_key.make())
            header = key.signed(BatchHeader(boot="bench", sequence=number), lines)
            payload = encode_batch(header, lines)
            measurements += sent
            batches.append(Received(probe=probe, payload=payload, received=now))
            owners[probe] = (stored.owner, stored.role.value, stored.enrolled)
    raise ValueError(f"at most {len(measurements)} measurements")


def wide_row(one: Admitted) -> tuple[Any, ...]:
    """The row that a client without batches would write."""
    stored, m = one.stored, one.stored.measurement
    return (
        *(m.id, m.probe, m.target, m.service, m.vantage.country, m.vantage.asn, m.round),
        *(m.started, m.took_us, one.received, stored.owner, stored.role.value, m.interval_ms),
        *(m.catalogue, one.line.decode()),
    )


def groups(rows: Sequence[Any]) -> list[Sequence[Any]]:
    """A thousand at a time."""
    return [rows[start : start + GROUP] for start in range(0, len(rows), GROUP)]


def sqlite_raw(path: Path, rows: Sequence[tuple[Any, ...]]) -> None:
    """`executemany`, with the durability of the store."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-32768"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(_WIDE)
    insert = f"INSERT INTO wide VALUES ({', '.join('?' * len(rows[0]))}) ON CONFLICT DO NOTHING"
    for some in groups(rows):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, some)
        connection.execute("COMMIT")
    connection.close()


async def postgresql_raw(url: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Binary COPY into a temporary table, and a merge from there."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.execute(_WIDE)
    await connection.execute("CREATE TEMPORARY TABLE coming (LIKE wide) ON COMMIT DELETE ROWS")
    for some in groups(rows):
        async with connection.transaction():
            await connection.copy_records_to_table("coming", records=some)
            await connection.execute("INSERT INTO wide SELECT * FROM coming ON CONFLICT DO NOTHING")
    await connection.close()


@contextlib.asynccontextmanager
async def prepared(url: str, load: Load) -> AsyncIterator[Database]:
    """An empty store that knows the probes."""
    store = await open_database(url)
    names = ["id", "owner", "role", "enrolled", "country", "asn", "status", "secret_hash"]
    rows = [(p, *who, "ZZ", 0, b"", "") for p, who in load.owners.items()]
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite+aiosqlite:///"))
        marks = ", ".join("?" * len(names))
        connection.executemany(f"INSERT INTO probe ({', '.join(names)}) VALUES ({marks})", rows)
        connection.commit()
        connection.close()
    else:
        driver = await asyncpg.connect(url.replace("+asyncpg", ""))
        await driver.copy_records_to_table("probe", records=rows, columns=names)
        await driver.close()
    for probe, key in load.keys.items():
        kept = ProbeKey(probe=probe, id=key.id, public_key=key.public, since=0)
        await store.registry.replace_key(kept, ())
    try:
        yield store
    finally:
        await store.close()


async def through_store(store: Database, load: Load) -> None:
    """The collector's own work, from its queue to the commit."""
    queue = MessageQueue(max_bytes=1 << 30)
    counters = Counters()
    writer = BatchWriter(
        queue, store, Acknowledger(counters), counters, asyncio.Event(), lambda: time.time_ns()
    )
    for each in load.batches:
        assert queue.put(each), "the queue is full"
    queue.close()
    await writer.run()
    assert counters.ingested == len(load.measurements), (counters.ingested, counters.quarantined)


async def through_broker(store: Database, load: Load, broker: Mosquitto) -> None:
    """Published by one client; over when every batch is acknowledged."""
    counters, stop = Counters(), asyncio.Event()
    collecting = asyncio.create_task(
        run_collector(broker.url, "", "", Intake(store, counters, stop), shared=False)
    )
    while counters.unready:  # noqa: ASYNC110 - set by the collector
        await asyncio.sleep(0.002)
    async with aiomqtt.Client("127.0.0.1", broker.port, max_queued_outgoing_messages=0) as client:
        for each in load.batches:
            await client.publish(topics.measurements(each.probe), each.payload, qos=0)
        while counters.acknowledged < len(load.batches):  # noqa: ASYNC110 - set by the collector
            await asyncio.sleep(0.002)
    stop.set()
    await collecting
    assert counters.ingested == len(load.measurements)


async def through_pipe(url: str, lines: Path, count: int, broker: Mosquitto) -> None:
    """One JSON line a message into one jsonb column, committed at the end."""
    plain = url.replace("+asyncpg", "")
    connection = await asyncpg.connect(plain)
    await connection.execute("CREATE TABLE pipe (line jsonb)")
    copy = r"COPY pipe FROM STDIN WITH (FORMAT csv, QUOTE e'\x01', DELIMITER e'\x02')"
    where = f"-h 127.0.0.1 -p {broker.port} -q 1 -t bench/lines"
    pipe = await asyncio.create_subprocess_shell(
        f'mosquitto_sub {where} -C {count} | psql -q "{plain}" -c "{copy}"'
    )
    await broker.wait_logged("SUBSCRIBE")
    publisher = await asyncio.create_subprocess_shell(f"mosquitto_pub {where} -l < {lines}")
    await pipe.wait()
    await publisher.wait()
    assert await connection.fetchval("SELECT count(*) FROM pipe") == count
    await connection.close()


async def postgresql_bytes(url: str) -> int:
    """Tables and indexes of facts."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.execute("VACUUM ANALYZE")
    query = (
        "SELECT sum(pg_total_relation_size(relid)) FROM (SELECT * FROM "
        "pg_partition_tree('measurement') UNION ALL SELECT * FROM pg_partition_tree('batch')) parts"
    )
    size = int(await connection.fetchval(query))
    await connection.close()
    return size


async def once(load: Load, directory: Path, server: PostgreSQL, results: Results) -> None:
    """Every way in turn, each into a new database."""
    count = len(load.measurements)
    rows = [wide_row(one) for one in load.measurements]
    # A collector does not hold what the probes measured: it is no work for its garbage collection.
    gc.collect()
    gc.freeze()
    with results.timed("sqlite raw", count):
        sqlite_raw(directory / "raw.sqlite", rows)
    path = directory / "store.sqlite"
    async with prepared(f"sqlite+aiosqlite:///{path}", load) as store:
        with results.timed("sqlite store", count):
            await through_store(store, load)
    results.bytes["sqlite store"] = path.stat().st_size
    results.bytes["sqlite raw"] = (directory / "raw.sqlite").stat().st_size

    url = server.fresh()
    with results.timed("postgresql raw", count):
        await postgresql_raw(url, rows)
    server.drop(url)
    url = server.fresh()
    async with prepared(url, load) as store:
        with results.timed("postgresql store", count):
            await through_store(store, load)
    results.bytes["postgresql store"] = await postgresql_bytes(url)
    server.drop(url)

    settings = "max_queued_messages 0\nmax_inflight_messages 0"
    url = server.fresh()
    lines = directory / "lines"
    lines.write_bytes(b"\n".join(one.line for one in load.measurements) + b"\n")
    with (
        running_mosquitto(directory / "pipe", settings) as broker,
        results.timed("postgresql pipe", count),
    ):
        await through_pipe(url, lines, count, broker)
    server.drop(url)
    url = server.fresh()
    with running_mosquitto(directory / "broker", settings) as broker:
        async with prepared(url, load) as store:
            with results.timed("postgresql broker", count):
                await through_broker(store, load, broker)
    server.drop(url)


def report(load: Load, results: Results) -> bool:
    """Print the figures; True when every goal is reached."""
    wire = sum(len(each.payload) for each in load.batches)
    print(
        f"{len(load.measurements):,} measurements, {load.observations:,} observations; on the wire "
        f"{wire / len(load.measurements):.0f} bytes a measurement, "
        f"{wire / load.observations:.1f} an observation"
    )
    for way, rates in results.rates.items():
        print(
            f"{way:18} {results.rate(way):9,.0f} a second ({min(rates):,.0f} to {max(rates):,.0f})"
            f"{statistics.median(results.cpu[way]):8.1f} us of this process each"
        )
    reached = True
    for (ours, theirs), goal in GOALS.items():
        ratio = results.rate(ours) / results.rate(theirs)
        reached &= ratio >= goal
        print(f"{ours} / {theirs}: {ratio:.2f} (goal {goal})")
    for way, size in results.bytes.items():
        each = size / load.observations
        reached &= each <= MAX_BYTES or "raw" in way
        print(f"{way}: {size / len(load.measurements):.0f} bytes a measurement, {each:.1f} an obs.")
    return reached


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--measurements", type=int, default=30_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--strict", action="store_true", help="exit 1 when a goal is missed")
    given = parser.parse_args()
    load = make_load(given.measurements)
    server = PostgreSQL(durable=True)
    server.start()
    results = Results()
    try:
        # The first turn warms up: a collector runs for weeks.
        for turn in range(-1, given.turns):
            if turn == 0:
                results = Results()
            directory = Path(tempfile.mkdtemp(prefix="reach-ingest-"))
            try:
                asyncio.run(once(load, directory, server, results))
            finally:
                shutil.rmtree(directory)
            if turn >= 0:
                print(f"turn {turn + 1} of {given.turns}", file=sys.stderr)
    finally:
        server.remove()
    reached = report(load, results)
    return 1 if given.strict and not reached else 0


if __name__ == "__main__":
    sys.exit(main())
