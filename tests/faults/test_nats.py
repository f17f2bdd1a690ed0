"""Three NATS servers with JetStream as the broker: `kill -9` of one after the other under load.

NATS speaks MQTT 3.1.1, which has no shared subscriptions. So each collector is given every batch,
and the store takes the first copy. A collector has one server; the probe has all three.
"""

from __future__ import annotations

import random
import shutil
import sys
from collections import Counter
from pathlib import Path

import asyncpg
import pytest

from monitor.enrolment import Enrolled
from monitor.store.registry import Registry
from tests.faults.fleet import Fleet
from tests.faults.test_kill import service_port
from tests.world.mosquitto import free_port
from tests.world.postgres import PostgreSQL, postgres_server
from tests.world.waiting import eventually

__all__ = ["postgres_server", "service_port"]

pytestmark = [pytest.mark.needs("nats-server", "postgresql"), pytest.mark.rest]

NODES = ("node1", "node2", "node3")
CONFIGURATION = """
server_name: {name}
listen: 127.0.0.1:{clients}
jetstream: {{store_dir: "{directory}/{name}", sync_interval: always}}
cluster: {{
  name: reachwatch, listen: 127.0.0.1:{routes}, routes: [{all_routes}], no_advertise: true
}}
mqtt: {{listen: 127.0.0.1:{mqtt}, stream_replicas: 3}}
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


async def test_each_of_three_nats_servers_is_killed_and_nothing_is_lost(
    tmp_path: Path, service_port: int, postgres_server: PostgreSQL
) -> None:
    url = postgres_server.fresh()
    fleet = NATSFleet(tmp_path, service_port, url)
    await fleet.prepare()

    async def flows() -> None:
        """Wait until measurements are stored that were not taken yet."""
        before = fleet.taken()

        async def enough() -> bool:
            return len(set(await _stored(url)) - before) >= 3

        await eventually(enough, "measurements reach the store", pause=0.2)

    try:
        for name in (*NODES, "collector1", "collector2", "probe"):
            fleet.start(name)
        await flows()
        victims = list(NODES)
        random.shuffle(victims)
        for victim in victims:
            fleet.kill(victim)
            await flows()  # while it is away: two of three servers go on
            fleet.start(victim)
            await flows()
        await fleet.drain()
        taken, stored = fleet.taken(), await _stored(url)
    finally:
        fleet.end()
    print(f"\nkilled {victims}: {len(taken)} taken, {len(stored)} stored")
    assert len(taken) > 10
    assert taken == set(stored)
    assert set(stored.values()) == {1}
