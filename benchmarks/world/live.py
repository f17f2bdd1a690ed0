# SPDX-License-Identifier: Apache-2.0
"""The detector and its retests as they run: facts arrive one by one, rounds close when they are
delivered or over, suspicions ask the vantages of a network to measure again.

Production code decides when a round closes (`round_deadline`), what is asked for and for which
round (`retest_requests`, `retest_publisher`), and which requests a probe accepts
(`probes.rounds.retests`). Simulated are the times between them. What arrives after its round was
folded is folded again from the state before it, as in production.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from copy import copy, deepcopy

from msgspec.structs import replace

from benchmarks.world.blocks import Block
from benchmarks.world.purses import Purse
from benchmarks.world.scene import MINUTE_MS, SpreadScene
from benchmarks.world.vantages import Person
from benchmarks.world.verdicts import TARGET
from monitor.detection.events.fold import initial, step
from monitor.detection.events.state import ServiceState
from monitor.detection.lateness import deadline
from monitor.detection.model import Event, Fact, State, Technique
from monitor.detection.policy import Policy
from monitor.detector.retest_publisher import CHECK_SECONDS, RetestTracker, requests
from monitor.detector.round_deadline import Reports
from monitor.store.records import Arrived
from probes.rounds.retests import RetestLimits, pause_ms
from probes.wire.measurement import Role
from probes.wire.retest import Retest
from probes.wire.target import Target

CONTROL, CONTROL_ASN, CONTROL_MS = "p-control", 64999, 300_000
"""The control measures everything every five minutes (`--full`)."""
RUN_MS, FAILED_MS = (5_000, 30_000), (5_000, 20_000)
"""A target is measured and its batch sent so long after the round began at that probe: batches wait
for the end of the round, at most 30 seconds, or 2 after a failure
(`probes.delivery.outbox`)."""
RETEST_RUN_MS = (4_000, 8_000)
"""The same of a retest: three seconds of waiting for second DNS answers, liveness, the target."""
CONTRASTS_MS, TIMEOUT_MS = 4_000, 25_000
"""What a failure adds: contrasts; and for silence the time limits of subject and contrasts."""
DELIVERY_MS = (500, 2_500)
"""From the probe over the broker into the store, and until the detector has read it."""
REQUEST_MS = (200, 1_500)
"""From the detector's decision over the broker to the probe."""
HISTORY_MS = 3_600_000
"""Late facts are folded again from a state of at most this age."""
Reached = Callable[[Event, int], None]
"""Gets every event that changed, and when that was known (Unix ms)."""


class Live:
    """One world and its detector. Copies are independent: blocks are tried on copies."""

    def __init__(
        self,
        scene: SpreadScene,
        policy: Policy,
        rng: random.Random,
        state: ServiceState | None = None,
        n: int = 0,
        *,
        blocked: int | None = None,
    ) -> None:
        """`state` is that before the n-th minute; an empty one without it. `blocked`: the vantages
        have traffic budgets, and so many other services are blocked."""
        self.scene, self.policy, self.rng = scene, policy, rng
        self.state: ServiceState = initial("service") if state is None else state
        self.now = scene.round(n)
        self.blocks: tuple[Block, ...] = ()
        self.on_change: Reached = lambda event, at: None
        self.asked = 0
        """Requests for a network."""
        self.retested = 0
        """Measurements that vantages made because they were asked to."""
        self._minute, self._blocked = n, blocked
        self._purses: dict[str, Purse] = {}
        self._turns: list[tuple[int, int, int]] = []
        """When vantages begin, with the minute of their round and their index."""
        self._order = itertools.count()
        self._due: list[tuple[int, int, Fact | None, Arrived]] = []
        self._waiting: dict[int, list[Fact]] = {}
        """By round: arrived and not folded."""
        self._intervals: dict[int, int] = {}
        """Longest interval of each round that has not closed."""
        self._history: list[tuple[int, ServiceState, list[Fact]]] = []
        """Folded rounds with the state before them."""
        self._reports = Reports(policy)
        self._tracker = RetestTracker(policy)
        self._looked = 0
        self._limits: dict[str, RetestLimits] = {}
        self._failed: dict[str, int] = {}
        """When each vantage's last measurement ended, if it failed."""

    def copy(self, rng: random.Random) -> Live:
        """The same world at this moment, with its own chance from now on."""
        new = copy(self)
        new.rng = rng
        new._due, new._history = list(self._due), list(self._history)
        new._turns = list(self._turns)
        new._waiting = {round: list(some) for round, some in self._waiting.items()}
        new._intervals, new._failed = dict(self._intervals), dict(self._failed)
        new._reports, new._tracker = deepcopy(self._reports), deepcopy(self._tracker)
        new._limits, new._purses = deepcopy(self._limits), deepcopy(self._purses)
        new.asked = new.retested = 0
        return new

    def run(self, until: int, done: Callable[[], bool] = lambda: False) -> None:
        """Let time pass until then (Unix ms), or until `done`."""
        while self.now < until and not done():
            look = self._looked + self.policy.ms(CHECK_SECONDS)
            nearest = [self.scene.round(self._minute), look]
            nearest += [some[0][0] for some in (self._due, self._turns) if some]
            if self._intervals:
                first = min(self._intervals)
                nearest.append(deadline(first, self._intervals[first], self.policy))
            self.now = max(self.now + 1, min(nearest))
            while self.scene.round(self._minute) <= self.now:
                self._begin(self._minute)
                self._minute += 1
            self._measure()
            self._detect()

    # -- probes --

    def _begin(self, n: int) -> None:
        """The control measures, and the vantages whose round it is know when they will."""
        round = self.scene.round(n)
        for index, start in self.scene.starts(n, self.rng).items():
            heapq.heappush(self._turns, (start, n, index))
        if round % CONTROL_MS == 0:
            began = round + int(self.rng.uniform(0, MINUTE_MS))
            self._arrive(None, self._control(round, CONTROL_MS), began + self._between(RUN_MS))

    def _measure(self) -> None:
        """The vantages measure whose time it is: a block may have begun since their round did."""
        while self._turns and self._turns[0][0] <= self.now:
            start, n, index = heapq.heappop(self._turns)
            thin = self._thinning(self.scene.people[index], start)
            if not thin:
                continue
            for fact in self.scene.facts(n, self.rng, self.blocks, starts={index: start}):
                fails = fact.verdict.state is not State.OK
                if not fails:
                    fact = replace(fact, interval=thin * fact.interval)
                self._send(fact, fact.started + self._between(FAILED_MS if fails else RUN_MS))

    def _thinning(self, person: Person, at: int) -> int:
        """In how many of its rounds a vantage measures the service once; 0: not in this one."""
        if self._blocked is None:
            return 1
        return self._purse(person, at).measures(at, failing=person.probe in self._failed)

    def _purse(self, person: Person, at: int) -> Purse:
        purse = self._purses.get(person.probe)
        if purse is None:
            interval = self.scene.interval_of(person)
            purse = Purse(person.probe, interval, self._blocked or 0, at)
            self._purses[person.probe] = purse
        return purse

    def _send(self, fact: Fact, ended: int) -> None:
        state = fact.verdict.state
        self._failed.pop(fact.probe, None)
        if state is not State.OK:
            quiet = fact.verdict.technique is not Technique.TLS_RESET_SNI
            ended += TIMEOUT_MS if quiet else CONTRASTS_MS
            self._failed[fact.probe] = ended
        arrived = Arrived(
            probe=fact.probe,
            role=Role.VANTAGE,
            country=fact.country,
            asn=fact.asn,
            target=TARGET,
            round=fact.round,
            interval_ms=fact.interval,
        )
        self._arrive(fact, arrived, ended)

    def _arrive(self, fact: Fact | None, arrived: Arrived, ended: int) -> None:
        at = ended + self._between(DELIVERY_MS)
        if fact is not None:
            fact = replace(fact, received=at)
        heapq.heappush(self._due, (at, next(self._order), fact, arrived))

    def _control(self, round: int, interval: int) -> Arrived:
        return Arrived(
            probe=CONTROL,
            role=Role.CONTROL,
            country="ZC",
            asn=CONTROL_ASN,
            target=TARGET,
            round=round,
            interval_ms=interval,
        )

    def _between(self, span: tuple[int, int]) -> int:
        return int(self.rng.uniform(*span))

    def _retest(self, asn: int, request: Retest) -> None:
        """A network's vantages, and the control, get a request."""
        self.asked += 1
        answering: dict[int, int] = {}
        for person in self.scene.on(request.round):
            if person.asn != asn or not request.concerns(person.probe):
                continue
            at = self.now + self._between(REQUEST_MS)
            start = self._accepted(person, request, at)
            if start is not None:
                answering[person.index] = start
        for fact in self.scene.retest(request, answering, self.rng, self.blocks):
            self.retested += 1
            self._send(fact, fact.started + self._between(RETEST_RUN_MS))
        ended = self.now + self._between(RETEST_RUN_MS) + self._between((0, 15_000))
        self._arrive(None, self._control(request.round, request.interval_ms), ended)

    def _accepted(self, person: Person, request: Retest, at: int) -> int | None:
        """When a probe begins the retest; None when it refuses. Liars do as they are asked."""
        interval = self.scene.interval_of(person)
        limits = self._limits.get(person.probe)
        if limits is None:
            target = Target(id=TARGET, endpoints=())
            limits = RetestLimits({TARGET: target}, pause_ms(interval, 180.0))
            self._limits[person.probe] = limits
        phase = self.scene.phase(person, at)
        last = (at - phase) // interval * interval + phase
        failed = {TARGET: self._failed.get(person.probe, 0)}
        purse = None if self._blocked is None else self._purse(person, at)
        planned = limits.accept(
            request,
            at,
            self.rng,
            own_rounds=(last, last + interval),
            failed=failed,
            affordable=float("inf") if purse is None else purse.affordable(at),
        )
        if isinstance(planned, str):
            return None
        if purse is not None:
            purse.pay_retest(at)
        return planned.start_ms

    # -- the detector --

    def _detect(self) -> None:
        late = self._take()
        if late is not None:
            self._refold(late)
        closed = self._close()
        look = self.now - self._looked >= self.policy.ms(CHECK_SECONDS)
        if look:
            self._looked = self.now
            state = self.state
            for round in sorted(r for r in self._waiting if r <= self.now):
                state, _ = step(state, round, self._waiting[round], self.policy)
                self._ask(state, new_round=True)
        if closed or look:
            self._ask(self.state, new_round=closed)

    def _take(self) -> int | None:
        """Take what has arrived; the earliest folded round that some of it belongs to."""
        late: int | None = None
        while self._due and self._due[0][0] <= self.now:
            _, _, fact, arrived = heapq.heappop(self._due)
            self._reports.add([arrived])
            if arrived.round > self.state.round:
                known = self._intervals.get(arrived.round, 0)
                self._intervals[arrived.round] = max(known, arrived.interval_ms)
                if fact is not None:
                    self._waiting.setdefault(arrived.round, []).append(fact)
            elif fact is not None and self._history and arrived.round >= self._history[0][0]:
                late = arrived.round if late is None else min(late, arrived.round)
                at = next(i for i, each in enumerate(self._history) if each[0] >= arrived.round)
                round, before, facts = self._history[at]
                if round == arrived.round:
                    self._history[at] = (round, before, [*facts, fact])
                else:
                    self._history.insert(at, (arrived.round, before, [fact]))
        return late

    def _refold(self, late: int) -> None:
        first = next(i for i, each in enumerate(self._history) if each[0] >= late)
        state = self._history[first][1]
        for i in range(first, len(self._history)):
            round, _, facts = self._history[i]
            self._history[i] = (round, state, facts)
            state = self._step(state, round, facts)
        self.state = state

    def _close(self) -> bool:
        closed = False
        for round in sorted(self._intervals):
            until = deadline(round, self._intervals[round], self.policy)
            if self.now < until and not self._reports.delivered("service", round, self.now):
                break
            facts = self._waiting.pop(round, [])
            del self._intervals[round]
            self._history.append((round, self.state, facts))
            self.state = self._step(self.state, round, facts)
            closed = True
        if closed:
            oldest = self.now - HISTORY_MS
            self._history = [each for each in self._history if each[0] >= oldest]
            window = (
                self.policy.rounds.control_window_seconds + self.policy.rounds.round_wait_seconds
            )
            self._reports.forget(self.now - self.policy.ms(window + 60))
        return closed

    def _step(self, state: ServiceState, round: int, facts: Sequence[Fact]) -> ServiceState:
        state, changed = step(state, round, facts, self.policy)
        for event in changed:
            self.on_change(event, self.now)
        return state

    def _ask(self, state: ServiceState, *, new_round: bool) -> None:
        due = self._tracker.due(state, self.now, new_round=new_round)
        for topic, request in requests(due, self.now, self.policy):
            self._retest(int(topic.rpartition("/")[2]), request)
