# SPDX-License-Identifier: Apache-2.0
"""Rounds and retests as the daemon runs them: what they measure now, and what they leave behind."""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import msgspec

from probes.daemon.recorder import Recorder, RoundTally
from probes.daemon.status_keeper import StatusKeeper
from probes.daemon.traffic_account import TrafficAccount
from probes.delivery.outbox import Outbox
from probes.log import Log
from probes.rounds import scheduler
from probes.rounds.handed_over import HandedOver
from probes.rounds.last_failures import failed_endpoints, failing_targets
from probes.rounds.profile import REST_MS, Profile
from probes.rounds.retests import PlannedRetest
from probes.rounds.round import measure_retest, measure_round, new_places
from probes.rounds.round_plan import RoundPlan, Setup
from probes.rounds.scheduler import NextRound
from probes.rounds.turns import Turns
from probes.wire.measurement import LIVENESS_TARGETS, Measurement, Vantage, service_of
from probes.wire.retest import FailedAddresses
from probes.wire.target import Catalogue, Target

MAX_HURRIED = 3
"""Failures in a round that are sent before the rest of it: each may be a batch of its own."""


class RoundRunner:
    """Measures one round at a time and retests, and remembers what failed."""

    def __init__(
        self,
        setup: Setup,
        profile: Profile,
        *,
        recorder: Recorder,
        account: TrafficAccount,
        outbox: Outbox,
        keeper: StatusKeeper,
        rng: random.Random,
        log: Log,
    ) -> None:
        self.setup, self.profile = setup, profile
        self.rounds = 0
        """Rounds measured since the start."""
        self.unfinished: set[str] = set()
        """Targets that the round in progress has still to measure."""
        self.turns = Turns()
        """What is measured now."""
        self._recorder, self._account, self._outbox = recorder, account, outbox
        self._keeper, self._rng, self._log = keeper, rng, log
        self._history: dict[str, int] = {}
        """When each endpoint failed, see `probes.rounds.last_failures`."""
        self._dead: set[str] = set()
        """Those of which nothing worked."""
        self._examined_ms: dict[str, int] = {}
        """The round in which each was last examined with repeats."""
        self._handed_over = HandedOver()
        self._urgent: set[str] = set()
        """Targets that somebody waits for, of those that are unfinished."""
        self._retest_places = new_places()

    @property
    def place(self) -> tuple[str, int]:
        """Country and network from which it measures."""
        return self.setup.vantage.country, self.setup.vantage.asn

    def locate(self, vantage: Vantage) -> None:
        """Measure as this vantage from now on. Its role stays that of the enrolment."""
        role = self.setup.vantage.role
        self.setup = replace(self.setup, vantage=msgspec.structs.replace(vantage, role=role))
        self._keeper.set(country=vantage.country, asn=vantage.asn)

    def use(self, catalogue: Catalogue) -> None:
        """Measure this catalogue from the next round on."""
        self.setup = replace(self.setup, catalogue=catalogue)
        self.profile = Profile(catalogue, self.setup.probe, self.profile.full)

    def accept_failed(self, failed: Iterable[FailedAddresses]) -> None:
        """As a control: try these addresses of others as well, in what is measured next."""
        setup = self.setup
        targets, now = setup.catalogue.targets, setup.network.wall_ms()
        if new := self._handed_over.accept(failed, setup.vantage.role, targets, now):
            self._log("addresses that failed elsewhere are tried as well", addresses=new)

    def hasten(self, targets: Iterable[str]) -> None:
        """Let the round in progress measure these next, if it has still to do so."""
        self._urgent |= self.unfinished.intersection(targets)

    def failing(self) -> dict[str, int]:
        """When the targets failed that failed in their last measurement, by id."""
        return failing_targets(self.setup.catalogue.targets, self._history)

    async def run(
        self,
        coming: NextRound,
        thin: int = 1,
        thorough_bytes: float = math.inf,
        *,
        brief: bool = False,
    ) -> None:
        """Measure a round, once the retests in progress have ended. `thin`: as in `Profile.due`;
        `thorough_bytes` and `brief`: as in `RoundPlan`."""
        # The first round shows everything, so that somebody who starts a probe need not wait.
        everything = self.profile.full or not self.rounds
        with contextlib.ExitStack() as turn:
            async with self.turns.without_retests():
                plan = self._plan(coming, everything, thin, thorough_bytes, brief)
                self.unfinished.update(target.id for target in plan.targets)
                turn.enter_context(self.turns.round())
            await self._measure_round(plan, usual=self.profile.full or not everything, thin=thin)

    async def _measure_round(self, plan: RoundPlan, *, usual: bool, thin: int) -> None:
        """`usual`, `thin`: as in `TrafficAccount.close_round`."""
        began, setup = time.monotonic(), self._metered_apart()
        bill = self._account.open(setup.network.meter)
        due = {target.id for target in plan.targets}
        # Without liveness hosts nothing shows that the machine is offline.
        tally = RoundTally(online=not setup.catalogue.liveness)

        async def emit(draft: Measurement) -> None:
            fails_anew = plan.fails_anew(draft)
            tally.add(draft)
            # At once, for requests to measure it again that come before the round has ended.
            self._history.update(failed_endpoints(draft))
            if draft.target in LIVENESS_TARGETS:
                self._keeper.set(clock_offset_ms=draft.clock_offset_ms or 0)
            self.unfinished.discard(draft.target)
            if fails_anew and draft.target in due:
                self.unfinished.update(_of_service(plan.reserve, draft.target))
            await self._recorder.record(draft, bill.add)
            if fails_anew and tally.new_failures < MAX_HURRIED:
                tally.new_failures += 1
                self._outbox.hurry()

        self._outbox.round_opened(plan.round_ms)
        try:
            await measure_round(setup, plan, emit=emit, rng=self._rng)
        finally:
            self.unfinished.clear()
            self._urgent.clear()
            self._outbox.round_closed(plan.round_ms)
        self._dead = self._dead - tally.failed.keys() | tally.dead
        self._examined_ms.update(dict.fromkeys(tally.examined, plan.round_ms))
        self.rounds += 1
        # The rounds after one that shows everything cost less.
        self._account.close_round(bill, usual=usual, failing=bool(tally.broken), thin=thin)
        await self._note(plan, tally, time.monotonic() - began)

    async def run_retest(self, planned: PlannedRetest) -> None:
        """Measure a few targets again."""
        setup = self._metered_apart()
        bill = self._account.open(setup.network.meter)

        async def emit(draft: Measurement) -> None:
            self._history.update(failed_endpoints(draft))
            await self._recorder.record(draft, bill.add)

        plan = RoundPlan(
            targets=planned.targets,
            round_ms=planned.round_ms,
            interval_ms=planned.interval_ms,
            lean=not self.profile.full,
            history=self._history,
            throughput=planned.throughput,
            handed_over=self._handed_over.addresses(self.setup.network.wall_ms()),
        )
        self._outbox.round_opened(planned.round_ms)
        try:
            await measure_retest(setup, plan, emit=emit, rng=self._rng, shared=self._retest_places)
        finally:
            self._outbox.round_closed(planned.round_ms)
            self._account.close_retest(bill, len(planned.targets))

    def _metered_apart(self) -> Setup:
        """The setup of a round or retest that pays for itself: another may run beside it."""
        return replace(self.setup, network=self.setup.network.metered_apart())

    def _plan(
        self,
        coming: NextRound,
        everything: bool,
        thin: int,
        thorough_bytes: float,
        brief: bool,
    ) -> RoundPlan:
        targets, interval, profile = self.setup.catalogue.targets, coming.interval_ms, self.profile
        due: Sequence[Target] = targets
        if not everything:
            due = profile.due(
                coming.round_ms, interval, self._outbox.stats.place, self.failing(), thin=thin
            )
        return RoundPlan(
            targets=due,
            round_ms=coming.round_ms,
            interval_ms=interval,
            intervals=profile.intervals(interval, thin=thin),
            intervals_after_failure=profile.intervals(interval, failed=True, thin=thin),
            brief=brief,
            thorough_bytes=thorough_bytes,
            dead=self._briefly_shown(coming.round_ms, thorough_bytes, brief),
            lean=not profile.full,
            reserve=[target for target in targets if target not in due],
            urgent=self._urgent,
            history=self._history,
            limit_seconds=scheduler.limit_seconds(interval),
            handed_over=self._handed_over.addresses(self.setup.network.wall_ms()),
        )

    def _briefly_shown(self, round_ms: int, thorough_bytes: float, brief: bool) -> frozenset[str]:
        """The endpoints of which it is enough to show that still nothing works: where traffic is
        limited, as long as they were examined lately, and without exception where it is short."""
        if brief:
            return frozenset(self._dead)
        if math.isinf(thorough_bytes) or self.profile.full:
            return frozenset()
        since = round_ms - REST_MS
        return frozenset(e for e in self._dead if self._examined_ms.get(e, -1) > since)

    async def _note(self, plan: RoundPlan, tally: RoundTally, took: float) -> None:
        """Put a round that has ended into status and log."""
        failing = len(tally.broken)
        self._keeper.set(
            last_round_ms=plan.round_ms,
            measured_ms=self.setup.network.wall_ms(),
            last_round_took_ms=int(took * 1000),
            last_round_failed=failing,
            offline=not tally.online,
            no_certificates=tally.no_certificates,
        )
        self._log("round", seconds=round(took, 1), targets=len(plan.targets), failing=failing)
        await self._keeper.save()


def _of_service(targets: Iterable[Target], name: str) -> Iterator[str]:
    """The ids of those targets that belong to the same service as this one."""
    return (target.id for target in targets if service_of(target.id) == service_of(name))
