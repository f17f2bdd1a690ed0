from __future__ import annotations

import asyncio

import pytest

from monitor.demo.connection import ClearService
from monitor.demo.conversation import Silence
from monitor.demo.servers import DemoServers
from tests.world.waiting import eventually


async def test_a_kind_has_one_port_on_every_address_and_closing_cuts_connections() -> None:
    servers = DemoServers()
    for address in ("127.77.1.1", "127.77.1.2"):
        await servers.listen(
            "tcp", address, lambda: ClearService(lambda source: Silence(), servers.connections)
        )
    port = servers.port("tcp")
    reader, writer = await asyncio.open_connection("127.77.1.2", port)
    await eventually(lambda: len(servers.connections) == 1)
    await servers.close()
    assert not servers.connections
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.77.1.1", port)


async def test_a_taken_port_is_an_error_for_the_caller() -> None:
    first, second = DemoServers(), DemoServers()
    await first.datagrams("127.77.2.1", None)
    second._ports["dns"] = first.port("dns")
    with pytest.raises(OSError, match="in use"):
        await second.datagrams("127.77.2.1", None)
    await first.close()
    await second.close()
