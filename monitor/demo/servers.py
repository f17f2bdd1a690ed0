# SPDX-License-Identifier: Apache-2.0
"""The listening sockets of one simulated internet, and the connections accepted on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from monitor.demo.nameserver import Censor, DatagramService, Nameserver

ProtocolFactory = Callable[[], asyncio.Protocol]
_BACKLOG = 256


class DemoServers:
    """Opens servers on addresses of one block; each kind has one port on all of them."""

    def __init__(self) -> None:
        self.connections: set[asyncio.Transport] = set()
        """Open connections."""
        self._ports: dict[str, int] = {}
        self._servers: list[asyncio.Server] = []
        self._datagrams: list[asyncio.BaseTransport] = []

    def port(self, kind: str) -> int:
        """The port of a kind of server, once one of the kind listens."""
        return self._ports[kind]

    async def listen(self, kind: str, address: str, factory: ProtocolFactory) -> None:
        """Open a TCP server. Raises OSError when the kind's port is taken at this address."""
        loop = asyncio.get_running_loop()
        port = self._ports.get(kind, 0)
        server = await loop.create_server(factory, address, port, backlog=_BACKLOG)
        self._servers.append(server)
        self._ports.setdefault(kind, server.sockets[0].getsockname()[1])

    async def datagrams(
        self, address: str, nameserver: Nameserver | None, censor: Censor | None = None
    ) -> None:
        """Open a UDP server of the kind `dns`. Raises OSError as `listen` does."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: DatagramService(nameserver, censor),
            local_addr=(address, self._ports.get("dns", 0)),
        )
        self._datagrams.append(transport)
        self._ports.setdefault("dns", transport.get_extra_info("sockname")[1])

    async def close(self) -> None:
        """Close every server and cut every connection."""
        for server in self._servers:
            server.close()
        for transport in (*self._datagrams, *self.connections):
            (transport.abort if isinstance(transport, asyncio.Transport) else transport.close)()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()
        self._datagrams.clear()
        while self.connections:  # noqa: ASYNC110 - aborted transports leave on the loop's next turns
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # lets the loop close the datagram sockets
