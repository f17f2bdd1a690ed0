"""The QUIC part of the reflector, against the probe's own QUIC step."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest

from probes.net.guard import Guard
from probes.net.quic import QUICClient
from probes.net.socket_network import SocketNetwork
from probes.reflector.quic import QUICReflectorError, client_of, serve_quic
from probes.reflector.tcp import ReflectorError, make_certificate, serve, server_context
from probes.steps import quic
from probes.steps.context import StepContext
from probes.wire.observation import QUICHandshake
from tests.world.ports import free_port
from tests.world.waiting import HANG_SECONDS

LAB = SocketNetwork(guard=Guard(allow_private=True))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory):
    return make_certificate(tmp_path_factory.mktemp("reflector"))


@contextlib.asynccontextmanager
async def reflecting(pair, **options):
    stop, port = asyncio.Event(), asyncio.Future()
    async with asyncio.TaskGroup() as group:
        group.create_task(
            serve(
                "127.0.0.1",
                0,
                context=server_context(*pair),
                stop=stop,
                ready=port.set_result,
                quic_pair=pair,
                **options,
            )
        )
        try:
            yield await port
        finally:
            stop.set()


async def connect(port: int, name: str, timeout: float = 30.0, **options) -> QUICHandshake:
    step = StepContext(LAB, "x", "127.0.0.1", port, 0, timeout=timeout)
    return await quic.handshake(step, sni=name, **({"verify": False} | options))


@pytest.mark.parametrize("name", ["szlong.weixin.qq.com", "chat.signal.org", "xn--e1afmkfd.test"])
@pytest.mark.parametrize("alpn", [(), ("h3",), ("x", "doq")])
async def test_any_name_gets_a_handshake_on_the_same_port(pair, name: str, alpn):
    async with reflecting(pair) as port:
        seen = await connect(port, name, alpn=alpn)
        assert seen.failure is None
        assert len(seen.chain) == 1
        stream = await LAB.connect("127.0.0.1", port)  # and TLS is there as well
        stream.close()


async def test_another_protocol_gets_an_answer_as_well(pair):
    async with reflecting(pair) as port:
        seen = await connect(port, "x.test", alpn=("imap",))
        assert seen.close_code == 0x100 + 120


async def test_without_the_pin_it_is_a_stranger(pair):
    async with reflecting(pair) as port:
        seen = await connect(port, "chat.signal.org", verify=True)
        assert (seen.failure, seen.verify_code) == ("ssl_unknown_authority", 18)
        pinned = await connect(port, "x.test", verify=True, trust=pair[0].read_text())
        assert pinned.verify_code == 62


async def test_survives_garbage_and_says_nothing_of_it(pair, caplog, capfd):
    async with reflecting(pair) as port:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as babbler:
            for word in (b"", b"\xc0", b"\xc0" * 1300, b"\x00" * 1300, b"\x40" * 40):
                babbler.sendto(word, ("127.0.0.1", port))
        assert (await connect(port, "x.test")).failure is None
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("size", [*range(5, 24), 40, 300, 1199, 1200, 1350])
async def test_who_writes_in_anothers_name_brings_no_more_than_it_sent(pair, size: int):
    """A first datagram as a client would send it, and ones of a version that nobody speaks, with
    any lengths of connection ids; nothing comes back for what is spoofed but a Retry."""
    client = QUICClient("x.test", verify=False)
    (first,) = client.start(time.monotonic())
    words = [first[:size].ljust(size, b"\0")] if size <= len(first) else [first + bytes(150)]
    words += [
        (b"\xc0\x1a\x2a\x3a\x4a" + bytes((n,)) + bytes(n) + bytes(1400))[:size] for n in (0, 8, 20)
    ]
    async with reflecting(pair) as port:
        for word in words:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as spoofed:
                spoofed.setblocking(False)
                spoofed.sendto(word, ("127.0.0.1", port))
                back = 0
                if size >= 1200:
                    loop = asyncio.get_running_loop()
                    async with asyncio.timeout(HANG_SECONDS):
                        back += len(await loop.sock_recv(spoofed, 65535))
                await asyncio.sleep(0.1)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        back += len(spoofed.recv(65535))
            assert back <= len(word)
            assert (back > 0) == (size >= 1200)


async def test_what_the_library_cannot_bear_is_not_logged(pair, caplog, monkeypatch):
    def raising(*_: object) -> None:
        raise AssertionError("a hostile datagram")

    async with reflecting(pair) as port:
        with monkeypatch.context() as patched:
            patched.setattr("aioquic.asyncio.server.QuicServer.datagram_received", raising)
            seen = await connect(port, "x.test", timeout=0.5)
            assert seen.failure == "generic_timeout_error"
        assert (await connect(port, "x.test")).failure is None
    assert caplog.text == ""


async def test_one_client_does_not_lock_out_the_others(pair, monkeypatch):
    monkeypatch.setattr("probes.reflector.quic.MAX_PER_CLIENT", 0)
    async with reflecting(pair) as port:
        seen = await connect(port, "x.test")
        assert seen.failure is not None
        assert seen.received_bytes > 0


def test_what_counts_as_one_client():
    assert client_of("192.0.2.1") == client_of("::ffff:192.0.2.1") != client_of("192.0.2.2")
    assert client_of("2001:db8:1:2::3%eth0") == client_of("2001:db8:1:2:f::") != client_of("::1")


async def test_connections_are_bounded_and_end_in_time(pair):
    async with reflecting(pair, max_connections=0) as port:
        seen = await connect(port, "x.test")
        assert seen.failure is not None
        assert seen.received_bytes > 0
    async with reflecting(pair, max_connections=1, connection_seconds=2.0) as port:
        for _ in range(3):
            while (await connect(port, "x.test")).failure is not None:
                pass  # until the connection before has ended


async def test_taken_port_and_bad_key_are_one_line(pair, tmp_path):
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", port))
        with pytest.raises(ReflectorError, match="/udp: "):
            await serve(
                "127.0.0.1",
                port,
                context=server_context(*pair),
                stop=asyncio.Event(),
                quic_pair=pair,
            )
    bad = tmp_path / "bad.key"
    bad.write_text("no key")
    with pytest.raises(QUICReflectorError, match="not a PEM certificate with its key"):
        async with serve_quic(
            "127.0.0.1", 0, (pair[0], bad), connection_seconds=1.0, max_connections=1
        ):
            pass
