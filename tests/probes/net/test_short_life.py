"""What answers packets of short life; routers are in the laboratory and in the tests of steps."""

from __future__ import annotations

import errno

import pytest

from probes.net.guard import Guard
from probes.net.network import ConnectError
from probes.net.short_life import expired_at, send_datagram, send_syn
from probes.net.socket_network import SocketNetwork
from tests.world import tls_server

LAB = SocketNetwork(guard=Guard(allow_private=True))


@pytest.mark.parametrize(
    ("kind", "sender", "router"),
    [(11, "192.0.2.1", "192.0.2.1"), (3, "192.0.2.1", None), (3, "2001:db8::1", "2001:db8::1")],
    ids=["expired", "unreachable", "expired over IPv6"],
)
def test_a_closed_port_is_no_router(kind: int, sender: str, router: str | None):
    """The two versions of ICMP give the number 3 different meanings."""
    error = ConnectError(errno.EHOSTUNREACH, "said by ICMP")
    error.icmp_type, error.icmp_from = kind, sender
    assert expired_at(error) == router


async def test_here_a_syn_is_accepted_or_refused():
    async with tls_server.serve(tls_server.silence) as server:
        assert await send_syn(LAB, server.address, server.port, 1, 5.0) == (None, "answer")
    assert await send_syn(LAB, server.address, server.port, 1, 5.0) == (None, "reset")


async def test_a_datagram_to_a_closed_port_expires_nowhere():
    async with tls_server.serve(tls_server.silence) as server:
        port = server.port
    assert await send_datagram(LAB, "127.0.0.1", port, 1, 5.0) is None


async def test_what_may_not_be_dialled_is_not():
    strict = SocketNetwork()
    assert await send_syn(strict, "127.0.0.1", 443, 1, 5.0) == (None, None)
    assert await send_datagram(strict, "127.0.0.1", 443, 1, 5.0) is None
