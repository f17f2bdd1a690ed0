"""The words of a request, and the connection that carries them."""

from __future__ import annotations

from probes.net.guard import Guard
from probes.net.http_channel import HEADERS, HTTPChannel, h2_headers, http1_headers
from probes.net.socket_network import SocketNetwork
from probes.net.tls import TLSClient, context_for, handshake
from tests.world import tls_server
from tests.world.pki import Authority

LAB = SocketNetwork(guard=Guard(allow_private=True))
CA = Authority()


def test_no_product_name_of_ours():
    for headers in (http1_headers("a.test"), h2_headers("a.test", "/"), HEADERS):
        assert "reach" not in repr(headers).lower()
    assert http1_headers("a.test")[0] == ("Host", "a.test")
    assert http1_headers("a.test")[2][0] == "User-Agent"
    assert h2_headers("a.test", "/x")[1] == (":authority", "a.test")


async def test_bytes_are_counted_in_clear_and_after_the_handshake():
    async with tls_server.serve(tls_server.raw(b"hello")) as server:
        stream = await LAB.connect(server.address, server.port)
        wire = HTTPChannel(stream, None)
        await wire.send(b"GET\r\n\r\n")
        assert await wire.receive() == b"hello"
        assert (wire.sent_bytes, wire.received_bytes) == (7, 5)
        stream.close()
    echo = tls_server.tls(CA.issue("a.test").context(), lambda request: request)
    async with tls_server.serve(echo) as server:
        stream = await LAB.connect(server.address, server.port)
        client = TLSClient(context_for("default", CA.pem), "a.test")
        await handshake(stream, client)
        wire = HTTPChannel(stream, client)
        assert (wire.sent_bytes, wire.received_bytes) == (0, 0)
        await wire.send(b"hello")
        assert await wire.receive() == b"hello"
        assert 5 < wire.sent_bytes < 100
        assert 5 < wire.received_bytes < 2_000
        stream.close()
