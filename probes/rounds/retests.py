# SPDX-License-Identifier: Apache-2.0
"""Retests: which of the detector's requests this probe accepts, and when it measures them.

The detector may ask for a target again, and so may whoever has taken over its broker. Therefore
`RetestLimits` bounds what requests can cost, and accepts only what lies between two of the probe's
own rounds, which cover the rest. `RetestRunner` measures what was accepted, beside a round if there
is one: a request that waited for it would end meanwhile. It leaves to the round what that has still
to measure.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec

from probes.log import Log
from probes.rounds.turns import Turns
from probes.wire.retest import Retest
from probes.wire.target import Target

HOUR_MS = 3_600_000
MAX_PER_TARGET = 16
"""Retests of one target in an hour: fewer are enough to confirm or reject a suspicion; the end of a
block that lets half of the connections pass takes so many."""
MAX_PER_HOUR = 60
"""Targets measured again in one hour, all requests together."""
SPREAD = 0.25
"""Part of the request's round over which the probes of a network spread their starts, so that they
do not all connect to a service in the same second."""
LATEST = 0.5
"""Part of the request's length that a start may wait for the end of residual blocking: what begins
later may end after the monitor has judged the round."""
APART_SECONDS = 15.0
"""Time from one retest to the next: what comes due meanwhile is measured together, since each
retest pays for its own liveness."""
MAX_CLOCK_ROUNDS = 2
"""The clocks of monitor and probe may differ by this many of the request's rounds. Requests that
are farther off are refused: the monitor would not combine their measurements with the others."""
RESIDUAL_PART = 0.54
"""Shortest pause after a failure of a target, as a part of the probe's interval: nine tenths
of 180 s (residual blocking) in 300 s. The detector waits for all of the 180 s between its
requests because a block may begin, and for half between those because one may end; the tenth is
room for messages that travel at uneven speed."""


class PlannedRetest(msgspec.Struct, frozen=True):
    """What to measure, and when to begin. Times are Unix milliseconds."""

    targets: tuple[Target, ...]
    round_ms: int
    interval_ms: int
    start_ms: int
    earliest_ms: int
    """When residual blocking is over; it may begin before `start_ms` if others do."""
    until_ms: int
    """After this it is too late: the monitor has judged the round."""
    throughput: frozenset[str] = frozenset()
    """Ids of the targets whose throughput is wanted."""


def pause_ms(interval_ms: int, residual_seconds: float) -> int:
    """The shortest time between a failure and a retest, for a probe with this interval."""
    return int(min(RESIDUAL_PART * interval_ms, 900 * residual_seconds))


@dataclass
class RetestLimits:
    """The limits on retests, and the retests of the last hour. Pure: time and chance are
    arguments."""

    targets: Mapping[str, Target]
    pause_ms: int = 0
    """Shortest time between a failure of a target and its retest, so that a retest does not see
    residual blocking that the measurement before it triggered. Between two retests it is half of
    that: one that succeeds triggers nothing."""
    _recent: deque[tuple[int, str]] = field(default_factory=deque)
    """(time, target), oldest first."""
    _last_rounds: dict[str, int] = field(default_factory=dict)
    """The last round that was requested for each target."""

    def accept(
        self,
        request: Retest,
        now_ms: int,
        rng: random.Random,
        *,
        own_rounds: tuple[int, int],
        unfinished: Collection[str] = (),
        failed: Mapping[str, int] = MappingProxyType({}),
        affordable: float = float("inf"),
    ) -> PlannedRetest | str:
        """Return the planned retest, or the reason for refusing it.

        `own_rounds` are the probe's last round and its next; `unfinished` are targets that the
        round in progress will still measure; `failed` says when targets last failed here: within
        the pause after that residual blocking would be measured, so the start waits for its end,
        or the request is refused where that takes too long; `affordable` is the number of targets
        that the volunteer's traffic budget can pay for now.
        """
        if abs(request.round - now_ms) > MAX_CLOCK_ROUNDS * request.interval_ms:
            return "the requested round is too far from this machine's time"
        last, following = own_rounds
        if not last < request.round < following:
            return "a round of this probe's own covers it"
        while self._recent and self._recent[0][0] <= now_ms - HOUR_MS:
            self._recent.popleft()
        chosen: list[Target] = []
        earliest = now_ms
        for name in dict.fromkeys(request.targets):
            target = self.targets.get(name)
            if target is None or name in unfinished or self._last_rounds.get(name) == request.round:
                continue
            times = [when for when, recent in self._recent if recent == name]
            latest = times[-1] if times else 0
            ready = max(latest + self.pause_ms // 2, failed.get(name, 0) + self.pause_ms)
            if len(times) >= MAX_PER_TARGET or ready > now_ms + LATEST * request.interval_ms:
                continue
            if len(self._recent) >= MAX_PER_HOUR or len(chosen) + 1 > affordable:
                break
            chosen.append(target)
            earliest = max(earliest, ready)
            self._recent.append((now_ms, name))
            self._last_rounds[name] = request.round
        if not chosen:
            return "no target that may be measured again now"
        spread = int(rng.uniform(0, SPREAD * request.interval_ms))
        return PlannedRetest(
            targets=tuple(chosen),
            round_ms=request.round,
            interval_ms=request.interval_ms,
            start_ms=max(earliest, now_ms + spread),
            earliest_ms=earliest,
            until_ms=now_ms + request.interval_ms,
            throughput=frozenset(each.id for each in chosen if request.throughput),
        )


class RetestRunner:
    """Measures accepted retests, each when it is due."""

    def __init__(
        self,
        limits: RetestLimits,
        measure: Callable[[PlannedRetest], Awaitable[None]],
        *,
        turns: Turns,
        unfinished: Collection[str] = (),
        now_ms: Callable[[], int],
        rng: random.Random,
        log: Log,
    ) -> None:
        """`turns` says when a retest may begin; `unfinished` holds the targets that the round in
        progress has still to measure."""
        self.own_rounds = (0, 0)
        """The probe's last round and its next."""
        self.measured = 0
        """Targets measured again since the start."""
        self.waiting = 0
        """Targets that were accepted and are not measured yet."""
        self._limits, self._measure, self._turns = limits, measure, turns
        self._unfinished = unfinished
        self._now_ms, self._rng, self._log = now_ms, rng, log
        self._planned: list[tuple[float, PlannedRetest]] = []
        """With the times at which they are due, by the clock of the event loop: that of the machine
        may be set back by hours."""
        self._arrived = asyncio.Event()
        self._next = 0.0
        """When the next retest may begin, by the same clock."""

    def use(self, targets: Iterable[Target]) -> None:
        """Accept requests for these targets from now on."""
        self._limits.targets = {target.id: target for target in targets}

    def submit(
        self,
        request: Retest,
        affordable: float,
        failed: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Accept a request, or log why not; see `RetestLimits.accept`."""
        now = self._now_ms()
        planned = self._limits.accept(
            request,
            now,
            self._rng,
            own_rounds=self.own_rounds,
            unfinished=self._unfinished,
            failed=failed,
            affordable=affordable,
        )
        if isinstance(planned, str):
            self._log("retest refused", every=600.0, reason=planned)
        else:
            self.waiting += len(planned.targets)
            wait = (planned.start_ms - now) / 1000
            self._planned.append((asyncio.get_running_loop().time() + wait, planned))
            self._arrived.set()

    async def run(self) -> None:
        """Measure what was accepted, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wait()
                await self._turns.may_begin_retests()
                due = self._take_due()
                self.waiting -= sum(len(planned.targets) for planned in due)
                self._next = asyncio.get_running_loop().time() + APART_SECONDS
                for planned in _merged(self._in_time(due)):
                    self.waiting += len(planned.targets)
                    turn = contextlib.ExitStack()
                    turn.enter_context(self._turns.retest())
                    group.create_task(self._run(planned, turn))

    async def _run(self, planned: PlannedRetest, turn: contextlib.ExitStack) -> None:
        with turn:
            self._log("retest", targets=",".join(target.id for target in planned.targets))
            try:
                await self._measure(planned)
            finally:
                self.waiting -= len(planned.targets)
            self.measured += len(planned.targets)

    def _take_due(self) -> list[PlannedRetest]:
        """What is due, and what may begin as well."""
        time, now = asyncio.get_running_loop().time(), self._now_ms()
        due = [each for each in self._planned if each[0] <= time or each[1].earliest_ms <= now]
        self._planned = [each for each in self._planned if each not in due]
        return [planned for _, planned in due]

    async def _wait(self) -> None:
        """Until a retest is due."""
        while True:
            self._arrived.clear()
            first = min((max(at, self._next) for at, _ in self._planned), default=None)
            if first is not None and first <= asyncio.get_running_loop().time():
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(first):
                    await self._arrived.wait()

    def _in_time(self, planned: Iterable[PlannedRetest]) -> Iterator[PlannedRetest]:
        """Those that are not too late, without what the round in progress covers."""
        now, last = self._now_ms(), self.own_rounds[0]
        for retest in planned:
            targets = tuple(t for t in retest.targets if t.id not in self._unfinished)
            if targets and now < retest.until_ms and retest.round_ms > last:
                yield msgspec.structs.replace(retest, targets=targets)


def _merged(planned: Iterable[PlannedRetest]) -> list[PlannedRetest]:
    """One retest for each round: when many services fail at once, the detector sends a request for
    each of them, and liveness need not be measured for each."""
    found: dict[tuple[int, int], PlannedRetest] = {}
    for each in planned:
        key = each.round_ms, each.interval_ms
        known = found.get(key)
        if known is not None:
            each = msgspec.structs.replace(
                known,
                targets=(*known.targets, *each.targets),
                throughput=known.throughput | each.throughput,
            )
        found[key] = each
    return list(found.values())
