"""A real PostgreSQL in a temporary directory, for tests: started by path, ended by its own pid.

It listens on a Unix socket in that directory and on a free loopback port. PostgreSQL refuses
to run as root, so as root it runs as the user `postgres`. `postgres_server` is a session-scoped
fixture; `PostgreSQL.fresh` makes a new empty database in some 50 ms.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world.ports import free_port
from tests.world.waiting import HANG_SECONDS


def _programs() -> Path:
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4])
    )
    if found:
        return found[-1].parent
    if program := shutil.which("initdb"):
        return Path(program).resolve().parent
    raise RuntimeError("PostgreSQL is not installed (Debian package postgresql)")


_AS_POSTGRES = (
    ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    if os.geteuid() == 0
    else []
)


class PostgreSQL:
    """One server process over one directory; it can be killed and started again."""

    def __init__(self, *, durable: bool = False, directory: Path | None = None) -> None:
        """`durable`: commits wait for the disk, as in production. `directory`: what is there is
        served again; without one it is a temporary one."""
        self._durable = durable
        self.programs = _programs()
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory or Path(tempfile.mkdtemp(prefix="reach-pg-"))
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)
        if _AS_POSTGRES:
            shutil.chown(self.directory, "postgres", "postgres")
        self.kept = (self.directory / "data").exists()
        """Whether there were databases in the directory."""
        if self.kept:
            return
        self._run(
            "initdb", "-D", "data", "-U", "postgres", "--no-sync", "-E", "UTF8", "-A", "trust"
        )

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [*_AS_POSTGRES, str(self.programs / program), *arguments],
            cwd=self.directory,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HANG_SECONDS,
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr or done.stdout}")
        return done.stdout

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start on a free port (the same one again after a kill) and wait until it answers."""
        for _ in range(20):
            if self._launch(self.port or free_port()):
                return
            # After a kill -9 the old children take a moment to notice.
            time.sleep(0.2)
        raise RuntimeError(f"postgres did not start:\n{(self.directory / 'log').read_text()}")

    def _launch(self, port: int) -> bool:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(self.directory),
            "fsync": "on" if self._durable else "off",
            "shared_buffers": "32MB",
            "max_connections": "60",
            "autovacuum": "off",
        }
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *_AS_POSTGRES,
                    str(self.programs / "postgres"),
                    *("-D", "data"),
                    *(part for item in settings.items() for part in ("-c", "=".join(item))),
                ],
                cwd=self.directory,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + HANG_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(RuntimeError):
                self._run("pg_isready", "-q", "-h", str(self.directory), "-p", str(port))
                self.port = port
                return True
            time.sleep(0.02)
        self.kill()
        return False

    def fresh(self) -> str:
        """Make a new empty database and return its URL."""
        name = f"reach{next(self._names)}"
        self.run("createdb", "-U", "postgres", name)
        return self.url(name)

    def url(self, name: str) -> str:
        """The URL of a database that is there."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{name}"

    def column(self, url: str, query: str) -> list[str]:
        """The first column of a query's rows. Raises RuntimeError while the server is down."""
        name = url.rpartition("/")[2]
        return self.run("psql", "-XAtq", "-U", "postgres", "-c", query, name).splitlines()

    def drop(self, url: str) -> None:
        """Remove a database, whoever is still connected."""
        name = url.rpartition("/")[2]
        self.run("dropdb", "-U", "postgres", "--force", name)

    def run(self, program: str, *arguments: str) -> str:
        """What one of PostgreSQL's programs prints. Raises RuntimeError if it fails."""
        where = ("-h", str(self.directory), "-p", str(self.port))
        return self._run(program, *where, *arguments)

    def _end(self, number: int) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(number)
            try:
                self._process.wait(HANG_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(HANG_SECONDS)
            self._process = None

    def stop(self) -> None:
        """Fast shutdown, then wait; harmless when it is not running."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL to the postmaster, then wait; its children end by themselves."""
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        """Stop, and delete everything."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgreSQL]:
    """Make and start a server, give it, remove it."""
    server = PostgreSQL()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgreSQL]:
    """One server for all tests that share this fixture; each takes a `fresh` database."""
    with running_postgres() as server:
        yield server
