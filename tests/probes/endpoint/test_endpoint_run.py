"""Which addresses are dialled, and what is recorded of one endpoint."""

from __future__ import annotations

import socket

from probes.contrasts import partial_loss
from probes.endpoint.endpoint_run import MAX_PER_FAMILY, Connection
from probes.net.network import Guard, SocketNetwork, Stream
from probes.protocols import tcp
from probes.wire.observation import LIVENESS_HOST, Contrast, Purpose, TCPConnect
from probes.wire.target import Endpoint
from tests.world import tls_server
from tests.world.dns_server import Address, Rcode
from tests.world.loopback import internet
from tests.world.pki import self_signed

NAME = "wechat.test"


def endpoint(port: int = 443, **changes: object) -> Endpoint:
    return Endpoint(**({"host": NAME, "port": port, "protocol": "tcp"} | changes))


async def test_own_answers_come_first_and_each_family_is_capped():
    many = Address(*(f"127.0.1.{i}" for i in range(20)), "::1")
    async with internet({NAME: many}, reference={NAME: Address("127.0.0.7")}) as net:
        run = net.run(endpoint())
        addresses = await run.addresses()
        assert len(addresses) == MAX_PER_FAMILY + 1
        assert addresses[0] in run.system_addresses
        assert addresses[-1] == "::1"
        again = net.run(endpoint())
        assert await again.addresses() == addresses


async def test_a_lean_run_dials_one_address_and_the_others_on_demand():
    many = Address(*(f"127.0.1.{i}" for i in range(5)), "::1")
    async with internet({NAME: many}, reference={NAME: Address("127.0.0.7")}) as net:
        chosen = []
        for turn in range(10):
            run = net.run(endpoint(), lean=True, turn=turn)
            (address,) = await run.addresses()
            chosen.append(address)
        assert chosen[1::2] == ["::1"] * 5
        assert sorted(chosen[::2]) == [f"127.0.1.{i}" for i in range(5)]
        run.lean = False
        others = await run.addresses()
        assert sorted([*others, address]) == sorted([*set(chosen), "127.0.0.7"])


async def test_reference_answers_are_dialled_too_and_only_once():
    async with internet(
        {NAME: Address("127.0.0.2")}, reference={NAME: Address("127.0.0.3")}
    ) as net:
        run = net.run(endpoint())
        assert await run.addresses() == ("127.0.0.2", "127.0.0.3")
        assert run.system_addresses == ("127.0.0.2",)
        assert await run.further_addresses(reached=True) == ()
        assert not run.dns_cache.widened(NAME)
        assert await run.further_addresses(reached=False) == ()
        assert run.dns_cache.widened(NAME)
        assert await run.reference_addresses() == ()


async def test_bogons_are_recorded_and_not_dialled():
    async with internet(
        {NAME: Address("10.10.34.34", "127.0.0.1")}, reference={NAME: Rcode("NXDOMAIN")}
    ) as net:
        run = net.run(endpoint(), network=SocketNetwork())  # the strict guard
        assert await run.addresses() == ()
        seen = await net.finish(run)
        assert ("10.10.34.34", "127.0.0.1") in [o.answers for o in seen]
        assert not any(isinstance(o, TCPConnect) for o in seen)


async def test_an_endpoint_by_address_needs_no_name_and_says_why_it_was_not_dialled():
    async with internet({}) as net:
        by_address = endpoint(host="", address="127.0.0.1")
        run = net.run(by_address, network=SocketNetwork())
        assert await run.addresses() == ("127.0.0.1",)
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
        addresses = await run.addresses()
        assert addresses == ("127.0.0.1", "2001:db8::1")
        connection = await partial_loss.connect(run, "2001:db8::1")
        assert connection.tcp.failure == "address_not_available"
        assert len(run.observations) == 1  # not repeated: nothing was lost


async def test_a_refused_connection_is_tried_once_more_from_a_fresh_port():
    async with internet({}) as net:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            run = net.run(endpoint(free.getsockname()[1]))
            await partial_loss.connect(run, "127.0.0.1")
            kinds = [(o.purpose, o.contrast, o.failure) for o in run.observations]
            assert kinds == [
                (Purpose.SUBJECT, None, "connection_refused"),
                (Purpose.CONTRAST, Contrast.REPEAT, "connection_refused"),
            ]
            retest = net.run(endpoint(free.getsockname()[1]), repeats=False)
            await partial_loss.connect(retest, "127.0.0.1")
            assert len(retest.observations) == 1


async def test_evidence_is_added_to_the_recorded_observation():
    async with (
        internet({}) as net,
        tls_server.serve(tls_server.tls(self_signed("x.test").context())) as server,
    ):
        run = net.run(endpoint(server.port, protocol="tls"))
        connection = await run.tls_handshake(await run.connect("127.0.0.1"))
        assert connection.tls is not None
        assert connection.stream is None  # closed on failure
        run.add_evidence(connection.tls, "system_root")
        assert run.observations[-1].evidence == ("system_root",)


async def test_steps_over_a_closed_connection_do_nothing():
    async with internet({}) as net:
        run = net.run(endpoint())
        dead = Connection("127.0.0.1", 443, TCPConnect(endpoint="e", address="127.0.0.1", port=443))
        assert not dead.usable
        assert (await run.tls_handshake(dead)).tls is None
        assert await run.http_request(dead) is None
        assert run.observations == []


async def test_things_done_once():
    async with internet({}) as net:
        run = net.run(endpoint())
        assert [run.once("x"), run.once("x"), run.once("y")] == [
            True,
            False,
            True,
        ]


class Lossy(SocketNetwork):
    """A network in which nothing answers at some ports."""

    def __init__(self, *silent: int) -> None:
        super().__init__(guard=Guard(allow_private=True))
        self._silent = silent

    async def connect(self, address: str, port: int, *, hops: int | None = None) -> Stream:
        if port in self._silent:
            raise TimeoutError  # as the time limit does
        return await super().connect(address, port, hops=hops)


async def test_beside_a_repeat_after_silence_liveness_hosts_are_reached_again():
    async with (
        tls_server.serve(tls_server.silence) as host,
        internet({NAME: Address("127.0.0.1")}) as net,
    ):
        alive = [*(("127.0.0.1", host.port) for _ in range(4)), ("::1", host.port)]
        run = net.run(endpoint(port=9), network=Lossy(9), alive=alive)
        await tcp.measure(run)
    beside = [seen for seen in run.observations if LIVENESS_HOST in seen.evidence]
    assert [(seen.address, seen.failure) for seen in beside] == [("127.0.0.1", None)] * 3
    assert all(seen.purpose is Purpose.CONTRAST for seen in beside)
    repeats = [seen for seen in run.observations if seen.contrast is Contrast.REPEAT]
    assert {seen.failure for seen in repeats} == {"generic_timeout_error"}


async def test_a_service_that_refuses_is_no_silence():
    async with internet({NAME: Address("127.0.0.1")}) as net:
        run = net.run(endpoint(port=9), alive=[("127.0.0.1", 9)])
        await tcp.measure(run)
    assert len(run.observations) == 2
    assert not any(seen.evidence for seen in run.observations)
