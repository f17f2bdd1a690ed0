"""How often a connection dies, against real servers that let every second one through."""

from __future__ import annotations

from collections import Counter

import pytest

from probes.contrasts import other_port, partial_loss, tls_contrasts
from probes.endpoint.endpoint_run import EndpointRun
from probes.net.guard import Guard
from probes.net.network import Stream
from probes.net.socket_network import SocketNetwork
from probes.protocols import http
from probes.wire.observation import Contrast, HTTPExchange, TCPConnect, TLSHandshake
from probes.wire.target import Endpoint, SNIContrast
from tests.world import tls_server
from tests.world.dns_server import Address
from tests.world.loopback import internet
from tests.world.pki import Authority, self_signed
from tests.world.tls_server import Behaviour, by_name

NAME, HARMLESS = "wechat.test", "innocuous.test"
CA = Authority()
GOOD = tls_server.tls(CA.issue(NAME).context())
HARMLESS_GOOD = tls_server.tls(self_signed(HARMLESS).context())


def some(die: str, good: Behaviour) -> Behaviour:
    """Connections with the name, in order: `x` dies, `.` passes; the last letter goes on."""
    order = iter(die)
    last = die[-1]

    def one(connection, first):
        (tls_server.reset if next(order, last) == "x" else good)(connection, first)

    return one


@pytest.mark.parametrize(
    ("die", "tries"),
    [
        ("x.x.x.x.x.", "x.x.x.x.x"),
        ("x.x.x.", "x.x.x......"),
        ("x....x", "x...."),
        ("xx.x", "xx.xxx"),
        ("xxxx", "xxx"),
        (".", "."),
    ],
)
async def test_handshakes(die: str, tries: str):
    behaviour = by_name({HARMLESS: HARMLESS_GOOD}, otherwise=some(die, GOOD))
    async with (
        tls_server.serve(behaviour) as server,
        internet({NAME: Address("127.0.0.1")}, sni=SNIContrast(innocuous=HARMLESS)) as net,
    ):
        run = net.run(Endpoint(host=NAME, port=server.port, protocol="tls", trust=CA.pem))
        await tls_contrasts.measure(run)
    seen = [o for o in run.observations if isinstance(o, TLSHandshake) and o.sni == NAME]
    assert "".join("x" if o.failure else "." for o in seen) == tries
    harmless = sum(name == HARMLESS for name in server.names)
    died = tries.count("x")
    assert harmless == (0 if tries == "." else 1 if died == len(tries) else 3)


async def test_requests():
    answer = tls_server.clear_http("200 OK", b"hi")
    behaviour = by_name({HARMLESS: answer}, otherwise=some("x.", answer))
    async with (
        tls_server.serve(behaviour) as server,
        internet({NAME: Address("127.0.0.1")}, sni=SNIContrast(innocuous=HARMLESS)) as net,
    ):
        run = net.run(Endpoint(host=NAME, port=server.port, protocol="http"))
        await http.measure(run)
    exchanges = [o for o in run.observations if isinstance(o, HTTPExchange)]
    seen = Counter((o.host, o.failure) for o in exchanges if o.host in (NAME, HARMLESS))
    assert seen == {(NAME, "connection_reset"): 1, (NAME, None): 4, (HARMLESS, None): 3}
    assert len(exchanges) == seen.total() + 1, "one name that nobody has"


class SomeFlows(SocketNetwork):
    """A network in which connections die for good, in order: `x` dies, `.` passes."""

    def __init__(self, die: str) -> None:
        super().__init__(guard=Guard(allow_private=True))
        self._order = iter(die)

    async def connect(
        self, address: str, port: int, *, hops: int | None = None, narrow: bool = False
    ) -> Stream:
        if port != other_port.HTTPS and next(self._order) == "x":
            raise TimeoutError  # as the time limit does
        return await super().connect(address, port, hops=hops)


def tries_of(run: EndpointRun) -> list[TCPConnect]:
    """The connects to the port of the endpoint, in their order."""
    connects = [o for o in run.observations if isinstance(o, TCPConnect)]
    at_port = [o for o in connects if o.port == run.endpoint.port]
    return sorted(at_port, key=lambda seen: seen.at_us)


@pytest.mark.parametrize(
    "die",
    [".", "xxx", "xx.xxx", "x.xxxx", "x.x.x.x.x", "x.x.x......", "xx.x.......", "xx....", "x...."],
)
async def test_connections(die: str):
    async with (
        tls_server.serve(tls_server.silence) as server,
        internet({NAME: Address("127.0.0.1")}) as net,
    ):
        endpoint = Endpoint(host=NAME, port=server.port, protocol="tcp")
        run = net.run(endpoint, network=SomeFlows(die))
        connection = await partial_loss.connect(run, "127.0.0.1")
        assert connection.usable == ("." in die)
        connection.close()
    seen = tries_of(run)
    assert "".join("x" if o.failure else "." for o in seen) == die
    assert [o.contrast for o in seen] == [None, *[Contrast.REPEAT] * (len(die) - 1)]


@pytest.mark.parametrize(
    ("control", "die", "tries"),
    [
        (False, "." * 9, "."),
        (True, "." * 9, "." * 7),
        (True, ".x" * 9, ".x.x.x."),
        (True, "x" + "." * 9, "x...."),  # it is known already
    ],
)
async def test_a_control_connects_several_times(control: bool, die: str, tries: str):
    """So that a balancer with a dead server behind it is known as one."""
    async with (
        tls_server.serve(tls_server.silence) as server,
        internet({NAME: Address("127.0.0.1")}) as net,
    ):
        endpoint = Endpoint(host=NAME, port=server.port, protocol="tcp")
        run = net.run(endpoint, network=SomeFlows(die), control=control)
        connection = await partial_loss.connect(run, "127.0.0.1")
        assert connection.usable
        connection.close()
    seen = tries_of(run)
    assert "".join("x" if o.failure else "." for o in seen) == tries


@pytest.mark.parametrize("options", [{"contrasts": False}, {"repeats": False}])
async def test_not_in_a_retest(options: dict[str, bool]):
    async with internet({NAME: Address("127.0.0.1")}) as net:
        run = net.run(Endpoint(host=NAME, port=9, protocol="tcp"), **options)

        async def once(number: int) -> bool:
            raise AssertionError(number)

        await partial_loss.repeat(run, once)


async def test_at_a_few_addresses_only():
    async with (
        tls_server.serve(tls_server.silence) as server,
        internet({NAME: Address("127.0.0.1")}) as net,
    ):
        run = net.run(Endpoint(host=NAME, port=server.port, protocol="tcp"))
        good = await run.connect("127.0.0.1")
        for _ in range(partial_loss.ADDRESSES + 1):
            good = await partial_loss.repeat_connect(run, good)
        assert good.usable
        good.close()
    repeats = sum(o.contrast is Contrast.REPEAT for o in run.observations)
    assert repeats == partial_loss.ADDRESSES * 3
