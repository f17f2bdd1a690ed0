# SPDX-License-Identifier: Apache-2.0
"""Servers on this machine that stand in for the world: nginx for TCP, TLS and HTTP, and a
nameserver that answers every name. Their own processor time is nobody's cost.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import shutil
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import certifi

from monitor.demo.certificates import make_authority, server_context
from tests.world import app_servers

PAGE_BYTES = 8192
SUITE = "TLS_AES_128_GCM_SHA256"
"""What a server picks for browsers and for Go, which name it first where the processor has AES."""
_A, _AAAA, _IN = 1, 28, 1
_DATAGRAM = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
_IPV6_FREEBIND = 78
"""Of linux/in6.h."""
_READY_SECONDS = 10.0


@dataclass(frozen=True)
class Trust:
    """A private authority and one certificate of it for all names."""

    ca: Path
    ca_pem: str
    pair: Path
    """Key and certificate in one PEM file."""


def make_trust(folder: Path, names: Sequence[str]) -> Trust:
    """Write an authority's certificate, a pair for the names and a page into a folder."""
    authority = make_authority("benchmark")
    kept = folder / "pair"
    kept.mkdir()
    server_context(kept, names, authority)
    pages = folder / "pages"
    pages.mkdir()
    (pages / "page.html").write_text("<title>Stand-in</title>" + "x" * PAGE_BYTES)
    folder.chmod(0o755)
    ca = folder / "ca.pem"
    ca.write_text(authority.pem)
    return Trust(ca, authority.pem, next(kept.iterdir()))


def roots_with(folder: Path, trust: Trust) -> Path:
    """Write certifi's roots and the stand-ins' authority into one file."""
    bundle = folder / "roots.pem"
    bundle.write_text(Path(certifi.where()).read_text() + trust.ca_pem)
    return bundle


def nginx_config(
    trust: Trust, plain: Iterable[str], encrypted: Iterable[str], *, curve: str = ""
) -> str:
    """Return nginx's configuration: `plain` and `encrypted` are `listen` addresses.

    `curve` leaves one key exchange group to agree on, and one cipher suite, so that both sides do
    the same work: else one of them would get the longer hash.
    """
    listen = "".join(f"    listen {address} backlog=4096;\n" for address in plain)
    listen += "".join(f"    listen {address} ssl backlog=4096;\n" for address in encrypted)
    group = (
        f"    ssl_ecdh_curve {curve};\n    ssl_conf_command Ciphersuites {SUITE};\n"
        if curve
        else ""
    )
    return f"""daemon off;
master_process off;
pid nginx.pid;
error_log stderr emerg;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;
  uwsgi_temp_path t4; scgi_temp_path t5;
  server {{
{listen}    http2 on;
    ssl_certificate {trust.pair};
    ssl_certificate_key {trust.pair};
    ssl_protocols TLSv1.3;
    ssl_session_tickets off;
    ssl_session_cache off;
{group}    default_type text/html;
    root {trust.ca.parent / "pages"};
    location / {{ try_files /page.html =404; }}
  }}
}}
"""


def program(name: str) -> str | None:
    """Path of an installed program; servers may stand where a person's PATH does not look."""
    return shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")


@contextlib.asynccontextmanager
async def nginx(folder: Path, config: str, ready: tuple[str, int]) -> AsyncIterator[int]:
    """Run nginx in the foreground, as one process, until the end of the block; its pid."""
    path = folder / "nginx.conf"
    path.write_text(config)
    words = ("-p", str(folder), "-c", str(path), "-e", "stderr")
    async with running(program("nginx") or "nginx", *words) as process:
        await listening(*ready)
        yield process.pid


@contextlib.asynccontextmanager
async def running(*words: str, **options: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program until the end of the block."""
    process = await asyncio.create_subprocess_exec(*words, **options)  # type: ignore[arg-type]
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def listening(address: str, port: int) -> None:
    """Wait until somebody accepts there. Raises TimeoutError."""
    async with asyncio.timeout(_READY_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection(address, port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return


class Nameserver(asyncio.DatagramProtocol):
    """Answers A and AAAA for every name: always the same addresses for one name."""

    def __init__(self, answers: int = 1) -> None:
        self._answers = answers
        self._transport: asyncio.DatagramTransport | None = None
        self._ready: dict[bytes, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and len(data) > 16:
            rest = self._ready.get(data[2:])
            if rest is None:
                rest = self._ready[data[2:]] = reply(data, self._answers)[2:]
            self._transport.sendto(data[:2] + rest, addr)


class Silence(asyncio.DatagramProtocol):
    """An address that runs no DNS: takes everything and says nothing."""


def reply(query: bytes, answers: int) -> bytes:
    """Return a reply with `answers` addresses (one when IPv6) in place of the question's rest."""
    end = 12
    while query[end]:
        end += 1 + query[end]
    qtype = struct.unpack_from("!H", query, end + 1)[0]
    question = query[12 : end + 5]
    addresses = (
        [address(query[12:end], qtype, i) for i in range(answers if qtype == _A else 1)]
        if qtype in (_A, _AAAA)
        else []
    )
    head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(addresses), 0, 0)
    records = b"".join(
        b"\xc0\x0c" + struct.pack("!HHIH", qtype, _IN, 300, len(raw)) + raw for raw in addresses
    )
    return head + question + records


class StunServer(asyncio.DatagramProtocol):
    """Answers Binding requests."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(app_servers.stun(data), addr)


def addresses(host: str, answers: int) -> list[str]:
    """The addresses of a host, as `Nameserver` gives them."""
    name = b"".join(bytes((len(label),)) + label.encode() for label in host.split("."))
    found = [address(name, _A, number) for number in range(answers)]
    return [str(ipaddress.ip_address(raw)) for raw in (*found, address(name, _AAAA, 0))]


def address(name: bytes, qtype: int, number: int) -> bytes:
    """An address of a name: global unicast, the same each time; nobody has it here but we."""
    digest = hashlib.sha256(name.lower() + bytes((qtype, number))).digest()
    if qtype == _A:
        return bytes((20, digest[0], digest[1], 1 + digest[2] % 254))
    return ipaddress.IPv6Address("2a00::").packed[:6] + digest[:10]


@contextlib.asynccontextmanager
async def nameservers(
    speaking: Iterable[tuple[str, int]],
    silent: Iterable[tuple[str, int]] = (),
    answers: int = 1,
    stun: Iterable[tuple[str, int]] = (),
) -> AsyncIterator[list[int]]:
    """Answer at some addresses and be silent at others, and STUN at hosts; yields the ports,
    speaking first."""
    loop = asyncio.get_running_loop()
    opened: list[asyncio.BaseTransport] = []

    async def serve(kind: Callable[[], asyncio.DatagramProtocol], place: tuple[str, int]) -> None:
        sock = socket.socket(socket.AF_INET6 if ":" in place[0] else socket.AF_INET, _DATAGRAM)
        if sock.family is socket.AF_INET6:  # a `local` route is not enough for bind(2)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        sock.bind(place)
        opened.append((await loop.create_datagram_endpoint(kind, sock=sock))[0])

    try:
        for place in speaking:
            await serve(lambda: Nameserver(answers), place)
        for place in silent:
            await serve(Silence, place)
        for host, port in stun:
            for where in addresses(host, answers):
                await serve(StunServer, (where, port))
        yield [each.get_extra_info("sockname")[1] for each in opened]
    finally:
        for each in opened:
            each.close()
        await asyncio.sleep(0)
