"""The monitor's web server with an intake and a store, for probes that deliver to it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from monitor.collector.intake import Intake
from monitor.enrolment import Credentials, Enrolled
from monitor.http_server import serving
from monitor.metrics.counters import Counters
from monitor.store.database import Database
from monitor.web.app import make_app
from monitor.web.reception import OpenRetests, Reception
from probes.runtime.clock import wall_clock
from tests.monitor.store.arrivals import arrivals
from tests.world.brokers import enrolled_probe
from tests.world.site import opened, site_of


@dataclass
class WebMonitor:
    port: int
    who: Enrolled
    database: Database
    counters: Counters
    catalogue: bytes = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def stored(self) -> int:
        """How many measurements are in the store."""
        return len(await arrivals(self.database))


@contextlib.asynccontextmanager
async def web_monitor(
    directory: Path, port: int = 0, *, database: Database | None = None
) -> AsyncIterator[WebMonitor]:
    """Serve until the end of the block, over a store of its own or the given one."""
    directory.mkdir(exist_ok=True)
    async with opened(None, directory) as bare:
        store, counters = database or bare.database, Counters()
        intake = Intake(store, counters, asyncio.Event())
        made = WebMonitor(0, await enrolled_probe(store), store, counters)
        reception = Reception(
            intake,
            Credentials(store.registry),
            OpenRetests(store, wall_clock),
            lambda: made.catalogue,
        )
        site = site_of(store, reception=reception, clock=wall_clock)
        async with (
            serving(make_app(site), "127.0.0.1", port) as bound,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(intake.run())
            made.port = bound
            yield made
            intake.stop.set()


@contextlib.asynccontextmanager
async def behind_tls(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """A reverse proxy that ends TLS in front of a port, as an operator's does; gives its port."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(1 << 16):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(asyncio.CancelledError):
            async with asyncio.TaskGroup() as group:
                group.create_task(pump(reader, back))
                group.create_task(pump(there, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
