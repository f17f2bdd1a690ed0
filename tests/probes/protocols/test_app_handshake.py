"""The first exchange at every address, repeated from a fresh port when it failed."""

from __future__ import annotations

from probes.apps import mtproto, stun
from probes.endpoint.endpoint_run import Visit
from probes.protocols.app_handshake import speak, speak_udp
from probes.wire.failure import Failure
from probes.wire.observation import AppExchange, Contrast, TCPConnect
from probes.wire.target import Endpoint
from tests.world import app_servers
from tests.world.app_servers import answer, reset, talk
from tests.world.dns_server import Address
from tests.world.loopback import internet
from tests.world.tls_server import serve, silence


def endpoint(port: int, protocol: str = "mtproto", host: str = "telegram.test") -> Endpoint:
    return Endpoint(host=host, port=port, protocol=protocol)


async def telegram(visit: Visit) -> list[AppExchange]:
    await speak(visit, lambda: mtproto.opening(visit.network.wall_ms()))
    return [o for o in visit.observations if isinstance(o, AppExchange)]


async def test_every_address_is_asked_once():
    async with (
        talk(app_servers.mtproto, "127.0.0.1") as first,
        talk(app_servers.mtproto, "127.0.0.2", first.port),
        talk(app_servers.mtproto, "::1", first.port),
        internet({"telegram.test": Address("127.0.0.1", "127.0.0.2", "::1")}) as net,
    ):
        visit = net.visit(endpoint(first.port))
        seen = await telegram(visit)
    assert sorted(o.address for o in seen) == ["127.0.0.1", "127.0.0.2", "::1"]
    assert {(o.spoke, o.contrast, o.protocol) for o in seen} == {(True, None, "mtproto")}
    assert sum(isinstance(o, TCPConnect) for o in visit.observations) == 3


async def test_a_reset_is_repeated_from_a_fresh_port():
    async with talk(reset) as server, internet({"telegram.test": Address("127.0.0.1")}) as net:
        visit = net.visit(endpoint(server.port))
        seen = await telegram(visit)
        assert server.connections == 2
    assert [o.contrast for o in seen] == [None, Contrast.REPEAT]
    assert {o.failure for o in seen} == {Failure.RESET}


async def test_a_retest_speaks_once():
    async with talk(reset) as server, internet({"telegram.test": Address("127.0.0.1")}) as net:
        assert len(await telegram(net.visit(endpoint(server.port), repeats=False))) == 1


async def test_nothing_is_said_where_nothing_listens():
    async with serve(silence, wait_for_bytes=False) as server:
        port = server.port
    async with internet({"telegram.test": Address("127.0.0.1")}) as net:
        visit = net.visit(endpoint(port))
        assert await telegram(visit) == []
        assert {o.failure for o in visit.observations if isinstance(o, TCPConnect)} == {
            Failure.REFUSED
        }


async def test_where_no_own_answer_speaks_the_yardsticks_is_asked():
    async with (
        talk(reset, "127.0.0.66") as forged,
        talk(app_servers.mtproto, "127.0.0.1", forged.port),
        internet(
            {"telegram.test": Address("127.0.0.66")},
            reference={"telegram.test": Address("127.0.0.1")},
        ) as net,
    ):
        seen = await telegram(net.visit(endpoint(forged.port)))
    assert {o.address for o in seen if o.spoke} == {"127.0.0.1"}


async def test_udp_silence_is_repeated():
    async with (
        answer(lambda _: b"") as server,
        internet({"calls.test": Address("127.0.0.1")}) as net,
    ):
        visit = net.visit(endpoint(server.port, "stun", "calls.test"))
        await speak_udp(visit, stun.opening, (0.1,))
        assert len(set(server.heard)) == 2
    seen = [o for o in visit.observations if isinstance(o, AppExchange)]
    assert [(o.failure, o.contrast) for o in seen] == [
        (Failure.TIMEOUT, None),
        (Failure.TIMEOUT, Contrast.REPEAT),
    ]


async def test_udp_answer():
    async with (
        answer(app_servers.stun) as server,
        internet({"calls.test": Address("127.0.0.1")}) as net,
    ):
        visit = net.visit(endpoint(server.port, "stun", "calls.test"))
        await speak_udp(visit, stun.opening, (0.1,))
    (seen,) = visit.observations
    assert isinstance(seen, AppExchange)
    assert seen.spoke
