"""The TLS client against OpenSSL's own server, in memory and over loopback."""

from __future__ import annotations

import socket
import ssl

import pytest

from probes.net.guard import Guard
from probes.net.socket_network import SocketNetwork
from probes.net.tls import (
    MAX_HANDSHAKE_BYTES,
    MAX_SILENT_BYTES,
    TLSClient,
    context_for,
    handshake,
    receive,
    send,
)
from tests.world import tls_server
from tests.world.pki import Authority, self_signed

LAB = SocketNetwork(guard=Guard(allow_private=True))
CA = Authority()
LEAF = CA.issue("wechat.test", "127.0.0.1")


def far_side(context: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    return context.wrap_bio(incoming, outgoing, server_side=True), incoming, outgoing


def shake(client: TLSClient, context: ssl.SSLContext) -> ssl.SSLObject:
    """Run a handshake in memory, byte by byte from the far side."""
    far, incoming, outgoing = far_side(context)
    incoming.write(client.start())
    while not client.done:
        try:
            far.do_handshake()
        except ssl.SSLWantReadError:
            pass
        for byte in outgoing.read():
            incoming.write(client.feed(bytes([byte])))
    far.do_handshake()
    return far


@pytest.mark.parametrize("profile", ["default", "classical"])
def test_handshake_in_memory(profile: str):
    client = TLSClient(context_for(profile, CA.pem, alpn=("h2", "http/1.1")), "wechat.test")
    shake(client, LEAF.context(alpn=("h2",)))
    assert client.version == "TLSv1.3"
    assert client.alpn == "h2"
    assert client.cipher is not None
    assert client.chain()[0] == LEAF.der
    assert client.leaf() == (LEAF.der,)
    assert client.sent_bytes > client.hello_bytes
    assert client.received_bytes > 1000
    assert not client.plain_http


def test_classical_hello_fits_one_segment_and_the_default_is_pinned():
    classical = TLSClient(context_for("classical"), "szlong.weixin.qq.com")
    assert len(classical.start()) == classical.hello_bytes == 517
    hello = TLSClient(context_for("default", alpn=("h2", "http/1.1")), "a.test").start()
    assert tls_server.server_name(hello) == "a.test"
    assert b"\x02h2\x08http/1.1" in hello
    assert b"reachwatch" not in hello.lower()


def test_a_context_is_shared_whatever_alpn_each_connection_offers():
    both = TLSClient(context_for("default", alpn=("h2", "http/1.1")), "a.test")
    none = TLSClient(context_for("default"), "a.test")
    one = TLSClient(context_for("default", alpn=("http/1.1",)), "a.test")
    hellos = [client.start() for client in (both, none, one)]
    assert [b"\x02h2\x08http/1.1" in hello for hello in hellos] == [True, False, False]
    assert [b"\x08http/1.1" in hello for hello in hellos] == [True, False, True]


def test_contexts_are_made_once_and_verify_the_same_everywhere():
    assert context_for("default", CA.pem) is context_for("default", CA.pem)
    assert context_for("default", "", False) is context_for("default", CA.pem, False)
    context = context_for("default")
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert not context.verify_flags & ssl.VerifyFlags.VERIFY_X509_STRICT
    with pytest.raises(ValueError, match="profile"):
        context_for("fancy")
    with pytest.raises(ssl.SSLError):
        context_for("default", "no certificate in here")


@pytest.mark.parametrize(
    ("leaf", "name", "code"),
    [
        (self_signed("wechat.test"), "wechat.test", 18),
        (Authority("Other Root").issue("wechat.test"), "wechat.test", 19),
        (LEAF, "linkedin.test", 62),
        (CA.issue("wechat.test", start=-40, days=10), "wechat.test", 10),
        (CA.issue("wechat.test", start=5), "wechat.test", 9),
        (CA.issue("wechat.test"), "127.0.0.1", 64),
    ],
)
def test_refused_certificate_leaves_code_and_chain(leaf, name: str, code: int):
    client = TLSClient(context_for("default", CA.pem), name)
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        shake(client, leaf.context())
    assert caught.value.verify_code == code
    assert client.chain()[0] == leaf.der
    assert client.pending()[:1] in (b"\x15", b"\x17")  # our alert waits to be sent


def test_an_address_is_verified_but_not_shown():
    client = TLSClient(context_for("default", CA.pem), "127.0.0.1")
    far, incoming, _ = far_side(LEAF.context())
    hello = client.start()
    assert tls_server.server_name(hello) == ""
    assert b"127.0.0.1" not in hello
    shake(TLSClient(context_for("default", CA.pem), "127.0.0.1"), LEAF.context())
    del far, incoming


def test_without_verification_anything_goes():
    client = TLSClient(context_for("default", "", False), "wechat.test")
    shake(client, self_signed("other.test").context())
    assert client.done


def test_fin_is_not_a_reset():
    client = TLSClient(context_for("default"), "a.test")
    client.start()
    with pytest.raises(ssl.SSLEOFError):
        client.feed(b"")
    assert client.received_bytes == 0


@pytest.mark.parametrize(
    ("head", "plain", "number"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://block.test/\r\n\r\n", True, None),
        (b"<html><body>blocked</body></html>", True, None),
        (b"\x15\x03\x03\x00\x02\x02\x28", False, 40),
        (b"\x15\x03\x01\x00\x02\x02\x70", False, 112),
        (b"SSH-2.0-x\r\n", False, None),
        (b"\x00" * 64, False, None),
    ],
)
def test_what_came_in_place_of_tls(head: bytes, plain: bool, number: int | None):
    client = TLSClient(context_for("default"), "a.test")
    client.start()
    with pytest.raises(ssl.SSLError):
        client.feed(head)
    assert client.plain_http is plain
    assert client.alert_in_clear == number
    assert client.received_bytes == len(head)


async def test_over_a_stream_with_data_both_ways():
    behaviour = tls_server.tls(LEAF.context(), lambda request: request.upper())
    async with tls_server.serve(behaviour) as server:
        stream = await LAB.connect("127.0.0.1", server.port)
        client = TLSClient(context_for("default", CA.pem), "wechat.test")
        await handshake(stream, client)
        before = client.sent_bytes
        await send(stream, client, b"hello")
        assert await receive(stream, client) == b"HELLO"
        assert client.sent_bytes > before
        stream.close()


async def test_close_by_the_far_side_reads_as_the_end():
    behaviour = tls_server.tls(LEAF.context(), lambda request: b"Connection: close")
    async with tls_server.serve(behaviour) as server:
        stream = await LAB.connect("127.0.0.1", server.port)
        client = TLSClient(context_for("default", CA.pem), "wechat.test")
        await handshake(stream, client)
        await send(stream, client, b"x")
        assert await receive(stream, client) == b"Connection: close"
        assert await receive(stream, client) == b""
        stream.close()


async def test_a_far_side_that_sends_only_session_tickets_is_left():
    context = LEAF.context()
    context.num_tickets = 4000
    client = TLSClient(context_for("default", CA.pem), "wechat.test")
    far, incoming, outgoing = far_side(context)

    class Memory:
        async def send(self, payload: bytes) -> None:
            incoming.write(payload)

        async def receive(self, limit: int = 65536) -> bytes:
            try:
                far.do_handshake()
            except ssl.SSLWantReadError:
                pass
            return outgoing.read(limit)

        def close(self) -> None:
            pass

    await handshake(Memory(), client)
    with pytest.raises(ssl.SSLError, match="without content"):
        await receive(Memory(), client)
    assert client.received_bytes < 2 * MAX_SILENT_BYTES


async def test_a_handshake_without_end():
    hello_requests = b"\x16\x03\x03\x40\x00" + bytes(16384)

    def flood(connection: socket.socket, first: bytes) -> None:
        for _ in range(8 * MAX_HANDSHAKE_BYTES // len(hello_requests)):
            connection.sendall(hello_requests)

    async with tls_server.serve(flood) as server:
        stream = await LAB.connect(server.address, server.port)
        client = TLSClient(context_for("default", CA.pem), "wechat.test")
        with pytest.raises(ssl.SSLError, match="without end"):
            await handshake(stream, client)
        stream.close()
    assert client.received_bytes < 2 * MAX_HANDSHAKE_BYTES
