"""TCP, DoT and DoH as bytes, against real servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import dns.message
import pytest

from probes.net.dns_message import build_query
from probes.net.dns_transport import (
    MOST_IDLE_US,
    MOST_UNOPENED,
    ExchangeError,
    KeptConnections,
    Phase,
    exchange,
)
from probes.net.guard import Guard
from probes.net.resolvers import ResolverRoute
from probes.net.socket_network import SocketNetwork
from tests.world.dns_server import (
    SERVER_NAME,
    Address,
    DNSServer,
    Hangup,
    HTTPStatus,
    server_context,
)
from tests.world.ports import free_port
from tests.world.waiting import HANG_SECONDS

LAB = SocketNetwork(guard=Guard(allow_private=True))
NAME = "chat.example"
QUESTION = build_query(NAME, "A", identity=0)


def route(server: DNSServer, transport: str) -> ResolverRoute:
    port = getattr(server, f"{transport}_port")
    return ResolverRoute("lab", transport, server.host, port, SERVER_NAME, trust=server.trust)


@pytest.mark.parametrize("transport", ["tcp", "dot", "doh"])
async def test_reply_comes_back_as_bytes(transport):
    async with DNSServer({NAME: Address("192.0.2.1")}, secure=True) as server:
        phase = Phase()
        payload = await exchange(LAB, route(server, transport), QUESTION.payload, phase)
        assert [str(r[0]) for r in dns.message.from_wire(payload).answer] == ["192.0.2.1"]
        assert phase.name == "query"
        assert phase.asked_us > 0


@pytest.mark.parametrize("transport", ["tcp", "dot", "doh"])
async def test_long_reply_comes_in_pieces(transport):
    addresses = [f"10.{i}.{j}.1" for i in range(10) for j in range(100)]
    async with DNSServer({NAME: Address(*addresses)}, secure=True) as server:
        payload = await exchange(LAB, route(server, transport), QUESTION.payload, Phase())
        assert len(dns.message.from_wire(payload).answer[0]) == 1000


@pytest.mark.parametrize(
    ("behaviour", "failure", "evidence"),
    [
        (HTTPStatus(403), "http_request_failed", "http_403"),
        (HTTPStatus(200), "dns_server_misbehaving", "no_dns_message"),
        (
            HTTPStatus(200, "application/dns-message", bytes(65536)),
            "dns_server_misbehaving",
            "oversized",
        ),
    ],
)
async def test_doh_answers_that_are_no_dns(behaviour, failure, evidence):
    async with DNSServer({NAME: behaviour}, secure=True) as server:
        with pytest.raises(ExchangeError) as caught:
            await exchange(LAB, route(server, "doh"), QUESTION.payload, Phase())
        assert (caught.value.failure, caught.value.evidence) == (failure, evidence)


@contextlib.asynccontextmanager
async def speaking(payload: bytes, context: ssl.SSLContext | None):
    """A server that says the same to everyone, then closes."""

    async def serve(reader, writer):
        try:
            await reader.read(100)
            writer.write(payload)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except OSError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("payload", "failures"),
    [
        (b"", {"eof_error"}),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9, {"http_request_failed", "eof_error"}),
        (bytes(range(256)) * 4, {"http_request_failed"}),
        (b"\0\0\0\x04\0\0\0\0\0" + b"\0\0\x08\x07\0\0\0\0\0" + bytes(8), {"http_request_failed"}),
        (b"\0\0\0\x04\0\0\0\0\0" * 120_000, {"http_request_failed", "eof_error"}),
    ],
)
async def test_hostile_http2(payload, failures):
    context, pem = server_context(SERVER_NAME, "h2")
    context.set_alpn_protocols(["h2"])
    async with speaking(payload, context) as port:
        via = ResolverRoute("lab", "doh", "127.0.0.1", port, SERVER_NAME, trust=pem)
        # Who closes with our frames unread resets, which may be met before the last of its bytes.
        with pytest.raises((ExchangeError, ConnectionResetError)) as caught:
            async with asyncio.timeout(HANG_SECONDS):
                await exchange(LAB, via, QUESTION.payload, Phase())
        if isinstance(caught.value, ExchangeError):
            assert caught.value.failure in failures
            assert len(caught.value.evidence) <= 64
        else:
            assert len(payload) > 1_000_000


async def test_server_without_http2():
    context, pem = server_context(SERVER_NAME)
    async with speaking(b"", context) as port:
        via = ResolverRoute("lab", "doh", "127.0.0.1", port, SERVER_NAME, trust=pem)
        with pytest.raises(ExchangeError) as caught:
            await exchange(LAB, via, QUESTION.payload, Phase())
        assert caught.value.evidence == "no_h2"


@pytest.mark.parametrize("payload", [b"", b"\0", b"\0\x20short"])
async def test_tcp_reply_cut_short(payload):
    async with speaking(payload, None) as port:
        with pytest.raises(ExchangeError) as caught:
            await exchange(
                LAB, ResolverRoute("lab", "tcp", "127.0.0.1", port), QUESTION.payload, Phase()
            )
        assert caught.value.failure == "eof_error"


async def test_phase_survives_the_exception():
    phase = Phase()
    async with speaking(b"no TLS here" * 3, None) as port:
        with pytest.raises(ssl.SSLError):
            await exchange(
                LAB,
                ResolverRoute("lab", "dot", "127.0.0.1", port, SERVER_NAME),
                QUESTION.payload,
                phase,
            )
    assert phase.name == "tls"


class _Clock(SocketNetwork):
    """Its time is what the test says."""

    us = 1

    def clock_us(self) -> int:
        return self.us


def _names(payload: bytes) -> list[str]:
    return [str(question.name) for question in dns.message.from_wire(payload).question]


@pytest.mark.parametrize("transport", ["tcp", "dot", "doh"])
async def test_a_kept_connection_carries_the_next_question(transport):
    kept, table = KeptConnections(), {f"{n}.example": Address("192.0.2.1") for n in range(3)}
    with contextlib.closing(kept):
        async with DNSServer(table, secure=True) as server:
            for name in table:
                question, phase = build_query(name, "A", identity=0), Phase()
                via = route(server, transport)
                payload = await exchange(LAB, via, question.payload, phase, kept)
                assert _names(payload) == [f"{name}."]
                assert phase.name == "query"
                assert phase.asked_us > 0
            assert server.connections == 1


@pytest.mark.parametrize("transport", ["tcp", "dot", "doh"])
async def test_questions_at_the_same_time_have_connections_of_their_own(transport):
    kept, names = KeptConnections(), [f"{n}.example" for n in range(4)]
    with contextlib.closing(kept):
        async with DNSServer({n: Address("192.0.2.1") for n in names}, secure=True) as server:

            async def ask(name: str) -> bytes:
                question = build_query(name, "A", identity=0)
                return await exchange(
                    LAB, route(server, transport), question.payload, Phase(), kept
                )

            for _ in range(2):
                payloads = await asyncio.gather(*map(ask, names))
                assert [_names(payload) for payload in payloads] == [[f"{n}."] for n in names]
            assert server.connections == len(names)


@pytest.mark.parametrize("transport", ["tcp", "dot", "doh"])
async def test_a_kept_connection_that_the_server_closed_is_replaced(transport):
    kept = KeptConnections()
    with contextlib.closing(kept):
        async with DNSServer({NAME: Address("192.0.2.1")}, secure=True) as server:
            via = route(server, transport)
            await exchange(LAB, via, QUESTION.payload, Phase(), kept)
            server.hang_up()
            await exchange(LAB, via, QUESTION.payload, Phase(), kept)
            assert server.connections == 2


async def test_an_interfered_question_fails_on_a_kept_connection_as_on_a_new_one():
    kept = KeptConnections()
    table = {NAME: Address("192.0.2.1"), "blocked.example": Hangup()}
    with contextlib.closing(kept):
        async with DNSServer(table) as server:
            via = route(server, "tcp")
            await exchange(LAB, via, QUESTION.payload, Phase(), kept)
            question = build_query("blocked.example", "A")
            with pytest.raises(ExchangeError) as caught:
                await exchange(LAB, via, question.payload, Phase(), kept)
            assert caught.value.evidence == "closed_without_answer"
            assert server.connections == 2, "asked over a new one before it counts"


async def test_a_connection_that_was_idle_for_long_is_not_used():
    kept, network = KeptConnections(), _Clock(guard=Guard(allow_private=True))
    with contextlib.closing(kept):
        async with DNSServer({NAME: Address("192.0.2.1")}) as server:
            for moment in (0, MOST_IDLE_US - 1, 2 * MOST_IDLE_US):
                network.us = 1 + moment
                await exchange(network, route(server, "tcp"), QUESTION.payload, Phase(), kept)
            assert server.connections == 2


async def test_what_is_given_back_after_the_end_is_closed():
    kept = KeptConnections()
    async with DNSServer({NAME: Address("192.0.2.1")}) as server:
        kept.close()
        for _ in range(2):
            await exchange(LAB, route(server, "tcp"), QUESTION.payload, Phase(), kept)
        assert server.connections == 2


async def test_a_resolver_that_cannot_be_connected_to_is_given_up_until_it_can():
    kept = KeptConnections()
    via = ResolverRoute("lab", "tcp", "127.0.0.1", free_port())
    other = ResolverRoute("other", "tcp", "127.0.0.1", via.port)
    with contextlib.closing(kept):
        for _ in range(MOST_UNOPENED):
            assert not kept.gave_up(via)
            with pytest.raises(OSError, match="refused"):
                await exchange(LAB, via, QUESTION.payload, Phase(), kept)
        assert kept.gave_up(via)
        assert not kept.gave_up(other)
        kept.note_attempt(via, opened=True)
        assert not kept.gave_up(via)
