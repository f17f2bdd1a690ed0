# SPDX-License-Identifier: Apache-2.0
"""The detector's loop: read new arrivals, fold the rounds that are over, save the conclusions and
publish new transitions. One process leads; others stand by with the same loop.

All judgement is in `monitor.detection`. Memory holds only a copy of what is stored, so a restart
or another process continues exactly where the store is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.model import Event
from monitor.detection.policy import Policy
from monitor.detection.sequence import state as states
from monitor.detection.sequence import suspicion
from monitor.detection.sequence.fold import initial
from monitor.detection.sequence.history import Folding, chunks
from monitor.detection.sequence.state import DetectorStateError, ServiceState
from monitor.detector import round_deadline, transitions
from monitor.detector.retest_publisher import RetestTracker
from monitor.store.database import Database
from monitor.store.reading.events import published_transitions
from monitor.store.reading.progress import list_services, pruned_before
from monitor.store.records import Conclusions, StoreUnavailableError
from probes.wire.measurement import LIVENESS_TARGETS

log = logging.getLogger(__name__)

LEASE_SECONDS = 15
"""How long after its last renewal a dead leader is replaced."""
POLL_SECONDS = 0.5
CHUNK_ROUNDS = 48
"""Rounds that are read, folded and saved at once when the detector is far behind."""
MAX_OPEN_ROUNDS = 4
"""Open rounds that are folded for retests. No honest fleet has more at a time."""
REST_FACTOR = 8.0
"""After new arrivals were processed, a service rests for this many times the time it took."""
OnChange = Callable[[list[Event]], Awaitable[None]]
OnRetest = Callable[[Sequence[suspicion.Place]], Awaitable[None]]


class _StoppedError(Exception):
    """The detector was asked to stop in the middle of a fold; nothing of it is saved."""


@dataclass
class _Progress:
    """How far the loop has come with one service."""

    state: ServiceState
    late: int | None = None
    """Earliest folded round for which facts have arrived since."""
    next_check: int = 0
    """When its open rounds must be checked again, whatever arrives."""
    has_arrivals: bool = True
    """Whether anything arrived since its open rounds were last checked."""
    refolded_at: float = 0.0
    """When it was last folded again for late facts, on the event loop's clock."""
    refold_from: float = 0.0
    """When it may be folded again next."""
    rest_until: float = 0.0
    """No check before this: a large fleet must not cause one with every message."""


@dataclass
class Detector:
    """The loop over one store.

    `holder` names this process in the lease. `clock` gives Unix milliseconds and decides only
    when a round is over, never what is concluded from it. `observe_lag` gets the seconds from a
    round's end until its conclusions are saved. `on_change` gets events whose state, tier,
    technique, targets or networks changed, after they were saved; an exception in it ends the
    loop. `on_retest` gets what should be measured again at once.
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
    rest_factor: float = REST_FACTOR
    _services: dict[str, _Progress] | None = field(default=None, repr=False)
    _cursor: int = 0
    """Last arrival whose conclusions are all saved."""
    _read: int = 0
    """Last arrival that was read."""
    _leased_at: int = 0
    _retests: RetestTracker = field(init=False, repr=False)
    _stop: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def __post_init__(self) -> None:
        self._retests = RetestTracker(self.policy)

    async def run(self, stop: asyncio.Event) -> None:
        """Detect until `stop` is set. Waits while the store is unavailable."""
        self._stop, reason = stop, ""
        while not stop.is_set():
            try:
                busy = await self.run_once()
                if reason:
                    log.info("the store is available again")
                reason = ""
            except _StoppedError:
                break
            except StoreUnavailableError as error:
                # What was not saved is folded again from the stored state.
                self._services, busy = None, False
                if str(error) != reason:
                    log.warning("waiting for the store: %s", error)
                reason = str(error)
            if not busy:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.poll_seconds):
                        await stop.wait()
        if self._services is not None:
            await self._release_lease()

    async def run_once(self) -> bool:
        """Fold and save what can be folded now; True when anything was. Does nothing while
        another process holds the lease. Raises StoreUnavailableError."""
        if not await self._take_lease():
            self._services = None
            return False
        if self._services is None:
            self._services = await self._load()
        await self._read_arrivals(self._services)
        folded = False
        for service, progress in sorted(self._services.items()):
            folded |= await self._process(service, progress)
        folded |= await self._refold_oldest(self._services)
        behind = any(progress.late is not None for progress in self._services.values())
        if self._cursor != self._read and not behind:
            # Last: after a crash before it the same arrivals are read again.
            await self.database.conclusions.save((), self._read)
            self._cursor = self._read
        return folded

    async def _process(self, service: str, progress: _Progress) -> bool:
        loop = asyncio.get_running_loop()
        began, folded = loop.time(), False
        rested = began >= progress.rest_until
        if rested and progress.late is not None and self._is_recent(progress.state, progress.late):
            folded = await self._refold(service, progress, progress.late)
        if self.clock() >= progress.next_check or (progress.has_arrivals and rested):
            advanced = await self._advance(service, progress)
            folded, rested = folded or advanced, True
        await self._request_retests(progress.state, new_round=folded)
        if rested:
            self._set_rest(progress, began)
        return folded

    def _is_recent(self, state: ServiceState, late: int) -> bool:
        """Whether a late round is so recent that it is folded before new rounds are."""
        return state.round - late <= 2 * self.policy.ms(self.policy.checkpoint_seconds)

    def _set_rest(self, progress: _Progress, began: float) -> None:
        ended = asyncio.get_running_loop().time()
        progress.rest_until = ended + self.rest_factor * (ended - began)

    async def _refold_oldest(self, services: dict[str, _Progress]) -> bool:
        """Fold again the service that has waited longest of those with old late facts: one at
        a time and after the new rounds, so that old facts never delay new ones."""
        began = asyncio.get_running_loop().time()
        waiting = [
            (progress.refolded_at, service)
            for service, progress in services.items()
            if progress.late is not None
            and began >= progress.refold_from
            and not self._is_recent(progress.state, progress.late)
        ]
        if not waiting:
            return False
        service = min(waiting)[1]
        progress = services[service]
        late = progress.late
        assert late is not None
        folded = await self._refold(service, progress, late)
        progress.refolded_at = asyncio.get_running_loop().time()
        progress.refold_from = progress.refolded_at + self.rest_factor * (
            progress.refolded_at - began
        )
        return folded

    async def _take_lease(self) -> bool:
        now = self.clock()
        if self._services is not None and 0 <= now - self._leased_at < LEASE_SECONDS * 1000 // 3:
            return True
        if await self.database.conclusions.lead(self.holder, LEASE_SECONDS, now):
            self._leased_at = now
            return True
        return False

    async def _release_lease(self) -> None:
        """Release the lease, so that the next leader need not wait until it expires."""
        try:
            await self.database.conclusions.lead(self.holder, 0, self.clock())
        except StoreUnavailableError:
            pass  # it expires by itself

    async def _load(self) -> dict[str, _Progress]:
        conclusions = self.database.conclusions
        loaded: dict[str, _Progress] = {}
        async with self.database.reading() as connection:
            names = await list_services(connection)
        try:
            for service in names:
                stored = await conclusions.load(service)
                state = initial(service) if stored is None else states.decode(stored[1])
                loaded[service] = _Progress(state)
        except DetectorStateError as error:
            log.warning("%s; all measurements are processed again from the start", error)
            await conclusions.clear()
            loaded = {service: _Progress(initial(service)) for service in names}
        self._cursor = self._read = await conclusions.cursor()
        return loaded

    async def _read_arrivals(self, services: dict[str, _Progress]) -> None:
        """Read which service new measurements arrived for."""
        while batch := await self.database.facts.arrivals(self._read):
            for _, target, round in batch:
                if target in LIVENESS_TARGETS:
                    reached: Iterable[_Progress] = services.values()
                else:
                    name = target.partition("/")[0]
                    reached = [services.setdefault(name, _Progress(initial(name)))]
                for progress in reached:
                    progress.has_arrivals = True
                    if round <= progress.state.round:
                        progress.late = (
                            round if progress.late is None else min(progress.late, round)
                        )
            self._read = batch[-1][0]

    async def _refold(self, service: str, progress: _Progress, late: int) -> bool:
        """Fold again from the newest checkpoint before a late fact's round; False when facts of
        that time were already pruned."""
        progress.late = None
        found = await self.database.conclusions.checkpoint(service, late)
        start = initial(service)
        async with self.database.reading() as connection:
            pruned = await pruned_before(connection)
        if found is not None:
            start = states.decode(found[1])
        elif pruned:
            log.warning(
                "%s: late measurements for round %d are ignored: that time was pruned",
                service,
                late,
            )
            return False
        last = progress.state.round
        rounds = [r for r, _ in await self.database.facts.rounds(start.round, service)]
        folding = Folding(start, self.policy, fingerprints=self.fingerprints)
        # Events that were open then may have changed since: they are saved as they were then.
        folding.events = {case.event.id: case.event for case in start.cases.values()}
        log.info(
            "%s: late measurements for round %d: processing again after %d",
            service,
            late,
            start.round,
        )
        await self._fold(folding, [r for r in rounds if r <= last])
        await self._save(service, progress, folding, refolded_after=start.round)
        return True

    async def _advance(self, service: str, progress: _Progress) -> bool:
        """Fold the rounds that are over, in order; True when there was one."""
        waiting = await self.database.facts.rounds(progress.state.round, service)
        ends = {round: round + interval for round, interval in waiting}
        closed = await self._closed_rounds(service, progress, waiting)
        progress.has_arrivals = False
        if not closed:
            await self._fold_open_rounds(service, progress, [round for round, _ in waiting])
            return False
        folding = Folding(progress.state, self.policy, fingerprints=self.fingerprints)
        before = progress.state
        for start in range(0, len(closed), CHUNK_ROUNDS):
            chunk = closed[start : start + CHUNK_ROUNDS]
            await self._fold(folding, chunk)
            more = start + CHUNK_ROUNDS < len(closed)
            await self._save(service, progress, folding, before=before, publish_later=more)
            await self._renew_lease()
        now = self.clock()
        for round in closed:
            if self.observe_lag is not None:
                self.observe_lag(max(0, now - ends[round]) / 1000)
        await self._fold_open_rounds(
            service, progress, [round for round, _ in waiting[len(closed) :]]
        )
        return True

    async def _fold_open_rounds(
        self, service: str, progress: _Progress, waiting: Sequence[int]
    ) -> None:
        """Request retests from rounds that are not over, without saving the conclusions: a slow or
        silent probe must not delay retests by the others."""
        now = self.clock()
        begun = [round for round in waiting if round <= now]
        if self.on_retest is None or not 0 < len(begun) <= MAX_OPEN_ROUNDS:
            return
        if (due := self._retests.open_rounds_due(service, now)) > now:
            progress.next_check = min(progress.next_check, due)
            return
        folding = Folding(progress.state, self.policy, fingerprints=self.fingerprints, pending=True)
        for round in begun:
            await self._fold(folding, [round])
            await self._request_retests(folding.state, new_round=True)

    async def _request_retests(self, state: ServiceState, *, new_round: bool) -> None:
        """Request retests where a block may have just begun or ended."""
        if self.on_retest is not None:
            due = self._retests.due(state, self.clock(), new_round=new_round)
            if due:
                await self.on_retest(due)

    async def _closed_rounds(
        self, service: str, progress: _Progress, waiting: Sequence[tuple[int, int]]
    ) -> list[int]:
        """The waiting rounds up to the first that is not over; sets when to check again."""
        closed: list[int] = []
        window = self.policy.ms(self.policy.control_window_seconds)
        progress.next_check = 2**63
        for round, interval in waiting:
            until = round_deadline.deadline(round, interval, self.policy)
            if self.clock() < until:
                near = await self.database.facts.facts(round - window, round, service)
                if not round_deadline.delivered(round, near):
                    progress.next_check = until
                    break
            closed.append(round)
        return closed

    async def _fold(self, folding: Folding, rounds: Sequence[int]) -> None:
        window = self.policy.ms(self.policy.control_window_seconds)
        service = folding.state.service
        for chunk in chunks(rounds, CHUNK_ROUNDS, self.policy):
            if self._stop.is_set():
                raise _StoppedError
            stored = await self.database.facts.facts(chunk[0] - window, chunk[-1], service)
            self._retests.record_controls(service, stored)
            # In a thread: in `up` the same event loop serves the pages.
            work = asyncio.get_running_loop().run_in_executor(None, folding.fold, chunk, stored)
            while not (await asyncio.wait({work}, timeout=LEASE_SECONDS / 3))[0]:
                await self._renew_lease()
            await work
            await self._renew_lease()

    async def _renew_lease(self) -> None:
        if not await self._take_lease():
            raise StoreUnavailableError("another detector is active now")

    async def _save(
        self,
        service: str,
        progress: _Progress,
        folding: Folding,
        *,
        before: ServiceState | None = None,
        refolded_after: int | None = None,
        publish_later: bool = False,
    ) -> None:
        """Save the conclusions of a fold; then, unless more rounds follow at once, publish."""
        conclusions = self.database.conclusions
        before = before or progress.state
        new = transitions.NewTransitions((), ())
        if not publish_later:
            ids = folding.events.keys() | {case.event.id for case in before.cases.values()}
            async with self.database.reading() as connection:
                known = await published_transitions(connection, ids)
            new = transitions.new_transitions(
                folding.events, before, folding.state, known, now=self.clock(), policy=self.policy
            )
        saved = Conclusions(
            service=service,
            round=folding.state.round,
            state=states.encode(folding.state),
            checkpoints=tuple(folding.checkpoints),
            refolded_after=refolded_after,
            events=tuple(folding.events.values()),
            verdicts=tuple(folding.verdicts),
            journal=new.journal,
        )
        await conclusions.save((saved,), self._cursor)
        progress.state = folding.state
        folding.checkpoints, folding.verdicts = [], []
        if not publish_later:
            folding.events = {}
            if new.events and self.on_change is not None:
                await self.on_change(list(new.events))
