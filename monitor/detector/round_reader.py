# SPDX-License-Identifier: Apache-2.0
"""Stored rounds of several services, read, judged and folded: each line is read and decoded once,
and what services share (liveness, the status of the vantages) once for all of them.

The live detector, `replay` and `explain` all read with this.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from typing import Protocol

from monitor.detection.events.history import Folding, by_hour, chunks
from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.judge.known_verdicts import KnownVerdicts, read_line
from monitor.detection.judge.round_facts import RoundJudge
from monitor.detection.model import Fact, Stored, StoredLine
from monitor.detection.policy import Policy
from monitor.detector.calculation import calculated
from probes.wire.measurement import LIVENESS, Role

FACTS_AT_ONCE = 5_000
"""Facts that are folded before other tasks get a turn: some 100 ms."""
MAX_FACTS = 20_000
"""About as many are in memory at a time, unless one round has more."""
MAX_ROUNDS = 200
Rounds = Mapping[str, Sequence[int]]
"""Rounds by service, ascending."""
Pause = Callable[[], Awaitable[None]]
"""Called between parts of the work; what it raises ends the work."""


async def no_pause() -> None:
    """A Pause that does nothing."""


def _ignore(facts: Iterable[Fact]) -> None:
    """Do nothing with the facts of a round."""


class Lines(Protocol):
    """What rounds are read from: `monitor.store.facts.FactStore`, or an archive as well."""

    def lines(
        self,
        first_round: int,
        last_round: int,
        services: Collection[str],
        role: Role,
        after: int = 0,
    ) -> AsyncGenerator[Sequence[StoredLine], None]:
        """As `FactStore.lines`."""


class RoundReader:
    """Folds stored rounds. Remembers verdicts, and how many rounds are a good amount of work."""

    def __init__(self, facts: Lines, policy: Policy, fingerprints: Fingerprints = OWN) -> None:
        self._facts, self._policy = facts, policy
        self._known = KnownVerdicts(fingerprints)
        self._decoded: dict[bytes, Stored | None] = {}
        """The controls' measurements that were read last, by line: each is needed in the rounds of
        its whole interval."""
        self._size = 1

    def parts(self, rounds: Rounds) -> Iterable[Rounds]:
        """Cut rounds into parts to be folded one after the other."""
        ordered = sorted({round for some in rounds.values() for round in some})
        while ordered:
            part = next(iter(chunks(ordered, self._size, self._policy)))
            ordered = ordered[len(part) :]
            mine = {
                service: [round for round in some if part[0] <= round <= part[-1]]
                for service, some in rounds.items()
            }
            yield {service: some for service, some in mine.items() if some}

    async def fold(
        self,
        foldings: Mapping[str, Folding],
        rounds: Rounds,
        pause: Pause = no_pause,
        on_facts: Callable[[Iterable[Fact]], None] = _ignore,
    ) -> list[Stored]:
        """Fold these rounds of each service; return the controls' measurements. `on_facts` gets the
        facts of each round."""
        if not rounds:
            return []
        facts, controls = await self.judge(rounds, pause)
        for judged in facts.values():
            on_facts(judged)
        for part in _parts(rounds, facts, self._policy):
            await calculated(_fold, foldings, part)
            await pause()
        self._learn(sum(map(len, facts.values())))
        return controls

    async def judge(
        self, rounds: Rounds, pause: Pause = no_pause, *, pending: bool = False, after: int = 0
    ) -> tuple[Mapping[tuple[str, int], Sequence[Fact]], list[Stored]]:
        """The facts of these rounds (at least one) of each service, by service and round, as far as
        they arrived after a number; and the controls' measurements. `pending`: the rounds are not
        complete, and the results are discarded later."""
        first = min(some[0] for some in rounds.values())
        last = max(some[-1] for some in rounds.values())
        window = self._policy.ms(self._policy.rounds.control_window_seconds)
        self._decoded = decoded = await self._read(
            first - window, last, [*rounds, LIVENESS], Role.CONTROL, pause
        )
        controls = [stored for stored in decoded.values() if stored is not None]
        alive = await self._read(first, last, [LIVENESS], Role.VANTAGE, pause)
        living = [stored for stored in alive.values() if stored is not None]
        judge = RoundJudge([*controls, *living], self._policy, self._known, pending=pending)
        vantages = self._facts.lines(first, last, list(rounds), Role.VANTAGE, after)
        async with aclosing(vantages) as parts:
            async for lines in parts:
                await calculated(judge.add_all, lines)
                await pause()
        return await calculated(judge.facts), controls

    def _learn(self, facts: int) -> None:
        if facts < MAX_FACTS // 2:
            self._size = min(2 * self._size, MAX_ROUNDS)
        elif facts > MAX_FACTS:
            self._size = max(1, self._size // 2)

    async def _read(
        self, first: int, last: int, services: Sequence[str], role: Role, pause: Pause
    ) -> dict[bytes, Stored | None]:
        """The measurements by line; None where it holds none."""
        decoded: dict[bytes, Stored | None] = {}
        async with aclosing(self._facts.lines(first, last, services, role)) as parts:
            async for lines in parts:
                decoded |= await calculated(_read_lines, lines, self._decoded)
                await pause()
        return decoded


def _read_lines(
    lines: Iterable[StoredLine], known: Mapping[bytes, Stored | None]
) -> dict[bytes, Stored | None]:
    return {
        stored.line: known[stored.line] if stored.line in known else read_line(stored)
        for stored in lines
    }


def _parts(
    rounds: Rounds, facts: Mapping[tuple[str, int], Sequence[Fact]], policy: Policy
) -> Iterable[list[tuple[str, int, Sequence[Fact]]]]:
    """Rounds of services with their facts, some thousand facts at a time, hour after hour."""
    part: list[tuple[str, int, Sequence[Fact]]] = []
    size = 0
    for service, some in by_hour(rounds, policy):
        for round in some:
            mine = facts.get((service, round), ())
            part.append((service, round, mine))
            size += len(mine)
            if size >= FACTS_AT_ONCE:
                yield part
                part, size = [], 0
    if part:
        yield part


def _fold(foldings: Mapping[str, Folding], part: Iterable[tuple[str, int, Sequence[Fact]]]) -> None:
    for service, round, facts in part:
        foldings[service].fold_facts(round, facts)
