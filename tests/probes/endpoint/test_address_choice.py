"""Which addresses of an endpoint are dialled."""

from __future__ import annotations

from probes.contrasts import partial_loss
from probes.endpoint.address_choice import MAX_PER_FAMILY
from probes.net.guard import Guard
from probes.net.socket_network import SocketNetwork
from probes.wire.observation import TCPConnect
from tests.probes.endpoint.test_endpoint_run import NAME, endpoint
from tests.world.dns_server import Address, Rcode
from tests.world.loopback import internet


async def test_own_answers_come_first_and_each_family_is_capped():
    many = Address(*(f"127.0.1.{i}" for i in range(20)), "::1")
    async with internet({NAME: many}, reference={NAME: Address("127.0.0.7")}) as net:
        run = net.run(endpoint())
        addresses = await run.addresses.first()
        assert len(addresses) == MAX_PER_FAMILY + 1
        assert addresses[0] in run.addresses.system
        assert addresses[-1] == "::1"
        again = net.run(endpoint())
        assert await again.addresses.first() == addresses


async def test_a_lean_run_dials_one_address_and_the_others_on_demand():
    many = Address(*(f"127.0.1.{i}" for i in range(5)), "::1")
    async with internet({NAME: many}, reference={NAME: Address("127.0.0.7")}) as net:
        chosen = []
        for turn in range(10):
            run = net.run(endpoint(), lean=True, turn=turn)
            (address,) = await run.addresses.first()
            chosen.append(address)
        assert chosen[1::2] == ["::1"] * 5
        assert sorted(chosen[::2]) == [f"127.0.1.{i}" for i in range(5)]
        run.addresses.lean = False
        others = await run.addresses.first()
        assert sorted([*others, address]) == sorted([*set(chosen), "127.0.0.7"])


async def test_reference_answers_are_dialled_too_and_only_once():
    async with internet(
        {NAME: Address("127.0.0.2")}, reference={NAME: Address("127.0.0.3")}
    ) as net:
        run = net.run(endpoint())
        assert await run.addresses.first() == ("127.0.0.2", "127.0.0.3")
        assert run.addresses.system == ("127.0.0.2",)
        assert await run.addresses.further(reached=True) == ()
        assert not run.means.dns_cache.widened(NAME)
        assert await run.addresses.further(reached=False) == ()
        assert run.means.dns_cache.widened(NAME)
        assert await run.addresses.of_references() == ()


async def test_when_the_budget_is_short_one_resolver_is_asked_over_an_encrypted_channel():
    async with internet(
        {NAME: Rcode("NXDOMAIN")}, reference={NAME: Address("127.0.0.3")}, secure=True
    ) as net:
        run = net.run(endpoint(), failed_last_round=True, brief=True)
        assert await run.addresses.first() == ("127.0.0.3",)
        assert await run.addresses.of_references() == ()
        assert not run.means.dns_cache.widened(NAME)
        asked = {lookup.transport for lookup in await net.finish(run)}
        assert asked == {"udp", "doh"}


async def test_bogons_are_recorded_and_not_dialled():
    async with internet(
        {NAME: Address("10.10.34.34", "127.0.0.1")}, reference={NAME: Rcode("NXDOMAIN")}
    ) as net:
        run = net.run(endpoint(), network=SocketNetwork())  # the strict guard
        assert await run.addresses.first() == ()
        seen = await net.finish(run)
        assert ("10.10.34.34", "127.0.0.1") in [o.answers for o in seen]
        assert not any(isinstance(o, TCPConnect) for o in seen)


async def test_an_endpoint_by_address_needs_no_name_and_says_why_it_was_not_dialled():
    async with internet({}) as net:
        by_address = endpoint(host="", address="127.0.0.1")
        run = net.run(by_address, network=SocketNetwork())
        assert await run.addresses.first() == ("127.0.0.1",)
        connection = await partial_loss.connect(run, "127.0.0.1")
        assert connection.stream is None
        assert [o.evidence for o in run.observations] == [("not_dialled",)]
        assert net.system.seen == []


async def test_a_machine_without_ipv6_tries_one_address():
    six = Address("127.0.0.1", *(f"2001:db8::{i}" for i in range(1, 6)))
    async with internet({NAME: six}) as net:
        # A source address that is not this machine's stands for a family that it does not have.
        network = SocketNetwork("2001:db8:77::1", Guard(allow_private=True))
        run = net.run(endpoint(), network=network)
        addresses = await run.addresses.first()
        assert addresses == ("127.0.0.1", "2001:db8::1")
        connection = await partial_loss.connect(run, "2001:db8::1")
        assert connection.tcp.failure == "address_not_available"
        assert len(run.observations) == 1  # not repeated: nothing was lost


async def test_addresses_from_elsewhere_come_last_and_are_known_as_such():
    elsewhere = ("127.0.0.2", "127.0.0.9", "10.0.0.1", "169.254.169.254", "224.0.0.1")
    async with internet({NAME: Address("127.0.0.2")}, reference={NAME: Rcode("NXDOMAIN")}) as net:
        run = net.run(endpoint(), handed_over=elsewhere)
        assert await run.addresses.first() == ("127.0.0.2", "127.0.0.9", "10.0.0.1", elsewhere[3])
        assert {address for address, _ in run.addresses.foreign} == set(elsewhere[1:4])
        assert await run.addresses.first() == (), "none is dialled twice"
        strict = net.run(endpoint(), network=SocketNetwork(), handed_over=elsewhere)
        await strict.addresses.first()
        assert not strict.addresses.foreign, "the guard of the probe holds for them as well"
