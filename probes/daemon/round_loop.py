# SPDX-License-Identifier: Apache-2.0
"""When the daemon measures: its rounds, one after another, and which retests it accepts."""

from __future__ import annotations

import asyncio
import random

from probes.daemon.hold import Hold
from probes.daemon.interval_planner import IntervalPlanner
from probes.daemon.round_runner import RoundRunner
from probes.daemon.status_keeper import StatusKeeper
from probes.log import Log
from probes.remote_catalogue import RemoteCatalogue
from probes.rounds.retests import RetestRunner
from probes.rounds.scheduler import NextRound
from probes.rounds.traffic_budget import TrafficBudget
from probes.wire.retest import Retest
from probes.wire.retest import name as retest_name

MOST_SLEEP_SECONDS = 30.0
"""The clock may be set meanwhile."""


class RoundLoop:
    """Begins each round at its time."""

    def __init__(
        self,
        runner: RoundRunner,
        planner: IntervalPlanner,
        hold: Hold,
        retests: RetestRunner,
        *,
        budget: TrafficBudget,
        keeper: StatusKeeper,
        remote: RemoteCatalogue | None,
        rng: random.Random,
        log: Log,
    ) -> None:
        """`remote` decides on the catalogues of the monitor, None to take none."""
        self.retests = retests
        self._runner, self._planner, self._hold = runner, planner, hold
        self._budget, self._keeper = budget, keeper
        self._remote, self._rng, self._log = remote, rng, log

    def plan_interval(self) -> None:
        """Plan the interval again: something that it comes from has changed."""
        self._planner.plan(is_metered=self._hold.metered, rounds=self._runner.rounds)

    def resume_after(self, last: int | None) -> None:
        """Pay for the last round of an earlier run, and plan the interval."""
        if last is not None:
            self._budget.charge_earlier_round(self._runner.setup.network.wall_ms() - last)
        self.plan_interval()

    def offer_retest(self, request: Retest) -> None:
        """Measure again what the detector asks for, if that concerns this probe and costs nothing
        that the volunteer does not want to pay."""
        runner = self._runner
        own = retest_name(runner.setup.probe, runner.setup.mark)
        if self._hold.metered or self._hold.holds() or not request.concerns(own):
            return
        runner.accept_failed(request.failed)
        runner.hasten(request.targets)
        affordable = self._budget.affordable_retests() - self.retests.waiting
        self.retests.submit(request, affordable, runner.failing())

    async def run(self, last: int | None) -> None:
        """Measure rounds until cancelled. `last` is the last round of an earlier run."""
        while True:
            await self._hold.wait()
            coming = await self._wait_for_round(last)
            if self._hold.holds():
                continue
            await self._take_catalogue()
            last = coming.round_ms
            if self._budget.overdrawn(coming.interval_ms):
                self._log("round skipped: the traffic budget is used up", every=3600.0)
                continue
            self.retests.own_rounds = last, last + coming.interval_ms
            thin = self._budget.thinning(coming.interval_ms)
            thorough = self._budget.thorough_bytes(coming.interval_ms)
            brief = self._budget.owes(coming.interval_ms)
            await self._runner.run(coming, thin, thorough, brief=brief)
            self.plan_interval()

    async def _wait_for_round(self, last: int | None) -> NextRound:
        clock = self._runner.setup.network.wall_ms
        coming = self._next_round(last)
        self._keeper.set(next_round_ms=coming.start_ms)
        self.retests.own_rounds = last or 0, coming.round_ms
        if not self._runner.rounds:
            self._log("next round", seconds=round((coming.start_ms - clock()) / 1000, 1))
        while (left := coming.start_ms - clock()) > 0:
            if left > 2 * self._planner.interval_ms:
                # The clock went back meanwhile.
                coming = self._next_round(None)
            await asyncio.sleep(min(left / 1000, MOST_SLEEP_SECONDS))
        return coming

    def _next_round(self, last: int | None) -> NextRound:
        setup = self._runner.setup
        return self._planner.next_round(setup.probe, setup.network.wall_ms(), last, self._rng)

    async def _take_catalogue(self) -> None:
        """Between two rounds: measure the monitor's newest catalogue, if it may be taken."""
        if self._remote is None:
            return
        taken = await self._remote.newest(self._log)
        self._keeper.set(refused_catalogue=self._remote.refused)
        if taken is None:
            return
        catalogue = taken.catalogue
        async with self._runner.turns.without_retests():
            self._runner.use(catalogue)
            self.retests.use(catalogue.targets)
            self._budget.expect(self._runner.profile, self._planner.interval_ms)
        self._keeper.set(
            catalogue=catalogue.version,
            targets=len(catalogue.targets),
            catalogue_serial=taken.serial,
            new_services=taken.new_services,
        )
