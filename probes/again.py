"""Which retests a probe obeys. Pure: the requests, what was done lately and the time come in.

The detector may ask for a target again, and so may whoever has taken over its broker: what it
costs is bounded here, whatever is asked. A round that is under way, or was just measured,
answers a request by itself.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import msgspec

from probes.wire.retest import Retest
from probes.wire.target import Target

HOUR_MS = 3_600_000
MOST_AN_HOUR = 12
"""Retests of one target an hour: a suspicion is settled by fewer."""
MOST_TARGETS_AN_HOUR = 60
"""Targets that are measured again in one hour, all requests together."""
SPREAD = 0.25
"""Part of the request's round over which the probes of a network spread: a service must not see
them all in the same second."""
SLACK_MS = 600_000
"""Clocks of monitor and probe may differ by so much; a round farther off is refused."""


class Order(msgspec.Struct, frozen=True):
    """What is to be measured, and when to begin."""

    targets: tuple[Target, ...]
    round_ms: int
    interval_ms: int
    start_ms: int


@dataclass
class Retests:
    """What was asked of this probe in the last hour, and the bounds on it."""

    known: Mapping[str, Target]
    _done: deque[tuple[int, str]] = field(default_factory=deque)
    """(when, target), oldest first."""
    _rounds: dict[str, int] = field(default_factory=dict)
    """The last round of each target that was asked for."""

    def admit(
        self,
        asked: Retest,
        now_ms: int,
        rng: random.Random,
        *,
        busy: Collection[str] = (),
        room: float = float("inf"),
    ) -> Order | str:
        """The order, or why there is none.

        `busy` are targets that the round under way will still measure, or has just measured;
        `room` is how many more measurements the volunteer's traffic budget allows.
        """
        if abs(asked.round - now_ms) > SLACK_MS:
            return "its round is far from this machine's time"
        while self._done and self._done[0][0] <= now_ms - HOUR_MS:
            self._done.popleft()
        chosen: list[Target] = []
        for name in dict.fromkeys(asked.targets):
            target = self.known.get(name)
            if target is None or name in busy or self._rounds.get(name) == asked.round:
                continue
            if sum(1 for _, done in self._done if done == name) >= MOST_AN_HOUR:
                continue
            if len(self._done) >= MOST_TARGETS_AN_HOUR or len(chosen) + 1 > room:
                break
            chosen.append(target)
            self._done.append((now_ms, name))
            self._rounds[name] = asked.round
        if not chosen:
            return "nothing that may be measured again now"
        start = now_ms + int(rng.uniform(0, SPREAD * asked.interval_ms))
        return Order(tuple(chosen), asked.round, asked.interval_ms, start)
