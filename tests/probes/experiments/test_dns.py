"""`dns` resolves and dials nothing."""

from __future__ import annotations

from probes.experiments import dns
from probes.wire.observation import DNSLookup
from probes.wire.target import Endpoint
from tests.world.dns_server import Address, Rcode
from tests.world.loopback import internet

ENDPOINT = Endpoint(host="wechat.test", port=0, protocol="dns")


async def test_confirmed_answer_costs_two_resolvers():
    async with internet({"wechat.test": Address("127.0.0.1")}) as net:
        visit = net.visit(ENDPOINT)
        await dns.measure(visit)
        seen = await net.finish(visit)
        assert all(isinstance(o, DNSLookup) for o in seen)
        assert len(seen) == 4


async def test_a_lie_makes_every_resolver_be_asked():
    for lie in (Rcode("NXDOMAIN"), Rcode("REFUSED"), Address("127.0.0.66"), Address()):
        async with internet(
            {"wechat.test": lie}, reference={"wechat.test": Address("127.0.0.1")}, secure=True
        ) as net:
            visit = net.visit(ENDPOINT)
            await dns.measure(visit)
            seen = await net.finish(visit)
            assert {o.transport for o in seen} == {"udp", "tcp", "dot", "doh"}
            truth = [o for o in seen if o.resolver == "lab" and o.qtype == "A"]
            assert [o.answers for o in truth] == [("127.0.0.1",)] * 4
