# SPDX-License-Identifier: Apache-2.0
"""In a backlog the newest rounds are judged before the fold reaches them, so that pages show the
present and not the state of hours ago.

A verdict needs the measurements of its round and of the control window alone. Events need every
round before, in order, and so does what `replay` gives: they wait for the fold, which judges these
rounds again and stores the same verdicts. `/status`, the line above the pages and the detector's
metrics say how far the fold is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from monitor.detection.lateness import deadline
from monitor.detection.policy import Policy
from monitor.detector.rest import NO_REST, Work
from monitor.detector.round_reader import MAX_FACTS, Pause, RoundReader, Rounds
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
        self._rest = NO_REST

    def forget(self, service: str) -> None:
        """The verdicts of a service's newest rounds may have been deleted."""
        self._judged.pop(service, None)

    async def judge(self, waiting: Mapping[str, Sequence[StoredRound]], pause: Pause) -> None:
        """If these rounds (over and not folded, by service, ascending) are a backlog, judge those
        of each service's last interval, and what is over since. `pause` as in `RoundReader`.
        Raises StoreUnavailableError."""
        work, now = Work(self._rest_factor), self._clock()
        if self._rest.lasts(now) or not self._is_backlog(waiting, now):
            return
        newest = {
            service: await self._newest(service, rounds[-1], now)
            for service, rounds in waiting.items()
            if rounds
        }
        total, count = _measurements(waiting), _measurements(newest)
        if 0 < SHARE * count <= total:
            LOG.info("a backlog of %d measurements: the newest %d are judged first", total, count)
            await self._judge(
                {service: _starts(rounds) for service, rounds in newest.items()}, pause
            )
        self._rest = work.rest(self._clock())

    def _is_backlog(self, waiting: Mapping[str, Sequence[StoredRound]], now: int) -> bool:
        """Whether there are more than are folded soon, and some have waited for long."""
        late = now - self._policy.ms(self._policy.rounds.silent_seconds)
        return _measurements(waiting) > MEASUREMENTS and any(
            stored.round + stored.interval < late
            for rounds in waiting.values()
            for stored in rounds
        )

    async def _newest(self, service: str, last: StoredRound, now: int) -> list[StoredRound]:
        """The rounds of a service's last interval that are over and were not judged here; `last` of
        those that wait."""
        after = max(self._judged.get(service, -1), last.round - last.interval)
        over = [
            stored
            for stored in await self._database.facts.rounds(after, service)
            if deadline(stored.round, stored.interval, self._policy) <= now
        ]
        return [stored for stored in over if stored.round > over[-1].round - over[-1].interval]

    async def _judge(self, newest: Rounds, pause: Pause) -> None:
        """Judge these rounds, the newest first, and store the verdicts."""
        for part in reversed(list(self._reader.parts(newest))):
            facts, _ = await self._reader.judge(part, pause)
            for service, rounds in part.items():
                mine = [fact for round in rounds for fact in facts.get((service, round), ())]
                await self._database.conclusions.save_ahead(service, mine)
                await pause()
        self._judged |= {service: rounds[-1] for service, rounds in newest.items() if rounds}


def _measurements(rounds: Mapping[str, Sequence[StoredRound]]) -> int:
    """How many measurements there are of these rounds."""
    return sum(stored.measurements for some in rounds.values() for stored in some)


def _starts(rounds: Iterable[StoredRound]) -> list[int]:
    return [stored.round for stored in rounds]
