"""`stun` asks over UDP alone, and an answer holds nothing of who asked."""

from __future__ import annotations

from probes.protocols import stun
from probes.wire.observation import AppExchange
from probes.wire.target import Endpoint
from tests.world import app_servers
from tests.world.app_servers import answer
from tests.world.dns_server import Address
from tests.world.loopback import internet


async def test_measured():
    async with (
        answer(app_servers.stun) as server,
        internet({"calls.test": Address("127.0.0.1")}) as net,
    ):
        visit = net.visit(Endpoint(host="calls.test", port=server.port, protocol="stun"))
        await stun.measure(visit)
    (said,) = visit.observations
    assert isinstance(said, AppExchange)
    assert (said.spoke, said.reply, said.excerpt) == (True, "binding_success", b"")
