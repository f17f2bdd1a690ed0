"""What is recorded of one endpoint."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from probes.contrasts import partial_loss
from probes.endpoint import endpoint_run
from probes.endpoint.endpoint_run import Connection, EndpointRun
from probes.net.guard import Guard
from probes.net.network import Stream
from probes.net.socket_network import SocketNetwork
from probes.protocols import tcp
from probes.wire.observation import LIVENESS_HOST, Contrast, PathTrace, Purpose, TCPConnect
from probes.wire.target import Endpoint, SNIContrast
from tests.world import tls_server
from tests.world.dns_server import Address, Drop
from tests.world.loopback import SHORT, internet
from tests.world.pki import self_signed

NAME = "wechat.test"


def endpoint(port: int = 443, **changes: object) -> Endpoint:
    return Endpoint(**({"host": NAME, "port": port, "protocol": "tcp"} | changes))


async def test_a_refused_connection_is_tried_once_more_from_a_fresh_port():
    async with internet({}) as net:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            run = net.run(endpoint(free.getsockname()[1]))
            await partial_loss.connect(run, "127.0.0.1")
            *connects, trace = run.observations
            assert [(o.purpose, o.contrast, o.failure) for o in connects] == [
                (Purpose.SUBJECT, None, "connection_refused"),
                (Purpose.CONTRAST, Contrast.REPEAT, "connection_refused"),
                (Purpose.CONTRAST, None, "connection_refused"),
            ], "the last at another port"
            assert isinstance(trace, PathTrace)
            retest = net.run(endpoint(free.getsockname()[1]), repeats=False)
            await partial_loss.connect(retest, "127.0.0.1")
            assert len(retest.observations) == 2, "one of them at another port"


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

    async def connect(
        self, address: str, port: int, *, hops: int | None = None, narrow: bool = False
    ) -> Stream:
        if port in self._silent:
            raise TimeoutError  # as the time limit does
        return await super().connect(address, port, hops=hops)


class _Noting(SocketNetwork):
    """A network that notes for how much each connection was opened."""

    def __init__(self) -> None:
        super().__init__(guard=Guard(allow_private=True))
        self.narrow: list[bool] = []

    async def connect(
        self, address: str, port: int, *, hops: int | None = None, narrow: bool = False
    ) -> Stream:
        self.narrow.append(narrow)
        return await super().connect(address, port, hops=hops)


async def test_a_lean_run_lets_a_server_send_little_except_for_a_transfer():
    network = _Noting()
    async with (
        tls_server.serve(tls_server.silence) as server,
        internet({NAME: Address("127.0.0.1")}) as net,
    ):
        for lean in (True, False):
            run = net.run(endpoint(port=server.port), network=network, lean=lean)
            for roomy in (False, True):
                (await run.connect("127.0.0.1", roomy=roomy)).close()
    assert network.narrow == [True, False, False, False]


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


class Patient(SocketNetwork):
    """A network in which a port is silent until something is seen."""

    def __init__(self, silent: int) -> None:
        super().__init__(guard=Guard(allow_private=True))
        self._silent = silent
        self.is_seen: Callable[[], bool] = lambda: True

    async def connect(
        self, address: str, port: int, *, hops: int | None = None, narrow: bool = False
    ) -> Stream:
        if port == self._silent:
            async with asyncio.timeout(60):
                while not self.is_seen():  # noqa: ASYNC110 - no event to wait for
                    await asyncio.sleep(0.01)
            raise TimeoutError
        return await super().connect(address, port, hops=hops)


@pytest.mark.parametrize("known", ["alive", "alive_by_now", "our own host"])
async def test_a_host_is_reached_while_an_attempt_waits_that_is_not_repeated(
    known: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(endpoint_run, "LOOK_SECONDS", 0.01)
    network = Patient(9)
    async with (
        tls_server.serve(tls_server.silence) as host,
        internet({NAME: Address("127.0.0.1")}) as net,
    ):
        alive = [("::1", host.port), ("127.0.0.1", host.port)]
        given = {
            "alive": {"alive": alive},
            "alive_by_now": {"alive_by_now": lambda: alive},
            "our own host": {"sni": SNIContrast(address=f"127.0.0.1:{host.port}")},
        }
        run = net.run(endpoint(port=9), network=network, repeats=False, **given[known])
        network.is_seen = lambda: bool(_beside(run))
        await run.connect("127.0.0.1")
    (silent,) = [seen for seen in run.observations if seen.failure]
    (beside,) = _beside(run)
    assert (beside.address, beside.failure) == ("127.0.0.1", None)
    assert silent.at_us <= beside.at_us < silent.at_us + silent.took_us, "meanwhile"


def _beside(run: EndpointRun) -> list[TCPConnect]:
    return [seen for seen in run.observations if LIVENESS_HOST in seen.evidence]


@pytest.mark.parametrize(
    "course",
    [{"repeats": True}, {"repeats": False, "contrasts": False}],
    ids=["it is repeated", "liveness itself"],
)
async def test_none_is_reached_meanwhile_where_that_is_not_needed(
    course: dict[str, bool], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(endpoint_run, "LOOK_SECONDS", 0.0)
    async with internet({NAME: Address("127.0.0.1")}) as net:
        network = Patient(9)
        ticks = iter(range(20))
        network.is_seen = lambda: next(ticks, None) is None
        run = net.run(endpoint(port=9), network=network, alive=[("127.0.0.1", 9)], **course)
        await run.connect("127.0.0.1")
    assert len(run.observations) == 1


@pytest.mark.parametrize("contrasts", [True, False])
async def test_hosts_are_reached_while_the_resolver_is_silent(
    contrasts: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(endpoint_run, "LOOK_SECONDS", 0.01)
    async with (
        tls_server.serve(tls_server.silence) as host,
        internet({NAME: Drop()}, timeouts=SHORT) as net,
    ):
        alive = [("127.0.0.1", host.port)]
        run = net.run(endpoint(), alive=alive, contrasts=contrasts)
        assert await run.addresses.first() == ()
    assert bool(_beside(run)) is contrasts
    assert len(_beside(run)) <= endpoint_run.MAX_LOOKS


@pytest.mark.parametrize("brief", [False, True], ids=["at first", "as in the rounds before"])
async def test_beside_a_repeat_after_a_refusal_they_are_as_well_when_it_is_new(brief: bool):
    async with internet({NAME: Address("127.0.0.1")}) as net:
        alive = [("127.0.0.1", 9)] * 2
        run = net.run(endpoint(port=9), alive=alive, brief=brief)
        await tcp.measure(run)
    beside = [seen for seen in run.observations if LIVENESS_HOST in seen.evidence]
    assert len(beside) == (0 if brief else 2)
    connects = [seen for seen in run.observations if isinstance(seen, TCPConnect)]
    assert len(connects) - len(beside) == 2 + 1, "the last at another port"
