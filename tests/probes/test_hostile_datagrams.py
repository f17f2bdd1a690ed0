"""A round against servers that mean harm, below the protocols of apps: certificates, QUIC, STUN
and DNS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import struct
from collections.abc import AsyncIterator, Callable

import pytest
from aioquic.quic.packet import encode_quic_retry, encode_quic_version_negotiation
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from probes.wire.observation import AppExchange, DNSLookup, QUICHandshake, TLSHandshake
from tests.probes.test_hostile import NAME, survived, target
from tests.world import quic_server, tls_server
from tests.world.dns_server import Address, Garbage, Sequence
from tests.world.pki import Leaf

pytestmark = pytest.mark.slow

FIRST_CID, SECOND_CID = slice(6, 14), slice(15, 23)
"""Of a first datagram of aioquic's client: both ids have eight bytes."""
MOST_ASKED = 60
"""Datagrams of one handshake: to a token that leaves room for a few bytes of the hello in each
packet, aioquic 1.7 sends 54 in ten seconds, 66 kB."""
Reply = Callable[[bytes], list[bytes]]


def odd(names: list[str], subject: str, chain: int = 0) -> Leaf:
    """A self-signed certificate with any names, and the same once more so many times."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = dt.datetime.now(dt.UTC)
    alternatives = [x509.DNSName._init_without_validation(n) for n in names]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(1))
        .not_valid_after(now + dt.timedelta(1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM).decode()
    return Leaf(
        chain_pem=pem * (1 + chain),
        key_pem=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        der=made.public_bytes(serialization.Encoding.DER),
    )


CERTIFICATES = {
    "thousands of names": lambda: odd([f"n{n}.{NAME}" for n in range(3000)], "many"),
    "a megabyte of names": lambda: odd([f"n{n}.{'x' * 200}.{NAME}" for n in range(4500)], "large"),
    "a chain of hundreds": lambda: odd([NAME], "long", chain=150),
    "a chain of ten, each large": lambda: odd([f"n{n}.{NAME}" for n in range(700)], "x", chain=9),
    "markup and control characters": lambda: odd(
        ["<script>alert(1)</script>", "a\x00b\x1b[2J\r\n", NAME], "<b>\x00\x1b[2J\n\u202e"
    ),
}


@pytest.mark.parametrize("kind", CERTIFICATES)
async def test_certificates(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    leaf = CERTIFICATES[kind]()
    talk = tls_server.tls(leaf.context(), lambda _: b"")
    async with tls_server.serve(talk) as server, quic_server.serve(leaf) as quic:
        seen = await survived(
            [target(server.port, "tls"), target(server.port, "https"), target(quic.port, "quic")],
            caplog,
        )
    shaken = [
        o for m in seen for o in m.observations if isinstance(o, TLSHandshake | QUICHandshake)
    ]
    assert all(o.failure is not None for o in shaken if o.contrast is None)
    assert all(len(o.chain) <= 10 for o in shaken)
    assert any(o.received_bytes > 0 for o in shaken if isinstance(o, TLSHandshake))
    if "markup" in kind:  # the library of the server can send no longer ones
        assert any(o.received_bytes > 0 for o in shaken if isinstance(o, QUICHandshake))


class _Teller(asyncio.DatagramProtocol):
    """Answers each datagram by what `reply` makes of it."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.heard = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard += 1
        for each in self._reply(data):
            self._transport.sendto(each, addr)  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def telling(reply: Reply) -> AsyncIterator[tuple[int, _Teller]]:
    transport, teller = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Teller(reply), local_addr=("127.0.0.1", 0)
    )
    try:
        yield transport.get_extra_info("sockname")[1], teller
    finally:
        transport.close()


def _ids(first: bytes) -> tuple[bytes, bytes]:
    return first[FIRST_CID], first[SECOND_CID]


def retry(token: int = 64) -> Reply:
    """Always come back with another token."""

    def reply(first: bytes) -> list[bytes]:
        asked, asker = _ids(first)
        return [
            encode_quic_retry(
                version=1,
                source_cid=os.urandom(8),
                destination_cid=asker,
                original_destination_cid=asked,
                retry_token=os.urandom(token),
            )
        ]

    return reply


def versions(*numbers: int) -> Reply:
    def reply(first: bytes) -> list[bytes]:
        asked, asker = _ids(first)
        return [
            encode_quic_version_negotiation(
                source_cid=asked, destination_cid=asker, supported_versions=list(numbers)
            )
        ]

    return reply


QUIC: dict[str, Reply] = {
    "Retry for ever": retry(),
    "Retry with a token that fills the packet": retry(1100),
    "Version Negotiation with the same version": versions(1),
    "Version Negotiation with another one": versions(0x6B3343CF),
    "Version Negotiation with thousands": versions(*range(0x1A2A3A4A, 0x1A2A3A4A + 300)),
    "Version Negotiation with none": versions(),
    "an echo": lambda first: [first],
    "a flood": lambda first: [os.urandom(1200) for _ in range(600)],
    "a flood of initials": lambda first: (
        [b"\xc0\0\0\0\1\x08" + first[SECOND_CID] + b"\x08" + bytes(8) + b"\0\x44\x9e" + bytes(1182)]
        * 600
    ),
    "empty datagrams": lambda first: [b""] * 600,
    "a stateless reset": lambda first: [b"\x40" + os.urandom(40)],
}


@pytest.mark.parametrize("harm", QUIC)
async def test_quic(harm: str, caplog: pytest.LogCaptureFixture) -> None:
    async with telling(QUIC[harm]) as (port, teller):
        (seen,) = await survived([target(port, "quic")], caplog)
    shaken = [o for o in seen.observations if isinstance(o, QUICHandshake)]
    assert shaken
    assert all(o.failure is not None for o in shaken)
    assert 0 < teller.heard <= MOST_ASKED * len(shaken)


def _binding(length: int, more: bytes = b"", kind: int = 0x0101) -> Reply:
    def reply(asked: bytes) -> list[bytes]:
        return [struct.pack("!HH", kind, length) + asked[4:20] + more]

    return reply


STUN: dict[str, Reply] = {
    "a length beyond the datagram": _binding(65532),
    "a length short of it": _binding(0, bytes(400)),
    "an odd length": _binding(3, bytes(3)),
    "an attribute longer than all": _binding(8, b"\x00\x20\xff\xff" + bytes(4)),
    "cut off": lambda asked: [asked[:19]],
    "the question": lambda asked: [asked],
    "an indication": _binding(0, kind=0x0111 ^ 0x0100),
    "a flood": lambda asked: [bytes(1400)] * 500,
    "64 kB": lambda asked: [bytes(65000)] * 20,
}


@pytest.mark.parametrize("harm", STUN)
async def test_stun(harm: str, caplog: pytest.LogCaptureFixture) -> None:
    async with telling(STUN[harm]) as (port, _):
        (seen,) = await survived([target(port, "stun")], caplog)
    asked = [o for o in seen.observations if isinstance(o, AppExchange)]
    assert any(o.received_bytes > 0 for o in asked)
    assert all(o.excerpt == b"" for o in asked)
    if harm != "an attribute longer than all":  # attributes are not read
        assert not any(o.spoke for o in asked)


QUESTION = b"\x06wechat\x04test\x00\x00\x01\x00\x01"
_COUNTS = struct.pack("!HHHH", 1, 1, 0, 0)
DNS = {
    "a name that points at itself": b"\xc0\x0c",
    "two names that point at each other": b"\x01a\xc0\x20\x01b\xc0\x1d",
    "a pointer beyond the end": b"\xff\xff",
    "a pointer forward": b"\xc0\x30\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x7f\x00\x00\x01",
    "a label of 64": b"\x40" + b"a" * 64 + b"\x00",
    "a name of 300": (b"\x3f" + b"a" * 63) * 5 + b"\x00",
    "a length of data beyond the end": b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\xff\xff\x7f",
    "an alias that points at itself": b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x02\xc0\x2b",
    "nothing": b"",
}


@pytest.mark.parametrize("harm", DNS)
async def test_dns(harm: str, caplog: pytest.LogCaptureFixture) -> None:
    garbage = Garbage(_COUNTS + QUESTION + DNS[harm], headed=True)
    async with tls_server.serve(tls_server.silence) as server:
        for wrong in (garbage, Sequence(tuple((0.0, garbage) for _ in range(400)))):
            (seen,) = await survived([target(server.port, "tcp")], caplog, system={NAME: wrong})
            lookups = [o for o in seen.observations if isinstance(o, DNSLookup)]
            assert lookups
            assert all(len(o.replies) <= 16 for o in lookups)


async def test_thousands_of_addresses_and_aliases(caplog: pytest.LogCaptureFixture) -> None:
    many = Address(
        *(f"127.1.{n // 250}.{n % 250 + 1}" for n in range(2000)),
        aliases=tuple(f"a{n}.{'x' * 60}.test" for n in range(300)),
    )
    async with tls_server.serve(tls_server.silence) as server:
        (seen,) = await survived([target(server.port, "tcp")], caplog, system={NAME: many})
    for lookup in (o for o in seen.observations if isinstance(o, DNSLookup)):
        assert all(len(r.answers) <= 64 and len(r.cnames) <= 16 for r in lookup.replies)
