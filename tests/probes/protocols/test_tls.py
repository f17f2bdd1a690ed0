"""`tls` shakes hands with every address and asks nothing of the application."""

from __future__ import annotations

from probes.protocols import tls
from probes.wire.observation import DNSLookup, TCPConnect, TLSHandshake
from probes.wire.target import Endpoint
from tests.world import tls_server
from tests.world.dns_server import Address
from tests.world.loopback import internet
from tests.world.pki import Authority

CA = Authority()


async def test_steps_come_in_order_at_every_address():
    behaviour = tls_server.tls(CA.issue("wechat.test").context())
    async with (
        tls_server.serve(behaviour) as first,
        tls_server.serve(behaviour, "127.0.0.2", first.port),
        internet({"wechat.test": Address("127.0.0.1", "127.0.0.2")}) as net,
    ):
        run = net.run(Endpoint(host="wechat.test", port=first.port, protocol="tls", trust=CA.pem))
        await tls.measure(run)
        seen = await net.finish(run)
    kinds = [type(o) for o in seen]
    assert kinds.count(TLSHandshake) == kinds.count(TCPConnect) == 2
    assert kinds[0] is DNSLookup
    assert kinds[-1] is TLSHandshake
    assert not run.means.dns_cache.widened("wechat.test")


async def test_another_name_may_be_shown_than_resolved():
    behaviour = tls_server.tls(CA.issue("front.test").context())
    async with (
        tls_server.serve(behaviour) as server,
        internet({"wechat.test": Address("127.0.0.1")}) as net,
    ):
        fronted = Endpoint(
            host="wechat.test", sni="front.test", port=server.port, protocol="tls", trust=CA.pem
        )
        run = net.run(fronted)
        await tls.measure(run)
    assert server.names == ["front.test"]
    assert run.observations[-1].failure is None
