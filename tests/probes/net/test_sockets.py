"""What open sockets do: bytes, datagrams, errors and the kernel's counts."""

from __future__ import annotations

import asyncio
import errno
import socket
import time

import pytest

from probes.net.network import ConnectError
from tests.world.loopback import LAB
from tests.world.ports import free_port
from tests.world.tls_server import reset, serve, silence


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_stream_carries_bytes_both_ways(address: str):
    async with serve(lambda s, first: s.sendall(b"pong"), address) as server:
        stream = await LAB.connect(address, server.port)
        await stream.send(b"ping\r\n\r\n")
        assert await stream.receive() == b"pong"
        assert await stream.receive() == b""
        stream.close()
        stream.close()
    assert server.hellos == [b"ping\r\n\r\n"]


async def test_an_answer_in_parts_and_what_stood_there_before_anything_was_sent():
    def greet(connection: socket.socket, first: bytes) -> None:
        connection.sendall(b"greeting")
        for part in (b"one", b"two"):
            assert connection.recv(9) == b"more"
            connection.sendall(part)

    async with serve(greet, wait_for_bytes=False) as server:
        stream = await LAB.connect("127.0.0.1", server.port)
        assert await stream.receive(5) == b"greet"
        assert await stream.receive() == b"ing"
        await stream.send(b"more")
        assert await stream.receive() == b"one"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.receive(), 0.05)  # and nothing is lost by it
        await stream.send(b"more")
        assert await stream.receive() == b"two"
        assert await stream.receive() == b""
        stream.close()


async def test_a_closed_stream_says_so_also_when_an_answer_was_due():
    async with serve(silence) as server:
        stream = await LAB.connect("127.0.0.1", server.port)
        await stream.send(b"x\r\n\r\n")
        stream.close()
        with pytest.raises(OSError, match="descriptor") as caught:
            await stream.receive()
    assert caught.value.errno == errno.EBADF


async def test_reset_comes_with_its_errno():
    async with serve(reset) as server:
        stream = await LAB.connect("127.0.0.1", server.port)
        await stream.send(b"x\r\n\r\n")
        with pytest.raises(OSError, match="reset") as caught:
            await stream.receive()
        stream.close()
    assert caught.value.errno == errno.ECONNRESET


async def test_a_datagram_that_arrives_while_its_receiver_is_cancelled_is_kept():
    """Both in one pass of the event loop, as on a busy machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        near = await LAB.datagrams(*far.getsockname())
        await near.send(b"?")
        _, sender = far.recvfrom(9)
        waiting = asyncio.create_task(near.receive())
        await asyncio.sleep(0)
        far.sendto(b"forged", sender)
        far.sendto(b"genuine", sender)
        near._arrived()  # type: ignore[attr-defined]
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert [await near.receive(), await near.receive()] == [b"forged", b"genuine"]
        near.close()


async def test_datagrams_arrive_whether_or_not_somebody_waits():
    """Each once and in order; a wait that was given up takes none away, and while nobody waits
    the event loop is not kept busy with what has arrived."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        far.settimeout(5)
        near = await LAB.datagrams(*far.getsockname())
        try:
            await near.send(b"hello")
            _, place = far.recvfrom(9)
            waiting = asyncio.ensure_future(near.receive())
            await asyncio.sleep(0)
            far.sendto(b"1", place)
            assert await waiting == b"1"
            far.sendto(b"2", place)
            far.sendto(b"3", place)
            assert [await near.receive(), await near.receive()] == [b"2", b"3"]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await near.receive()
            far.sendto(b"4", place)
            await asyncio.sleep(0.05)
            used = time.process_time()
            await asyncio.sleep(0.2)
            assert time.process_time() - used < 0.05
            assert await near.receive() == b"4"
            waiting = asyncio.ensure_future(near.receive())
            await asyncio.sleep(0)
            far.sendto(b"5", place)
            assert await waiting == b"5"
        finally:
            number = near._sock.fileno()
            near.close()
            near.close()
    assert not loop.remove_reader(number)


@pytest.mark.parametrize(("address", "type_code"), [("127.0.0.1", (3, 3)), ("::1", (1, 4))])
async def test_datagrams_tell_the_icmp_error_when_asked(address: str, type_code):
    datagrams = await LAB.datagrams(address, free_port(), icmp=True)
    await datagrams.send(b"?")
    with pytest.raises(ConnectError) as caught:
        await datagrams.receive()
    datagrams.close()
    error = caught.value
    assert error.errno == errno.ECONNREFUSED
    assert ((error.icmp_type, error.icmp_code), error.icmp_from) == (type_code, address)
