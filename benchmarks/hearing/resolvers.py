# SPDX-License-Identifier: Apache-2.0
"""The reference resolvers of the far side, over TCP, TLS and HTTPS: each answers every name as
`standins.Nameserver` does, and as often as it is asked on one connection."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from benchmarks.probing.standins import reply

TCP, DOT, DOH = 8053, 8853, 8443
"""Ports to which those of the resolvers lead."""
_LED = """
table ip resolvers {{
  chain arriving {{
    type nat hook prerouting priority -100;
    ip daddr {{ {addresses} }} tcp dport 53 redirect to :{tcp}
    ip daddr {{ {addresses} }} tcp dport 853 redirect to :{dot}
    ip daddr {{ {addresses} }} tcp dport 443 redirect to :{doh}
  }}
}}
"""
_Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def resolvers(addresses: Iterable[str], pair: Path, answers: int) -> AsyncIterator[None]:
    """Answer at these IPv4 addresses, with the key and certificate in `pair`."""
    _lead(addresses)

    async def framed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            answer = reply(await reader.readexactly(length), answers)
            writer.write(struct.pack("!H", len(answer)) + answer)

    async def over_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve_doh(reader, writer, answers)

    async with contextlib.AsyncExitStack() as stack:
        for port, serve, alpn in ((TCP, framed, None), (DOT, framed, []), (DOH, over_http, ["h2"])):
            server = await asyncio.start_server(
                _closing(serve), "0.0.0.0", port, ssl=_context(pair, alpn)
            )
            stack.callback(server.close)
        yield


def _lead(addresses: Iterable[str]) -> None:
    table = _LED.format(addresses=", ".join(addresses), tcp=TCP, dot=DOT, doh=DOH)
    subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True)


def _context(pair: Path, alpn: list[str] | None) -> ssl.SSLContext | None:
    if alpn is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    context.num_tickets = 0
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def _closing(serve: _Serve) -> _Serve:
    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, EOFError, h2.exceptions.H2Error):
            pass
        finally:
            writer.close()

    return served


async def _serve_doh(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: int
) -> None:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    asked: dict[int, bytes] = {}
    while received := await reader.read(65536):
        for event in connection.receive_data(received):
            match event:
                case h2.events.DataReceived(stream_id=int() as stream):
                    asked[stream] = asked.get(stream, b"") + (event.data or b"")
                case h2.events.StreamEnded(stream_id=int() as stream):
                    answer = reply(asked.pop(stream), answers)
                    headers = [
                        (":status", "200"),
                        ("content-type", "application/dns-message"),
                        ("content-length", str(len(answer))),
                    ]
                    connection.send_headers(stream, headers)
                    connection.send_data(stream, answer, end_stream=True)
        writer.write(connection.data_to_send())
