# SPDX-License-Identifier: Apache-2.0
"""In a backlog the newest rounds are judged before the fold reaches them, so that pages show the
present and not the state of hours ago.

A verdict needs the measurements of its round and of the control window alone. Events need every
round before, in order, and so does what `replay` gives: they wait for the fold, which judges these
rounds again and stores the same verdicts. `/status`, the line above the pages and the detector's
metrics say how far the fold is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from monitor.detection.policy import Policy
from monitor.detector.round_deadline import deadline
from monitor.detector.round_reader import MAX_FACTS, Pause, RoundReader
from monitor.store.database import Database
from monitor.store.records import StoredRound

LOG = logging.getLogger(__name__)
MEASUREMENTS = MAX_FACTS
"""A backlog has more than this: fewer are folded in some seconds."""
SHARE = 4
"""The newest rounds are at most this part of a backlog: what is judged first is judged twice."""


class NewestRounds:
    """Judges and stores the newest rounds of a backlog, a part of the time."""

    def __init__(
        self,
        database: Database,
        reader: RoundReader,
        policy: Policy,
        clock: Callable[[], int],
        rest_factor: float,
    ) -> None:
        """After each time nothing is done for `rest_factor` times the processor time it took."""
        self._database, self._reader, self._policy = database, reader, policy
        self._clock, self._rest_factor = clock, rest_factor
        self._judged: dict[str, int] = {}
        """The last round of each service that was judged here."""
        self._rest_until = float("-inf")

    def forget(self, service: str) -> None:
        """The verdicts of a service's newest rounds may have been deleted."""
        self._judged.pop(service, None)

    async def judge(self, waiting: Mapping[str, Sequence[StoredRound]], pause: Pause) -> None:
        """If these rounds (over and not folded, by service, ascending) are a backlog, judge those
        of each service's last interval, and what is over since. `pause` as in `RoundReader`.
        Raises StoreUnavailableError."""
        loop = asyncio.get_running_loop()
        used, now = time.process_time(), self._clock()
        late = now - self._policy.ms(self._policy.silent_seconds)
        every = [one for rounds in waiting.values() for one in rounds]
        if (
            loop.time() < self._rest_until
            or sum(one.measurements for one in every) <= MEASUREMENTS
            or min(one.round + one.interval for one in every) >= late
        ):
            return
        newest: dict[str, list[int]] = {}
        count, total = 0, sum(one.measurements for one in every)
        for service, rounds in waiting.items():
            if not rounds:
                continue
            before = max(self._judged.get(service, -1), rounds[-1].round - rounds[-1].interval)
            there = await self._database.facts.rounds(before, service)
            over = [one for one in there if deadline(one.round, one.interval, self._policy) <= now]
            some = [one for one in over if one.round > over[-1].round - over[-1].interval]
            if some:
                newest[service] = [one.round for one in some]
                count += sum(one.measurements for one in some)
        if SHARE * count > total:
            newest = {}
        elif newest:
            LOG.info("a backlog of %d measurements: the newest %d are judged first", total, count)
        for part in reversed(list(self._reader.parts(newest))):
            facts, _ = await self._reader.judge(part, pause)
            for service in part:
                mine = [fact for round in part[service] for fact in facts.get((service, round), ())]
                await self._database.conclusions.save_ahead(service, mine)
                await pause()
        self._judged |= {service: some[-1] for service, some in newest.items()}
        used = time.process_time() - used
        self._rest_until = loop.time() + self._rest_factor * used
