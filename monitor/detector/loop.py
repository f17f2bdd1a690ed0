# SPDX-License-Identifier: Apache-2.0
"""The detector's shell: a loop that reads what arrived, folds the rounds that are over, saves
what follows, and says what is new. One process leads; others stand by with the same loop.

All judgement is in `monitor.detection`. What is kept in memory is only a copy of what is
stored, so a restart, or another process, goes on exactly where the store is.
"""

from __future__ import annotations

import asyncio
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
from monitor.detection.sequence.state import ServiceState, StateError
from monitor.detector import round_deadline, transitions
from monitor.detector.retest_tracker import Suspecting
from monitor.store.database import Database
from monitor.store.reading.events import published_transitions
from monitor.store.reading.progress import list_services, pruned_before
from monitor.store.records import Conclusions, StoreUnavailableError
from probes.wire.measurement import LIVENESS_TARGETS

log = logging.getLogger(__name__)

LEASE_SECONDS = 15
"""How long after its last sign a leader that died is replaced."""
POLL_SECONDS = 0.5
CHUNK_ROUNDS = 48
"""Rounds that are read, folded and saved at once when there is much to catch up with."""
PEEK_ROUNDS = 4
"""Rounds that are not over and are looked into for suspicions; more is no fleet, but a liar."""
REST = 8.0
"""After a look at what trickles in, a service rests for this many times what the look took."""
OnChange = Callable[[list[Event]], Awaitable[None]]
OnSuspicion = Callable[[Sequence[suspicion.Place]], Awaitable[None]]


@dataclass
class _Watched:
    """A service as the loop sees it."""

    state: ServiceState
    late: int | None = None
    """Earliest folded round that facts have arrived for since."""
    looked_at: int = 0
    """When its open rounds must be looked at again, whatever arrives."""
    stirred: bool = True
    """Something arrived for it since its open rounds were last looked at."""
    amended: float = 0.0
    """When it was last folded again, and when it may be next, on the loop's clock."""
    amends_from: float = 0.0
    rests_until: float = 0.0
    """On the loop's clock: a large fleet's trickle must not be looked at with every message."""


@dataclass
class Detecting:
    """The loop over one store. `clock` gives Unix milliseconds and decides only when a round is
    over, never what is concluded of it. `observe_lag` gets the seconds from a round's end to
    its conclusions being saved. `on_change` gets events with news, after they were saved, and
    `on_suspicion` what should be measured again at once.
    """

    database: Database
    policy: Policy
    holder: str
    clock: Callable[[], int]
    on_change: OnChange | None = None
    observe_lag: Callable[[float], None] | None = None
    on_suspicion: OnSuspicion | None = None
    fingerprints: Fingerprints = OWN
    poll_seconds: float = POLL_SECONDS
    rest: float = REST
    _services: dict[str, _Watched] | None = field(default=None, repr=False)
    _cursor: int = 0
    """Last arrival of which everything is saved."""
    _read: int = 0
    """Last arrival that was noted in memory."""
    _led_at: int = 0
    _suspecting: Suspecting = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._suspecting = Suspecting(self.policy)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. A store that is away is waited for."""
        away = ""
        while not stop.is_set():
            try:
                busy = await self.turn()
                if away:
                    log.info("the store is back")
                away = ""
            except StoreUnavailableError as error:
                # Whatever was not saved is folded again from the stored state.
                self._services, busy = None, False
                if str(error) != away:
                    log.warning("detector waits for the store: %s", error)
                away = str(error)
            if not busy:
                try:
                    await asyncio.wait_for(stop.wait(), self.poll_seconds)
                except TimeoutError:
                    pass
        if self._services is not None:
            await self._resign()

    async def turn(self) -> bool:
        """Look once: fold and save whatever can be; True when anything was folded. Another
        leader's lease makes this do nothing. Raises StoreUnavailableError."""
        if not await self._lead():
            self._services = None
            return False
        if self._services is None:
            self._services = await self._load()
        await self._arrivals(self._services)
        folded = False
        for service, watched in sorted(self._services.items()):
            folded |= await self._look(service, watched)
        folded |= await self._amend(self._services)
        behind = any(watched.late is not None for watched in self._services.values())
        if self._cursor != self._read and not behind:
            # Last, so that a crash before it only makes facts be looked at again.
            await self.database.conclusions.save((), self._read)
            self._cursor = self._read
        return folded

    async def _look(self, service: str, watched: _Watched) -> bool:
        loop = asyncio.get_running_loop()
        began, folded = loop.time(), False
        rested = began >= watched.rests_until
        if rested and watched.late is not None and self._recent(watched.state, watched.late):
            folded = await self._refold(service, watched, watched.late)
        if self.clock() >= watched.looked_at or (watched.stirred and rested):
            advanced = await self._advance(service, watched)
            folded, rested = folded or advanced, True
        await self._ask(watched.state, anew=folded)
        if rested:
            self._let_rest(watched, began)
        return folded

    def _recent(self, state: ServiceState, late: int) -> bool:
        """Late by so little that it is folded in before anything is said of what is new."""
        return state.round - late <= 2 * self.policy.ms(self.policy.checkpoint_seconds)

    def _let_rest(self, watched: _Watched, began: float) -> None:
        ended = asyncio.get_running_loop().time()
        watched.rests_until = ended + self.rest * (ended - began)

    async def _amend(self, services: dict[str, _Watched]) -> bool:
        """Fold again the one service that waits longest of those with old late facts. One a
        turn, after what is new: however old what somebody brings, the present goes first."""
        began = asyncio.get_running_loop().time()
        waiting = [
            (watched.amended, service)
            for service, watched in services.items()
            if watched.late is not None
            and began >= watched.amends_from
            and not self._recent(watched.state, watched.late)
        ]
        if not waiting:
            return False
        service = min(waiting)[1]
        watched = services[service]
        late = watched.late
        assert late is not None
        folded = await self._refold(service, watched, late)
        watched.amended = asyncio.get_running_loop().time()
        watched.amends_from = watched.amended + self.rest * (watched.amended - began)
        return folded

    async def _lead(self) -> bool:
        now = self.clock()
        if self._services is not None and 0 <= now - self._led_at < LEASE_SECONDS * 1000 // 3:
            return True
        if await self.database.conclusions.lead(self.holder, LEASE_SECONDS, now):
            self._led_at = now
            return True
        return False

    async def _resign(self) -> None:
        """Let the lease go, so that whoever comes next need not wait for its end."""
        try:
            await self.database.conclusions.lead(self.holder, 0, self.clock())
        except StoreUnavailableError:
            pass  # it ends by itself

    async def _load(self) -> dict[str, _Watched]:
        conclusions = self.database.conclusions
        loaded: dict[str, _Watched] = {}
        async with self.database.reading() as connection:
            names = await list_services(connection)
        try:
            for service in names:
                stored = await conclusions.load(service)
                state = initial(service) if stored is None else states.decode(stored[1])
                loaded[service] = _Watched(state)
        except StateError as error:
            log.warning("%s; all conclusions are drawn anew", error)
            await conclusions.clear()
            loaded = {service: _Watched(initial(service)) for service in names}
        self._cursor = self._read = await conclusions.cursor()
        return loaded

    async def _arrivals(self, services: dict[str, _Watched]) -> None:
        """Note what arrived for which service."""
        while batch := await self.database.facts.arrivals(self._read):
            for _, target, round in batch:
                if target in LIVENESS_TARGETS:
                    reached: Iterable[_Watched] = services.values()
                else:
                    name = target.partition("/")[0]
                    reached = [services.setdefault(name, _Watched(initial(name)))]
                for watched in reached:
                    watched.stirred = True
                    if round <= watched.state.round:
                        watched.late = round if watched.late is None else min(watched.late, round)
            self._read = batch[-1][0]

    async def _refold(self, service: str, watched: _Watched, late: int) -> bool:
        """Fold again from the newest checkpoint before a late fact's round; False when that
        time is no longer known well enough to be judged again."""
        watched.late = None
        found = await self.database.conclusions.checkpoint(service, late)
        start = initial(service)
        async with self.database.reading() as connection:
            pruned = await pruned_before(connection)
        if found is not None:
            start = states.decode(found[1])
        elif pruned:
            log.warning("%s: facts for round %d come after its time was let go", service, late)
            return False
        last = watched.state.round
        rounds = [r for r, _ in await self.database.facts.rounds(start.round, service)]
        folding = Folding(start, self.policy, fingerprints=self.fingerprints)
        # Events that were open then may have changed since and must be saved as they were.
        folding.events = {case.event.id: case.event for case in start.cases.values()}
        log.info("%s: late facts for round %d, folding again after %d", service, late, start.round)
        await self._fold(folding, [r for r in rounds if r <= last])
        await self._save(service, watched, folding, refolded_after=start.round)
        return True

    async def _advance(self, service: str, watched: _Watched) -> bool:
        """Fold the rounds that are over, in order; True when there was one."""
        waiting = await self.database.facts.rounds(watched.state.round, service)
        ends = {round: round + interval for round, interval in waiting}
        closed = await self._closed(service, watched, waiting)
        watched.stirred = False
        if not closed:
            await self._peek(service, watched, [round for round, _ in waiting])
            return False
        folding = Folding(watched.state, self.policy, fingerprints=self.fingerprints)
        before = watched.state
        for start in range(0, len(closed), CHUNK_ROUNDS):
            chunk = closed[start : start + CHUNK_ROUNDS]
            await self._fold(folding, chunk)
            more = start + CHUNK_ROUNDS < len(closed)
            await self._save(service, watched, folding, before=before, quietly=more)
            await self._renew()
        now = self.clock()
        for round in closed:
            if self.observe_lag is not None:
                self.observe_lag(max(0, now - ends[round]) / 1000)
        await self._peek(service, watched, [round for round, _ in waiting[len(closed) :]])
        return True

    async def _peek(self, service: str, watched: _Watched, waiting: Sequence[int]) -> None:
        """Look for what is suspicious in rounds that are not over, and forget what was concluded
        on the way: who is slow, or gone, must not keep the others from measuring again."""
        now = self.clock()
        begun = [round for round in waiting if round <= now]
        if self.on_suspicion is None or not 0 < len(begun) <= PEEK_ROUNDS:
            return
        if (due := self._suspecting.peeks(service, now)) > now:
            watched.looked_at = min(watched.looked_at, due)
            return
        folding = Folding(watched.state, self.policy, fingerprints=self.fingerprints, pending=True)
        for round in begun:
            await self._fold(folding, [round])
            await self._ask(folding.state, anew=True)

    async def _ask(self, state: ServiceState, *, anew: bool) -> None:
        """Ask for a closer look where something has just begun, or ended."""
        if self.on_suspicion is not None:
            places = self._suspecting.places(state, self.clock(), anew=anew)
            if places:
                await self.on_suspicion(places)

    async def _closed(
        self, service: str, watched: _Watched, waiting: Sequence[tuple[int, int]]
    ) -> list[int]:
        """The first of the waiting rounds, up to the first that is not over; says when to look
        again."""
        closed: list[int] = []
        window = self.policy.ms(self.policy.control_window_seconds)
        watched.looked_at = 2**63
        for round, interval in waiting:
            until = round_deadline.deadline(round, interval, self.policy)
            if self.clock() < until:
                near = await self.database.facts.facts(round - window, round, service)
                if not round_deadline.delivered(round, near):
                    watched.looked_at = until
                    break
            closed.append(round)
        return closed

    async def _fold(self, folding: Folding, rounds: Sequence[int]) -> None:
        window = self.policy.ms(self.policy.control_window_seconds)
        service = folding.state.service
        for chunk in chunks(rounds, CHUNK_ROUNDS, self.policy):
            stored = await self.database.facts.facts(chunk[0] - window, chunk[-1], service)
            self._suspecting.met(service, stored)
            # In a thread: pages are served by this process's event loop in `up`.
            work = asyncio.get_running_loop().run_in_executor(None, folding.fold, chunk, stored)
            while not (await asyncio.wait({work}, timeout=LEASE_SECONDS / 3))[0]:
                await self._renew()
            await work
            await self._renew()

    async def _renew(self) -> None:
        if not await self._lead():
            raise StoreUnavailableError("another detector leads now")

    async def _save(
        self,
        service: str,
        watched: _Watched,
        folding: Folding,
        *,
        before: ServiceState | None = None,
        refolded_after: int | None = None,
        quietly: bool = False,
    ) -> None:
        """Save what a fold has concluded; then, unless there is more to catch up with, tell."""
        conclusions = self.database.conclusions
        before = before or watched.state
        told = transitions.News((), ())
        if not quietly:
            ids = folding.events.keys() | {case.event.id for case in before.cases.values()}
            async with self.database.reading() as connection:
                known = await published_transitions(connection, ids)
            told = transitions.news(
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
            journal=told.journal,
        )
        await conclusions.save((saved,), self._cursor)
        watched.state = folding.state
        folding.checkpoints, folding.verdicts = [], []
        if not quietly:
            folding.events = {}
            if told.events and self.on_change is not None:
                await self.on_change(list(told.events))


async def run_detector(
    database: Database,
    policy: Policy,
    stop: asyncio.Event,
    *,
    holder: str,
    clock: Callable[[], int],
    on_change: OnChange | None = None,
    observe_lag: Callable[[float], None] | None = None,
    on_suspicion: OnSuspicion | None = None,
    fingerprints: Fingerprints = OWN,
) -> None:
    """Detect until `stop` is set.

    `holder` names this process in the lease, `clock` gives Unix milliseconds. `on_change` gets
    events whose state, tier, technique, targets or networks are news; its exceptions are ours
    to see and end the loop.
    """
    await Detecting(
        database,
        policy,
        holder,
        clock,
        on_change=on_change,
        observe_lag=observe_lag,
        on_suspicion=on_suspicion,
        fingerprints=fingerprints,
    ).run(stop)
