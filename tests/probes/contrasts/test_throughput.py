"""Pairs of transfers against servers that narrow the line by name, for all, or not at all."""

from __future__ import annotations

import socket
import time
from dataclasses import replace

import pytest

from probes.contrasts import throughput
from probes.contrasts.throughput_schedule import ThroughputMode, ThroughputOutcome, outcome
from probes.endpoint.timeouts import Timeouts
from probes.net.guard import Guard
from probes.net.network import Stream
from probes.net.socket_network import SocketNetwork
from probes.wire.observation import Contrast, HTTPExchange, Purpose, TCPConnect, Transfer
from probes.wire.pairs import PAIRED, undecided
from probes.wire.target import Endpoint, SNIContrast
from tests.world import tls_server
from tests.world.dns_server import Address
from tests.world.loopback import PATIENT, SHORT, internet
from tests.world.pki import Authority
from tests.world.tls_server import Behaviour, by_name, http_answer

pytestmark = pytest.mark.slow

NAME, HARMLESS = "wechat.test", "innocuous.test"
CA = Authority()
PAGE = http_answer("200 OK", b"x" * 80_000)
CONTEXT = CA.issue(NAME).context()
FAST = tls_server.tls(CONTEXT, lambda r: PAGE)
SMALL = tls_server.tls(CONTEXT, lambda r: http_answer("421 Misdirected Request", b"no"))
REFUSED = tls_server.alert(112)


class _OwnTime(SocketNetwork):
    """Its clock goes while this process computes or a server of ours makes wait, and stands while
    others have the processor: how fast a transfer looks does not depend on how busy they are."""

    waited = 0.0

    def clock_us(self) -> int:
        return int(1e6 * (time.process_time() + self.waited))

    async def connect(
        self, address: str, port: int, *, hops: int | None = None, narrow: bool = False
    ) -> Stream:
        assert not narrow, "a transfer would measure its own receive window"
        return await super().connect(address, port, hops=hops)


OWN_TIME = _OwnTime(guard=Guard(allow_private=True))


class _Narrow:
    """A socket that sends at most so many bytes a second, in even steps."""

    def __init__(self, inner: socket.socket, rate: int) -> None:
        self._inner, self._rate = inner, rate

    def sendall(self, payload: bytes) -> None:
        for at in range(0, len(payload), 2_000):
            piece = payload[at : at + 2_000]
            self._inner.sendall(piece)
            time.sleep(len(piece) / self._rate)
            OWN_TIME.waited += len(piece) / self._rate

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def narrow(rate: int = 150_000, behaviour: Behaviour = FAST) -> Behaviour:
    def behave(connection: socket.socket, first: bytes) -> None:
        behaviour(_Narrow(connection, rate), first)  # type: ignore[arg-type]

    return behave


async def measured(
    behaviour: Behaviour,
    *,
    mirror: Behaviour | None = FAST,
    mode: ThroughputMode = ThroughputMode.ON,
    answered: HTTPExchange | None = None,
    timeouts: Timeouts = PATIENT,
) -> list[Transfer]:
    """The transfers from 127.0.0.1, in order."""
    async with (
        tls_server.serve(mirror or FAST, "127.0.0.3") as reflector,
        tls_server.serve(behaviour) as server,
        internet({NAME: Address("127.0.0.1")}) as net,
    ):
        address = f"127.0.0.3:{reflector.port}" if mirror else ""
        run = net.run(
            Endpoint(host=NAME, port=server.port, protocol="https", trust=CA.pem),
            sni=SNIContrast(innocuous=HARMLESS, address=address),
            throughput=mode,
            lean=True,
            timeouts=replace(timeouts, transfer=60.0, silence=60.0),
            network=OWN_TIME,
        )
        await throughput.measure(run, "127.0.0.1", answered, 300)
    seen = run.observations
    assert all(o.purpose is Purpose.CONTRAST for o in seen if isinstance(o, TCPConnect))
    return [o for o in seen if isinstance(o, Transfer)]


def order(seen: list[Transfer]) -> list[tuple[str, str | None, int]]:
    return [(t.sni, t.contrast, t.turn) for t in seen]


OWN, OTHER = (NAME, None), (HARMLESS, Contrast.INNOCUOUS_NAME)
OURS = Contrast.REFLECTOR


async def test_a_fast_endpoint_costs_one_transfer():
    seen = await measured(FAST)
    assert order(seen) == [(*OWN, 0)]
    assert seen[0].purpose is Purpose.SUBJECT
    assert outcome(seen) is ThroughputOutcome.FINE


async def test_slow_by_name_is_paired_in_both_orders():
    seen = await measured(by_name({NAME: narrow()}, FAST))
    both = (OWN, OTHER, OTHER, OWN, OWN, OTHER, OTHER, OWN)
    assert order(seen) == [(*name, turn) for turn, name in enumerate(both)]
    assert outcome(seen) is ThroughputOutcome.SUSPECT
    assert all(t.address == "127.0.0.1" and PAIRED in t.evidence for t in seen)


async def test_a_line_that_is_slow_at_times_ends_the_pairs():
    """The first connection and the third are slow, whatever their name."""
    met: list[bytes] = []

    def uneven(connection: socket.socket, first: bytes) -> None:
        met.append(first)
        (narrow() if len(met) in (1, 3) else FAST)(connection, first)

    seen = await measured(uneven)
    assert [t.turn for t in seen] == [*range(6)]
    assert not undecided([seen[n] for n in (0, 3, 4)], [seen[n] for n in (1, 2, 5)])


async def test_slow_for_every_name_is_held_against_our_own_host():
    seen = await measured(narrow())
    assert order(seen) == [
        (*OWN, 0),
        (*OTHER, 1),
        (HARMLESS, OURS, 0),
        (*OTHER, 2),
        (HARMLESS, OURS, 1),
        (*OWN, 3),
        (HARMLESS, OURS, 2),
    ]
    assert outcome(seen) is ThroughputOutcome.SUSPECT
    assert seen[2].address == "127.0.0.3"


async def test_a_slow_line_ends_the_matter():
    seen = await measured(narrow(), mirror=narrow())
    assert order(seen) == [(*OWN, 0), (*OTHER, 1), (HARMLESS, OURS, 0)]
    assert outcome(seen) is ThroughputOutcome.SLOW


async def test_a_slow_line_without_a_host_of_ours():
    seen = await measured(narrow(), mirror=None)
    assert order(seen) == [(*OWN, 0), (*OTHER, 1)]


async def test_an_address_that_takes_no_other_name():
    both = by_name({NAME: narrow()}, REFUSED)
    seen = await measured(both, mirror=by_name({NAME: narrow()}, FAST))
    assert order(seen) == [
        (*OWN, 0),
        (HARMLESS, OURS, 0),
        (NAME, OURS, 1),
        (NAME, OURS, 2),
        (HARMLESS, OURS, 3),
        (HARMLESS, OURS, 4),
        (NAME, OURS, 5),
        (NAME, OURS, 6),
        (HARMLESS, OURS, 7),
        (*OWN, 1),
    ]


@pytest.mark.parametrize(
    ("mode", "took_us", "transfers"),
    [
        (ThroughputMode.OFF, 9_000_000, 0),
        (ThroughputMode.IF_SLOW, 9_000_000, 1),
        (ThroughputMode.IF_SLOW, 30_000, 0),
        (ThroughputMode.ON, 30_000, 1),
    ],
)
async def test_only_when_due(mode: ThroughputMode, took_us: int, transfers: int):
    asked = HTTPExchange(
        endpoint="e", address="127.0.0.1", port=443, host=NAME, took_us=took_us, status=200
    )
    assert len(await measured(FAST, mode=mode, answered=asked)) == transfers


async def test_a_service_that_gives_other_names_next_to_nothing():
    seen = await measured(by_name({NAME: narrow()}, SMALL), mirror=None)
    assert order(seen) == [(*OWN, 0), (*OTHER, 1)]


async def test_a_handshake_delayed_by_a_full_queue_is_tried_once_more():
    met: list[bytes] = []

    def queued(connection: socket.socket, first: bytes) -> None:
        met.append(first)
        (tls_server.silence if len(met) == 1 else FAST)(connection, first)

    assert order(await measured(queued, timeouts=SHORT)) == [(*OWN, 0)]
    assert len(met) == 2
    assert await measured(tls_server.reset) == []


@pytest.mark.parametrize(
    ("requests", "received", "path"),
    [(0, 70_000, "/bytes/1048576"), (3, 160_000, "/bytes/40000"), (1, 0, "/bytes/1")],
)
def test_our_host_sends_answers_as_large_as_the_services(requests: int, received: int, path: str):
    seen = Transfer(
        endpoint="e", address="127.0.0.1", port=443, sni=NAME,
        requests=requests, received_bytes=received,
    )  # fmt: skip
    assert throughput.bytes_path(seen) == path
