"""A real QUIC server on loopback that may interfere by name, as a censor before it would.

async with quic_server.serve(leaf, dead={"wechat.test"}) as server:
    ...                     # server.port, server.names
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aioquic.asyncio.server import QuicServer
from aioquic.quic.configuration import QuicConfiguration

from tests.lab.initials import Reader
from tests.world.pki import Leaf
from tests.world.ports import free_port

EVERY = "*"


class _Interfered(QuicServer):
    """What comes in is read along, and dropped where a name says so."""

    def __init__(self, dead: Collection[str], late: bool, lost: int, **options: Any) -> None:
        super().__init__(**options)
        self.names: list[str] = []
        self.sizes: list[int] = []
        self._dead, self._late, self._lost = dead, late, lost
        self._reader = Reader()
        self._cut: set[Any] = set()
        self._known: set[Any] = set()

    def datagram_received(self, data: bytes | str, addr: Any) -> None:
        assert isinstance(data, bytes)
        self.sizes.append(len(data))
        if self._lost > 0:
            self._lost -= 1
            return
        name = self._reader.read(addr, data)
        if name is not None and addr not in self._known:
            self._known.add(addr)
            self.names.append(name)
        cut = addr in self._cut
        if name in self._dead or EVERY in self._dead:
            self._cut.add(addr)
            cut = cut or not self._late
        if not cut:
            super().datagram_received(data, addr)


@asynccontextmanager
async def serve(
    leaf: Leaf,
    address: str = "127.0.0.1",
    port: int = 0,
    *,
    dead: Collection[str] = (),
    late: bool = False,
    lost: int = 0,
    retry: bool = False,
    **configured: Any,
) -> AsyncIterator[Any]:
    """Serve QUIC. `dead`: names (or EVERY) whose flows are dropped, with `late` only after the
    datagram that held the name; `lost`: so many first datagrams are lost; `retry`: addresses are
    validated first. Gives a server with `port`, `names` shown to it, and `sizes` of datagrams.
    """
    port = port or free_port()
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    for key, value in configured.items():
        setattr(configuration, key, value)
    with tempfile.TemporaryDirectory() as folder:
        chain, key = Path(folder, "chain.pem"), Path(folder, "key.pem")
        chain.write_text(leaf.chain_pem)
        key.write_text(leaf.key_pem)
        configuration.load_cert_chain(chain, key)
    _, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Interfered(dead, late, lost, configuration=configuration, retry=retry),
        local_addr=(address, port),
    )
    server.port = port  # type: ignore[attr-defined]
    try:
        yield server
    finally:
        server.close()
        await asyncio.sleep(0)
