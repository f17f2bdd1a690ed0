"""Every way in which the provider ends a handshake, seen through a client's real socket."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.demo.block import DemoBlock
from monitor.demo.certificates import make_authority, server_context
from monitor.demo.connection import ClearService, TLSService
from monitor.demo.conversation import WebConversation
from monitor.demo.isp import ISP
from monitor.demo.servers import DemoServers

SERVER, INSIDE, OUTSIDE = "127.77.3.1", "127.77.3.101", "127.77.3.102"
NAME, OTHER = "web.wechat.test", "www.maple.test"


class Place:
    """One TLS and one HTTP server behind a provider."""

    def __init__(self, folder: Path) -> None:
        self.ca = make_authority("CA")
        self.isp = ISP({INSIDE: 64501}, {NAME: "wechat"}, {SERVER: "wechat"})
        self.servers = DemoServers()
        self.context = server_context(folder, (NAME, OTHER), self.ca)
        self.forger = server_context(folder, (NAME,), None)

    async def start(self) -> None:
        now = self.servers.connections
        await self.servers.listen(
            "tls",
            SERVER,
            lambda: TLSService(
                lambda source: WebConversation("x"), now, self.context, self.forger, self.isp
            ),
        )
        await self.servers.listen(
            "http",
            SERVER,
            lambda: ClearService(
                lambda source: WebConversation("x", lambda h: self.isp.http(source, h)), now
            ),
        )

    async def get(self, source: str, name: str, *, tls: bool = True) -> bytes:
        """What a client at this source gets when it asks this name."""
        context = ssl.create_default_context(cadata=self.ca.pem) if tls else None
        reader, writer = await asyncio.open_connection(
            SERVER,
            self.servers.port("tls" if tls else "http"),
            ssl=context,
            server_hostname=name if tls else None,
            local_addr=(source, 0),
        )
        try:
            writer.write(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
            return await reader.readuntil(b"\r\n")
        finally:
            writer.close()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(tmp_path)
    await place.start()
    yield place
    await place.servers.close()


async def test_without_a_block_both_servers_answer(place: Place) -> None:
    for tls in (True, False):
        assert await place.get(INSIDE, NAME, tls=tls) == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("technique", "error"),
    [
        ("tls.reset.sni", ConnectionResetError),
        ("tls.eof.sni", ConnectionError),
        ("tls.alert.sni", ssl.SSLError),
        ("tls.mitm.self_signed", ssl.SSLCertVerificationError),
        ("tls.http_response", ssl.SSLError),
    ],
)
async def test_the_handshake_dies_for_this_name_and_this_source_only(
    place: Place, technique: str, error: type[Exception]
) -> None:
    place.isp.block(DemoBlock("wechat", 64501, technique))
    with pytest.raises(error):
        await place.get(INSIDE, NAME)
    assert await place.get(INSIDE, OTHER) == b"HTTP/1.1 200 OK\r\n"
    assert await place.get(OUTSIDE, NAME) == b"HTTP/1.1 200 OK\r\n"
    place.isp.lift()
    assert await place.get(INSIDE, NAME) == b"HTTP/1.1 200 OK\r\n"


async def test_silence_after_the_hello(place: Place) -> None:
    place.isp.block(DemoBlock("wechat", 64501, "tls.timeout.sni"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await place.get(INSIDE, NAME)


async def test_by_address_the_innocuous_name_dies_too(place: Place) -> None:
    place.isp.block(DemoBlock("wechat", 64501, "tls.reset.other"))
    for name in (NAME, OTHER):
        with pytest.raises(ConnectionResetError):
            await place.get(INSIDE, name)


async def test_plain_http_is_filtered_by_host(place: Place) -> None:
    place.isp.block(DemoBlock("wechat", 64501, "http.451"))
    assert (await place.get(INSIDE, NAME, tls=False)).startswith(b"HTTP/1.1 451")
    assert (await place.get(INSIDE, OTHER, tls=False)).startswith(b"HTTP/1.1 200")
    place.isp.block(DemoBlock("wechat", 64501, "http.reset.host"))
    with pytest.raises(ConnectionResetError):
        await place.get(INSIDE, NAME, tls=False)


async def test_a_hello_in_two_pieces_is_still_read(place: Place) -> None:
    place.isp.block(DemoBlock("wechat", 64501, "tls.alert.sni"))
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    reader, writer = await asyncio.open_connection(
        SERVER, place.servers.port("tls"), local_addr=(INSIDE, 0)
    )
    writer.write(hello[:100])
    await asyncio.sleep(0.02)
    writer.write(hello[100:])
    assert await reader.read() == bytes((21, 3, 3, 0, 2, 2, 40))
    writer.close()


async def test_garbage_ends_the_connection_and_the_server_goes_on(place: Place) -> None:
    for garbage in (b"\x16\x03\x01\x00\x05\x01\x00\x00\x00\x00", b"hello\r\n", b"\x00" * 300):
        reader, writer = await asyncio.open_connection(SERVER, place.servers.port("tls"))
        writer.write(garbage)
        try:
            assert len(await reader.read()) < 20  # an alert at most
        except ConnectionResetError:
            pass
        writer.close()
    assert await place.get(INSIDE, NAME) == b"HTTP/1.1 200 OK\r\n"
