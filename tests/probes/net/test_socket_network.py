"""Real sockets on loopback; ICMP in a network namespace of its own."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import subprocess
import sys

import pytest

from probes.net.guard import Guard
from probes.net.network import ConnectError, DestinationRefusedError
from probes.net.socket_network import NARROW_BYTES, SocketNetwork
from tests.world.ports import free_port
from tests.world.tls_server import serve, silence
from tests.world.waiting import HANG_SECONDS

LAB = SocketNetwork(guard=Guard(allow_private=True))


async def test_nothing_is_sent_to_a_refused_address():
    strict = SocketNetwork()
    async with serve(silence, wait_for_bytes=False) as server:
        with pytest.raises(DestinationRefusedError, match="127"):
            await strict.connect("127.0.0.1", server.port)
        with pytest.raises(DestinationRefusedError):
            await strict.datagrams("127.0.0.1", server.port)
        await asyncio.sleep(0.05)
        assert server.hellos == []


async def test_refused_port_has_errno_and_no_icmp():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectError) as caught:
            await LAB.connect("127.0.0.1", free.getsockname()[1])
    assert caught.value.errno == errno.ECONNREFUSED
    assert caught.value.icmp_type is None
    assert caught.value.icmp_from is None


async def test_an_address_that_cannot_be_connected_to_fails_at_once():
    with pytest.raises(ConnectError) as caught:
        await LAB.connect("fe80::1", 9)  # of a link that is not named
    assert caught.value.errno == errno.EINVAL


async def test_bind_is_used_for_its_own_family_only():
    peers: list[str] = []

    def note(connection: socket.socket, first: bytes) -> None:
        peers.append(connection.getpeername()[0])

    bound = SocketNetwork("127.0.0.9", Guard(allow_private=True))
    for address in ("127.0.0.1", "::1"):
        async with serve(note, address, wait_for_bytes=False) as server:
            stream = await bound.connect(address, server.port)
            assert await stream.receive() == b""
            stream.close()
    assert peers == ["127.0.0.9", "::1"]


async def test_bind_to_an_address_of_another_machine_fails_like_a_network():
    foreign = SocketNetwork("192.0.2.77", Guard(allow_private=True))
    with pytest.raises(ConnectError) as caught:
        await foreign.connect("127.0.0.1", 9)
    assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_cancelled_connect_leaves_no_socket():
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:  # a full backlog: further SYNs are dropped
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await LAB.connect(*listener.getsockname())
    for sock in (*fillers, listener):
        sock.close()  # a leaked socket of ours is a ResourceWarning, which is an error here


async def test_datagram_to_a_closed_port_is_refused_by_icmp():
    datagrams = await LAB.datagrams("127.0.0.1", free_port())
    await datagrams.send(b"?")
    with pytest.raises(ConnectionRefusedError):
        await datagrams.receive()
    datagrams.close()


def test_clocks_have_the_units_they_say():
    assert abs(LAB.clock_us() - LAB.clock_us()) < 1_000_000
    assert 1_700_000_000_000 < LAB.wall_ms() < 32_503_680_000_000


_ICMP_PROBE = """
import asyncio, json
from probes.net.guard import Guard
from probes.net.network import ConnectError
from probes.net.socket_network import NARROW_BYTES, SocketNetwork
async def main():
    found = []
    for address in ("203.0.113.10", "203.0.113.11", "203.0.113.12", "2001:db8:113::10"):
        try:
            await SocketNetwork(guard=Guard(allow_private=True)).connect(address, 443)
        except ConnectError as e:
            found.append([e.errno, e.icmp_type, e.icmp_code, e.icmp_from])
    print(json.dumps(found))
asyncio.run(main())
"""


async def test_a_stream_of_few_hops_is_closed_by_reset():
    """Nothing that was lost on purpose is sent again when it closes."""
    ended: list[str] = []

    def watch(connection: socket.socket, first: bytes) -> None:
        try:
            connection.recv(5)
            ended.append("fin" if not connection.recv(1) else "more")
        except ConnectionResetError:
            ended.append("reset")

    async with serve(watch, wait_for_bytes=False) as server:
        stream = await LAB.connect(server.address, server.port, hops=1)
        LAB.limit_hops(stream, 1)
        await stream.send(b"hello")
        await asyncio.sleep(0.05)
        stream.close()
        stream.close()
        async with asyncio.timeout(HANG_SECONDS):
            while not ended:  # noqa: ASYNC110 - set by a thread
                await asyncio.sleep(0.01)
    assert ended == ["reset"]
    with pytest.raises(TypeError, match="not a stream"):
        LAB.limit_hops(object(), 1)  # type: ignore[arg-type]


def _run(world: str, probe: str) -> str:
    """What a program prints in a network namespace that a shell script has prepared."""
    run = subprocess.run(
        ["unshare", "-n", "bash", "-c", world, sys.executable, probe],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=True,
    )
    return run.stdout


_GAP_WORLD = """
set -e
ip link set lo up; ip link set lo gso_max_segs 1 mtu 1500
nft 'add table inet c; add chain inet c i { type filter hook input priority 0; }'
nft 'add rule inet c i tcp sport 4433 meta length > 1100 drop'
exec "$0" -c "$1"
"""
_GAP_PROBE = """
import asyncio
from probes.net.guard import Guard
from probes.net.socket_network import NARROW_BYTES, SocketNetwork

async def answer(reader, writer):
    await reader.readexactly(5)
    writer.write(bytes(2000))
    await writer.drain()
    await reader.read()
    writer.close()

async def main():
    async with await asyncio.start_server(answer, "127.0.0.1", 4433):
        network = SocketNetwork(guard=Guard(allow_private=True))
        stream = await network.connect("127.0.0.1", 4433)
        assert not network.misses_segment(stream)
        assert not network.misses_segment(object())
        await stream.send(b"hello")
        for _ in range(3000):
            if network.misses_segment(stream):
                print("gap")
                break
            await asyncio.sleep(0.01)
        stream.close()

asyncio.run(main())
"""


@pytest.mark.lab
@pytest.mark.needs("iproute2", "nftables")
def test_a_large_packet_that_is_lost_leaves_a_gap():
    said = _run(_GAP_WORLD, _GAP_PROBE)
    assert said == "gap\n"


_LOSS_WORLD = """
set -e
ip link set lo up
nft 'add table inet c; add chain inet c i { type filter hook input priority 0; }'
nft 'add rule inet c i tcp dport 4433 tcp flags & (syn | ack) == syn numgen inc mod 2 == 0 drop'
exec "$0" -c "$1"
"""
_LOSS_PROBE = """
import asyncio
from probes.net.guard import Guard
from probes.net.socket_network import NARROW_BYTES, SocketNetwork

async def main():
    network = SocketNetwork(guard=Guard(allow_private=True))
    for port in (4433, 4434):
        async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port):
            stream = await network.connect("127.0.0.1", port)
            print(network.packets_sent_again(stream), network.packets_sent_again(object()))
            print(0 < network.round_trip_us(stream) < 500_000, network.round_trip_us(object()))
            stream.close()

asyncio.run(main())
"""


@pytest.mark.lab
@pytest.mark.needs("iproute2", "nftables")
def test_a_syn_that_is_lost_is_sent_again_and_counted():
    said = _run(_LOSS_WORLD, _LOSS_PROBE)
    assert said == "1 0\nTrue 0\n0 0\nTrue 0\n"


_ICMP_WORLD = """
set -e
ip link set lo up
ip address add 203.0.113.10/32 dev lo; ip address add 203.0.113.11/32 dev lo
ip address add 203.0.113.12/32 dev lo; ip address add 2001:db8:113::10/128 dev lo nodad
sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
nft 'add table inet c; add chain inet c i { type filter hook input priority 0; }'
nft 'add rule inet c i ip daddr 203.0.113.10 tcp dport 443 reject with icmp type admin-prohibited'
nft 'add rule inet c i ip daddr 203.0.113.11 tcp dport 443 reject with icmp type port-unreachable'
nft 'add rule inet c i ip daddr 203.0.113.12 tcp dport 443 reject with tcp reset'
nft 'add rule inet c i ip6 nexthdr tcp tcp dport 443 reject with icmpv6 type admin-prohibited'
exec "$0" -c "$1"
"""


@pytest.mark.lab
@pytest.mark.needs("iproute2", "nftables", "procps")
def test_icmp_error_has_type_code_and_sender():
    said = _run(_ICMP_WORLD, _ICMP_PROBE)
    assert json.loads(said) == [
        [errno.EHOSTUNREACH, 3, 13, "203.0.113.10"],
        [errno.ECONNREFUSED, 3, 3, "203.0.113.11"],
        [errno.ECONNREFUSED, None, None, None],
        [errno.EACCES, 1, 1, "2001:db8:113::10"],
    ]


_FLOOD_WORLD = """
set -e
ip link set lo up; ip link set lo gso_max_segs 1 mtu 1500
exec "$0" -c "$1"
"""
_FLOOD_PROBE = """
import asyncio
from probes.net.guard import Guard
from probes.net.socket_network import NARROW_BYTES, SocketNetwork

async def flood(reader, writer):
    writer.write(bytes(100_000_000))
    await reader.read()

async def main():
    async with await asyncio.start_server(flood, "127.0.0.1", 4433):
        for narrow in (True, False):
            network = SocketNetwork(guard=Guard(allow_private=True))
            stream = await network.connect("127.0.0.1", 4433, narrow=narrow)
            before = 0
            while (await stream.receive(1)) and before < 4096:
                before += 1
            await asyncio.sleep(0.5)
            stream.close()
            print(network.meter.total())

asyncio.run(main())
"""


@pytest.mark.lab
@pytest.mark.needs("iproute2")
def test_a_server_that_sends_without_end_fills_a_narrow_stream_alone():
    narrow, usual = map(int, _run(_FLOOD_WORLD, _FLOOD_PROBE).split())
    assert narrow < 3.5 * NARROW_BYTES < 100_000 < usual
