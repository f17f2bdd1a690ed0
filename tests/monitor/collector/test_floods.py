"""What a flood of one probe, or of strangers, does to the others: `reachwatch up` as a process, its
broker, collector and store, and the time until other probes' batches are acknowledged."""

from __future__ import annotations

import asyncio
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiomqtt
import psutil
import pytest

from monitor.enrolment import Enrolled
from monitor.store.database import Database, open_database
from monitor.store.reading.progress import ingest_counters
from probes.wire import topics
from probes.wire.codec import decode_ack
from tests.monitor.collector.bench import batch
from tests.monitor.collector.flood import CONNECTIONS
from tests.world.brokers import enrolled_probe
from tests.world.ports import free_port
from tests.world.waiting import HANG_SECONDS, eventually, wait_until

ROOT = Path(__file__).resolve().parents[3]
OTHERS = 5
SECONDS = 3.0
QUIET_SECONDS = 1.0
"""Without a flood, to see what the machine gives at the moment."""
P99_SECONDS = 2.0
MOST_RATIO = 4
"""Of the longest without a flood, where the machine is too busy for the limit above."""
AGAIN_SECONDS = 20.0
"""After which a batch without an acknowledgement is sent again, as probes do: one that was on its
way to the collector when that lost its connection gets none. That counts as late."""
MORE_MEMORY = 120 << 20
"""The queue (32 MiB), the broker's queue (8 MiB), and one batch of 8 MiB unpacked. All floods
together may add no more than one."""
REST_SECONDS, REST_SHARE = 0.5, 0.1
"""A monitor that uses less of the processor for so long has nothing left to do."""


class Monitor:
    """A running `reachwatch up`."""

    database: Database

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite+aiosqlite:///{folder}/reachwatch.db"
        self.log, self.mqtt, self.http = folder / "log", free_port(), free_port()
        self.unflooded: int | None = None
        """Memory before the first flood."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "monitor.commands.main", "up", "--no-local-probe",
                 "--data", str(folder), "--mqtt", f"127.0.0.1:{self.mqtt}",
                 "--http", f"127.0.0.1:{self.http}"],
                stdout=log, stderr=log, cwd=ROOT,
            )  # fmt: skip

    def listens(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            for port in (self.http, self.mqtt):
                socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            return False
        return True

    async def rests(self) -> bool:
        used = self.processor_seconds
        await asyncio.sleep(REST_SECONDS)
        return self.processor_seconds - used < REST_SHARE * REST_SECONDS

    @property
    def processor_seconds(self) -> float:
        return sum(psutil.Process(self.process.pid).cpu_times()[:2])

    @property
    def memory(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitor]:
    """One for all floods, which take less time than its start."""
    made = Monitor(tmp_path_factory.mktemp("up"))
    try:
        wait_until(made.listens)
        yield made
    finally:
        made.process.terminate()
        made.process.wait(HANG_SECONDS)


@pytest.fixture
async def monitor(running: Monitor) -> AsyncIterator[Monitor]:
    assert running.process.poll() is None, "it has ended in an earlier flood"
    await eventually(running.rests)
    said = running.log.stat().st_size
    async with await open_database(running.url) as running.database:
        yield running
    log = running.log.read_bytes()[said:].decode()
    print(log)
    assert "Traceback" not in log


async def is_acknowledged(answers: AsyncIterator[aiomqtt.Message], number: int) -> bool:
    """Wait for the acknowledgement of a batch; False when it is time to send it again."""
    try:
        async with asyncio.timeout(AGAIN_SECONDS):
            while number not in decode_ack((await anext(answers)).payload).sequences:
                pass
    except TimeoutError:
        return False
    return True


Took = list[tuple[float, str]]
"""How long a batch took, and which one it was."""


async def send(made: Monitor, who: Enrolled, stop: asyncio.Event, took: Took) -> None:
    """Send a batch, wait for its acknowledgement, and so on, and add how long each took, from when
    it was first sent."""
    number = -1
    async with aiomqtt.Client(
        "127.0.0.1", made.mqtt, username=who.user, password=who.secret, timeout=HANG_SECONDS
    ) as client:
        await client.subscribe(topics.ack(who.probe), qos=1)
        answers = aiter(client.messages)
        while not stop.is_set():
            number += 1
            begun = time.monotonic()
            payload = batch(who.probe, range(number * 10, number * 10 + 10), number=number)
            await client.publish(topics.measurements(who.probe), payload, qos=1)
            times = 1
            while not await is_acknowledged(answers, number):
                times += 1
                assert time.monotonic() - begun < HANG_SECONDS
                await client.publish(topics.measurements(who.probe), payload, qos=1)
            ended = time.strftime("%H:%M:%S", time.gmtime())
            which = f"batch {number} of {who.probe}, sent {times} times, until {ended}"
            took.append((time.monotonic() - begun, which))
            await asyncio.sleep(0.05)


async def begin(group: asyncio.TaskGroup, made: Monitor, stop: asyncio.Event, took: Took) -> float:
    """Let other probes send until `stop`, and return the longest that one waited without a flood.
    `took` gets how long each waits from then on."""
    for _ in range(OTHERS):
        group.create_task(send(made, await enrolled_probe(made.database), stop, took))
    await asyncio.sleep(QUIET_SECONDS)
    await eventually(lambda: len(took) >= OTHERS)
    quiet, _ = max(took)
    took.clear()
    return quiet


def assert_soon(flood: str, took: Took, quiet: float) -> None:
    """No other probe waited long. `quiet`: how long one did without the flood."""
    seconds = [waited for waited, _ in took]
    p99 = statistics.quantiles(seconds, n=100, method="inclusive")[98]
    most, which = max(took)
    print(
        f"{flood}; {len(took)} of others acknowledged, median {statistics.median(seconds):.2f} s, "
        f"p99 {p99:.2f} s, most {most:.2f} s ({which}), {quiet:.2f} s without the flood"
    )
    assert p99 <= max(P99_SECONDS, MOST_RATIO * quiet)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize(
    "kind",
    [
        "newlines", "bomb", "bad lines", "long lines", "many values", "small batches",
        "strange names", "rubbish", "statuses", "pings", "acknowledgements",
        *CONNECTIONS,
    ],
)  # fmt: skip
async def test_a_flood_delays_nobody_else(monitor: Monitor, kind: str) -> None:
    flooder = await enrolled_probe(monitor.database)
    stop = asyncio.Event()
    took: Took = []
    port = monitor.http if CONNECTIONS.get(kind) == "http" else monitor.mqtt
    flood = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.monitor.collector.flood", kind, str(port), flooder.user,
        flooder.secret, str(SECONDS), stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    async with asyncio.TaskGroup() as group:
        quiet = await begin(group, monitor, stop, took)
        before, used = monitor.memory, monitor.processor_seconds
        made = int((await flood.communicate(b"begin\n"))[0])
        after, used = monitor.memory, monitor.processor_seconds - used
        stop.set()
    assert made > 100, "it was a flood"
    if monitor.unflooded is None:
        monitor.unflooded = before
    memory = f"{monitor.unflooded >> 20} MiB at first, {before >> 20} to {after >> 20} MiB"
    assert_soon(f"{kind}: {made} sent; {memory}, {used:.1f} s of the processor", took, quiet)
    assert after - monitor.unflooded <= MORE_MEMORY
    async with monitor.database.reading() as connection:
        names = {(name, reason) for name, reason, _ in await ingest_counters(connection)}
    if kind == "strange names":
        assert ("quarantined", "unknown_country") in names


FLOODERS = 6
FULL = 512
"""Measurements of a batch, as many as it may have."""


async def flood(made: Monitor, who: Enrolled, stop: asyncio.Event, sent: list[int]) -> None:
    """Send valid full batches, as fast as the broker takes them."""
    number = 0
    async with aiomqtt.Client(
        "127.0.0.1", made.mqtt, username=who.user, password=who.secret, timeout=HANG_SECONDS
    ) as client:
        while not stop.is_set():
            lines = range(number * FULL, (number + 1) * FULL)
            payload = batch(who.probe, lines, number=number)
            await client.publish(topics.measurements(who.probe), payload, qos=1)
            sent.append(number)
            number += 1


@pytest.mark.slow
@pytest.mark.alone
async def test_valid_batches_of_six_probes_delay_nobody_else(monitor: Monitor) -> None:
    flooders = [await enrolled_probe(monitor.database) for _ in range(FLOODERS)]
    stop = asyncio.Event()
    took: Took = []
    sent: list[int] = []
    async with asyncio.TaskGroup() as group:
        quiet = await begin(group, monitor, stop, took)
        for who in flooders:
            group.create_task(flood(monitor, who, stop, sent))
        await asyncio.sleep(2 * SECONDS)
        stop.set()
    assert len(sent) > 100, "it was a flood"
    assert_soon(f"{FLOODERS} probes: {len(sent)} full batches", took, quiet)
