"""What a round and a retest leave behind in status, history and delivery."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import replace as setup_replace
from pathlib import Path

import pytest
from msgspec.structs import replace

from probes.catalogue.load import load
from probes.rounds.retests import PlannedRetest
from probes.rounds.round_plan import RoundPlan, Setup
from probes.rounds.scheduler import NextRound
from probes.wire.measurement import (
    LIVENESS_INTERNATIONAL,
    Measurement,
    Role,
    Vantage,
    service_of,
)
from probes.wire.observation import Contrast, Purpose
from probes.wire.retest import FailedAddresses, Retest
from probes.wire.target import Endpoint, Service, Target
from tests.probes.daemon.in_process import agent_here
from tests.probes.delivery.test_spool import draft

Emit = Callable[[Measurement], Awaitable[None]]
ASKED = Retest(targets=(), round=0, interval_ms=60_000)
COMING = NextRound(round_ms=1_800_000, start_ms=1_800_000, interval_ms=1_800_000)


class Rounds:
    """Takes the place of the rounds that measure: emits what it is told, keeps the plans."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.plans: list[RoundPlan] = []
        self.emits: list[Measurement] = []
        for name in ("measure_round", "measure_retest"):
            monkeypatch.setattr(f"probes.daemon.round_runner.{name}", self._measure)

    async def _measure(self, setup: Setup, plan: RoundPlan, *, emit: Emit, **_: object) -> None:
        self.plans.append(plan)
        for measurement in self.emits:
            await emit(measurement)


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Rounds:
    return Rounds(monkeypatch)


async def test_a_round_goes_into_the_status(tmp_path: Path, rounds: Rounds) -> None:
    agent = agent_here(tmp_path / "s")
    liveness = replace(draft(), target=LIVENESS_INTERNATIONAL, clock_offset_ms=7)
    rounds.emits = [liveness, draft(failure="connection_refused")]
    await agent._runner.run(COMING)
    status = agent._keeper.status
    assert (status.last_round_ms, status.last_round_failed) == (1_800_000, 1)
    assert (status.offline, status.no_certificates, status.clock_offset_ms) == (False, False, 7)
    assert (status.taken, agent._runner.rounds) == (2, 1)
    assert agent._runner.unfinished == set()
    rounds.emits = [replace(draft(failure="generic_timeout_error"), target=LIVENESS_INTERNATIONAL)]
    await agent._runner.run(COMING)
    assert agent._keeper.status.offline
    await agent._spool.close()


async def test_only_the_first_round_of_a_lean_probe_measures_everything(
    tmp_path: Path, rounds: Rounds
) -> None:
    agent = agent_here(tmp_path / "s")
    for _ in range(2):
        await agent._runner.run(COMING)
    first, second = rounds.plans
    every = agent._runner.setup.catalogue.targets
    assert (tuple(first.targets), list(first.reserve)) == (every, [])
    due = agent._runner.profile.due(COMING.round_ms, COMING.interval_ms, None, {})
    assert tuple(second.targets) == due
    assert {*second.targets, *second.reserve} == set(every)
    assert (second.lean, second.limit_seconds) == (True, 600.0)
    await agent._spool.close()


async def test_new_failures_hurry_a_few_times(
    tmp_path: Path, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = agent_here(tmp_path / "s")
    hurried: list[bool] = []
    monkeypatch.setattr(agent._runner._outbox, "hurry", lambda: hurried.append(True))
    failed = draft(failure="connection_refused")
    (connect,) = failed.observations
    rounds.emits = [
        replace(failed, observations=(replace(connect, endpoint=f"e{n}"),)) for n in range(5)
    ]
    await agent._runner.run(COMING)
    assert len(hurried) == 3
    await agent._runner.run(COMING)
    assert len(hurried) == 3, "it failed in the round before"
    await agent._spool.close()


async def test_over_a_debt_a_round_is_brief_about_what_was_dead_in_the_one_before(
    tmp_path: Path, rounds: Rounds
) -> None:
    agent = agent_here(tmp_path / "s")
    rounds.emits = [draft(failure="connection_refused")]
    await agent._runner.run(COMING, 1, 7.0)
    rounds.emits = [draft()]
    await agent._runner.run(COMING, 1, 3.0, brief=True)
    await agent._runner.run(COMING, 1, 3.0, brief=True)
    (endpoint,) = {seen.endpoint for seen in rounds.emits[0].observations}
    told = [(plan.brief, set(plan.dead), plan.thorough_bytes) for plan in rounds.plans]
    assert told == [(False, set(), 7.0), (True, {endpoint}, 3.0), (True, set(), 3.0)]
    await agent._spool.close()


@pytest.mark.parametrize(
    ("hours", "thorough_bytes", "full", "shown"),
    [
        pytest.param(0.5, 7.0, False, True, id="examined lately"),
        pytest.param(8.5, 7.0, False, False, id="examined long ago"),
        pytest.param(0.5, math.inf, False, False, id="without a budget"),
        pytest.param(0.5, 7.0, True, False, id="everything in every round"),
    ],
)
async def test_what_is_dead_and_was_examined_lately_is_briefly_shown(
    tmp_path: Path,
    rounds: Rounds,
    hours: float,
    thorough_bytes: float,
    full: bool,
    shown: bool,
) -> None:
    agent = agent_here(tmp_path / "s", full=full)
    failed = draft(failure="connection_refused")
    (connect,) = failed.observations
    repeat = replace(connect, contrast=Contrast.REPEAT, purpose=Purpose.CONTRAST)
    rounds.emits = [replace(failed, observations=(connect, repeat))]
    await agent._runner.run(COMING, 1, 7.0)
    rounds.emits = [failed]
    later = replace(COMING, round_ms=COMING.round_ms + int(hours * 3_600_000))
    await agent._runner.run(later, 1, thorough_bytes)
    assert set(rounds.plans[1].dead) == ({connect.endpoint} if shown else set())
    await agent._spool.close()


async def test_a_retest_is_remembered_and_charged(
    tmp_path: Path, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = agent_here(tmp_path / "s")
    charged: list[float] = []
    monkeypatch.setattr(
        agent._rounds._budget,
        "spend_retest",
        lambda spent, targets: charged.extend((spent, targets)),
    )
    (target, *_) = agent._runner.setup.catalogue.targets
    failed = draft(failure="connection_refused")
    (endpoint, *_) = target.endpoints
    (connect,) = failed.observations
    rounds.emits = [replace(failed, observations=(replace(connect, endpoint=endpoint.id),))]
    planned = PlannedRetest((target,), 60_000, 60_000, 0, 0, 1, frozenset({target.id}))
    await agent._runner.run_retest(planned)
    (plan,) = rounds.plans
    assert (plan.targets, plan.round_ms, plan.throughput) == ((target,), 60_000, {target.id})
    assert plan.lean, "liveness costs no more than in a round"
    assert agent._runner.failing() == {target.id: 1000}
    assert charged[0] > 0
    assert charged[1] == 1
    assert agent._runner.rounds == 0
    await agent._spool.close()


@pytest.mark.parametrize("role", Role)
async def test_whatever_a_broker_asks_only_a_control_tries_addresses_of_others(
    tmp_path: Path, rounds: Rounds, role: Role
) -> None:
    agent = agent_here(tmp_path / "s")
    runner = agent._runner
    runner.setup = setup_replace(runner.setup, vantage=Vantage(role=role))
    runner.locate(Vantage(country="RU", asn=64501))
    assert runner.setup.vantage == Vantage(country="RU", asn=64501, role=role)
    named = Endpoint(host="wechat.test", port=443, protocol="tls")
    target = Target(id="wechat/web", endpoints=(named,))
    service = Service(id="wechat", name="WeChat", targets=(target,))
    runner.use(replace(runner.setup.catalogue, services=(service,)))
    key = target.id, named.id
    failed = FailedAddresses(target=key[0], endpoint=key[1], addresses=("192.0.2.1",))
    agent._rounds.offer_retest(
        Retest(targets=(target.id,), round=0, interval_ms=60_000, failed=(failed,))
    )
    await runner.run(COMING)
    await runner.run_retest(PlannedRetest((target,), 60_000, 60_000, 0, 0, 60_000))
    expected = {key: ("192.0.2.1",)} if role is Role.CONTROL else {}
    assert [plan.handed_over for plan in rounds.plans] == [expected, expected]
    await agent._spool.close()


async def test_what_a_round_in_progress_has_shown_counts_for_requests_that_come_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = agent_here(tmp_path / "s")
    runner = agent._runner
    runner.use(load(None))
    runner.rounds = 1  # so that not everything is due
    told: list[tuple[set[str], dict[str, int]]] = []

    async def measure(setup: Setup, plan: RoundPlan, *, emit: Emit, **_: object) -> None:
        told.append((set(runner.unfinished), runner.failing()))
        waited_for = plan.targets[0].id
        agent._rounds.offer_retest(replace(ASKED, targets=(waited_for, "x/y")))
        assert plan.urgent == {waited_for}
        failed = draft(failure="connection_refused")
        (connect,) = failed.observations
        others = {service_of(target.id) for target in plan.reserve}
        due = next(target for target in plan.targets if service_of(target.id) in others)
        seen = replace(connect, endpoint=due.endpoints[0].id)
        await emit(replace(failed, target=due.id, observations=(seen,)))
        told.append((set(runner.unfinished), runner.failing()))

    monkeypatch.setattr("probes.daemon.round_runner.measure_round", measure)
    await runner.run(COMING)
    (due, before), (unfinished, failing) = told
    (failed,) = failing
    assert before == {}
    assert failed in due - unfinished
    every = {target.id for target in runner.setup.catalogue.targets}
    reserve = {id for id in every if service_of(id) == service_of(failed)} - due
    assert reserve
    assert unfinished - due == reserve, "they are measured next, for their service fails"
    assert runner.unfinished == runner._urgent == set()
    assert not runner.turns.busy
    await agent._spool.close()
