# SPDX-License-Identifier: Apache-2.0
"""Which retests a probe obeys. Pure: the requests, what was done lately and the time come in.

The detector may ask for a target again, and so may whoever has taken over its broker: what it
costs is bounded here, whatever is asked. Only what lies between two rounds of this probe's own is
measured again: whatever is asked for one of those, or for before, that round answers by itself.
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
SLACK_ROUNDS = 2
"""Clocks of monitor and probe may differ by so many of the request's rounds; what is farther off
is refused, for nobody would fold it with the others."""
RESIDUAL_PART = 0.54
"""Part of the probe's interval that lies between two retests of a target, but never more than
nine tenths of the residual time: the detector keeps all of that, and a message's way may be
shorter than that of the one before."""


class Order(msgspec.Struct, frozen=True):
    """What is to be measured, and when to begin."""

    targets: tuple[Target, ...]
    round_ms: int
    interval_ms: int
    start_ms: int
    until_ms: int
    """When it is too late to begin: what is measured then would not be folded with the others."""


def pause_ms(interval_ms: int, residual_seconds: float) -> int:
    """The least time between two retests of a target, for a probe with this interval."""
    return int(min(RESIDUAL_PART * interval_ms, 900 * residual_seconds))


@dataclass
class Retests:
    """What was asked of this probe in the last hour, and the bounds on it."""

    known: Mapping[str, Target]
    pause_ms: int = 0
    """Least time between two retests of a target, so that none shows what a censor still does
    because of the last one."""
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
        between: tuple[int, int],
        busy: Collection[str] = (),
        room: float = float("inf"),
    ) -> Order | str:
        """The order, or why there is none.

        `between` are this probe's own last round begun and its next; `busy` are targets that the
        round under way will still measure; `room` is for how many the volunteer's traffic budget
        has enough now.
        """
        if abs(asked.round - now_ms) > SLACK_ROUNDS * asked.interval_ms:
            return "its round is far from this machine's time"
        last, following = between
        if not last < asked.round < following:
            return "a round of its own answers it"
        while self._done and self._done[0][0] <= now_ms - HOUR_MS:
            self._done.popleft()
        chosen: list[Target] = []
        for name in dict.fromkeys(asked.targets):
            target = self.known.get(name)
            if target is None or name in busy or self._rounds.get(name) == asked.round:
                continue
            times = [when for when, done in self._done if done == name]
            if len(times) >= MOST_AN_HOUR or (times and now_ms - times[-1] < self.pause_ms):
                continue
            if len(self._done) >= MOST_TARGETS_AN_HOUR or len(chosen) + 1 > room:
                break
            chosen.append(target)
            self._done.append((now_ms, name))
            self._rounds[name] = asked.round
        if not chosen:
            return "nothing that may be measured again now"
        start = now_ms + int(rng.uniform(0, SPREAD * asked.interval_ms))
        return Order(
            tuple(chosen), asked.round, asked.interval_ms, start, now_ms + asked.interval_ms
        )
