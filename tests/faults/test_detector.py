"""Detectors that die and detectors that are stopped: what was concluded is published once, and the
next one continues where the store is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from monitor.commands.replay import fold_store, lines
from monitor.detection.policy import Policy
from monitor.detector.event_publisher import EventPublisher
from monitor.detector.leadership import LEASE_SECONDS
from monitor.detector.loop import POLL_SECONDS, Detector
from monitor.store.database import Database, open_database
from monitor.store.reading.progress import folded_rounds
from monitor.store.tables import journal, lease
from probes.runtime.clock import wall_clock
from probes.wire import topics
from tests.monitor.detector.test_event_publisher import until
from tests.monitor.fleet import INTERVAL, admitted, events_bytes, from_round, rounds
from tests.world.mosquitto import running_mosquitto
from tests.world.ports import free_port
from tests.world.waiting import eventually

POLICY = Policy()
STOP_SECONDS = 3.0
"""Of processor time; on an idle machine it is the time."""
BACKLOG_ROUNDS = 120
REACHWATCH = [sys.executable, "-m", "monitor.commands.main"]


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@contextlib.contextmanager
def busy(loops: int) -> Iterator[None]:
    """Processes beside the block that want the processor all the time."""
    with contextlib.ExitStack() as stack:
        for _ in range(loops):
            stack.enter_context(running(sys.executable, "-c", "while True: pass"))
        yield


def ended(pid: int) -> bool:
    """Whether a child has ended; it stays for `processor_seconds`."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def processor_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def queued_seconds(pid: int) -> float:
    """For how long its first thread was ready and had no processor: the machine's time, not the
    program's (Documentation/scheduler/sched-stats.rst)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


async def holder(database: Database) -> str | None:
    async with database.reading() as connection:
        found: str | None = await connection.scalar(
            sa.select(lease.c.holder).where(lease.c.expires > wall_clock())
        )
    return found


async def transitions(database: Database) -> list[tuple[str, str]]:
    async with database.reading() as connection:
        query = sa.select(journal.c.event, journal.c.transition).order_by(journal.c.number)
        return [(event, word) for event, word in await connection.execute(query)]


@pytest.mark.needs("mosquitto")
@pytest.mark.slow
async def test_what_a_leader_saved_and_did_not_publish_its_successor_publishes_once(
    tmp_path: Path,
) -> None:
    assert LEASE_SECONDS + POLL_SECONDS < 8
    url = f"sqlite+aiosqlite:///{tmp_path}/store.sqlite"
    now = wall_clock()
    start = now - now % INTERVAL - 12 * INTERVAL
    database = await open_database(url)
    await database.facts.add(admitted(rounds(range(4), start=start)), ())
    with running_mosquitto(tmp_path / "broker") as broker:
        store = ("--database", url, "--broker", broker.url)
        stop = asyncio.Event()
        publisher = EventPublisher(database, POLICY, wall_clock, lambda: standby.leads)
        standby = Detector(database, POLICY, "standby", wall_clock, on_change=publisher.on_change)
        with running(
            sys.executable, "-m", "tests.faults.dying_detector", "detect", *store
        ) as leader:
            await eventually(lambda: holder(database), "the first one leads")
            async with asyncio.TaskGroup() as group:
                publishing = group.create_task(publisher.run(broker.url, "monitor", "x"))
                group.create_task(standby.run(stop))
                blocked = rounds(range(4, 11), from_round(4), start=start)
                await database.facts.add(admitted(blocked), ())
                await eventually(lambda: leader.poll() is not None, "the leader dies")
                died = time.monotonic()
                assert leader.returncode == -signal.SIGKILL
                saved = await transitions(database)
                assert saved, "it died before it had saved anything"

                async def led() -> bool:
                    return await holder(database) == "standby"

                await eventually(led, "the standby leads")
                print(f"\nreplaced {time.monotonic() - died:.1f} s after its death")
                said = await until(broker, lambda found: topics.events("wechat", "RU") in found)
                assert said[topics.events("wechat", "RU")]["state"] == "open"
                stop.set()
                publishing.cancel()
    after = await transitions(database)
    assert after[: len(saved)] == saved
    assert len(after) == len(set(after))
    assert await events_bytes(database) == lines((await fold_store(database, 2**62, POLICY)).events)
    await database.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "loops"),
    [
        pytest.param("detect", 0, id="detect"),
        pytest.param("detect", 2, id="detect on a busy machine", marks=pytest.mark.rest),
        pytest.param("up", 0, id="up", marks=pytest.mark.rest),
    ],
)
async def test_a_detector_ends_in_the_middle_of_a_backlog(
    tmp_path: Path, command: str, loops: int
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/store.sqlite"
    now = wall_clock()
    start = now - now % INTERVAL - 300 * INTERVAL
    names = [f"s{n}/chat" for n in range(4)]
    database = await open_database(url)
    for name in names:
        stored = rounds(range(BACKLOG_ROUNDS), target=name, start=start)
        await database.facts.add(admitted(stored), ())
    options = {
        "detect": ["--broker", f"mqtt://127.0.0.1:{free_port()}"],
        "up": [
            *("--data", str(tmp_path / "data"), "--no-local-probe"),
            *("--http", f"127.0.0.1:{free_port()}", "--mqtt", f"127.0.0.1:{free_port()}"),
        ],
    }[command]

    async def folded() -> list[int]:
        async with database.reading() as connection:
            return [round for _, round in await folded_rounds(connection)]

    with busy(loops), running(*REACHWATCH, command, "--database", url, *options) as process:
        await eventually(folded, "some of the backlog is folded")
        used, asked = processor_seconds(process.pid), time.monotonic()
        process.send_signal(signal.SIGTERM)
        await eventually(lambda: ended(process.pid), "it ends")
        used = processor_seconds(process.pid) - used
        took = time.monotonic() - asked
        print(f"\nended {took:.1f} s later, {used:.1f} s of processor time")
    assert process.returncode == 0
    assert used < STOP_SECONDS
    newest = start + (BACKLOG_ROUNDS - 1) * INTERVAL
    assert max(await folded()) < newest, "the backlog was too small to tell"
    # What is left is folded by the next one, as if nothing had happened.
    world = Detector(database, POLICY, "next", wall_clock)
    while await world.run_once():
        pass
    assert await folded() == [newest] * len(names)
    await database.close()
