# SPDX-License-Identifier: Apache-2.0
"""The detector's loop: read new arrivals, fold the rounds that are over, save the conclusions and
publish new transitions. One process leads; others stand by with the same loop.

All judgement is in `monitor.detection`, and what is worked on next is decided in `schedule`. Memory
holds only a copy of what is stored, so a restart or another process continues exactly where the
store is.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.policy import Policy
from monitor.detector import schedule
from monitor.detector.arrivals import Arrivals
from monitor.detector.conclusion_writer import ConclusionWriter, OnChange
from monitor.detector.leadership import Leadership
from monitor.detector.newest_rounds import NewestRounds
from monitor.detector.open_rounds import OpenRounds
from monitor.detector.past_rounds import PastRounds
from monitor.detector.rest import FACTOR, Work
from monitor.detector.retest_publisher import OnRetest, RetestTracker
from monitor.detector.round_reader import RoundReader
from monitor.metrics.lags import Backlog
from monitor.store.database import Database
from monitor.store.records import StoreUnavailableError
from monitor.store.shard import ALL, Shard

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5


@dataclass
class Detector:
    """The loop over one store.

    `holder` names this process in the lease. `clock` gives Unix milliseconds and decides only
    when a round is over, never what is concluded from it. `observe_lag` gets the seconds from a
    round's end until its conclusions are saved. `on_change` gets events whose state, tier,
    technique, targets or networks changed, after they were saved, and none when this detector
    takes over; an exception in it ends the loop. `on_retest` gets what should be measured again at
    once. `shard` are the services that this detector works on.
    """

    database: Database
    policy: Policy
    holder: str
    clock: Callable[[], int]
    on_change: OnChange | None = None
    observe_lag: Callable[[float], None] | None = None
    on_retest: OnRetest | None = None
    fingerprints: Fingerprints = OWN
    poll_seconds: float = POLL_SECONDS
    rest_factor: float = FACTOR
    shard: Shard = ALL
    leadership: Leadership = field(init=False, repr=False)
    _term: int = field(default=0, init=False)
    """In which of its terms as the leader this process loaded what it knows; 0 in none."""

    def __post_init__(self) -> None:
        database, policy, clock = self.database, self.policy, self.clock
        self.leadership = Leadership(database.lease, self.holder, self.shard, clock)
        self._arrivals = Arrivals(database, policy, self.shard, clock)
        self._retests = RetestTracker(policy, self.on_retest)
        self._writer = ConclusionWriter(database, policy, self._arrivals, clock, self.on_change)
        reader = RoundReader(database.facts, policy, self.fingerprints)
        newest = NewestRounds(database, reader, policy, clock, self.rest_factor)
        self._past_rounds = PastRounds(
            database, policy, self.fingerprints, reader, newest, self._retests, self._writer
        )
        self._open_rounds = OpenRounds(
            database.facts, reader, self._retests, policy, self.fingerprints, clock
        )

    @property
    def leads(self) -> bool:
        """Whether this process does the work of its part, and does not stand by."""
        return self.leadership.held and self._term == self.leadership.term

    @property
    def backlog(self) -> Backlog:
        """What is over and not concluded yet."""
        services = tuple(self._arrivals.services.values()) if self.leads else ()
        measurements, seconds = schedule.behind(services, self.clock())
        return Backlog(measurements, seconds, len(self.database.facts.damaged))

    async def run(self, stop: asyncio.Event) -> None:
        """Detect until `stop` is set: what is not saved by then is left to the next detector.
        Waits while the store is unavailable."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.leadership.keep()), group.create_task(self._work())]
            await stop.wait()
            for task in tasks:
                task.cancel()
        await self.leadership.release()

    async def _work(self) -> None:
        reason = ""
        while True:
            try:
                busy = await self.run_once()
                if reason:
                    log.info("the store is available again")
                reason = ""
            except StoreUnavailableError as error:
                # What was not saved is folded again from the stored state.
                self._term, busy = 0, False
                if str(error) != reason:
                    log.warning("waiting for the store: %s", error)
                reason = str(error)
            if not busy:
                await asyncio.sleep(self.poll_seconds)

    async def run_once(self) -> bool:
        """Fold and save what can be folded now; True when anything was. Does nothing while
        another process holds the lease. Raises StoreUnavailableError."""
        if not await self.leadership.claim():
            return False
        if self._term != self.leadership.term:
            term = self.leadership.term
            await self._arrivals.load()
            self._term = term
            await self._writer.publish([])  # the leader before may have saved and not published
        await self._arrivals.read_new()
        folded = await self._fold_recently_late()
        folded |= await self._fold_new()
        folded |= await self._fold_longest_late()
        await self._arrivals.conclude()
        return folded

    async def _fold_recently_late(self) -> bool:
        services, folded = self._arrivals.services, False
        newest_at = self._arrivals.newest_at
        for service in schedule.recently_late(services, self.clock(), newest_at, self.policy):
            progress, work = services[service], Work(self.rest_factor)
            folded |= await self._past_rounds.fold_again(service, services, self._pause)
            await self._retests.request(progress.state, self.clock(), new_round=True)
            progress.rest = work.rest(self.clock())
        return folded

    async def _fold_longest_late(self) -> bool:
        services, work = self._arrivals.services, Work(self.rest_factor)
        service = schedule.longest_late(
            services, self.clock(), self._arrivals.newest_at, self.policy
        )
        if service is None:
            return False
        progress = services[service]
        folded = await self._past_rounds.fold_again(service, services, self._pause)
        progress.refolded_at = self.clock()
        progress.refold_rest = work.rest(progress.refolded_at)
        return folded

    async def _fold_new(self) -> bool:
        """Fold the rounds that are over, in order, all services together; True when there was
        one."""
        services, work = self._arrivals.services, Work(self.rest_factor)
        checked = schedule.due(services, self.clock(), self._arrivals.newest_at)
        closed: dict[str, list[int]] = {}
        opened: dict[str, list[int]] = {}
        ends: list[int] = []
        # What has arrived since it was read whose it is would pass for late, and be folded again.
        rounds = await self.database.facts.rounds_of(
            {service: progress.state.round for service, progress in checked.items()},
            self._arrivals.read,
        )
        for service, progress in checked.items():
            delivered = functools.partial(self._arrivals.delivered, service)
            over, still_open, progress.next_check = schedule.split(
                rounds[service], self.clock(), self.policy, delivered
            )
            progress.waiting = {stored.round: stored for stored in over}
            progress.has_arrivals = False
            opened[service] = [stored.round for stored in still_open]
            if over:
                closed[service] = [stored.round for stored in over]
                ends += [stored.round + stored.interval for stored in over]
        await self._pause()
        with work.once():
            await self._past_rounds.fold(services, closed, self._pause)
        if self.observe_lag is not None:
            now = self.clock()
            for end in ends:
                self.observe_lag(max(0, now - end) / 1000)
        states = {service: progress.state for service, progress in checked.items()}
        again = await self._open_rounds.fold(states, opened, self.rest_factor, self._pause)
        for service, at in again.items():
            services[service].check_again(at)
        for service, progress in services.items():
            new_round = service in closed
            await self._retests.request(progress.state, self.clock(), new_round=new_round)
        rest = work.rest(self.clock())
        for progress in checked.values():
            progress.rest = rest
        return bool(closed)

    async def _pause(self) -> None:
        """Between parts of the work: give up what another process does now."""
        if not self.leads:
            raise StoreUnavailableError("another detector is active now")
