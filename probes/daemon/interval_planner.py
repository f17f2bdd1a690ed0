# SPDX-License-Identifier: Apache-2.0
"""When this probe measures: the volunteer's choice, shorter where few vantages take turns,
longer on a metered connection and where the traffic budget does not pay for it."""

from __future__ import annotations

import random

import msgspec

from probes import metered
from probes.config import AgentConfig
from probes.daemon.status_keeper import StatusKeeper
from probes.delivery.outbox import DeliveryStats
from probes.log import Log
from probes.rounds import scheduler
from probes.rounds.scheduler import NextRound
from probes.rounds.traffic_budget import TrafficBudget


class PlannedInterval(msgspec.Struct, frozen=True):
    """The interval of rounds, and what it comes from. Its fields are also those of the status."""

    interval_ms: int
    wanted_ms: int
    """What it would be if the budget paid for it."""
    vantages: int
    """How many vantages take turns; 0 if that is unknown, or does not matter."""
    month_bytes: int
    """Traffic of a month."""


def plan_interval(
    config: AgentConfig, budget: TrafficBudget, *, vantages: int | None, is_metered: bool
) -> PlannedInterval:
    """Return the interval from now on. `vantages` take turns in this network, as the monitor said
    last."""
    usual = config.interval_ms
    if is_metered:
        usual = max(usual, min(metered.THIN * usual, scheduler.DAY_MS))
    turns = vantages if config.shared and not is_metered else None
    wanted = scheduler.shared_interval(usual, turns)
    interval = budget.interval_ms(wanted, usual)
    return PlannedInterval(interval, wanted, turns or 0, budget.month_bytes(interval))


class IntervalPlanner:
    """Keeps the interval, says so when it changes, and finds the next round."""

    def __init__(
        self,
        config: AgentConfig,
        budget: TrafficBudget,
        stats: DeliveryStats,
        keeper: StatusKeeper,
        log: Log,
    ) -> None:
        """`stats` holds what the monitor said last of this probe's turn."""
        self._config, self._budget, self._stats = config, budget, stats
        self._keeper, self._log = keeper, log
        self.interval_ms = config.interval_ms

    def plan(self, *, is_metered: bool, rounds: int) -> None:
        """Plan the interval again; `rounds` were measured since the start."""
        planned = plan_interval(
            self._config, self._budget, vantages=self._stats.vantages, is_metered=is_metered
        )
        if planned.interval_ms != self.interval_ms or rounds <= 1:
            self._log(
                "expected traffic",
                measured=rounds > 0,
                megabytes_a_month=round(planned.month_bytes / 1e6, 1),
                interval_seconds=planned.interval_ms / 1000,
            )
        if 0 < self._config.budget_bytes < planned.month_bytes:
            self._log("the traffic budget is too small for one round a day", every=86_400.0)
        self.interval_ms = planned.interval_ms
        self._keeper.set(**msgspec.structs.asdict(planned))

    def next_round(
        self, probe: str, now_ms: int, last: int | None, rng: random.Random
    ) -> NextRound:
        """Return the round after the last one, at this probe's place in the interval."""
        phase = scheduler.phase_ms(probe, self.interval_ms, self._stats.place)
        return scheduler.next_round(now_ms, self.interval_ms, last, rng, phase)
