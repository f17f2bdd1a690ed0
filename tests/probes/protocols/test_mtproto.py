"""`mtproto` against a server that speaks it, and against one that speaks something else."""

from __future__ import annotations

import pytest

from probes.protocols import mtproto
from probes.wire.observation import AppExchange, TCPConnect
from probes.wire.target import Endpoint
from tests.world import app_servers
from tests.world.app_servers import Talk, talk
from tests.world.dns_server import Address
from tests.world.loopback import internet


@pytest.mark.parametrize(("how", "spoke"), [(app_servers.mtproto, True), (app_servers.web, False)])
async def test_measured(how: Talk, spoke: bool):
    async with talk(how) as server, internet({"app.test": Address("127.0.0.1")}) as net:
        visit = net.visit(Endpoint(host="app.test", port=server.port, protocol="mtproto"))
        await mtproto.measure(visit)
        assert server.connections == (1 if spoke else 2)
    first, said = visit.observations[:2]
    assert isinstance(first, TCPConnect)
    assert isinstance(said, AppExchange)
    assert (said.protocol, said.spoke, said.failure) == ("mtproto", spoke, None)
    assert bool(said.reply) is spoke
    assert bool(said.excerpt) is not spoke


async def test_an_address_needs_no_name():
    async with talk(app_servers.mtproto) as server, internet({}) as net:
        visit = net.visit(Endpoint(address="127.0.0.1", port=server.port, protocol="mtproto"))
        await mtproto.measure(visit)
    said = visit.observations[-1]
    assert isinstance(said, AppExchange)
    assert said.spoke
