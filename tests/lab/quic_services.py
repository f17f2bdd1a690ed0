"""The QUIC services of the internet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration


async def listen(orders: Sequence[dict[str, Any]]) -> None:
    """Open what is ordered: addresses, port, certificate, key, and whether it says nothing
    (`mute`). It is served for as long as the event loop runs."""
    for order in orders:
        for address in order["addresses"]:
            if order["mute"]:
                await asyncio.get_running_loop().create_datagram_endpoint(
                    asyncio.DatagramProtocol, local_addr=(address, order["port"])
                )
                continue
            configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
            configuration.load_cert_chain(order["certificate"], order["key"])
            await serve(address, order["port"], configuration=configuration)
