# SPDX-License-Identifier: Apache-2.0
"""blackbox_exporter as a long-running process, asked over HTTP as Prometheus asks it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from benchmarks.probing.standins import Trust, listening, program
from tests.world.ports import free_port

PROGRAM = "prometheus-blackbox-exporter"
NAME = "service.example"


def config(trust: Trust) -> str:
    """Its modules: one for each kind of work."""
    return f"""modules:
  tcp:
    prober: tcp
    timeout: 5s
    tcp: {{preferred_ip_protocol: ip4}}
  tls:
    prober: tcp
    timeout: 5s
    tcp:
      preferred_ip_protocol: ip4
      tls: true
      tls_config: {{ca_file: {trust.ca}, server_name: {NAME}}}
  dns:
    prober: dns
    timeout: 5s
    dns:
      preferred_ip_protocol: ip4
      transport_protocol: udp
      query_name: {NAME}
      query_type: A
"""


class Peer:
    """The running exporter."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid, self.port = pid, port

    async def probe(self, module: str, targets: Sequence[str], concurrency: int) -> None:
        """Have every target probed once. Raises RuntimeError when one did not succeed."""
        paths = [f"/probe?module={module}&target={target}" for target in targets]
        await self._all(paths, concurrency, b"probe_success 1")

    async def idle_requests(self, count: int, concurrency: int) -> None:
        """As many requests that probe nothing: what HTTP alone costs it."""
        await self._all(["/-/healthy"] * count, concurrency, b"Healthy")

    async def _all(self, paths: Sequence[str], concurrency: int, wanted: bytes) -> None:
        waiting = iter(paths)
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(self._work(waiting, wanted))

    async def _work(self, waiting: Iterator[str], wanted: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for path in waiting:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                if wanted not in (body := await _body(reader)):
                    raise RuntimeError(f"{path}: {body[-300:]!r}")
        finally:
            writer.close()
            await writer.wait_closed()


async def _body(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, told, length = head.partition(b"content-length: ")
    if told:
        return await reader.readexactly(int(length.split(b"\r\n")[0]))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


@contextlib.asynccontextmanager
async def running(folder: Path, trust: Trust, core: int | None) -> AsyncIterator[Peer]:
    """Run it until the end of the block, with the classical key exchange: as Debian starts it, or
    held to one core."""
    path = folder / "blackbox.yml"
    path.write_text(config(trust))
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        program(PROGRAM) or PROGRAM,
        f"--config.file={path}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
        env={**os.environ, "GODEBUG": "tlsmlkem=0"} | ({} if core is None else {"GOMAXPROCS": "1"}),
        preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
    )
    try:
        await listening("127.0.0.1", port)
        yield Peer(process.pid, port)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
