"""A real mosquitto on a free loopback port, for tests: started by path, ended by its own pid.

`Mosquitto` can be stopped, killed and started again on the same port, as a broker that falls
over does. Extra configuration lines are appended to the generated file.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from monitor.broker.mosquitto import Layout
from tests.world.ports import free_port
from tests.world.waiting import HANG_SECONDS

PROGRAM = shutil.which("mosquitto") or "/usr/sbin/mosquitto"


def loopback_layout(directory: Path, probes_port: int = 0, pid_file: str = "") -> Layout:
    """The shipped configuration on loopback: without TLS, as this user, on free ports."""
    return Layout(
        directory=str(directory),
        probes_port=probes_port or free_port(),
        probes_host="127.0.0.1",
        monitor_port=free_port(),
        monitor_host="127.0.0.1",
        certificate="",
        key="",
        user="root",
        pid_file=pid_file,
    )


class Mosquitto:
    """One broker process. `directory` takes its configuration and log.

    `config` is appended to the configuration (settings of the one listener come first, so
    `allow_anonymous false`, `acl_file`, `max_packet_size` and the like all work).
    """

    def __init__(
        self, directory: Path, config: str = "", *, port: int = 0, anonymous: bool = True
    ) -> None:
        self.directory = directory
        self.port = port
        self.config = config
        self.anonymous = anonymous
        self.log = directory / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start and wait until the port answers. A port lost to somebody else is chosen anew
        (only while none was fixed)."""
        fixed = self.port != 0
        for _ in range(5):
            port = self.port or free_port()
            if self._launch(port):
                self.port = port
                return
            if fixed:
                time.sleep(0.2)
        raise RuntimeError(f"mosquitto did not start:\n{self.log.read_text()}")

    def _launch(self, port: int) -> bool:
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "mosquitto.conf"
        path.write_text(
            "user root\n"
            "persistence false\n"
            f"listener {port} 127.0.0.1\n"
            f"allow_anonymous {'true' if self.anonymous else 'false'}\n"
            f"{self.config}\n"
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "-v", "-c", str(path)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + HANG_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                # Somebody else's listener would answer as well: ours must still be alive.
                time.sleep(0.02)
                if self._process.poll() is None:
                    return True
            time.sleep(0.01)
        self.kill()
        return False

    def _end(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
        if self._process is not None:
            try:
                self._process.wait(HANG_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(HANG_SECONDS)
            self._process = None

    def stop(self) -> None:
        """SIGTERM, then wait; harmless when it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, then wait: everything that it queued is lost."""
        self._end(signal.SIGKILL)

    async def wait_logged(self, text: str, seconds: float = HANG_SECONDS) -> None:
        """Wait until a line of the log contains `text`."""
        async with asyncio.timeout(seconds):
            while text not in self.log.read_text(errors="replace"):  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.02)


@contextlib.contextmanager
def running_mosquitto(
    directory: Path, config: str = "", *, port: int = 0, anonymous: bool = True
) -> Iterator[Mosquitto]:
    """Start a broker, give it, stop it."""
    broker = Mosquitto(directory, config, port=port, anonymous=anonymous)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
