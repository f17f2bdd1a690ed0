"""A demonstration as a newcomer starts it, as one process with its children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.world.ports import free_port
from tests.world.priority import go_first


class Demonstration:
    """`reachwatch up --demo` with some arguments. A context manager."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.data = directory / "data"
        self.log = directory / "log"
        self.url = f"http://127.0.0.1:{free_port()}"
        self._command = [
            *(sys.executable, "-m", "monitor.commands.main", "up", "--demo"),
            *("--http", self.url.removeprefix("http://"), "--data", str(self.data)),
            *arguments,
        ]

    def __enter__(self) -> Demonstration:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ
            )
        go_first(self.process.pid)
        self.began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.status = self.process.wait(120)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def get(self, path: str) -> str:
        """Body of a page."""
        with urllib.request.urlopen(self.url + path, timeout=120) as answer:
            return str(answer.read().decode())

    def events(self, query: str = "") -> list[dict[str, Any]]:
        """Events by the API."""
        found: list[dict[str, Any]] = json.loads(self.get(f"/api/v1/events{query}"))["events"]
        return found

    def ready(self) -> bool:
        """Whether /readyz says so."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.get("/readyz") == "ready\n"
        except (urllib.error.URLError, OSError):
            return False

    def wait(self, condition: Any, seconds: float, what: str) -> float:
        """Wait until a condition holds; how long that took."""
        began = time.monotonic()
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() - began < seconds, (
                f"{what}: not within {seconds} s\n{self.log.read_text()}"
            )
            time.sleep(0.5)
        return time.monotonic() - began
