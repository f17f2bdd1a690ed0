"""When rounds begin, and which retests are offered between them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from probes.rounds.scheduler import NextRound
from probes.wire.retest import Retest
from tests.probes.daemon.in_process import agent_here
from tests.world.waiting import HANG_SECONDS

ASKED = Retest(targets=("wechat/messaging",), round=0, interval_ms=1_800_000)


@pytest.mark.parametrize(
    ("metered", "revoked", "accepted"),
    [
        pytest.param(False, False, True, id="usual"),
        pytest.param(True, False, False, id="metered"),
        pytest.param(False, True, False, id="revoked"),
    ],
)
async def test_retests_are_offered_unless_the_volunteer_or_the_operator_would_mind(
    tmp_path: Path, metered: bool, revoked: bool, accepted: bool
) -> None:
    agent = agent_here(tmp_path / "s")
    asked: list[Retest] = []
    agent._rounds.retests = SimpleNamespace(  # type: ignore[assignment]
        submit=lambda request, *_: asked.append(request), waiting=0
    )
    agent._hold.metered = metered
    if revoked:
        stats, now = agent._stats, agent._runner.setup.network.wall_ms()
        stats.refused, stats.away_ms, stats.last_ack_ms = 2, now - 700_000, now - 800_000
    agent._rounds.offer_retest(ASKED)
    assert asked == [ASKED] * accepted
    await agent._spool.close()


async def test_a_metered_connection_makes_rounds_rarer(tmp_path: Path) -> None:
    agent = agent_here(tmp_path / "s")
    agent._rounds.resume_after(None)
    assert agent._keeper.status.interval_ms == 1_800_000
    agent._hold.metered = True
    agent._rounds.plan_interval()
    assert agent._keeper.status.interval_ms == 7_200_000
    await agent._spool.close()


async def test_a_round_that_the_budget_does_not_pay_for_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = agent_here(tmp_path / "s", budget_bytes=47e6)
    rounds, begun = agent._rounds, list[NextRound]()
    over = asyncio.Event()

    async def run(coming: NextRound, thin: int, thorough_bytes: float, *, brief: bool) -> None:
        begun.append(coming)
        rounds._budget.spend(1e9)
        over.set()

    monkeypatch.setattr(agent._runner, "run", run)
    slots = iter(range(0, 10**9, 1000))

    def due(*_: object) -> NextRound:
        return NextRound(round_ms=next(slots), start_ms=0, interval_ms=1000)

    monkeypatch.setattr(rounds, "_next_round", due)
    monkeypatch.setattr(agent._hold, "wait", lambda: asyncio.sleep(0))
    running = asyncio.create_task(rounds.run(None))
    async with asyncio.timeout(HANG_SECONDS):
        await over.wait()
        await asyncio.sleep(0.05)
    running.cancel()
    assert [coming.round_ms for coming in begun] == [0]
    assert rounds.retests.own_rounds[0] > 0, "the next ones are rounds too, though not measured"
    assert "round skipped: the traffic budget is used up" in capsys.readouterr().err
    await agent._spool.close()
