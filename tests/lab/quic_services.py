"""The QUIC services of the internet: `python -m tests.lab.quic_services`, orders as a JSON list on
standard input: addresses, port, certificate, key, and whether it says nothing (`mute`). It says
`ready` on standard output when its sockets are open.
"""

from __future__ import annotations

import asyncio
import json
import sys

from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration


async def main() -> None:
    """Open what the orders ask for, say so, and go on until killed."""
    for order in json.loads(sys.stdin.readline()):
        for address in order["addresses"]:
            if order["mute"]:
                await asyncio.get_running_loop().create_datagram_endpoint(
                    asyncio.DatagramProtocol, local_addr=(address, order["port"])
                )
                continue
            configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
            configuration.load_cert_chain(order["certificate"], order["key"])
            await serve(address, order["port"], configuration=configuration)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
