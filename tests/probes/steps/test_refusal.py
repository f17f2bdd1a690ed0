"""Where connections are refused, over ways of some routers; real ones are in the laboratory."""

from __future__ import annotations

import errno

import pytest

from probes.net.network import ConnectError, Datagrams, Stream
from probes.net.socket_network import SocketNetwork
from probes.steps.context import StepContext
from probes.steps.refusal import FARTHER, trace
from probes.wire.observation import INNOCUOUS_EXPIRES, INNOCUOUS_REFUSED, PathHop, PathTrace

SERVICE, HOST = "198.51.100.1", "198.51.100.9"
BEYOND = FARTHER[1:]


def expired(hops: int) -> ConnectError:
    """What a router reports that many hops away."""
    error = ConnectError(errno.EHOSTUNREACH, "expired")
    error.icmp_type, error.icmp_from = 11, f"192.0.2.{hops}"
    return error


class Way(SocketNetwork):
    """A way of some routers to servers, on which a device refuses connections to the service, and
    those to some ports of anybody."""

    def __init__(self, refuses: int, server: int, *ports: int) -> None:
        super().__init__()
        self.refuses, self.server, self.ports = refuses, server, ports
        self.sent: list[tuple[str, int | None]] = []

    async def connect(
        self, address: str, port: int, *, hops: int | None = None, narrow: bool = False
    ) -> Stream:
        assert hops is not None
        self.sent.append((address, hops))
        if hops >= self.refuses and (port in self.ports or address == SERVICE):
            raise ConnectError(errno.ECONNREFUSED, "refused")
        raise expired(hops)

    async def datagrams(
        self, address: str, port: int, *, icmp: bool = False, hops: int | None = None
    ) -> Datagrams:
        assert icmp
        assert hops is not None
        return Expiring(expired(hops) if hops < self.server else TimeoutError())


class Expiring:
    """A datagram that a router reports, or nobody."""

    def __init__(self, error: OSError) -> None:
        self.error = error

    async def send(self, payload: bytes) -> None:
        """It goes out."""

    async def receive(self) -> bytes:
        raise self.error

    def close(self) -> None:
        """It holds nothing."""


async def traced(way: Way, *hosts: str) -> PathTrace:
    step = StepContext(way, "e", SERVICE, 5222, 0)
    return await trace(step, innocuous=[(host, 443) for host in hosts])


@pytest.mark.parametrize(
    ("refuses", "server", "routers"),
    [(3, 20, BEYOND), (3, 8, BEYOND[:1]), (3, 4, ()), (9, 9, ())],
    ids=["far before the server", "a few hops before", "beside it", "the server itself"],
)
async def test_datagrams_show_how_much_farther_the_server_is(
    refuses: int, server: int, routers: tuple[int, ...]
):
    seen = await traced(Way(refuses, server), HOST)
    before = tuple(PathHop(ttl=ttl, router=f"192.0.2.{ttl}") for ttl in range(1, refuses))
    assert seen.hops[: refuses - 1] == before
    acting = seen.hops[refuses - 1]
    assert (acting.ttl, acting.syn) == (refuses, "reset")
    assert acting.router == (f"192.0.2.{refuses}" if refuses < server else None)
    behind = seen.hops[refuses:]
    assert [hop.ttl - refuses for hop in behind if hop.router] == list(routers)
    assert {hop.syn for hop in behind} == {None}
    assert (seen.sni, seen.evidence) == ("", (INNOCUOUS_EXPIRES,))


@pytest.mark.parametrize(
    ("ports", "evidence"),
    [((5222,), (INNOCUOUS_REFUSED,)), ((443, 5222), ()), ((443,), ())],
    ids=["the port", "a proxy, or hosts on a list", "the hosts' own port"],
)
async def test_the_port_may_be_refused_whatever_the_host(
    ports: tuple[int, ...], evidence: tuple[str, ...]
):
    assert (await traced(Way(3, 20, *ports), HOST)).evidence == evidence


async def test_without_an_innocuous_host_nothing_is_said_of_others():
    assert (await traced(Way(3, 20))).evidence == ()


async def test_the_service_is_asked_no_further_once_it_refused():
    way = Way(3, 20)
    await traced(way, HOST)
    assert way.sent == [(SERVICE, 1), (SERVICE, 2), (SERVICE, 3), (HOST, 3), (HOST, 3)]


async def test_who_refuses_nobody_is_not_found():
    seen = await traced(Way(99, 99), HOST)
    assert {hop.syn for hop in seen.hops} == {None}
    assert seen.evidence == ()
