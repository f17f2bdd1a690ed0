"""Whole rounds on loopback: liveness, order, deadlines, and what a round must survive."""

from __future__ import annotations

import asyncio
import math
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection

import pytest

from probes.endpoint.timeouts import Timeouts
from probes.net.guard import Guard
from probes.net.network import Stream
from probes.net.socket_network import SocketNetwork
from probes.rounds.last_failures import dead_endpoints, failed_endpoints, repeated_endpoints
from probes.rounds.round import (
    CONCURRENCY,
    measure_retest,
    measure_round,
    new_places,
    round_bound_seconds,
)
from probes.rounds.round_plan import RoundPlan
from probes.wire.codec import decode, encode
from probes.wire.measurement import (
    LIVENESS_DOMESTIC,
    LIVENESS_INTERNATIONAL,
    Measurement,
    Vantage,
)
from probes.wire.observation import (
    LIVENESS_HOST,
    Contrast,
    DNSLookup,
    TLSHandshake,
    Transfer,
)
from probes.wire.target import Catalogue, Endpoint, LivenessHost, Service, Target
from tests.world import tls_server
from tests.world.dns_server import Address
from tests.world.loopback import Internet, internet
from tests.world.pki import Authority
from tests.world.ports import free_port
from tests.world.tls_server import http_answer
from tests.world.waiting import HANG_SECONDS

pytestmark = pytest.mark.slow

CA = Authority()
NAMES = ("wechat.test", "alive.test", "home.test", "other.test")
LEAF = CA.issue(*NAMES)
TABLE = {name: Address("127.0.0.1") for name in NAMES}
DATE = "Date: Tue, 24 Nov 2026 12:00:00 GMT\r\n"
GOOD = tls_server.tls(LEAF.context(), lambda r: http_answer("200 OK", b"ok", DATE))


def endpoint(port: int, host: str = "wechat.test", protocol: str = "tls") -> Endpoint:
    return Endpoint(host=host, port=port, protocol=protocol, trust=CA.pem)


def target(name: str, *endpoints: Endpoint, combine: str = "any_of") -> Target:
    return Target(id=name, endpoints=endpoints, combine=combine)


def alive(port: int) -> tuple[LivenessHost, ...]:
    def host(name: str, scope: str, country: str = "", protocol: str = "https") -> LivenessHost:
        return LivenessHost(
            host=name, port=port, protocol=protocol, scope=scope, country=country, trust=CA.pem
        )

    return (
        host("alive.test", "international"),
        host("127.0.0.1", "international", protocol="tcp"),
        host("home.test", "domestic", "RU"),
        host("other.test", "domestic", "FR"),
    )


async def run(net: Internet, targets, **options) -> list[Measurement]:
    emitted: list[Measurement] = []
    setup = options.pop("setup", None) or net.setup()
    rng, emit = options.pop("rng", random.Random(1)), options.pop("emit", emitted.append)
    values = {"round_ms": 1_795_521_600_000, "interval_ms": 60_000} | options
    await measure_round(setup, RoundPlan(targets=targets, **values), emit=emit, rng=rng)
    for measurement in emitted:
        assert decode(encode(measurement)) == measurement
    return emitted


async def test_a_round_has_liveness_first_and_every_target_once():
    async with (
        tls_server.serve(GOOD) as server,
        internet(TABLE, liveness=alive(server.port)) as net,
    ):
        targets = [target(f"wechat/{n}", endpoint(server.port)) for n in "abcdef"]
        emitted = await run(net, targets)
        orders = {
            tuple(m.target for m in await run(net, targets, rng=random.Random(n))) for n in range(3)
        }
    assert [m.target for m in emitted[:2]] == [LIVENESS_INTERNATIONAL, LIVENESS_DOMESTIC]
    assert sorted(m.target for m in emitted[2:]) == sorted(t.id for t in targets)
    assert len(orders) > 1
    assert {m.round for m in emitted} == {1_795_521_600_000}
    assert {m.interval_ms for m in emitted} == {60_000}
    assert {m.catalogue for m in emitted} == {"0123456789ab"}
    international, domestic = emitted[:2]
    assert international.combine == "most"
    assert {e.id for e in international.endpoints} == {
        f"alive.test:{server.port}/https",
        f"127.0.0.1:{server.port}/tcp",
    }
    assert [e.host for e in domestic.endpoints] == ["home.test"]
    offset = net.network.wall_ms() - 1_795_521_600_000
    assert all(abs((m.clock_offset_ms or 0) - offset) < 60_000 for m in emitted)
    for m in emitted:
        assert {o.failure for o in m.observations if not isinstance(o, DNSLookup)} == {None}
        assert [o.at_us for o in m.observations] == sorted(o.at_us for o in m.observations)
        assert {o.endpoint for o in m.observations} == {e.id for e in m.endpoints}


class Silent(SocketNetwork):
    """A network in which nothing answers at one port."""

    def __init__(self, port: int) -> None:
        super().__init__(guard=Guard(allow_private=True))
        self._port = port

    async def connect(
        self, address: str, port: int, *, hops: int | None = None, narrow: bool = False
    ) -> Stream:
        if port == self._port:
            raise TimeoutError  # as the time limit does
        return await super().connect(address, port, hops=hops)


class Waiting(Silent):
    """A network in which nothing answers at one port until so many wait for it, and a while."""

    def __init__(self, port: int, at_once: int) -> None:
        super().__init__(port)
        self._at_once, self._enough = at_once, asyncio.Event()
        self.waiting, self.most = Counter[str](), 0
        """By address; how many wait at once at most."""

    async def connect(
        self, address: str, port: int, *, hops: int | None = None, narrow: bool = False
    ) -> Stream:
        if port == self._port:
            self.waiting[address] += 1
            self.most = max(self.most, len(+self.waiting))
            if self.most >= self._at_once:
                self._enough.set()
            async with asyncio.timeout(HANG_SECONDS):
                await self._enough.wait()
            await asyncio.sleep(0.3)  # more would begin meanwhile
            self.waiting[address] -= 1
        return await super().connect(address, port, hops=hops)


@pytest.mark.parametrize(
    ("answers", "at_once"),
    [
        pytest.param(True, 2 * CONCURRENCY, id="others answer"),
        pytest.param(False, CONCURRENCY, id="it is unknown what is slow"),
    ],
)
async def test_more_is_measured_at_once_while_it_only_waits(
    monkeypatch: pytest.MonkeyPatch, answers: bool, at_once: int
) -> None:
    for name in ("LEAST_SECONDS", "LOOK_SECONDS"):
        monkeypatch.setattr(f"probes.endpoint.silence.{name}", 0.05)
    targets = [
        target(f"wechat/{n}", Endpoint(address=f"127.0.0.{n}", port=9, protocol="tcp"))
        for n in range(1, 1 + 2 * CONCURRENCY)
    ]
    network = Waiting(9, at_once)
    async with (
        tls_server.serve(GOOD) as server,
        internet(TABLE, liveness=alive(server.port) if answers else ()) as net,
    ):
        emitted = await run(net, targets, setup=net.setup(network=network))
    assert (network.most, len(emitted)) == (at_once, 2 * CONCURRENCY + 2 * answers)


async def test_no_measurement_tells_how_long_the_machine_has_run():
    """Uptime, and a clock that goes on over rounds, would be the mark of a machine."""
    async with (
        tls_server.serve(GOOD) as server,
        internet(TABLE, liveness=alive(server.port)) as net,
    ):
        rounds = []
        for _ in range(2):
            began = time.monotonic()
            rounds.append(await run(net, [target("wechat/web", endpoint(server.port))]))
            longest = (time.monotonic() - began) * 1e6
            offsets = [measured.monotonic_us for measured in rounds[-1]]
            assert all(0 <= offset <= longest for offset in offsets)
            assert max(offsets) > 0, "and yet the order within the round is there"
    assert time.monotonic() * 1e6 > 60e6, "a machine that has just started proves nothing"


async def test_hosts_of_liveness_are_reached_again_beside_what_is_silent():
    async with (
        tls_server.serve(GOOD) as server,
        internet(TABLE, liveness=alive(server.port)) as net,
    ):
        silent = target("wechat/web", endpoint(9, protocol="tcp"))
        setup = net.setup(network=Silent(9))
        *liveness, measured = await run(net, [silent], setup=setup)
    again = [o for o in measured.observations if LIVENESS_HOST in o.evidence]
    assert [(o.port, o.failure) for o in again] == [(server.port, None)] * 3
    assert not any(LIVENESS_HOST in o.evidence for m in liveness for o in m.observations)


async def test_no_domestic_liveness_for_another_country():
    async with (
        tls_server.serve(GOOD) as server,
        internet(TABLE, liveness=alive(server.port)) as net,
    ):
        setup = net.setup(vantage=Vantage())
        seen = await run(net, [], setup=setup)
    assert [m.target for m in seen] == [LIVENESS_INTERNATIONAL]


@pytest.mark.parametrize("seed", range(2))
async def test_what_others_wait_for_is_next_also_when_they_ask_in_the_middle_of_the_round(
    monkeypatch: pytest.MonkeyPatch, seed: int
):
    for name in ("CONCURRENCY", "LISTENING"):
        monkeypatch.setattr(f"probes.rounds.round.{name}", 1)
    names = [f"wechat/{n}" for n in range(8)]
    urgent, emitted = {names[5]}, list[str]()

    def emit(measurement: Measurement) -> None:
        emitted.append(measurement.target)
        if len(emitted) == 3:
            urgent.add(max(set(names).difference(emitted)))

    async with tls_server.serve(GOOD) as server, internet(TABLE) as net:
        targets = [target(name, endpoint(server.port)) for name in names]
        await run(net, targets, urgent=urgent, emit=emit, rng=random.Random(seed))
    assert emitted[0] == names[5]
    assert emitted[3] in urgent
    assert sorted(emitted) == names


async def test_names_are_resolved_once_a_round():
    async with tls_server.serve(GOOD) as server, internet(TABLE) as net:
        await run(net, [target(f"wechat/{n}", endpoint(server.port)) for n in "abcd"])
        assert sorted(q[2] for q in net.system.seen) == ["A", "AAAA"]


async def test_a_new_failure_brings_in_the_other_functions_of_its_service():
    async with tls_server.serve(GOOD) as server, internet(TABLE) as net:
        broken = target("wechat/a", endpoint(free_port()))
        others = [
            target("wechat/b", endpoint(server.port)),
            target("line/b", endpoint(server.port)),
        ]
        first = await run(
            net,
            [broken],
            reserve=others,
            intervals={"wechat/a": 240_000, "wechat/b": 240_000},
            intervals_after_failure={"wechat/a": 60_000},
        )
        assert [(m.target, m.interval_ms) for m in first[-2:]] == [
            ("wechat/a", 60_000),
            ("wechat/b", 240_000),
        ]
        # It is no news any more.
        again = await run(net, [broken], reserve=others, history=failed_endpoints(first[-2]))
        assert again[-1].target == "wechat/a"


async def test_emit_may_be_a_coroutine():
    kept: list[Measurement] = []

    async def keep(measurement: Measurement) -> None:
        await asyncio.sleep(0)
        kept.append(measurement)

    async with tls_server.serve(GOOD) as server, internet(TABLE) as net:
        await run(net, [target("wechat/a", endpoint(server.port))], emit=keep)
    assert [m.target for m in kept] == ["wechat/a"]


async def test_a_round_ends_within_its_bound(caplog, monkeypatch):
    monkeypatch.setattr("probes.rounds.round.CONCURRENCY", 2)
    timeouts = Timeouts(dns=0.2, window=0.05, subject=0.3, contrast=0.1, endpoint=0.5, round=1.0)
    async with tls_server.serve(tls_server.silence) as server, internet(TABLE) as net:
        targets = [target(f"wechat/{n}", endpoint(server.port)) for n in range(40)]
        bound = round_bound_seconds(net.catalogue, targets, timeouts=timeouts)
        async with asyncio.timeout(HANG_SECONDS):
            emitted = await run(net, targets, setup=net.setup(timeouts=timeouts))
    assert bound < 4
    assert len(emitted) < 40
    assert "the time limit of the round was reached" in caplog.text


def test_bound_is_that_of_the_work_or_of_the_limit():
    few = Catalogue(version="x", services=())
    assert round_bound_seconds(few, []) == 0
    one = [target("wechat/a", endpoint(443))]
    assert round_bound_seconds(few, one, lean=True) > round_bound_seconds(few, one)
    one = [target("a/b", endpoint(443))]
    assert round_bound_seconds(few, one) == 2 * 60 + 18
    assert round_bound_seconds(few, one * 1000) == 600 + 78
    assert round_bound_seconds(few, one * 1000, limit_seconds=100) == 178
    whole = Catalogue(version="x", services=(Service(id="a", name="A", targets=tuple(one)),))
    assert round_bound_seconds(whole) == 2 * 60 + 18


async def test_a_retest_sends_the_name_once_with_contrasts_and_a_failure_reverses_the_order():
    interference = tls_server.by_name({"wechat.test": tls_server.reset}, otherwise=GOOD)
    async with tls_server.serve(interference) as server, internet(TABLE) as net:
        one = target("wechat/a", endpoint(server.port))
        (again,) = await run_again(net, [one])
        assert server.names == ["wechat.test", "innocuous.test"]
        assert again.retest
        assert _remarks(again) == [()], "a technique can be named"
        history = failed_endpoints(again)
        assert list(history) == [endpoint(server.port).id]
        assert history[endpoint(server.port).id] >= again.started
        server.hellos.clear()
        (soon,) = await run(net, [one], history=history)
        assert server.names[0] == "innocuous.test"
        assert _remarks(soon) == [("after_trigger",)]
        history = {id: failed - 181_000 for id, failed in history.items()}
        (later,) = await run(net, [one], history=history)
        assert _remarks(later) == [()]
        server.hellos.clear()
        (retest,) = await run_again(net, [one], history)
        assert server.names == ["innocuous.test", "wechat.test"]
        assert _remarks(retest) == [()]


def _subjects(measurement: Measurement) -> dict[str, str | None]:
    """By address how the handshake with the service's name ended."""
    return {
        o.address: o.failure
        for o in measurement.observations
        if isinstance(o, TLSHandshake) and o.contrast is None
    }


async def test_a_brief_round_shows_with_one_address_that_a_block_goes_on():
    addresses = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
    resets = tls_server.by_name({"wechat.test": tls_server.reset}, otherwise=GOOD)
    async with (
        tls_server.serve(resets) as first,
        tls_server.serve(resets, addresses[1], port=first.port),
        tls_server.serve(resets, addresses[2], port=first.port),
        internet(TABLE | {"wechat.test": Address(*addresses)}) as net,
    ):
        chosen = [target("wechat/a", endpoint(first.port))]
        (whole,) = await run(net, chosen, lean=True)
        assert set(_subjects(whole)) == set(addresses)
        known = {"history": failed_endpoints(whole), "dead": dead_endpoints(whole)}
        assert repeated_endpoints(whole) == dead_endpoints(whole)
        (brief,) = await run(net, chosen, lean=True, **known)
        assert not repeated_endpoints(brief)
        assert list(_subjects(brief).values()) == ["connection_reset"]
        assert dead_endpoints(brief) == dead_endpoints(whole)
        assert [o.contrast for o in brief.observations if isinstance(o, TLSHandshake)] == [
            Contrast.INNOCUOUS_NAME,
            None,
        ]
        (partly,) = await run(net, chosen, lean=True, brief=True, history=known["history"], dead=())
        assert set(_subjects(partly)) == set(addresses), "where a part worked all are dialled"


async def test_a_round_that_has_carried_much_contrasts_what_begins_to_fail_once():
    addresses = ("127.0.0.1", "127.0.0.2")
    resets = tls_server.by_name({"wechat.test": tls_server.reset}, otherwise=GOOD)
    async with (
        tls_server.serve(resets) as first,
        tls_server.serve(resets, addresses[1], port=first.port),
        internet(TABLE | {"wechat.test": Address(*addresses)}) as net,
    ):
        seen = {}
        for most in (math.inf, -1):
            chosen = [target("wechat/a", endpoint(first.port))]
            (measured,) = await run(net, chosen, lean=True, thorough_bytes=most)
            assert set(_subjects(measured)) == set(addresses), "a change never rests on one"
            handshakes = [o for o in measured.observations if isinstance(o, TLSHandshake)]
            seen[most] = Counter(o.contrast for o in handshakes if o.contrast is not None)
    assert seen[-1] == {Contrast.INNOCUOUS_NAME: 1}
    assert seen[math.inf][Contrast.INNOCUOUS_NAME] == 2
    assert seen[math.inf][Contrast.REPEAT]


async def test_a_brief_round_dials_every_address_once_one_works_again():
    addresses = ("127.0.0.1", "127.0.0.2")
    async with (
        tls_server.serve(GOOD) as first,
        tls_server.serve(GOOD, addresses[1], port=first.port),
        internet(TABLE | {"wechat.test": Address(*addresses)}) as net,
    ):
        one = endpoint(first.port)
        (again,) = await run(
            net,
            [target("wechat/a", one)],
            lean=True,
            history={one.id: 1},
            dead=(one.id,),
        )
        assert _subjects(again) == dict.fromkeys(addresses)
        assert dead_endpoints(again) == set()


async def test_where_one_address_works_again_the_others_are_examined():
    addresses = ("127.0.0.1", "127.0.0.2")
    async with (
        tls_server.serve(GOOD) as first,
        tls_server.serve(tls_server.reset, addresses[1], port=first.port),
        internet(TABLE | {"wechat.test": Address(*addresses)}) as net,
    ):
        one = endpoint(first.port)
        for interval in (0, 1):  # the address of the first try is another each time
            (partly,) = await run(
                net,
                [target("wechat/a", one)],
                lean=True,
                round_ms=1_795_521_600_000 + 60_000 * interval,
                history={one.id: 1},
                dead=(one.id,),
            )
            seen = _subjects(partly)
            if seen.get(addresses[0], "") is None:
                assert seen == {addresses[0]: None, addresses[1]: "connection_reset"}
                assert repeated_endpoints(partly) == {one.id}
            else:
                assert seen == {addresses[1]: "connection_reset"}


async def run_again(
    net: Internet,
    targets: list[Target],
    history: dict[str, int] | None = None,
    throughput: Collection[str] = (),
) -> list[Measurement]:
    emitted: list[Measurement] = []
    plan = RoundPlan(
        targets=targets,
        round_ms=120_000,
        interval_ms=60_000,
        history=history or {},
        throughput=throughput,
    )
    rng, shared = random.Random(1), new_places()
    await measure_retest(net.setup(), plan, emit=emitted.append, rng=rng, shared=shared)
    return emitted


def _remarks(measurement: Measurement) -> list[tuple[str, ...]]:
    """What stands beside the innocuous name."""
    return [
        o.evidence
        for o in measurement.observations
        if isinstance(o, TLSHandshake) and o.contrast is Contrast.INNOCUOUS_NAME
    ]


async def test_a_retest_comes_with_liveness():
    async with tls_server.serve(GOOD) as server, internet(TABLE, liveness=alive(1)) as net:
        targets = [target(f"wechat/{n}", endpoint(server.port)) for n in "ab"]
        emitted = await run_again(net, targets)
    assert [(m.target, m.retest) for m in emitted] == [
        ("liveness/international", False),
        ("liveness/domestic", False),
        ("wechat/a", True),
        ("wechat/b", True),
    ]
    assert {(m.round, m.interval_ms) for m in emitted} == {(120_000, 60_000)}
    assert server.names == ["wechat.test", "wechat.test"]


async def test_an_offline_machine_is_measured_quickly():
    port = free_port()
    async with internet({}, liveness=alive(port)) as net:
        emitted = await run(net, [target("wechat/a", endpoint(port))])
    international = emitted[0]
    assert {o.failure for o in international.observations} == {
        "dns_nxdomain_error",
        "connection_refused",
    }
    assert not any(isinstance(o, TLSHandshake) for m in emitted for o in m.observations)
    # No host could be connected to: the target is measured, and nobody else is asked about it.
    assert {o.resolver for o in emitted[-1].observations} == {"system"}


_LOSS = """
import asyncio, random, sys
import dataclasses
from msgspec.structs import replace
from probes.endpoint.timeouts import Timeouts
from probes.rounds.round import measure_round
from probes.rounds.round_plan import RoundPlan
from probes.wire.observation import HTTPExchange, Purpose
from tests.probes.rounds.test_round import DATE, GOOD, endpoint, target
from tests.world import tls_server
from tests.world.dns_server import Address
from tests.world.ports import free_port
from tests.world.loopback import internet

async def main():
    timeouts = dataclasses.replace(Timeouts(), window=0.2)
    emitted = []
    table = {"wechat.test": Address("127.0.0.1")}
    async with tls_server.serve(GOOD) as server, internet(table) as net:
        one = endpoint(server.port, protocol="https")
        targets = [target(f"wechat/{n}", one) for n in range(16)]
        plan = RoundPlan(targets=targets, round_ms=0, interval_ms=0)
        setup = net.setup(timeouts=timeouts)
        await measure_round(setup, plan, emit=emitted.append, rng=random.Random(1))
    failed = {  # all targets share one lookup, which is one failure
        repr(replace(o, endpoint="")) for m in emitted for o in m.observations
        if o.failure and o.purpose is Purpose.SUBJECT and getattr(o, "qtype", "") != "AAAA"
    }
    reached = [m for m in emitted if any(
        isinstance(o, HTTPExchange) and o.status == 200 for o in m.observations)]
    print(len(emitted), len(reached), len(failed))
asyncio.run(main())
"""
_LOSSY = """
set -e
ip link set lo up
nft 'add table inet c; add chain inet c i { type filter hook input priority 0; }'
nft 'add rule inet c i numgen random mod 100 < 10 drop'
exec "$0" -c "$1"
"""


@pytest.mark.lab
@pytest.mark.needs("iproute2", "nftables")
def test_a_tenth_of_the_packets_lost_does_not_look_like_blocking():
    run = subprocess.run(
        ["unshare", "-n", "bash", "-c", _LOSSY, sys.executable, _LOSS],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=True,
    )
    assert run.stdout.split()[:2] == ["16", "16"]
    # By chance: two of 36 rounds had one.
    assert int(run.stdout.split()[2]) <= 4


async def test_a_retest_measures_the_throughput_of_what_looks_throttled():
    page = tls_server.tls(LEAF.context(), lambda r: http_answer("200 OK", b"x" * 80_000))
    async with (
        tls_server.serve(page) as server,
        internet(TABLE, liveness=alive(server.port)) as net,
    ):
        targets = [
            target(f"wechat/{n}", endpoint(server.port, protocol="https")) for n in ("a", "b")
        ]
        emitted = await run_again(net, targets, throughput={"wechat/a"})
    measured = {m.target for m in emitted if any(isinstance(o, Transfer) for o in m.observations)}
    assert measured == {"wechat/a"}
