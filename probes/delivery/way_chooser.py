# SPDX-License-Identifier: Apache-2.0
"""The way to the monitor that is in use; `ladder` decides by what is remembered of all of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence

from probes.delivery import ladder
from probes.delivery.ladder import Pauses, WayRecord, WayState
from probes.delivery.outbox import Outbox
from probes.delivery.way_failure import NOT_STORED, REFUSED
from probes.delivery.way_memory import WayMemory
from probes.runtime.broker_url import Broker
from probes.wire.codec import FailingWay

STABLE_SECONDS = 30.0
"""A connection that lasted so long worked."""
MOST_TOLD = 8
"""Ways that the status names."""
UNANSWERED_SECONDS = 45.0
"""A connection over which nothing is acknowledged for so long is left, if there is another way."""


class WayChooser:
    """Says which way to try, and when to leave the one in use."""

    def __init__(
        self,
        ways: Sequence[Broker],
        memory: WayMemory,
        outbox: Outbox,
        location: Callable[[], tuple[str, int]],
        *,
        now_ms: Callable[[], int],
        rng: random.Random,
    ) -> None:
        """`location` tells country and network: what works in one may be blocked in another."""
        self._memory, self._outbox, self._location = memory, outbox, location
        self._now_ms, self._rng = now_ms, rng
        times = outbox.times
        self._pauses = Pauses(
            first_ms=times.backoff * 1000,
            early_ms=times.backoff_early * 1000,
            most_ms=times.backoff_most * 1000,
        )
        self._began: tuple[float, int] | None = None
        """Loop time and Unix milliseconds of the first question: a clock that is set moves no
        pause."""
        self._used, self._network = "", ""
        self._since, self._acknowledgements, self._spent = 0.0, 0, 0
        """When the way in use was tried, and what had happened until then."""
        self._left = ""
        self.on_acknowledged: Callable[[str, Mapping[str, int]], None] = lambda way, failures: None
        """Called again and again while a way is in use over which something was acknowledged: with
        its name, and how often in a row ways failed."""
        self.use(ways)

    def use(self, ways: Sequence[Broker]) -> None:
        """Choose among these from now on, the best first."""
        self._ways = {way.name: way for way in ways}
        self._names = tuple(self._ways)

    def choose(self) -> Broker | float:
        """Begin with a way and return it, or return for how many seconds to wait."""
        records, now = self._records(), self._clock_ms()
        number = ladder.choose(records, now)
        if number is None:
            return max(0.0, (ladder.wait_until_ms(records, now) - now) / 1000)
        stats = self._outbox.stats
        self._used, self._network, self._left = self._names[number], self._place(), ""
        self._tell()
        self._since = asyncio.get_running_loop().time()
        self._acknowledgements, self._spent = stats.acknowledgements, stats.traffic.total()
        return self._ways[self._used]

    def leave_at(self) -> float | None:
        """Return the loop time at which to leave the way in use; None to stay."""
        loop, now = asyncio.get_running_loop(), self._clock_ms()
        if self._is_acknowledged():
            failures = zip(self._names, self._records(), strict=True)
            self.on_acknowledged(self._used, {name: record.failures for name, record in failures})
        if self._used not in self._ways:
            return loop.time()
        if self._works():
            self._change(lambda record: ladder.worked(now))
        elif self._is_unanswered() and self._has_other():
            self._left = NOT_STORED
            return loop.time()
        at = ladder.leave_ms(self._records(), self._names.index(self._used), now)
        return None if at is None else loop.time() + max(0, at - now) / 1000

    def end(self, failure: str = "") -> None:
        """Remember what came of the way in use. `failure` is empty if it was left."""
        now, jitter, failure = self._clock_ms(), self._rng.uniform(0.05, 1.0), failure or self._left
        if not failure or self._used not in self._ways:
            return
        if self._works() and not self._left:
            self._change(lambda record: ladder.lost(now, self._pauses, jitter))
            return
        spent = self._outbox.stats.traffic.total() - self._spent
        self._change(
            lambda record: ladder.failed(record, now, failure, spent, self._pauses, jitter)
        )

    def refuses(self) -> bool:
        """Whether a way failed last because the credentials were refused."""
        return any(record.failure == REFUSED for record in self._records())

    def _tell(self) -> None:
        """Say in the status which ways fail."""
        self._outbox.stats.failing_ways = tuple(
            FailingWay(
                way=way.kind,
                failure=record.failure,
                since_ms=record.since_ms,
                attempts=record.failures,
            )
            for way, record in self.failing()[:MOST_TOLD]
        )

    def failing(self) -> list[tuple[Broker, WayRecord]]:
        """The ways that fail in this network, the best first, as far as they are needed."""
        return [
            (self._ways[name], record)
            for name, record in zip(self._names, self._records(), strict=True)
            if record.state is WayState.FAILING
        ]

    def _works(self) -> bool:
        lasted = asyncio.get_running_loop().time() - self._since
        stats = self._outbox.stats
        return self._is_acknowledged() or (
            lasted >= STABLE_SECONDS and bool(stats.transport) and not self._is_unanswered()
        )

    def _is_acknowledged(self) -> bool:
        return self._outbox.stats.acknowledgements != self._acknowledgements

    def _is_unanswered(self) -> bool:
        lasted = asyncio.get_running_loop().time() - self._since
        return lasted >= UNANSWERED_SECONDS and self._outbox.is_unanswered()

    def _has_other(self) -> bool:
        return any(
            name != self._used and record.failure != NOT_STORED
            for name, record in zip(self._names, self._records(), strict=True)
        )

    def _change(self, step: Callable[[WayRecord], WayRecord]) -> None:
        self._memory.change(self._network, self._used, step, self._names)
        self._tell()

    def _records(self) -> list[WayRecord]:
        return self._memory.records(self._place(), self._names)

    def _place(self) -> str:
        country, asn = self._location()
        return f"{country}/{asn}"

    def _clock_ms(self) -> int:
        loop_time = asyncio.get_running_loop().time()
        if self._began is None:
            self._began = loop_time, self._now_ms()
        return self._began[1] + round((loop_time - self._began[0]) * 1000)
