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
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from monitor.detection.events import state as states
from monitor.detection.events.fold import initial
from monitor.detection.events.history import Folding
from monitor.detection.events.state import DetectorStateError, ServiceState
from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.model import Event
from monitor.detection.policy import Policy
from monitor.detector import transitions
from monitor.detector.newest_rounds import NewestRounds
from monitor.detector.open_rounds import OpenRounds
from monitor.detector.rest import FACTOR, NO_REST, Rest, Work
from monitor.detector.retest_publisher import OnRetest, RetestTracker
from monitor.detector.round_deadline import Reports, deadline
from monitor.detector.round_reader import MAX_FACTS, RoundReader, Rounds
from monitor.metrics.lags import Backlog
from monitor.store.database import Database
from monitor.store.notes import read_retractions
from monitor.store.reading.days import dropped_before
from monitor.store.reading.events import published_transitions
from monitor.store.reading.progress import list_services
from monitor.store.records import Conclusions, StoredRound, StoreUnavailableError
from monitor.store.shard import ALL, Shard
from probes.wire.measurement import LIVENESS, service_of

log = logging.getLogger(__name__)

LEASE_SECONDS = 6
"""How long after its last renewal a dead leader is replaced."""
POLL_SECONDS = 0.5
REMEMBERED_SECONDS = 7200
"""Whoever measures at least this often is expected on time after a restart as well."""
RECENT_STATES = 8
"""States of a service that are kept in memory: late facts of the last rounds are then folded from
the round before them, and not from the checkpoint of the last hour."""
OnChange = Callable[[list[Event]], Awaitable[None]]


class _StoppedError(Exception):
    """The detector was asked to stop in the middle of a fold; nothing of it is saved."""


@dataclass
class _Progress:
    """How far the loop has come with one service."""

    state: ServiceState
    late: int | None = None
    """Earliest folded round for which facts have arrived since."""
    waiting: dict[int, StoredRound] = field(default_factory=dict)
    """Rounds that are over and not folded yet."""
    next_check: int = 0
    """When its open rounds must be checked again, whatever arrives."""
    has_arrivals: bool = True
    """Whether anything arrived since its open rounds were last checked."""
    refolded_at: int = 0
    """When it was last folded again for late facts, Unix milliseconds."""
    refold_rest: Rest = NO_REST
    """When it is not folded again for late facts."""
    rest: Rest = NO_REST
    """When it is not checked: a large fleet must not cause a check with every message."""
    recent: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=RECENT_STATES))
    """The last saved states, encoded, each with its round."""


@dataclass
class Detector:
    """The loop over one store.

    `holder` names this process in the lease. `clock` gives Unix milliseconds and decides only
    when a round is over, never what is concluded from it. `observe_lag` gets the seconds from a
    round's end until its conclusions are saved. `on_change` gets events whose state, tier,
    technique, targets or networks changed, after they were saved, and none when this detector
    takes over; an exception in it ends the loop. `on_retest` gets what should be measured again at
    once.
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
    """The services that this detector works on."""
    _services: dict[str, _Progress] | None = field(default=None, repr=False)
    _cursor: int = 0
    """Last arrival whose conclusions are all saved."""
    _read: int = 0
    """Last arrival that was read."""
    _leased_at: int = 0
    _retests: RetestTracker = field(init=False, repr=False)
    _open_rounds: OpenRounds = field(init=False, repr=False)
    _reader: RoundReader = field(init=False, repr=False)
    _newest: NewestRounds = field(init=False, repr=False)
    _reports: Reports = field(init=False, repr=False)
    _stop: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def __post_init__(self) -> None:
        self._retests = RetestTracker(self.policy, self.on_retest)
        self._reader = RoundReader(self.database.facts, self.policy, self.fingerprints)
        self._open_rounds = OpenRounds(
            self._reader, self._retests, self.policy, self.fingerprints, self.clock
        )
        self._newest = NewestRounds(
            self.database, self._reader, self.policy, self.clock, self.rest_factor
        )
        self._reports = Reports(self.policy)

    @property
    def leads(self) -> bool:
        """Whether this process does the work of its part, and does not stand by."""
        return self._services is not None

    @property
    def backlog(self) -> Backlog:
        """What is over and not concluded yet."""
        services = () if self._services is None else tuple(self._services.values())
        rounds = [one for progress in services for one in progress.waiting.values()]
        ends = [one.round + one.interval for one in rounds]
        ends += [progress.late for progress in services if progress.late is not None]
        return Backlog(
            measurements=sum(one.measurements for one in rounds),
            seconds=max(0, self.clock() - min(ends)) / 1000 if ends else 0.0,
            damaged_batches=len(self.database.facts.damaged),
        )

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
            if self.on_change is not None:
                await self.on_change([])  # the leader before may have saved and not published
        await self._read_arrivals(self._services)
        folded = await self._refold_recent(self._services)
        folded |= await self._advance(self._services)
        folded |= await self._refold_oldest(self._services)
        behind = any(progress.late is not None for progress in self._services.values())
        if self._cursor != self._read and not behind:
            # Last: after a crash before it the same arrivals are read again.
            await self.database.conclusions.save((), self._read)
            self._cursor = self._read
        return folded

    async def _refold_recent(self, services: Mapping[str, _Progress]) -> bool:
        """Fold again the services with late facts of their last rounds."""
        folded = False
        for service, progress in sorted(services.items()):
            late, work = progress.late, Work(self.rest_factor)
            if (
                late is None
                or progress.rest.lasts(self.clock())
                or not self._is_recent(progress, late)
            ):
                continue
            folded |= await self._refold(service, progress, late)
            await self._retests.request(progress.state, self.clock(), new_round=True)
            progress.rest = work.rest(self.clock())
        return folded

    def _is_recent(self, progress: _Progress, late: int) -> bool:
        """Whether a late round is so recent that it is folded before new rounds are."""
        return progress.state.round - late <= 2 * self.policy.ms(self.policy.checkpoint_seconds)

    async def _refold_oldest(self, services: dict[str, _Progress]) -> bool:
        """Fold again the service that has waited longest of those with old late facts: one at
        a time and after the new rounds, so that old facts never delay new ones."""
        began, work = self.clock(), Work(self.rest_factor)
        waiting = [
            (progress.refolded_at, service)
            for service, progress in services.items()
            if progress.late is not None
            and not progress.refold_rest.lasts(began)
            and not self._is_recent(progress, progress.late)
        ]
        if not waiting:
            return False
        service = min(waiting)[1]
        progress = services[service]
        late = progress.late
        assert late is not None
        folded = await self._refold(service, progress, late)
        progress.refolded_at = self.clock()
        progress.refold_rest = work.rest(progress.refolded_at)
        return folded

    async def _take_lease(self) -> bool:
        now = self.clock()
        if self._services is not None and 0 <= now - self._leased_at < LEASE_SECONDS * 1000 // 3:
            return True
        if await self.database.conclusions.lead(self.holder, LEASE_SECONDS, now, self.shard):
            self._leased_at = now
            return True
        return False

    async def _release_lease(self) -> None:
        """Release the lease, so that the next leader need not wait until it expires."""
        try:
            await self.database.conclusions.lead(self.holder, 0, self.clock(), self.shard)
        except StoreUnavailableError:
            pass  # it expires by itself

    async def _load(self) -> dict[str, _Progress]:
        conclusions = self.database.conclusions
        loaded: dict[str, _Progress] = {}
        async with self.database.reading() as connection:
            names = list(filter(self.shard.has, await list_services(connection)))
        try:
            for service in names:
                stored = await conclusions.load(service)
                state = initial(service) if stored is None else states.decode(stored[1])
                loaded[service] = _Progress(state)
        except DetectorStateError as error:
            log.warning("%s; all measurements are processed again from the start", error)
            await conclusions.clear(None if self.shard == ALL else names)
            loaded = {service: _Progress(initial(service)) for service in names}
        self._cursor = await conclusions.cursor()
        await self._resume(loaded)
        since = self._recent() - self.policy.ms(REMEMBERED_SECONDS)
        self._reports.add(await self.database.facts.arrived(since))
        return loaded

    async def _resume(self, services: Mapping[str, _Progress]) -> None:
        """Go on where the states were saved, each with what it had read by then: a detector that
        stops in a backlog does not begin it again."""
        complete = await self.database.conclusions.complete()
        read: dict[str, int] = {}
        for service, progress in services.items():
            arrival, progress.late = complete.get(service, (0, None))
            read[service] = max(arrival, self._cursor)
        begun = {service for service, progress in services.items() if progress.state.round >= 0}
        self._read = max((read[service] for service in begun), default=self._cursor)
        for after in sorted({read[service] for service in begun} - {self._read}):
            behind = {service: services[service] for service in begun if read[service] == after}
            self._note_late(behind, await self.database.facts.earliest(after, self._read))

    def _note_late(
        self, services: Mapping[str, _Progress], earliest: Iterable[tuple[str, int]]
    ) -> None:
        """Note for which services (of those given) measurements of these rounds have arrived."""
        for target, round in earliest:
            name = service_of(target)
            if name == LIVENESS:
                reached: Iterable[_Progress] = services.values()
            else:
                reached = [services[name]] if name in services else []
            for progress in reached:
                progress.has_arrivals = True
                if round <= progress.state.round:
                    progress.late = round if progress.late is None else min(progress.late, round)

    def _recent(self) -> int:
        """First round that matters for who has delivered: older ones wait for nobody."""
        longest = deadline(0, 2**62, self.policy)
        return self.clock() - longest - self.policy.ms(self.policy.control_window_seconds)

    async def _read_arrivals(self, services: dict[str, _Progress]) -> None:
        """Read what new measurements arrived for."""
        recent = self._recent()
        news = await self.database.facts.news(self._read, recent)
        self._reports.forget(recent)
        self._reports.add(news.recent)
        for target, _ in news.earliest:
            name = service_of(target)
            if name != LIVENESS and name not in services and self.shard.has(name):
                services[name] = _Progress(initial(name))
        self._note_late(services, news.earliest)
        self._read = news.last

    async def _refold(self, service: str, progress: _Progress, late: int) -> bool:
        """Fold again from the newest known state before a late fact's round; False when facts of
        that time were already pruned."""
        progress.late = None
        self._newest.forget(service)
        raw = next((raw for round, raw in reversed(progress.recent) if round < late), None)
        if raw is None:
            found = await self.database.conclusions.checkpoint(service, late)
            raw = None if found is None else found[1]
        start = initial(service) if raw is None else states.decode(raw)
        async with self.database.reading() as connection:
            pruned = await dropped_before(connection)
            retractions = await read_retractions(connection)
        if start.round + 1 < pruned:  # some of the rounds to fold again are gone
            log.warning(
                "%s: late measurements for round %d are ignored: that time has been pruned",
                service,
                late,
            )
            return False
        last = progress.state.round
        rounds = [one.round for one in await self.database.facts.rounds(start.round, service)]
        folding = Folding(
            start, self.policy, fingerprints=self.fingerprints, retractions=retractions
        )
        # Events that were open then may have changed since: they are saved as they were then.
        folding.events = {each.event.id: each.event for each in start.open_events.values()}
        log.info(
            "%s: late measurements for round %d: processing again after %d",
            service,
            late,
            start.round,
        )
        for part in self._reader.parts({service: [r for r in rounds if r <= last]}):
            await self._fold({service: folding}, part)
        await self._save(
            {service: progress},
            {service: folding},
            {service: progress.state},
            refolded_after=start.round,
        )
        return True

    async def _advance(self, services: Mapping[str, _Progress]) -> bool:
        """Fold the rounds that are over, in order, all services together; True when there was
        one."""
        now, work = self.clock(), Work(self.rest_factor)
        checked = {
            service: progress
            for service, progress in sorted(services.items())
            if now >= progress.next_check
            or (progress.has_arrivals and not progress.rest.lasts(now))
        }
        closed: dict[str, list[int]] = {}
        opened: dict[str, list[int]] = {}
        ends: dict[str, dict[int, int]] = {}
        for service, progress in checked.items():
            waiting = await self.database.facts.rounds(progress.state.round, service)
            ends[service] = {one.round: one.round + one.interval for one in waiting}
            over = self._closed_rounds(service, progress, waiting)
            opened[service] = [one.round for one in waiting[len(over) :]]
            progress.waiting = {one.round: one for one in waiting[: len(over)]}
            progress.has_arrivals = False
            if over:
                closed[service] = over
            await self._pause()
        await self._fold_closed({service: services[service] for service in closed}, closed)
        now = self.clock()
        for service, over in closed.items():
            for round in over:
                if self.observe_lag is not None:
                    self.observe_lag(max(0, now - ends[service][round]) / 1000)
        present = {service: progress.state for service, progress in checked.items()}
        again = await self._open_rounds.fold(present, opened, self.rest_factor, self._pause)
        for service, at in again.items():
            checked[service].next_check = min(checked[service].next_check, at)
        for service, progress in services.items():
            await self._retests.request(progress.state, self.clock(), new_round=service in closed)
        rest = work.rest(self.clock())
        for progress in checked.values():
            progress.rest = rest
        return bool(closed)

    async def _fold_closed(self, services: Mapping[str, _Progress], closed: Rounds) -> None:
        """Fold and save rounds part by part; a service's events are published with its last one."""
        if not closed:
            return
        async with self.database.reading() as connection:
            retractions = await read_retractions(connection)
        before = {service: progress.state for service, progress in services.items()}
        foldings = {
            service: Folding(
                progress.state,
                self.policy,
                fingerprints=self.fingerprints,
                retractions=retractions,
            )
            for service, progress in services.items()
        }
        for part in self._reader.parts(closed):
            waiting = {name: list(services[name].waiting.values()) for name in services}
            await self._newest.judge(waiting, self._pause)
            await self._fold(foldings, part)
            over = {s: before[s] for s, some in part.items() if some[-1] == closed[s][-1]}
            for some in _transactions({service: foldings[service] for service in part}):
                await self._save(services, some, over)
                await self._pause()

    def _closed_rounds(
        self, service: str, progress: _Progress, waiting: Sequence[StoredRound]
    ) -> list[int]:
        """The waiting rounds up to the first that is not over; sets when to check again."""
        closed: list[int] = []
        progress.next_check = 2**63
        for round, interval, _ in waiting:
            until = deadline(round, interval, self.policy)
            now = self.clock()
            if now < until and not self._reports.delivered(service, round, now):
                progress.next_check = until
                break
            closed.append(round)
        return closed

    async def _fold(self, foldings: Mapping[str, Folding], rounds: Rounds) -> None:
        controls = await self._reader.fold(foldings, rounds, self._pause)
        self._retests.record_controls(controls)

    async def _pause(self) -> None:
        """Between parts of the work: stop when asked to, and stay the leader."""
        if self._stop.is_set():
            raise _StoppedError
        if not await self._take_lease():
            raise StoreUnavailableError("another detector is active now")

    async def _save(
        self,
        services: Mapping[str, _Progress],
        foldings: Mapping[str, Folding],
        published: Mapping[str, ServiceState],
        *,
        refolded_after: int | None = None,
    ) -> None:
        """Save the conclusions of a fold in one transaction, then publish the events of the
        services in `published`, which gives the state that they were last published with."""
        saved: list[Conclusions] = []
        changed: list[Event] = []
        for service, folding in foldings.items():
            new = transitions.NewTransitions((), ())
            if service in published:
                new = await self._transitions(folding, published[service])
                changed += new.events
            raw = states.encode(folding.state)
            saved.append(
                Conclusions(
                    service=service,
                    round=folding.state.round,
                    state=raw,
                    arrival=self._read,
                    late=services[service].late,
                    checkpoints=tuple(folding.checkpoints),
                    refolded_after=refolded_after,
                    events=tuple(folding.events.values()),
                    facts=tuple(folding.facts),
                    evidence=tuple(folding.evidence),
                    journal=new.journal,
                )
            )
        await self.database.conclusions.save(saved, self._cursor)
        for one, (service, folding) in zip(saved, foldings.items(), strict=True):
            progress = services[service]
            progress.state = folding.state
            for round in [each for each in progress.waiting if each <= one.round]:
                del progress.waiting[round]
            if refolded_after is not None:
                progress.recent = deque(
                    (each for each in progress.recent if each[0] <= refolded_after),
                    maxlen=RECENT_STATES,
                )
            progress.recent.append((one.round, one.state))
            folding.checkpoints, folding.facts, folding.evidence = [], [], []
            if service in published:
                folding.events = {}
        if changed and self.on_change is not None:
            await self.on_change(changed)

    async def _transitions(
        self, folding: Folding, before: ServiceState
    ) -> transitions.NewTransitions:
        ids = folding.events.keys() | {each.event.id for each in before.open_events.values()}
        async with self.database.reading() as connection:
            known = await published_transitions(connection, ids)
        return transitions.new_transitions(
            folding.events, before, folding.state, known, now=self.clock(), policy=self.policy
        )


def _transactions(foldings: Mapping[str, Folding]) -> Iterator[dict[str, Folding]]:
    """Services whose conclusions are saved together: all, unless a round is so large that other
    writers would wait for seconds."""
    together: dict[str, Folding] = {}
    size = 0
    for service, folding in foldings.items():
        together[service] = folding
        size += len(folding.facts)
        if size >= MAX_FACTS:
            yield together
            together, size = {}, 0
    if together:
        yield together
