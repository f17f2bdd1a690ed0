"""The QUIC step against real servers and real interference: all endings are told apart."""

from __future__ import annotations

import asyncio
import hashlib
import socket

import pytest
from aioquic.quic.packet import QuicProtocolVersion

from probes.net.guard import Guard
from probes.net.socket_network import SocketNetwork
from probes.steps.context import StepContext
from probes.steps.quic import handshake
from tests.world import quic_server
from tests.world.pki import Authority, self_signed
from tests.world.ports import free_port
from tests.world.waiting import HANG_SECONDS

LAB = SocketNetwork(guard=Guard(allow_private=True))
CA = Authority()
NAME = "wechat.test"
LEAF = CA.issue(NAME)


async def tls_handshake(
    leaf=LEAF, *, address: str = "127.0.0.1", server=(), timeout: float = HANG_SECONDS, **changes
):
    async with quic_server.serve(leaf, address, **dict(server)) as running:
        step = StepContext(
            LAB, "wechat.test:443/quic", address, running.port, LAB.clock_us(), timeout=timeout
        )
        seen = await handshake(step, **{"trust": CA.pem, "sni": NAME} | changes)
    return seen, running


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_good(address: str):
    seen, server = await tls_handshake(address=address)
    assert seen.failure is None
    assert (seen.version, seen.alpn, seen.verify_code, seen.close_code) == ("v1", "h3", 0, None)
    assert [(c.sha256, c.der) for c in seen.chain] == [(hashlib.sha256(LEAF.der).hexdigest(), b"")]
    assert seen.sent_bytes >= sum(server.sizes) >= 2400
    assert seen.received_bytes > 1000
    assert min(server.sizes[:1]) >= 1200  # RFC 9000 section 14.1
    assert server.names == [NAME]


async def test_silence_is_a_timeout_with_nothing_received():
    seen, server = await tls_handshake(server={"dead": {NAME}}, timeout=1.5)
    assert (seen.failure, seen.received_bytes, seen.verify_code) == (
        "generic_timeout_error",
        0,
        None,
    )
    assert seen.chain == ()
    assert seen.version is None
    assert len(server.sizes) == 2  # it tried again, after a second


async def test_a_censor_that_lets_the_first_datagram_pass_is_seen():
    seen, _ = await tls_handshake(server={"dead": {NAME}, "late": True}, timeout=2.0)
    assert seen.failure == "generic_timeout_error"
    assert seen.received_bytes > 1000
    assert seen.verify_code == 0


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_lost_datagrams_are_sent_again(lost: int):
    seen, server = await tls_handshake(server={"lost": lost})
    assert seen.failure is None
    assert len(server.sizes) > lost


async def test_retry_and_another_version():
    seen, _ = await tls_handshake(server={"retry": True})
    assert (seen.failure, seen.verify_code) == (None, 0)
    seen, _ = await tls_handshake(server={"supported_versions": [QuicProtocolVersion.VERSION_2]})
    assert (seen.failure, seen.version) == (None, "v2")
    seen, _ = await tls_handshake(server={"supported_versions": [0x0A0A0A0A]})
    assert (seen.failure, seen.version) == ("quic_incompatible_version", None)
    assert seen.received_bytes > 0


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_closed_port_is_known_by_icmp(address: str):
    step = StepContext(LAB, "x", address, free_port(), 0, timeout=HANG_SECONDS)
    seen = await handshake(step, sni=NAME)
    assert seen.failure == "connection_refused"
    assert (seen.icmp_type, seen.icmp_code) == ((1, 4) if ":" in address else (3, 3))
    assert (seen.icmp_from, seen.errno) == (address, 111)


async def test_a_destination_that_the_guard_refuses_is_not_dialled():
    seen = await handshake(StepContext(SocketNetwork(), "x", "127.0.0.1", 443, 0), sni=NAME)
    assert seen.evidence == ("not_dialled",)
    assert seen.sent_bytes == 0


async def test_the_servers_close_code_is_recorded():
    seen, _ = await tls_handshake(server={"alpn_protocols": ["other"]})
    assert (seen.failure, seen.close_code) == ("ssl_failed_handshake", 0x100 + 120)
    assert seen.received_bytes > 0


@pytest.mark.parametrize(
    ("leaf", "sni", "failure", "code"),
    [
        (self_signed(NAME), NAME, "ssl_unknown_authority", 18),
        (Authority("National Filter CA").issue(NAME), NAME, "ssl_unknown_authority", 19),
        (LEAF, "linkedin.test", "ssl_invalid_hostname", 62),
        (CA.issue(NAME, start=-60, days=30), NAME, "ssl_invalid_certificate", 10),
        (CA.issue(NAME, start=9), NAME, "ssl_invalid_certificate", 9),
        (CA.issue("other.test", start=9), NAME, "ssl_invalid_hostname", 62),
    ],
)
async def test_foreign_certificates_are_facts(leaf, sni: str, failure: str, code: int):
    seen, _ = await tls_handshake(leaf, sni=sni)
    assert (seen.failure, seen.verify_code, seen.close_code) == (failure, code, None)
    assert seen.chain[0].der == leaf.der
    assert seen.received_bytes > 500


async def test_unverified_contrast_keeps_the_leaf_only():
    seen, _ = await tls_handshake(self_signed("other.test"), verify=False)
    assert (seen.failure, seen.verify_code) == (None, None)
    assert [c.der for c in seen.chain] == [b""]


async def test_address_without_a_name_shows_none():
    seen, server = await tls_handshake(CA.issue("127.0.0.1"), sni="")
    assert (seen.failure, seen.sni, seen.verify_code) == (None, "", 0)
    assert server.names == [""]
    seen, _ = await tls_handshake(CA.issue("127.0.0.2"), sni="")
    assert seen.verify_code == 64


async def test_garbage_is_not_an_answer():
    """What is no QUIC is passed over, as the RFC wants, and counted."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as babbler:
        babbler.bind(("127.0.0.1", 0))
        babbler.setblocking(False)
        port = babbler.getsockname()[1]
        loop_seen = handshake(StepContext(LAB, "x", "127.0.0.1", port, 0, timeout=2.0), sni=NAME)

        async def babble() -> None:
            loop = asyncio.get_running_loop()
            _, sender = await loop.sock_recvfrom(babbler, 2048)
            for word in (b"", b"\x00", b"HTTP/1.1 403", b"\xff" * 1300):
                await loop.sock_sendto(babbler, word, sender)

        async with asyncio.TaskGroup() as group:
            group.create_task(babble())
            seen = await loop_seen
    assert seen.failure == "generic_timeout_error"
    assert seen.received_bytes == 1313
