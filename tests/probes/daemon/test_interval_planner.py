"""How often a probe measures, by vantages, budget and a metered connection."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.config import AgentConfig
from probes.daemon.interval_planner import IntervalPlanner, plan_interval
from probes.rounds.profile import Profile
from probes.rounds.traffic_budget import TrafficBudget
from tests.probes.daemon.in_process import Desk
from tests.probes.rounds.test_traffic_budget import CATALOGUE

USUAL_MS = 1_800_000


def parts(megabytes: float, shared: bool = True) -> tuple[AgentConfig, TrafficBudget]:
    config = AgentConfig(
        directory=Path(), interval_ms=USUAL_MS, shared=shared, budget_bytes=1e6 * megabytes
    )
    budget = TrafficBudget(config.budget_bytes, Profile(CATALOGUE, "p"), USUAL_MS)
    budget.round_bytes = 630_000
    return config, budget


@pytest.mark.parametrize(
    ("megabytes", "vantages", "minutes"),
    [
        (0, None, 30),
        (0, 7, 30),
        (0, 3, 18),
        (0, 1, 6),
        (2_000, 3, 18),
        pytest.param(1_000, 3, 30, id="not the 31.5 minutes that the steps from 18 would give"),
        (1_000, 1, 30),
        (500, 3, 63),
    ],
)
def test_few_vantages_measure_more_often_as_far_as_the_budget_pays(
    megabytes: int, vantages: int | None, minutes: int
) -> None:
    config, budget = parts(megabytes)
    planned = plan_interval(config, budget, vantages=vantages, is_metered=False)
    assert planned.interval_ms == minutes * 60_000
    assert planned.vantages == (vantages or 0)
    on_metered = plan_interval(config, budget, vantages=vantages, is_metered=True)
    assert on_metered.interval_ms >= 7_200_000
    assert on_metered.vantages == 0


def test_without_turns_the_number_of_vantages_does_not_matter() -> None:
    config, budget = parts(0, shared=False)
    assert plan_interval(config, budget, vantages=1, is_metered=False).interval_ms == USUAL_MS


async def test_a_change_is_in_the_status_and_in_the_log_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path)
    config, budget = parts(0)
    planner = IntervalPlanner(config, budget, desk.stats, desk.keeper, desk.log)
    for rounds, vantages in ((0, None), (2, None), (3, 1), (4, 1)):
        desk.stats.vantages = vantages
        planner.plan(is_metered=False, rounds=rounds)
    assert capsys.readouterr().err.count("expected traffic") == 2, "at first, and at the change"
    status = desk.keeper.status
    assert planner.interval_ms == status.interval_ms == status.wanted_ms == 360_000
    assert (status.vantages, status.month_bytes) == (1, budget.month_bytes(360_000))
    await desk.spool.close()
