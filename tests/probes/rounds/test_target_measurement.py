"""One target in a round: its endpoints and addresses, and what one of them does to the others."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from probes.contrasts import throughput_schedule
from probes.contrasts.throughput_schedule import ThroughputOutcome
from probes.protocols import registry
from probes.rounds.last_failures import failed_endpoints
from probes.wire.measurement import (
    Role,
    Vantage,
)
from probes.wire.observation import (
    HANDED_OVER,
    Contrast,
    DNSLookup,
    Purpose,
    TCPConnect,
    Transfer,
)
from probes.wire.target import Endpoint, LivenessHost, Target
from tests.probes.rounds.test_round import CA, GOOD, LEAF, TABLE, alive, endpoint, run, target
from tests.world import tls_server
from tests.world.dns_server import Address
from tests.world.loopback import SHORT, internet
from tests.world.ports import free_port
from tests.world.tls_server import http_answer
from tests.world.waiting import HANG_SECONDS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("role", "repeats"), [(Role.VANTAGE, 0), (Role.CONTROL, 6)])
async def test_a_control_connects_more_often(role: Role, repeats: int):
    async with (
        tls_server.serve(GOOD) as server,
        internet(TABLE, liveness=alive(server.port)) as net,
    ):
        setup = net.setup(vantage=Vantage(country="RU", role=role))
        *_, measured = await run(
            net, [target("wechat/web", endpoint(server.port, protocol="tcp"))], setup=setup
        )
    connects = [o for o in measured.observations if isinstance(o, TCPConnect)]
    assert sum(o.contrast is Contrast.REPEAT for o in connects) == repeats


@pytest.mark.parametrize(
    ("role", "dialled"),
    [
        pytest.param(Role.CONTROL, {"127.0.0.1": False, "127.0.0.9": True}, id="control"),
        pytest.param(Role.VANTAGE, {"127.0.0.1": False}, id="vantage"),
    ],
)
async def test_only_a_control_dials_what_failed_elsewhere(role: Role, dialled: dict[str, bool]):
    port = free_port()
    async with (
        tls_server.serve(GOOD, port=port),  # 127.0.0.1 alone
        internet(TABLE, liveness=alive(port)) as net,
    ):
        one = endpoint(port)
        elsewhere = {("wechat/web", one.id): ("127.0.0.9", "127.0.0.1")}
        setup = net.setup(vantage=Vantage(country="RU", role=role))
        targets = [target("wechat/web", one)]
        *_, measured = await run(net, targets, setup=setup, handed_over=elsewhere)
    marks = {
        seen.address: HANDED_OVER in seen.evidence
        for seen in measured.observations
        if isinstance(seen, TCPConnect)
    }
    assert marks == dialled
    assert failed_endpoints(measured) == {one.id: 0}, "a server elsewhere is no failure of ours"


async def test_a_lean_round_dials_the_other_addresses_only_after_a_failure():
    table = TABLE | {"wechat.test": Address("127.0.0.1", "127.0.0.2")}
    port = free_port()
    async with (
        tls_server.serve(GOOD, port=port),
        internet(table) as net,
    ):
        dialled = []
        for number in range(2):
            seen = await run(
                net,
                [target("wechat/a", endpoint(port))],
                round_ms=1_795_521_600_000 + number * 60_000,
                lean=True,
            )
            subject = [
                o.address
                for o in seen[-1].observations
                if isinstance(o, TCPConnect) and o.contrast is None and o.purpose is Purpose.SUBJECT
            ]
            dialled.append(subject)
    # Only one of them answers: the round that takes the other one dials both.
    assert sorted(map(len, dialled)) == [1, 2]
    assert ["127.0.0.1"] in dialled


@pytest.mark.parametrize("hosts", [("alive.test",), ("alive.test", "other.test")])
async def test_a_lean_round_dials_a_target_over_one_family_and_liveness_over_both(hosts):
    """Without liveness over a family its failures accuse nobody. Several hosts share the work."""
    both = Address("127.0.0.1", "::1")
    table = TABLE | dict.fromkeys(("wechat.test", "alive.test", "other.test"), both)
    port = free_port()
    liveness = [
        LivenessHost(host=each, port=port, protocol="tls", scope="international", trust=CA.pem)
        for each in hosts
    ]
    async with (
        tls_server.serve(GOOD, port=port),
        tls_server.serve(GOOD, "::1", port),
        internet(table, liveness=tuple(liveness)) as net,
    ):
        found: dict[str, list[set[str]]] = {each: [] for each in (*hosts, "wechat.test")}
        for number in range(2):
            seen = await run(
                net,
                [target("wechat/a", endpoint(port))],
                round_ms=1_795_521_600_000 + number * 60_000,
                lean=True,
            )
            for name, dialled in found.items():
                made = [o for m in seen for o in m.observations if isinstance(o, TCPConnect)]
                dialled.append({o.address for o in made if o.endpoint.startswith(name)})
    for number in range(2):
        assert set.union(*(found[each][number] for each in hosts)) == {"127.0.0.1", "::1"}
        assert sum(len(found[each][number]) for each in hosts) == 2
    assert sorted(map(sorted, found["wechat.test"])) == [["127.0.0.1"], ["::1"]]


async def test_a_lean_round_measures_two_of_the_endpoints_that_are_alternatives():
    """All of them when they are new, and when one of the two fails."""
    async with tls_server.serve(GOOD) as server, internet(TABLE) as net:
        good = [endpoint(server.port, each) for each in ("wechat.test", "alive.test", "home.test")]
        dead = endpoint(free_port())

        async def measured(chat: Target, history: dict[str, int], number: int) -> set[str]:
            round_ms = 1_795_521_600_000 + number * 60_000
            seen = await run(net, [chat], round_ms=round_ms, history=history, lean=True)
            return {o.endpoint for o in seen[-1].observations}

        def every(*of: Endpoint) -> set[str]:
            return {each.id for each in of}

        chat, quiet = target("wechat/a", *good), {each.id: 0 for each in (*good, dead)}
        assert await measured(chat, {}, 0) == every(*good)
        rounds = [await measured(chat, quiet, number) for number in range(2)]
        assert [len(each) for each in rounds] == [2, 2]
        assert set.union(*rounds) == every(*good)
        assert await measured(chat, quiet | {good[0].id: 1}, 0) == every(*good)
        both = target("wechat/b", *good, combine="all_of")
        assert await measured(both, quiet, 0) == every(*good)
        mixed = target("wechat/c", *good[:2], dead)
        seen = [await measured(mixed, quiet, number) for number in range(3)]
        assert sorted(map(len, seen)) == [2, 3, 3]


@pytest.mark.parametrize(
    "hostile",
    [
        tls_server.silence,
        tls_server.drip(b"\x16\x03\x03\x40\x00\x02", 0.02),
        tls_server.tls(LEAF.context(), lambda r: b"HTTP/1.1 200 OK\r\n"),
    ],
)
async def test_an_endpoint_that_never_ends_does_not_hold_up_the_others(hostile):
    async with (
        tls_server.serve(hostile) as bad,
        tls_server.serve(GOOD) as good,
        internet(TABLE, timeouts=SHORT) as net,
    ):
        async with asyncio.timeout(HANG_SECONDS):
            emitted = await run(
                net,
                [
                    target("wechat/bad", endpoint(bad.port, protocol="https")),
                    target("wechat/good", endpoint(good.port)),
                ],
            )
    by_target = {m.target: m for m in emitted}
    assert set(by_target) == {"wechat/bad", "wechat/good"}
    assert any(o.failure == "generic_timeout_error" for o in by_target["wechat/bad"].observations)


async def test_the_deadline_of_an_endpoint_keeps_what_was_seen(caplog):
    async with tls_server.serve(tls_server.silence) as server, internet(TABLE) as net:
        setup = net.setup(timeouts=replace(SHORT, subject=60.0, endpoint=2.0))
        (cut,) = await run(net, [target("wechat/slow", endpoint(server.port))], setup=setup)
    assert "aborted after 2 s" in caplog.text
    assert [o.failure for o in cut.observations if isinstance(o, TCPConnect)] == [None]
    assert any(isinstance(o, DNSLookup) for o in cut.observations)


async def test_after_a_failure_a_lean_round_has_time_for_the_other_addresses(monkeypatch):
    """The first address, with all its contrasts, had left none to the third: the name that was
    silent everywhere was called blocked in part."""
    asked = []

    async def stuck(run):
        asked.append(run.addresses.lean)
        await asyncio.Event().wait()

    monkeypatch.setitem(registry.MEASURE, "tls", stuck)
    async with internet(TABLE) as net:
        setup = net.setup(timeouts=replace(SHORT, endpoint=0.05))
        await run(net, [target("wechat/a", endpoint(443))], setup=setup, lean=True)
    assert asked == [True, False]


async def test_unknown_protocol_is_skipped_with_a_warning(caplog):
    async with tls_server.serve(GOOD) as server, internet(TABLE) as net:
        (seen,) = await run(
            net,
            [
                target(
                    "wechat/mixed",
                    endpoint(server.port, protocol="warp"),
                    endpoint(server.port),
                    combine="all_of",
                )
            ],
        )
    assert "warp" in caplog.text
    assert [e.protocol for e in seen.endpoints] == ["warp", "tls"]
    assert {o.endpoint for o in seen.observations} == {f"wechat.test:{server.port}/tls"}
    assert seen.combine == "all_of"


async def test_a_bug_in_one_experiment_is_loud_and_alone(caplog, monkeypatch):
    async def broken(visit):
        raise KeyError("our bug")

    monkeypatch.setitem(registry.MEASURE, "broken", broken)
    async with tls_server.serve(GOOD) as server, internet(TABLE) as net:
        emitted = await run(
            net,
            [
                target("wechat/x", endpoint(server.port, protocol="broken")),
                target("wechat/y", endpoint(server.port)),
            ],
        )
    assert len(emitted) == 2
    errors = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 1
    assert errors[0].exc_info is not None


async def test_speed_is_looked_at_once_and_then_when_it_is_due(monkeypatch):
    # On a busy machine a transfer may look throttled, which would be a reason for more.
    monkeypatch.setattr(throughput_schedule, "outcome", lambda _: ThroughputOutcome.FINE)
    page = tls_server.tls(LEAF.context(), lambda r: http_answer("200 OK", b"x" * 80_000))
    async with (
        tls_server.serve(page) as server,
        internet(TABLE, liveness=alive(server.port)) as net,
    ):
        targets = [target("wechat/a", endpoint(server.port, protocol="https"))]
        setup = net.setup()

        async def transfers(round_ms: int, interval_ms: int) -> int:
            emitted = await run(
                net, targets, setup=setup, round_ms=round_ms, interval_ms=interval_ms
            )
            return sum(isinstance(o, Transfer) for m in emitted for o in m.observations)

        assert await transfers(1_795_521_600_000, 60_000) == 0
        assert await transfers(1_795_521_600_000 + 6 * 3_600_000, 60_000) == 1
        assert await transfers(1_795_521_660_000 + 6 * 3_600_000, 60_000) == 0
        assert await transfers(1_795_521_720_000, 0) == 1
