"""Three NATS servers with JetStream as the broker: `kill -9` of one after the other under load.

NATS speaks MQTT 3.1.1, which has no shared subscriptions. So each collector is given every batch,
and the store takes the first copy. A collector has one server; the probe has all three.

This is `./scripts/bench nats`, not a test: after a kill the servers elect leaders anew and refuse
clients meanwhile, mostly for a few seconds, at times for more than a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import asyncpg

from monitor.enrolment import Enrolled
from monitor.store.registry import Registry
from tests.faults.fleet import Fleet
from tests.world.ports import free_port
from tests.world.postgres import running_postgres
from tests.world.waiting import eventually

NODES = ("node1", "node2", "node3")
CONFIGURATION = """
server_name: {name}
listen: 127.0.0.1:{clients}
jetstream: {{store_dir: "{directory}/{name}", sync_interval: always}}
cluster: {{
  name: reachwatch, listen: 127.0.0.1:{routes}, routes: [{all_routes}], no_advertise: true
}}
mqtt: {{listen: 127.0.0.1:{mqtt}, stream_replicas: 3, consumer_replicas: 1}}
authorization: {{users: [
  {{user: monitor, password: "{monitor}"}},
  {{user: "{probe}", password: "{secret}", permissions: {{
    publish: ["reachwatch.v1.m.{probe}", "reachwatch.v1.status.{probe}", "$MQTT.>"],
    subscribe: [
      "reachwatch.v1.ack.{probe}", "reachwatch.v1.catalogue", "reachwatch.v1.retest.>", "$MQTT.>"
    ],
  }}}},
]}}
"""


class NATSFleet(Fleet):
    """Three servers, a collector at each of the first two, one store."""

    def __init__(self, directory: Path, service_port: int, database: str) -> None:
        collector = [sys.executable, "-m", "monitor.commands.main", "collect"]
        super().__init__(directory, service_port, collector)
        self.database = database
        self._mqtt = {name: free_port() for name in NODES}

    async def configure_broker(
        self, registry: Registry, enrolled: Enrolled, secret: str
    ) -> tuple[str, ...]:
        """Write the configuration of each server."""
        routes = {name: free_port() for name in NODES}
        for name in NODES:
            text = CONFIGURATION.format(
                name=name,
                clients=free_port(),
                routes=routes[name],
                all_routes=", ".join(f'"nats://127.0.0.1:{port}"' for port in routes.values()),
                mqtt=self._mqtt[name],
                directory=self.directory,
                monitor=secret,
                probe=enrolled.user,
                secret=enrolled.secret,
            )
            (self.directory / f"{name}.conf").write_text(text)
        return tuple(f"mqtt://127.0.0.1:{port}" for port in self._mqtt.values())

    def commands(self) -> dict[str, list[str]]:
        """How each process is started."""
        program = shutil.which("nats-server") or "/usr/sbin/nats-server"
        nodes = {name: [program, "-c", str(self.directory / f"{name}.conf")] for name in NODES}
        collectors = {
            f"collector{name[-1]}": self.collecting(f"mqtt://127.0.0.1:{self._mqtt[name]}")
            for name in NODES[:2]
        }
        return {**nodes, **collectors, "probe": super().commands()["probe"]}


async def _stored(url: str) -> Counter[str]:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        rows = await connection.fetch("SELECT id FROM measurement")
    finally:
        await connection.close()
    return Counter(row["id"].hex() for row in rows)


async def run(directory: Path, url: str, rounds: int) -> int:
    """Kill each server `rounds` times; return 1 when a measurement was lost or stored twice."""

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    service = await asyncio.start_server(accept, "127.0.0.1", 0)
    fleet = NATSFleet(directory, service.sockets[0].getsockname()[1], url)
    await fleet.prepare()

    async def flows() -> float:
        """Wait until measurements are stored that were not taken yet; how many seconds it took."""
        before, began = fleet.taken(), time.monotonic()

        async def enough() -> bool:
            return len(set(await _stored(url)) - before) >= 3

        await eventually(enough, "measurements reach the store", seconds=600, pause=0.2)
        return time.monotonic() - began

    try:
        for name in (*NODES, "collector1", "collector2", "probe"):
            fleet.start(name)
        await flows()
        for victim in random.sample(NODES * rounds, len(NODES) * rounds):
            fleet.kill(victim)
            away = await flows()
            fleet.start(victim)
            back = await flows()
            print(
                f"{victim}: new measurements stored {away:.1f} s after the kill, "
                f"{back:.1f} s after its start",
                flush=True,
            )
        await fleet.drain()
        taken, stored = fleet.taken(), await _stored(url)
    finally:
        fleet.end()
        service.close()
        await service.wait_closed()
    lost, twice = taken - stored.keys(), sum(count > 1 for count in stored.values())
    print(f"{len(taken)} taken, {len(stored)} stored, {len(lost)} lost, {twice} twice")
    return int(bool(lost or twice))


def main() -> int:
    """Run it in a temporary directory; return the exit status."""
    parser = argparse.ArgumentParser(prog="./scripts/bench nats", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often each server is killed")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="reachwatch-nats-") as directory,
        running_postgres() as server,
    ):
        return asyncio.run(run(Path(directory), server.fresh(), given.rounds))
