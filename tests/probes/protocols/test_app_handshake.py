"""The first exchange at every address, repeated from a new port when it failed."""

from __future__ import annotations

import pytest

from probes.endpoint.endpoint_run import EndpointRun
from probes.protocols import mtproto, registry, stun
from probes.protocols.app_handshake import exchange_over_tcp, exchange_over_udp
from probes.wire.failure import Failure
from probes.wire.observation import LIVENESS_HOST, AppExchange, Contrast, Purpose, TCPConnect
from probes.wire.target import Endpoint
from tests.world import app_servers
from tests.world.app_servers import Talk, answer, reset, talk
from tests.world.dns_server import Address
from tests.world.loopback import SHORT, internet
from tests.world.tls_server import serve, silence


def endpoint(port: int, protocol: str = "mtproto", host: str = "telegram.test") -> Endpoint:
    return Endpoint(host=host, port=port, protocol=protocol)


async def telegram(run: EndpointRun) -> list[AppExchange]:
    await exchange_over_tcp(run, lambda: mtproto.request(run.network.wall_ms()))
    return [o for o in run.observations if isinstance(o, AppExchange)]


async def test_every_address_gets_one_exchange():
    async with (
        talk(app_servers.mtproto, "127.0.0.1") as first,
        talk(app_servers.mtproto, "127.0.0.2", first.port),
        talk(app_servers.mtproto, "::1", first.port),
        internet({"telegram.test": Address("127.0.0.1", "127.0.0.2", "::1")}) as net,
    ):
        run = net.run(endpoint(first.port))
        seen = await telegram(run)
    assert sorted(o.address for o in seen) == ["127.0.0.1", "127.0.0.2", "::1"]
    assert {(o.spoke, o.contrast, o.protocol) for o in seen} == {(True, None, "mtproto")}
    assert sum(isinstance(o, TCPConnect) for o in run.observations) == 3


async def test_a_reset_is_repeated_from_a_fresh_port():
    async with talk(reset) as server, internet({"telegram.test": Address("127.0.0.1")}) as net:
        run = net.run(endpoint(server.port))
        seen = await telegram(run)
        assert server.connections == 2
    assert [o.contrast for o in seen] == [None, Contrast.REPEAT]
    assert {o.failure for o in seen} == {Failure.RESET}


async def test_a_retest_makes_one_exchange():
    async with talk(reset) as server, internet({"telegram.test": Address("127.0.0.1")}) as net:
        assert len(await telegram(net.run(endpoint(server.port), repeats=False))) == 1


async def test_no_exchange_where_nothing_listens():
    async with serve(silence, wait_for_bytes=False) as server:
        port = server.port
    async with internet({"telegram.test": Address("127.0.0.1")}) as net:
        run = net.run(endpoint(port))
        assert await telegram(run) == []
        assert {o.failure for o in run.observations if isinstance(o, TCPConnect)} == {
            Failure.REFUSED
        }


async def test_where_no_own_address_answers_the_reference_addresses_are_tried():
    async with (
        talk(reset, "127.0.0.66") as forged,
        talk(app_servers.mtproto, "127.0.0.1", forged.port),
        internet(
            {"telegram.test": Address("127.0.0.66")},
            reference={"telegram.test": Address("127.0.0.1")},
        ) as net,
    ):
        seen = await telegram(net.run(endpoint(forged.port)))
    assert {o.address for o in seen if o.spoke} == {"127.0.0.1"}


async def test_udp_silence_is_repeated():
    async with (
        answer(lambda _: b"") as server,
        internet({"calls.test": Address("127.0.0.1")}, timeouts=SHORT) as net,
    ):
        run = net.run(endpoint(server.port, "stun", "calls.test"))
        await exchange_over_udp(run, stun.request, (0.1,))
        assert len(set(server.heard)) == 2
    seen = [o for o in run.observations if isinstance(o, AppExchange)]
    assert [(o.failure, o.contrast) for o in seen] == [
        (Failure.TIMEOUT, None),
        (Failure.TIMEOUT, Contrast.REPEAT),
    ]


async def test_beside_a_repeat_over_udp_hosts_are_asked_that_answered_over_udp():
    async with (
        answer(lambda _: b"") as server,
        answer(app_servers.stun) as host,
        internet({"calls.test": Address("127.0.0.1")}, timeouts=SHORT) as net,
    ):
        alive = [("127.0.0.1", host.port), ("::1", host.port)]
        run = net.run(
            endpoint(server.port, "stun", "calls.test"), stun_hosts=alive, ask_stun=stun.ask
        )
        await exchange_over_udp(run, stun.request, (0.1,))
    beside = [o for o in run.observations if LIVENESS_HOST in o.evidence]
    assert [(o.address, o.port, o.spoke, o.purpose) for o in beside] == [
        ("127.0.0.1", host.port, True, Purpose.CONTRAST)
    ]


async def test_udp_answer():
    async with (
        answer(app_servers.stun) as server,
        internet({"calls.test": Address("127.0.0.1")}) as net,
    ):
        run = net.run(endpoint(server.port, "stun", "calls.test"))
        await exchange_over_udp(run, stun.request, (0.1,))
    (seen,) = run.observations
    assert isinstance(seen, AppExchange)
    assert seen.spoke


SERVERS = {
    "mtproto": app_servers.mtproto,
    "whatsapp": app_servers.whatsapp,
    "mmtls": app_servers.mmtls,
    "mmtls-http": app_servers.mmtls_http,
    "xmpp": app_servers.xmpp,
}


@pytest.mark.parametrize("protocol", SERVERS)
@pytest.mark.parametrize("by_address", [False, True])
@pytest.mark.parametrize("speaks", [True, False])
async def test_each_protocol_over_tcp(protocol: str, by_address: bool, speaks: bool):
    """Against a server that speaks it, and against a web server in its place."""
    server_of: Talk = SERVERS[protocol] if speaks else app_servers.web
    place = {"address": "127.0.0.1"} if by_address else {"host": "app.test"}
    async with talk(server_of) as server, internet({"app.test": Address("127.0.0.1")}) as net:
        run = net.run(Endpoint(port=server.port, protocol=protocol, **place))
        await registry.MEASURE[protocol](run)
        assert server.connections == (1 if speaks else 2)
    first, seen = run.observations[:2]
    assert isinstance(first, TCPConnect)
    assert isinstance(seen, AppExchange)
    assert (seen.protocol, seen.spoke, seen.failure) == (protocol, speaks, None)
    assert bool(seen.reply) is speaks
    assert bool(seen.excerpt) is not speaks
