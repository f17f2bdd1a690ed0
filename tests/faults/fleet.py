"""One probe, a mosquitto and a collector as real processes, each of which may be killed; and a
PostgreSQL where the store is not a file.

Everything is on loopback. What the probe prints as taken goes to a file that outlives it.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from monitor.broker import mosquitto
from monitor.enrolment import Enrolled, enrol, new_token
from monitor.paths import ensure_secret
from monitor.store.database import open_database
from monitor.store.registry import Registry
from probes.cli import consent
from probes.delivery import enrolment
from probes.runtime.clock import wall_clock
from probes.wire.enrolment_token import parse_token
from tests.world.mosquitto import PROGRAM, loopback_layout
from tests.world.postgres import PostgreSQL
from tests.world.waiting import HANG_SECONDS, eventually

CATALOGUE = """
id = "laboratory"
name = "Laboratory"
[[target]]
id = "laboratory/web"
[[target.endpoint]]
address = "127.0.0.1"
port = {port}
protocol = "tcp"
source = "this test"
verified = 2026-11-24
"""
CONTROLS = "".join(
    f"""
[[liveness]]
host = "127.0.0.1"
port = {{port}}
protocol = "tcp"
scope = "{scope}"
{country}
source = "this test"
"""
    for scope, country in (("international", ""), ("domestic", 'country = "RU"'))
)


class Fleet:
    """The processes and their files. `collector` is the command that collects. With a `server`,
    which the caller starts and removes, the store is there."""

    def __init__(
        self,
        directory: Path,
        service_port: int,
        collector: list[str],
        server: PostgreSQL | None = None,
    ) -> None:
        self.directory = directory
        self.state = directory / "probe"
        self.printed = directory / "printed"
        self.server = server
        self.database = server.fresh() if server else f"sqlite+aiosqlite:///{directory}/store.db"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.collector = collector
        self.interval = "0.4"
        self._catalogue = directory / "catalogue"
        (self._catalogue / "services").mkdir(parents=True)
        for name, text in (
            ("services/laboratory.toml", CATALOGUE),
            ("controls.toml", CONTROLS),
            ("resolvers.toml", ""),
        ):
            (self._catalogue / name).write_text(text.format(port=service_port))
        directory.chmod(0o755)
        self.layout = loopback_layout(directory)

    async def prepare(self) -> None:
        """Make the store, enrol the probe, write the broker's files."""
        database = await open_database(self.database)
        try:
            now = wall_clock()
            token, _ = new_token("http://127.0.0.1:1", "vantage", "somebody", 1, now + 60_000, now)
            await database.registry.add_token(token)
            # The text of a token is not kept; its secret is what the text says.
            token, text = new_token("http://127.0.0.1:1", "vantage", "me", 1, now + 60_000, now)
            await database.registry.add_token(token)
            secret = parse_token(text).secret
            enrolled = await enrol(database.registry, token.id, secret, now)
            assert isinstance(enrolled, Enrolled)
            secret = ensure_secret(self.directory / "monitor.secret")
            broker = await self.configure_broker(database.registry, enrolled, secret)
        finally:
            await database.close()
        self.state.mkdir(exist_ok=True)
        enrolment.save(
            self.state,
            enrolment.Enrolment(
                probe=enrolled.probe, user=enrolled.user, secret=enrolled.secret, broker=broker
            ),
        )

    async def configure_broker(
        self, registry: Registry, enrolled: Enrolled, secret: str
    ) -> tuple[str, ...]:
        """Write the files of the broker, where the monitor's user has this secret. Returns the
        URLs that the probe uses."""
        mosquitto.write_configuration(self.directory, self.layout, secret)
        passwords = mosquitto.Passwords(self.directory / mosquitto.PROBES, registry, lambda: None)
        await passwords.refresh()
        return (f"mqtt://127.0.0.1:{self.layout.probes_port}",)

    def commands(self) -> dict[str, list[str]]:
        """How each process is started."""
        return {
            "broker": [PROGRAM, "-c", str(self.directory / mosquitto.CONFIGURATION)],
            "collector": self.collecting(f"mqtt://127.0.0.1:{self.layout.monitor_port}"),
            "probe": [
                *(sys.executable, "-m", "probes", "run", "--allow-private"),
                *("--state", str(self.state), "--catalogue", str(self._catalogue)),
                *("--interval", self.interval, "--country", "RU", "--asn", "64501"),
                *("--accept-risks", consent.digest()),
            ],
        }

    def collecting(self, broker: str) -> list[str]:
        """The command that collects from this broker."""
        return [
            *self.collector,
            *("--database", self.database),
            *("--catalogue", str(self._catalogue)),
            *("--broker", broker),
            *("--mqtt-secret-file", str(self.directory / "monitor.secret")),
        ]

    def start(self, name: str) -> None:
        """Start one of the processes; `database` is the server."""
        if name == "database":
            assert self.server is not None
            self.server.start()
            return
        log = (self.directory / f"{name}.log").open("ab")
        out = self.printed.open("ab") if name == "probe" else log
        try:
            self.processes[name] = subprocess.Popen(
                self.commands()[name],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env=os.environ,
            )
        finally:
            log.close()
            out.close()

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """End one of them and wait for its end."""
        if name == "database":
            assert self.server is not None
            self.server.kill()
            return
        self.processes[name].send_signal(number)
        self.processes[name].wait(HANG_SECONDS)

    def end(self) -> None:
        """End all of them."""
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    async def drain(self) -> None:
        """End the probe properly, and start it again if it did not get rid of everything, with
        rounds so rare that its spool becomes empty however slow the machine is."""
        self.kill("probe", 15)
        if self.unacknowledged():
            self.interval = "86400"
            self.start("probe")
            await eventually(lambda: self.unacknowledged() == 0, "the spool drains", pause=0.05)
            self.kill("probe", 15)

    def unacknowledged(self) -> int:
        """Measurements on the probe's disk that wait for their acknowledgement."""
        return len(self._rows(self.state / "spool.db", "SELECT sequence FROM row WHERE state = 0"))

    def acknowledged(self) -> int:
        """Measurements on the probe's disk that were acknowledged."""
        return len(self._rows(self.state / "spool.db", "SELECT sequence FROM row WHERE state = 1"))

    def stored(self) -> list[str]:
        """Ids of all measurements in the store, a row an entry."""
        if self.server is not None:
            return self.server.column(self.database, "SELECT encode(id, 'hex') FROM measurement")
        rows = self._rows(self.directory / "store.db", "SELECT hex(id) FROM measurement")
        return [row[0].lower() for row in rows]

    def taken(self) -> set[str]:
        """Ids that the probe printed as taken. The last line may have been cut by a kill."""
        found = set()
        for line in self.printed.read_bytes().splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if said.get("event") == "taken":
                found.add(said["id"])
        return found

    def _rows(self, path: Path, query: str) -> list[tuple[str]]:
        deadline = time.monotonic() + HANG_SECONDS
        while True:
            try:
                connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
                try:
                    return connection.execute(query).fetchall()
                finally:
                    connection.close()
            except sqlite3.OperationalError:
                # Not made yet, or its owner was killed half way; both end soon.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
