"""The TCP step on loopback: connected, refused, dropped, forbidden."""

from __future__ import annotations

import socket

import pytest

from probes.net.guard import Guard
from probes.net.network import ConnectError
from probes.net.socket_network import SocketNetwork
from probes.steps.context import StepContext
from probes.steps.tcp import connect
from probes.wire.observation import Contrast, Purpose
from tests.world.tls_server import serve, silence

LAB = SocketNetwork(guard=Guard(allow_private=True))


async def to(address: str, port: int, network: SocketNetwork = LAB, **changes):
    started_us = network.clock_us()
    return await connect(
        StepContext(network, "a.test:443/tcp", address, port, started_us, **changes)
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_connected(address: str):
    async with serve(silence, address) as server:
        begun = LAB.clock_us()
        seen, stream = await to(address, server.port)
        within = LAB.clock_us() - begun
        assert stream is not None
        stream.close()
    assert (seen.failure, seen.errno, seen.evidence) == (None, None, ())
    assert (seen.address, seen.port) == (address, server.port)
    assert seen.purpose is Purpose.SUBJECT
    assert seen.at_us >= 0
    assert seen.took_us > 0
    assert seen.at_us + seen.took_us <= within


class Refused(SocketNetwork):
    """Somebody refuses each connect by ICMP."""

    def __init__(self, sender: str | None, own: bool) -> None:
        super().__init__(guard=Guard(allow_private=True))
        self._sender, self._own = sender, own

    async def connect(self, address: str, port: int, *, narrow: bool):
        error = ConnectError(113, "no route to host")
        error.icmp_type, error.icmp_code = 3, 13
        error.icmp_from, error.icmp_is_own = self._sender, self._own
        raise error


@pytest.mark.parametrize(
    ("sender", "own", "evidence"),
    [
        ("192.168.1.7", True, ("icmp_own",)),
        ("192.168.1.1", False, ("icmp_private",)),
        ("100.64.3.1", False, ("icmp_private",)),
        ("fd00::1", False, ("icmp_private",)),
        ("fe80::1%eth0", False, ("icmp_private",)),
        ("8.8.8.8", False, ("icmp_public",)),
        ("2a00:1450::1", False, ("icmp_public",)),
        (None, False, ()),
    ],
)
async def test_who_refused(sender: str | None, own: bool, evidence: tuple[str, ...]):
    seen, stream = await to("127.0.0.1", 9, Refused(sender, own))
    assert (seen.evidence, stream) == (evidence, None)


class Resent(SocketNetwork):
    """Each connect takes `took_us` by its clock and needs a second SYN."""

    def __init__(self, took_us: int, round_trip_us: int) -> None:
        super().__init__(guard=Guard(allow_private=True))
        self._took_us, self._round_trip_us, self._us = took_us, round_trip_us, 0

    def clock_us(self) -> int:
        return self._us

    async def connect(self, address: str, port: int, *, narrow: bool):
        stream = await super().connect(address, port)
        self._us += self._took_us
        return stream

    def packets_sent_again(self, stream) -> int:
        return 1

    def round_trip_us(self, stream) -> int:
        return self._round_trip_us


@pytest.mark.parametrize(
    ("took_ms", "round_trip_ms", "evidence"),
    [
        (1050, 50, ("sent_again",)),  # the first SYN was lost
        (1200, 1200, ("sent_again", "sent_again_answered")),  # the line is slow
        (1200, 0, ("sent_again",)),  # a server without timestamps
    ],
)
async def test_a_syn_that_was_sent_again_and_not_lost_says_so(
    took_ms: int, round_trip_ms: int, evidence: tuple[str, ...]
):
    async with serve(silence, "127.0.0.1") as server:
        network = Resent(took_ms * 1000, round_trip_ms * 1000)
        seen, stream = await to("127.0.0.1", server.port, network)
        assert stream is not None
        stream.close()
    assert seen.evidence == evidence


async def test_refused_keeps_errno_and_says_no_icmp():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        seen, stream = await to(
            *free.getsockname(), purpose=Purpose.CONTRAST, contrast=Contrast.REPEAT
        )
    assert stream is None
    assert (seen.failure, seen.errno, seen.icmp_type) == ("connection_refused", 111, None)
    assert (seen.purpose, seen.contrast) == (Purpose.CONTRAST, Contrast.REPEAT)


async def test_dropped_is_a_timeout():
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:  # a full backlog drops further SYNs, as a censor would
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    seen, stream = await to(*listener.getsockname(), timeout=0.15)
    for sock in (*fillers, listener):
        sock.close()
    assert stream is None
    assert (seen.failure, seen.errno) == ("generic_timeout_error", None)
    assert seen.took_us >= 150_000


async def test_forbidden_is_recorded_and_not_dialled():
    async with serve(silence, wait_for_bytes=False) as server:
        seen, stream = await to("127.0.0.1", server.port, SocketNetwork())
        assert server.hellos == []
    assert stream is None
    assert seen.evidence == ("not_dialled",)
    assert seen.failure == "unknown_failure: destination refused by the guard"
