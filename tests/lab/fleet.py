"""The whole way in the laboratory: vantages in two networks and a control, mosquitto, collector,
detector and pages as processes of their own, each by its installed command; Debian's Prometheus
and Alertmanager with the generated rules, and a webhook.

It differs from production by the pace and by the dates of enrolment, which are moved back in the
registry before the first measurement.
"""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from monitor.alerts import routing, rules_file, scraping
from monitor.alerts.alert import as_yaml
from monitor.broker.mosquitto import CONFIGURATION, PROBES, Layout, write_configuration
from monitor.detection.policy import Policy
from tests.lab.webhook import BEAT, HOOK
from tests.lab.world import World, command
from tests.world.mosquitto import PROGRAM

HOME = "10.3.0.2"
"""Where the research centre is: beside the control."""
HTTP_PORT, PROBES_PORT, MONITOR_PORT = 8080, 1883, 1884
PROMETHEUS, ALERTMANAGER, WEBHOOK = "127.0.0.1:9090", "127.0.0.1:9093", "127.0.0.1:9095"
PACE = 30
INTERVAL = 10
DAY_MS = 86_400_000
NETWORKS = {"probe": 64501, "other": 64502}
"""Of one country, so that the network must be told, not the country."""
OWNERS = ("north", "south", "east")


class Fleet:
    """A research centre and its volunteers in a standing world."""

    def __init__(
        self,
        world: World,
        folder: Path,
        *,
        pace: int = PACE,
        interval: int = INTERVAL,
        detecting: tuple[str, ...] = (),
    ) -> None:
        """`detecting`: further options of the detector."""
        self._world = world
        self.pace, self.interval, self._detecting = pace, interval, detecting
        self._folder = folder
        self._data = folder / "data"
        self._inbox = folder / "inbox"
        self.url = f"http://{HOME}:{HTTP_PORT}"

    def start(self) -> None:
        """Start the centre, enrol everybody, start measuring."""
        layout = Layout(
            directory=str(self._folder / "broker"),
            probes_port=PROBES_PORT,
            probes_host=HOME,
            monitor_port=MONITOR_PORT,
            monitor_host="127.0.0.1",
            certificate="",
            key="",
            user="root",
            pid_file=str(self._folder / "broker.pid"),
        )
        secret = "s" * 40
        write_configuration(Path(layout.directory), layout, secret)
        (self._folder / "secret").write_text(secret)
        (self._folder / "secret").chmod(0o600)
        inside = f"mqtt://127.0.0.1:{MONITOR_PORT}"
        reading = ("--broker", inside, "--mqtt-secret-file", str(self._folder / "secret"))
        start = self._world.start
        start("control", PROGRAM, "-c", f"{layout.directory}/{CONFIGURATION}")
        tokens = {owner: self._token(owner, "vantage", 4) for owner in set(OWNERS)}
        tokens["centre"] = self._token("centre", "control", 1)
        self._monitor(
            "serve", "--http", f"{HOME}:{HTTP_PORT}", "--public-url", self.url,
            "--interval", str(self.interval), "--pace", str(self.pace), "--processes", "1",
            "--broker", f"mqtt://{HOME}:{PROBES_PORT}", "--catalogue", str(self._world.catalogue),
            "--mosquitto-passwords", f"{layout.directory}/{PROBES}",
            "--mosquitto-pid", layout.pid_file,
        )  # fmt: skip
        self._monitor("collect", *reading, "--catalogue", str(self._world.catalogue))
        self._monitor("detect", *reading, "--pace", str(self.pace), *self._detecting)
        self.wait(lambda: self.get("/readyz") == "ready\n", 300, "the centre")
        members = [(s, f"{s}-{n}", o) for s in NETWORKS for n, o in enumerate(OWNERS)]
        members.append(("control", "centre", "centre"))
        consent = self._call(command("reachprobe"), "consent")
        agreed = ("--accept-risks", re.findall(r"\b[0-9a-f]{16}\b", consent)[-1])
        for space, name, owner in members:
            self._probe(space, name, "join", tokens[owner], "--plain-http", *agreed, wait=True)
        with sqlite3.connect(self._data / "reachwatch.db", timeout=20) as store:
            store.execute("UPDATE probe SET enrolled = enrolled - ?", (7 * DAY_MS,))
        store.close()
        for space, name, _ in members:
            resolver = self._world.plan.resolver
            if space == "control":
                resolver = self._world.plan.reference.v4[0]
            self._probe(
                space, name, "run", "--allow-private", "--interval", str(self.interval), "--full",
                "--catalogue", str(self._world.catalogue), "--resolver", f"{resolver}:53",
                *agreed,
                "--country", "RU" if space in NETWORKS else "NL",
                "--asn", str(NETWORKS.get(space, 64503)),
            )  # fmt: skip

    def start_alerting(self) -> None:
        """Start Prometheus, Alertmanager and the webhook beside the centre."""
        folder, policy, hook = (
            self._folder / "alerting",
            Policy(pace=self.pace),
            f"http://{WEBHOOK}",
        )
        folder.mkdir()
        files = {
            "rules.yml": rules_file.render(policy, self.url),
            "prometheus.yml": as_yaml(
                scraping.document(policy, [f"{HOME}:{HTTP_PORT}"], ALERTMANAGER)
            ),
            "alertmanager.yml": routing.render(policy, hook + HOOK, hook + BEAT),
        }
        for name, text in files.items():
            (folder / name).write_text(text)
        start = self._world.start
        address, port = WEBHOOK.split(":")
        start(
            "control", sys.executable, "-m", "tests.lab.webhook", address, port,
            str(self._inbox), wait_for="ready",
        )  # fmt: skip
        start(
            "control", "prometheus-alertmanager", f"--config.file={folder}/alertmanager.yml",
            f"--storage.path={folder}/alertmanager", f"--web.listen-address={ALERTMANAGER}",
            "--cluster.listen-address=",
        )  # fmt: skip
        start(
            "control", "prometheus", f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/prometheus", f"--web.listen-address={PROMETHEUS}",
            # What fired before Alertmanager was found is sent again after this long.
            "--rules.alert.resend-delay=5s",
        )  # fmt: skip

    def _token(self, owner: str, role: str, uses: int) -> str:
        said = self._call(
            command("reachwatch"), "token", "new", "--data", str(self._data), "--owner", owner,
            "--role", role, "--uses", str(uses), "--public-url", self.url,
        )  # fmt: skip
        return re.findall(r"rch1\.[A-Za-z0-9_-]+", said)[0]

    def _monitor(self, name: str, *arguments: str) -> None:
        self._world.start(
            "control", *command("reachwatch"), name, "--data", str(self._data), *arguments,
            env=self._world.environment(),
        )  # fmt: skip

    def _probe(self, space: str, name: str, what: str, *arguments: str, wait: bool = False) -> None:
        whole = (*command("reachprobe"), what, "--state", str(self._folder / name), *arguments)
        env = self._world.environment()
        if wait:
            self._call(["ip", "netns", "exec", space, *whole])
        else:
            self._world.start(space, *whole, env=env)

    def _call(self, start: Iterable[str], *arguments: str) -> str:
        done = subprocess.run(
            [*start, *arguments], capture_output=True, text=True, check=False,
            env=self._world.environment(), stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout

    # -- looking --

    def get(self, path: str) -> str:
        """Body of a page, fetched from beside the centre; empty when there is none."""
        code = (
            "import sys, urllib.request as u; "
            "sys.stdout.buffer.write(u.urlopen(sys.argv[1], timeout=120).read())"
        )
        done = subprocess.run(
            ["ip", "netns", "exec", "control", "python3", "-c", code, self.url + path],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stdout if done.returncode == 0 else ""

    def events(self) -> list[dict[str, Any]]:
        """Events by the API."""
        body = self.get("/api/v1/events")
        found: list[dict[str, Any]] = json.loads(body)["events"] if body else []
        return found

    def inbox(self) -> list[dict[str, Any]]:
        """Messages at the webhook, oldest first."""
        try:
            lines = self._inbox.read_text().splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    def wait(self, condition: Callable[[], bool], seconds: float, what: str) -> float:
        """Wait until a condition holds; how long it took. Raises RuntimeError."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                raise RuntimeError(f"{what}: not within {seconds} s; events {self.events()}")
            time.sleep(1)
        return time.monotonic() - began

    def rounds(self) -> int:
        """How many rounds every vantage and the control have in the store."""
        path = self._data / "reachwatch.db"
        query = (
            "SELECT v.probe, count(DISTINCT m.round) FROM measurement m "
            "JOIN vantage v ON v.number = m.vantage GROUP BY v.probe"
        )
        try:
            store = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
            try:
                counts = [n for _, n in store.execute(query)]
            finally:
                store.close()
        except sqlite3.Error:
            return 0
        return min(counts) if len(counts) == len(NETWORKS) * len(OWNERS) + 1 else 0
