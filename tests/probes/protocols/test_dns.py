"""`dns` resolves and dials nothing."""

from __future__ import annotations

from probes.protocols import dns
from probes.wire.observation import DNSLookup, Purpose
from probes.wire.target import Endpoint
from tests.world.dns_server import Address, Rcode
from tests.world.loopback import LISTENING, internet

ENDPOINT = Endpoint(host="wechat.test", port=0, protocol="dns")


async def test_confirmed_answer_costs_two_resolvers():
    async with internet({"wechat.test": Address("127.0.0.1")}) as net:
        run = net.run(ENDPOINT)
        await dns.measure(run)
        seen = await net.finish(run)
        assert all(isinstance(o, DNSLookup) for o in seen)
        assert len(seen) == 4


async def test_a_lie_makes_every_resolver_be_asked():
    for lie in (Rcode("NXDOMAIN"), Rcode("REFUSED"), Rcode("SERVFAIL"), Address()):
        async with internet(
            {"wechat.test": lie}, reference={"wechat.test": Address("127.0.0.1")}, secure=True
        ) as net:
            run = net.run(ENDPOINT)
            await dns.measure(run)
            seen = await net.finish(run)
            assert {o.transport for o in seen} == {"udp", "tcp", "dot", "doh"}
            truth = [o for o in seen if o.resolver == "lab" and o.qtype == "A"]
            assert [o.answers for o in truth] == [("127.0.0.1",)] * 4


async def test_another_answer_is_compared_with_an_encrypted_one():
    async with internet(
        {"wechat.test": Address("127.0.0.66")},
        reference={"wechat.test": Address("127.0.0.1")},
        secure=True,
    ) as net:
        run = net.run(ENDPOINT)
        await dns.measure(run)
        seen = await net.finish(run)
    asked = sorted(o.transport for o in seen if o.purpose is Purpose.REFERENCE)
    assert asked == ["doh", "udp"]


async def test_an_answer_from_the_silent_address_makes_every_resolver_be_asked():
    forged = Address("127.0.0.66")
    async with internet(
        {"wechat.test": forged}, injected=forged, secure=True, timeouts=LISTENING
    ) as net:
        run = net.run(ENDPOINT)
        await run.addresses.first()
        lookups = run.means.dns_cache._names["wechat.test"].silent
        await lookups[0].first()  # an injector is faster than the real answer
        await dns.measure(run)
        seen = await net.finish(run)
    assert {o.transport for o in seen} == {"udp", "tcp", "dot", "doh"}
