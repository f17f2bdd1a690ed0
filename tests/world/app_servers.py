"""Servers that speak the apps' protocols, on loopback and in the laboratory: each reads what the
app says as the real one would, and answers only what is right. Written
independently of `probes.protocols`.

    async with talk(mtproto, "127.0.0.1") as server: ... server.port, server.heard
    async with answer(stun, "127.0.0.1") as server: ...
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.world.ports import free_port

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Answer = Callable[[bytes], bytes]
PRODUCTION_KEY = 0xD09D1D85DE64FD85
WEB_PAGE = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
    b"<html><title>Restricted</title><h1>Access to this site has been blocked</h1>"
)


async def mtproto(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A data centre of Telegram, up to its resPQ."""
    start = await reader.readexactly(64)
    back = start[8:56][::-1]
    incoming = Cipher(algorithms.AES(start[8:40]), modes.CTR(start[40:56])).decryptor()
    outgoing = Cipher(algorithms.AES(back[:32]), modes.CTR(back[32:])).encryptor()
    if incoming.update(start)[56:60] != b"\xef\xef\xef\xef":
        return
    (words,) = incoming.update(await reader.readexactly(1))
    packet = incoming.update(await reader.readexactly(words * 4))
    key, message_id, length, constructor = struct.unpack_from("<QQII", packet)
    if (key, length, constructor, message_id % 4) != (0, 20, 0xBE7E8EF1, 0):
        return
    body = struct.pack("<I", 0x05162463) + packet[24:40] + os.urandom(16)
    body += b"\x08" + os.urandom(8) + b"\0\0\0" + struct.pack("<IIQ", 0x1CB5C415, 1, PRODUCTION_KEY)
    message = struct.pack("<QQI", 0, message_id | 1, len(body)) + body
    writer.write(outgoing.update(bytes((len(message) // 4,)) + message))


async def whatsapp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A chat server of WhatsApp, up to its ServerHello."""
    header = await reader.readexactly(4)
    length = int.from_bytes(await reader.readexactly(3), "big")
    hello = await reader.readexactly(length)
    if header[:2] != b"WA" or hello[:4] != b"\x12\x22\x0a\x20":
        return
    ephemeral = x25519.X25519PrivateKey.generate()
    ephemeral.exchange(x25519.X25519PublicKey.from_public_bytes(hello[4:]))
    parts = b"\x0a\x20" + ephemeral.public_key().public_bytes_raw()
    parts += b"\x12\x30" + os.urandom(48) + b"\x1a\xb6\x01" + os.urandom(182)
    message = b"\x1a" + bytes((len(parts) & 127 | 128, len(parts) >> 7)) + parts
    writer.write(len(message).to_bytes(3, "big") + message)


async def mmtls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """WeChat's long link, up to its ServerHello."""
    head = await reader.readexactly(5)
    writer.write(server_hello(head, await reader.readexactly(int.from_bytes(head[3:], "big"))))


async def mmtls_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """WeChat's short link, up to its ServerHello."""
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"POST /mmtls/") or b"\r\nUpgrade: mmtls\r\n" not in head:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        return
    record = await reader.readexactly(5)
    said = server_hello(record, await reader.readexactly(int.from_bytes(record[3:], "big")))
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said) + said)


def server_hello(head: bytes, content: bytes) -> bytes:
    """Answer a ClientHello of mmtls; an alert when its keys are none."""
    keys = [content[at + 6 : at + 71] for at in (62, 137)]
    try:
        for key in keys:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
    except ValueError:
        return b"\x15\xf1\x04\x00\x07\x00\x00\x00\x03\x00\x02\x28"
    if head[:3] != b"\x16\xf1\x04" or content[4:7] != b"\x01\x04\xf1":
        return b""
    inner = b"\x02\x04\xf1\xc0\x2b" + os.urandom(32) + b"\x00\x00\x00\x01\x00"
    said = struct.pack("!I", len(inner)) + inner
    return b"\x16\xf1\x04" + struct.pack("!H", len(said)) + said


async def xmpp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An XMPP server, up to its features."""
    await reader.readuntil(b"etherx.jabber.org/streams'>")
    writer.write(
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' id='7' version='1.0' "
        b"xmlns:stream='http://etherx.jabber.org/streams'><stream:features>"
    )
    await writer.drain()
    writer.write(
        b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
        b"</stream:features>"
    )


async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Something else altogether: a page, whatever was asked."""
    await reader.read(65536)
    writer.write(WEB_PAGE)
    writer.write_eof()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RST after the first bytes."""
    await reader.read(65536)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """FIN after the first bytes."""
    await reader.read(65536)
    writer.close()


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the first bytes and say nothing."""
    await reader.read(65536)


def say(said: bytes) -> Talk:
    """Whatever is asked, answer these bytes."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(said)

    return one


def stun(request: bytes) -> bytes:
    """A STUN server: a Binding response with the address that asked (here a documentation one)."""
    kind, length, cookie = struct.unpack_from("!HHI", request)
    if (kind, length, cookie, len(request)) != (1, 0, 0x2112A442, 20):
        return b""
    seen = struct.pack("!HHBBH", 0x0020, 8, 0, 1, 4711 ^ 0x2112) + os.urandom(4)
    return struct.pack("!HHI", 0x0101, len(seen), cookie) + request[8:20] + seen


BY_PROTOCOL: dict[str, Talk] = {
    "mtproto": mtproto,
    "whatsapp": whatsapp,
    "mmtls": mmtls,
    "mmtls-http": mmtls_http,
    "xmpp": xmpp,
    "web": web,
}


@dataclass
class Speaker:
    """Where it listens, and what it has heard over UDP."""

    address: str
    port: int
    heard: list[bytes] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def talk(how: Talk, address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Speaker]:
    """Serve TCP until the end of the block."""
    speaker = Speaker(address, port or free_port())

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        speaker.connections += 1
        try:
            await how(reader, writer)
            if writer.is_closing():
                return
            await writer.drain()
            await reader.read(1)  # until the client has gone
        except (OSError, EOFError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(one, address, speaker.port)
    try:
        yield speaker
    finally:
        server.close()
        await asyncio.sleep(0)


class _Answering(asyncio.DatagramProtocol):
    def __init__(self, how: Answer, speaker: Speaker) -> None:
        self._how = how
        self._speaker = speaker

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._speaker.heard.append(data)
        if said := self._how(data):
            self._transport.sendto(said, addr)


@asynccontextmanager
async def answer(how: Answer, address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Speaker]:
    """Serve UDP until the end of the block."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    speaker = Speaker(address, port or free_port())
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Answering(how, speaker), local_addr=(address, speaker.port), family=family
    )
    try:
        yield speaker
    finally:
        transport.close()
        await asyncio.sleep(0)
