"""An innocuous host at the service's port, and with other first bytes, against servers here."""

from __future__ import annotations

from typing import Any

import pytest

from probes.contrasts import partial_loss, same_port
from probes.endpoint.endpoint_run import EndpointRun
from probes.protocols import mtproto
from probes.protocols.app_handshake import exchange_over_tcp
from probes.wire.failure import Failure
from probes.wire.observation import SAME_PORT, AppExchange, Contrast, Purpose, TCPConnect
from probes.wire.target import Endpoint, SNIContrast
from tests.world import app_servers
from tests.world.app_servers import reset, talk
from tests.world.dns_server import Address
from tests.world.loopback import internet
from tests.world.tls_server import serve, silence

SERVICE, OURS = "127.0.0.1", "127.0.0.3"
ALIVE = (("127.0.0.4", 443), ("::1", 443), ("127.0.0.5", 443), ("127.0.0.6", 443))


async def closed_port() -> int:
    async with serve(silence, wait_for_bytes=False) as server:
        return server.port


async def connected(port: int, **course: Any) -> list[TCPConnect]:
    """Connects to innocuous hosts beside one to the service."""
    async with internet({"srv.test": Address(SERVICE)}) as net:
        run = net.run(
            Endpoint(host="srv.test", port=port, protocol="tcp"),
            **{"sni": SNIContrast(address=f"{OURS}:443"), "alive": ALIVE} | course,
        )
        (await partial_loss.connect(run, SERVICE)).close()
        seen = [o for o in run.observations if isinstance(o, TCPConnect)]
        return [o for o in seen if SAME_PORT in o.evidence]


async def test_where_the_service_fails_hosts_are_connected_to_at_its_port() -> None:
    port = await closed_port()
    beside = await connected(port)
    assert sorted(o.address for o in beside) == [OURS, "127.0.0.4", "127.0.0.5"]
    assert {(o.port, o.purpose, o.contrast) for o in beside} == {(port, Purpose.CONTRAST, None)}
    assert {(o.failure, o.evidence) for o in beside} == {(Failure.REFUSED, (SAME_PORT,))}


@pytest.mark.parametrize(("control", "hosts"), [(False, 0), (True, 3)])
async def test_where_it_works_controls_alone_connect_to_them(control: bool, hosts: int) -> None:
    async with serve(silence, SERVICE) as server:
        assert len(await connected(server.port, control=control)) == hosts


async def test_a_port_at_which_liveness_passed_is_open_and_our_own_host_is_on_no_list() -> None:
    port = await closed_port()
    beside = await connected(port, alive=(("127.0.0.4", port),))
    assert [o.address for o in beside] == [OURS]


async def test_no_contrasts_no_connects() -> None:
    async with internet({"srv.test": Address(SERVICE)}) as net:
        ref = Endpoint(host="srv.test", port=await closed_port(), protocol="tcp")
        sni = SNIContrast(address=f"{OURS}:443")
        run = net.run(ref, sni=sni, alive=ALIVE, contrasts=False)
        (await partial_loss.connect(run, SERVICE)).close()
    assert {o.address for o in run.observations} == {SERVICE}


async def test_it_happens_once_for_an_address_family() -> None:
    port = await closed_port()
    async with internet({"srv.test": Address(SERVICE)}) as net:
        run = net.run(Endpoint(host="srv.test", port=port, protocol="tcp"), alive=ALIVE)
        for address in (SERVICE, "127.0.0.2", "::1", SERVICE):
            await same_port.connect_beside(run, address)
    assert [o.address for o in run.observations] == ["127.0.0.4", "127.0.0.5", "::1"]


async def spoken(run: EndpointRun) -> list[AppExchange]:
    await exchange_over_tcp(run, lambda: mtproto.request(run.network.wall_ms()))
    exchanges = [o for o in run.observations if isinstance(o, AppExchange)]
    return [o for o in exchanges if o.contrast is Contrast.REFLECTOR]


@pytest.mark.parametrize(
    ("service", "control", "times"),
    [(reset, False, 1), (app_servers.mtproto, False, 0), (app_servers.mtproto, True, 1)],
)
async def test_our_own_host_gets_bytes_that_no_app_sends(
    service: Any, control: bool, times: int
) -> None:
    async with (
        talk(service, SERVICE) as server,
        talk(reset, OURS, server.port),
        internet({"telegram.test": Address(SERVICE)}) as net,
    ):
        run = net.run(
            Endpoint(host="telegram.test", port=server.port, protocol="mtproto"),
            sni=SNIContrast(address=f"{OURS}:443"),
            control=control,
        )
        other = await spoken(run)
    assert len(other) == times
    for exchange in other:
        assert (exchange.address, exchange.port) == (OURS, server.port)
        assert (exchange.failure, exchange.spoke) == (Failure.RESET, False)
        assert exchange.sent_bytes == len(mtproto.request(0).payload)


async def test_whatever_our_host_answers_is_no_answer_of_the_app() -> None:
    async with (
        talk(reset, SERVICE) as server,
        talk(app_servers.mtproto, OURS, server.port),
        internet({"telegram.test": Address(SERVICE)}) as net,
    ):
        run = net.run(
            Endpoint(host="telegram.test", port=server.port, protocol="mtproto"),
            sni=SNIContrast(address=f"{OURS}:443"),
        )
        (exchange,) = await spoken(run)
    assert not exchange.spoke


async def test_without_a_host_of_ours_nothing_else_is_sent() -> None:
    async with (
        talk(reset, SERVICE) as server,
        internet({"telegram.test": Address(SERVICE)}) as net,
    ):
        run = net.run(Endpoint(host="telegram.test", port=server.port, protocol="mtproto"))
        assert await spoken(run) == []
