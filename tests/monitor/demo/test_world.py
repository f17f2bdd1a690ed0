"""The whole simulated internet, through real sockets and through the ordinary probe."""

from __future__ import annotations

import asyncio
import io
import json
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.message
import pytest

from monitor.commands.judge import judge_files
from monitor.demo import plan
from monitor.demo.world import (
    DEFAULT,
    TECHNIQUES,
    DemoBlock,
    DemoVantage,
    World,
    parse_block,
)
from probes.catalogue.load import load
from probes.catalogue.selection import select
from probes.cli.once import open_network, software
from probes.endpoint.timeouts import Timeouts
from probes.rounds.round import measure_round
from probes.rounds.round_plan import RoundPlan, Setup
from probes.wire.codec import encode
from probes.wire.measurement import Measurement, Role, Vantage
from probes.wire.observation import Contrast, Purpose, TLSHandshake


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World() as world:
        yield world


def _block(text: str) -> DemoBlock:
    block = parse_block(text)
    assert block is not None
    return block


async def ask(vantage: DemoVantage, name: str, timeout: float = 60.0) -> dns.message.Message:
    address, _, port = vantage.resolver.partition(":")
    return await dns.asyncquery.udp(
        dns.message.make_query(name, "A"), address, timeout, int(port), vantage.bind
    )


def addresses(message: dns.message.Message) -> list[str]:
    return [item.to_text() for rrset in message.answer for item in rrset]


async def test_nine_vantages_and_a_control(world: World) -> None:
    assert len(world.vantages) == 10
    assert [v.asn for v in world.vantages] == [*[64501] * 3, *[64502] * 3, *[64503] * 3, 64510]
    assert [v.role for v in world.vantages] == ["vantage"] * 9 + ["control"]
    assert len({v.bind for v in world.vantages} | {v.label for v in world.vantages}) == 20
    for vantage in world.vantages:
        assert addresses(await ask(vantage, "web.wechat.test")) == [
            world.addresses["web.wechat.test"]
        ]


async def test_a_dns_block_is_seen_from_its_network_only_and_is_lifted(world: World) -> None:
    world.block(_block("signal:64502:dns.nxdomain"))
    rcodes = [(await ask(v, "chat.signal.test")).rcode() for v in world.vantages]
    assert rcodes == [0] * 3 + [3] * 3 + [0] * 4
    assert (await ask(world.vantages[3], "web.wechat.test")).rcode() == 0
    world.lift()
    assert (await ask(world.vantages[3], "chat.signal.test")).rcode() == 0


async def test_forged_answers_lead_where_they_should(world: World) -> None:
    inside = world.vantages[0]
    for technique, expected in (
        ("blockpage", world.addresses[plan.BLOCK_PAGE_HOST]),
        ("other", world.addresses[plan.PARKED]),
        ("bogon", plan.BOGON),
    ):
        world.block(_block(f"linkedin:64501:dns.injection.{technique}"))
        assert addresses(await ask(inside, "www.linkedin.test")) == [expected]


async def test_the_silent_address_is_silent(world: World) -> None:
    (silent,) = load(world.catalogue_dir).silent
    address, _, port = silent.address.partition(":")
    query = dns.message.make_query("web.wechat.test", "A")
    with pytest.raises(dns.exception.Timeout):
        await dns.asyncquery.udp(query, address, 0.2, int(port))


async def test_the_reference_resolvers_answer_over_tcp_and_dot(world: World) -> None:
    world.block(_block("wechat:64501:dns.refused"))
    source = world.vantages[0].bind
    catalogue = load(world.catalogue_dir)
    plain, encrypted = catalogue.resolvers
    query = dns.message.make_query("web.wechat.test", "A")
    address, _, port = plain.udp.partition(":")
    over_tcp = await dns.asyncquery.tcp(query, address, 60.0, int(port), source)
    assert addresses(over_tcp) == [world.addresses["web.wechat.test"]]
    address, _, port = encrypted.dot.partition(":")
    over_tls = await dns.asyncquery.tls(
        query,
        address,
        60.0,
        int(port),
        source,
        ssl_context=ssl.create_default_context(cadata=encrypted.dot_trust),
        server_hostname=encrypted.dot_name,
    )
    assert addresses(over_tls) == [world.addresses["web.wechat.test"]]


async def test_two_worlds_stand_side_by_side_and_leave_nothing(world: World) -> None:
    async with World() as other:
        folder = other.catalogue_dir
        assert folder != world.catalogue_dir
        for each in (world, other):
            assert addresses(await ask(each.vantages[0], "web.wechat.test"))
    assert not folder.parent.exists()
    with pytest.raises(RuntimeError, match="not up"):
        other.lift()


async def _shakes(world: World) -> bool:
    catalogue = load(world.catalogue_dir)
    endpoint = next(t for t in catalogue.targets if t.id == "wechat/web").endpoints[0]
    try:
        _, writer = await asyncio.open_connection(
            world.addresses[endpoint.host],
            endpoint.port,
            ssl=ssl.create_default_context(cadata=endpoint.trust),
            server_hostname=endpoint.host,
            local_addr=(world.vantages[0].bind, 0),
        )
    except ConnectionResetError:
        return False
    writer.close()
    return True


PATIENT = Timeouts(dns=60.0, subject=60.0, contrast=60.0, transfer=60.0, endpoint=600.0)
"""All probes and servers of a test share one event loop, so that a lookup can take seconds. Here
only what waits for silence keeps its limit."""


async def _measured(directory: Path, vantage: DemoVantage) -> list[Measurement]:
    """What the ordinary probe sees from a vantage in one round."""
    network, system = open_network(vantage.bind, vantage.resolver, allow_private=True)
    catalogue = select(load(directory), services=["wechat"])
    seen: list[Measurement] = []
    setup = Setup(
        network,
        catalogue,
        Vantage(country=vantage.country, asn=vantage.asn, role=Role(vantage.role)),
        software(),
        probe="p-0123456789abcdef",
        system=system,
        timeouts=PATIENT,
    )
    await measure_round(
        setup,
        RoundPlan(targets=catalogue.targets, round_ms=network.wall_ms(), interval_ms=0),
        emit=seen.append,
        rng=random.Random(),
    )
    return seen


@pytest.mark.slow
async def test_the_ordinary_probe_sees_the_block_and_the_control_does_not(world: World) -> None:
    world.block(DEFAULT)
    chosen = (world.vantages[0], world.vantages[3], world.vantages[-1])
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_measured(world.catalogue_dir, v)) for v in chosen]
    for vantage, task in zip(chosen, tasks, strict=True):
        seen = {measurement.target: measurement for measurement in task.result()}
        assert {"wechat/messaging", "wechat/web", "wechat/shortlink"} < set(seen)
        assert ("liveness/domestic" in seen) == (vantage.country == "RU")
        shakes = [o for o in seen["wechat/web"].observations if isinstance(o, TLSHandshake)]
        subject = [o.failure for o in shakes if o.purpose is Purpose.SUBJECT]
        if vantage.asn != DEFAULT.asn:
            assert subject == [None]
            continue
        assert subject == ["connection_reset"]
        by_contrast = {o.contrast: o.failure for o in shakes if o.contrast}
        assert by_contrast[Contrast.INNOCUOUS_NAME] is None
        assert by_contrast[Contrast.REFLECTOR] == "connection_reset"
        for target in ("wechat/messaging", "wechat/shortlink", "liveness/international"):
            for each in seen[target].observations:
                assert getattr(each, "step", "") != "tls" or not getattr(each, "failure", None)


async def _seen(world: World) -> tuple[list[Measurement], list[Measurement]]:
    """What the ordinary probe measures within the block, and what the control does."""
    async with asyncio.TaskGroup() as group:
        subject, control = (
            group.create_task(_measured(world.catalogue_dir, world.vantages[place]))
            for place in (0, -1)
        )
    return subject.result(), control.result()


def _judged(
    subject: list[Measurement], control: list[Measurement]
) -> dict[str, tuple[str, str | None]]:
    """State and technique of each target, by the ordinary judge."""
    out, err = io.StringIO(), io.StringIO()
    lines, beside = ([encode(m) for m in each] for each in (subject, control))
    assert judge_files(lines, beside, 300, True, out, err) == 0, err.getvalue()
    verdicts = [json.loads(line) for line in out.getvalue().splitlines()]
    return {verdict["target"]: (verdict["state"], verdict["technique"]) for verdict in verdicts}


async def _told(names: list[str]) -> dict[str, dict[str, tuple[str, str | None]]]:
    """What is judged of WeChat under each technique."""
    async with AsyncExitStack() as stack:
        worlds = [await stack.enter_async_context(World()) for _ in names]
        for name, world in zip(names, worlds, strict=True):
            world.block(DemoBlock("wechat", 64501, name))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_seen(world)) for world in worlds]
    return {name: _judged(*task.result()) for name, task in zip(names, tasks, strict=True)}


@pytest.mark.slow
async def test_every_technique_that_is_offered_is_told_by_the_judge() -> None:
    # Those that end in silence are told as well, but take a probe half a minute each.
    quick = [name for name in TECHNIQUES if "timeout" not in name]
    told = {}
    for batch in (quick[:7], quick[7:14], quick[14:]):
        told |= await _told(batch)
    for name, verdicts in told.items():
        assert set(verdicts.values()) - {("ok", None)} == {("blocked", name)}, (name, verdicts)
        target = "wechat/shortlink" if name.startswith("http.") else "wechat/web"
        assert verdicts[target][0] == "blocked"


async def test_a_prefix_can_be_given() -> None:
    async with World(1, prefix="127.200.77") as world:
        assert {address.rpartition(".")[0] for address in world.addresses.values()} == {
            "127.200.77"
        }
