# SPDX-License-Identifier: Apache-2.0
"""Retests: which of the detector's requests this probe accepts, and when it measures them.

The detector may ask for a target again, and so may whoever has taken over its broker. Therefore
`RetestLimits` bounds what requests can cost, and accepts only what lies between two of the probe's
own rounds, which cover the rest. `RetestRunner` measures what was accepted, never at the same time
as a round of the probe and never after a round that covers the request has begun.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec

from probes.log import Log
from probes.wire.retest import Retest
from probes.wire.target import Target

HOUR_MS = 3_600_000
MAX_PER_TARGET = 12
"""Retests of one target in an hour: fewer are enough to confirm or reject a suspicion."""
MAX_PER_HOUR = 60
"""Targets measured again in one hour, all requests together."""
SPREAD = 0.25
"""Part of the request's round over which the probes of a network spread their starts, so that they
do not all connect to a service in the same second."""
MAX_CLOCK_ROUNDS = 2
"""The clocks of monitor and probe may differ by this many of the request's rounds. Requests that
are farther off are refused: the monitor would not combine their measurements with the others."""
RESIDUAL_PART = 0.54
"""Shortest pause between two retests of a target, as a part of the probe's interval: nine tenths
of 180 s (residual blocking) in 300 s. The detector waits for all of the 180 s between its
requests; the tenth is room for messages that travel at uneven speed."""


class PlannedRetest(msgspec.Struct, frozen=True):
    """What to measure, and when to begin. Times are Unix milliseconds."""

    targets: tuple[Target, ...]
    round_ms: int
    interval_ms: int
    start_ms: int
    until_ms: int
    """After this it is too late: the monitor has judged the round."""


def pause_ms(interval_ms: int, residual_seconds: float) -> int:
    """The shortest time between two retests of a target, for a probe with this interval."""
    return int(min(RESIDUAL_PART * interval_ms, 900 * residual_seconds))


@dataclass
class RetestLimits:
    """The limits on retests, and the retests of the last hour. Pure: time and chance are
    arguments."""

    targets: Mapping[str, Target]
    pause_ms: int = 0
    """Shortest time between two retests of a target, and between a failure and a retest, so that a
    retest does not see residual blocking that the measurement before it triggered."""
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
        the pause after that residual blocking would be measured, so the other vantages of the
        network answer first; `affordable` is the number of targets that the
        volunteer's traffic budget can pay for now.
        """
        if abs(request.round - now_ms) > MAX_CLOCK_ROUNDS * request.interval_ms:
            return "the requested round is too far from this machine's time"
        last, following = own_rounds
        if not last < request.round < following:
            return "a round of this probe's own covers it"
        while self._recent and self._recent[0][0] <= now_ms - HOUR_MS:
            self._recent.popleft()
        chosen: list[Target] = []
        for name in dict.fromkeys(request.targets):
            target = self.targets.get(name)
            if target is None or name in unfinished or self._last_rounds.get(name) == request.round:
                continue
            times = [when for when, recent in self._recent if recent == name]
            last_known = max(times[-1] if times else 0, failed.get(name, 0))
            too_soon = now_ms - last_known < self.pause_ms
            if len(times) >= MAX_PER_TARGET or too_soon:
                continue
            if len(self._recent) >= MAX_PER_HOUR or len(chosen) + 1 > affordable:
                break
            chosen.append(target)
            self._recent.append((now_ms, name))
            self._last_rounds[name] = request.round
        if not chosen:
            return "no target that may be measured again now"
        start = now_ms + int(rng.uniform(0, SPREAD * request.interval_ms))
        return PlannedRetest(
            tuple(chosen), request.round, request.interval_ms, start, now_ms + request.interval_ms
        )


class RetestRunner:
    """Measures accepted retests, one after another."""

    def __init__(
        self,
        limits: RetestLimits,
        measure: Callable[[PlannedRetest], Awaitable[None]],
        *,
        measuring: asyncio.Lock,
        now_ms: Callable[[], int],
        rng: random.Random,
        log: Log,
    ) -> None:
        """`measuring` is the lock that rounds hold as well."""
        self.own_rounds = (0, 0)
        """The probe's last round and its next."""
        self.unfinished: set[str] = set()
        """Targets that the round in progress has still to measure."""
        self.measured = 0
        """Targets measured again since the start."""
        self.waiting = 0
        """Targets that were accepted and are not measured yet."""
        self._limits, self._measure, self._measuring = limits, measure, measuring
        self._now_ms, self._rng, self._log = now_ms, rng, log
        self._queue: asyncio.Queue[PlannedRetest] = asyncio.Queue()

    def submit(
        self,
        request: Retest,
        affordable: float,
        failed: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Accept a request, or log why not; see `RetestLimits.accept`."""
        planned = self._limits.accept(
            request,
            self._now_ms(),
            self._rng,
            own_rounds=self.own_rounds,
            unfinished=self.unfinished,
            failed=failed,
            affordable=affordable,
        )
        if isinstance(planned, str):
            self._log("retest refused", every=600.0, reason=planned)
        else:
            self.waiting += len(planned.targets)
            self._queue.put_nowait(planned)

    async def run(self) -> None:
        """Measure what was accepted, until cancelled."""
        while True:
            first = await self._queue.get()
            # If the clock went back meanwhile, this must not wait for hours.
            left = min(first.start_ms - self._now_ms(), first.interval_ms)
            await asyncio.sleep(max(0, left) / 1000)
            async with self._measuring:
                planned = [first]
                while not self._queue.empty():
                    planned.append(self._queue.get_nowait())
                for each in _merged(self._in_time(planned)):
                    names = ",".join(target.id for target in each.targets)
                    self._log("retest", targets=names)
                    await self._measure(each)
                    self.measured += len(each.targets)
                self.waiting -= sum(len(each.targets) for each in planned)

    def _in_time(self, planned: Iterable[PlannedRetest]) -> list[PlannedRetest]:
        now, last = self._now_ms(), self.own_rounds[0]
        return [each for each in planned if now < each.until_ms and each.round_ms > last]


def _merged(planned: Iterable[PlannedRetest]) -> list[PlannedRetest]:
    """One retest for each round: when many services fail at once, the detector sends a request for
    each of them, and liveness need not be measured for each."""
    found: dict[tuple[int, int], PlannedRetest] = {}
    for each in planned:
        key = each.round_ms, each.interval_ms
        known = found.get(key)
        if known is not None:
            each = msgspec.structs.replace(known, targets=(*known.targets, *each.targets))
        found[key] = each
    return list(found.values())
