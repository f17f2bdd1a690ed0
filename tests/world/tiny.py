"""The smallest world a probe can measure: one open and one closed TCP port on loopback, and a
catalogue directory that names them. Nothing outside is contacted, no name is resolved."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from probes.cli import consent
from tests.world.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
_SERVICE = """
id = "wechat"
name = "WeChat"
[[target]]
id = "wechat/messaging"
[[target.endpoint]]
address = "127.0.0.1"
port = {open}
protocol = "tcp"
source = "test"
verified = 2026-11-24
[[target]]
id = "wechat/login"
[[target.endpoint]]
address = "127.0.0.1"
port = {closed}
protocol = "tcp"
source = "test"
verified = 2026-11-24
"""
_CONTROLS = """
[[liveness]]
host = "127.0.0.1"
port = {open}
protocol = "tcp"
scope = "international"
source = "test"
"""


def write_catalogue(directory: Path, open_port: int, closed_port: int) -> Path:
    """Write a catalogue of two targets, one that works and one that is refused."""
    (directory / "services").mkdir(parents=True, exist_ok=True)
    ports = {"open": open_port, "closed": closed_port}
    (directory / "services" / "wechat.toml").write_text(_SERVICE.format(**ports))
    (directory / "controls.toml").write_text(_CONTROLS.format(**ports))
    return directory


@contextlib.asynccontextmanager
async def tiny_world(directory: Path) -> AsyncIterator[Path]:
    """Listen on the open port and give the catalogue directory."""

    def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield write_catalogue(directory, port, free_port())
    finally:
        server.close()


async def telltale(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An HTTP server that tells everybody the address it claims to see: 192.0.2.55."""
    await reader.readuntil(b"\r\n\r\n")
    body = b"<html><title>You are 192.0.2.55</title>blocked for 192.0.2.55"
    head = b"HTTP/1.1 403 No\r\nX-Client: 192.0.2.55\r\nServer: 192-0-2-55.isp.example\r\n"
    writer.write(head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
    await writer.drain()
    writer.close()


def environment(**more: str) -> dict[str, str]:
    """An environment for `python -m probes` without any setting of the caller's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("REACHPROBE_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


@contextlib.asynccontextmanager
async def running_probe(
    state: Path,
    catalogue: Path | None,
    broker: str,
    *more: str,
    interval: float = 1.0,
    variables: Mapping[str, str] | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `reachprobe run` with consent, both streams piped; killed at the end if need be. Without
    a broker it delivers where its enrolment says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "probes", "run", "--state", str(state)),
        *(("--catalogue", str(catalogue)) if catalogue else ()),
        *(("--broker", broker) if broker else ()),
        "--allow-private",
        *("--interval", str(interval), "--accept-risks", consent.digest(), *more),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**(variables or {})),
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            _, err = await process.communicate()
            print(err.decode())


async def reachprobe(arguments: Sequence[str], **more: str) -> tuple[int, str, str]:
    """Run one command to its end: exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "probes", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**more),
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()
