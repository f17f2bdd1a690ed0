"""The world going on: round by round, the facts that reach the detector.

Everything that lasts (who is on, which trouble reigns) follows from the seed alone, so that a
scene can be looked at from any round on; chance within a round comes from the given generator.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from benchmarks.world import words
from benchmarks.world.blocks import Block
from benchmarks.world.people import Nature, Person, Settlement, populate
from benchmarks.world.rates import RATES, Rates
from benchmarks.world.weather import CONTROL, HOUR_MS, Spell, draw
from monitor.detection.model import Fact, State, Verdict

START = 1_800_000_000_000 - 1_800_000_000_000 % 86_400_000
ARRIVES_MS = 15_000
"""A measurement has been made and has arrived so long after it started."""
CONTROL_PHASE = 0.5
_ALL_DAY = 24


class Scene:
    """One seed's world over `days`."""

    def __init__(
        self,
        networks: Sequence[Settlement],
        *,
        seed: int,
        interval: int,
        days: float,
        rates: Rates = RATES,
    ) -> None:
        self.seed, self.interval, self.rates = seed, interval, rates
        rng = random.Random(f"people {seed}")
        self.people = populate(networks, rates, rng)
        end = START + int(days * 86_400_000)
        self.rounds = (end - START) // interval
        self.weather = draw(self.people, rates, START, end, rng)
        self._on: dict[int, list[Person]] = {}

    def round(self, n: int) -> int:
        """Start of the n-th round, Unix ms."""
        return START + n * self.interval

    def on(self, round: int) -> list[Person]:
        """Who is switched on in the hour of a round."""
        hour = round // HOUR_MS
        if hour not in self._on:
            if len(self._on) > _ALL_DAY:
                self._on.clear()
            rng = random.Random(f"on {self.seed} {hour}")
            self._on[hour] = [p for p in self.people if rng.random() < self._share(hour + p.zone)]
        return self._on[hour]

    def _share(self, local_hour: int) -> float:
        day, night = self.rates.online_day, self.rates.online_night
        wave = (1 - math.cos(2 * math.pi * (local_hour - 4) / 24)) / 2
        return night + (day - night) * wave

    def facts(
        self,
        n: int,
        rng: random.Random,
        block: Block | None = None,
        only: int | None = None,
    ) -> list[Fact]:
        """The facts of the n-th round; `only` those of one network (by number)."""
        round, interval, rates = self.round(n), self.interval, self.rates
        spells = self.weather.between(round, round + interval)
        control = self._control(round, spells, rng)
        facts = []
        for person in self.on(round):
            if only is not None and person.asn != only:
                continue
            if rng.random() < rates.missed:
                continue
            started = round + int(person.phase * 0.95 * interval)
            verdict = self._verdict(person, started, spells, rng, block, control)
            facts.append(
                Fact(
                    id=f"{person.index:04x}{n:012x}",
                    probe=person.probe,
                    owner=person.owner,
                    country=person.country,
                    asn=person.asn,
                    enrolled=START,
                    round=round,
                    started=started,
                    interval=interval,
                    target=words.TARGET,
                    verdict=verdict,
                    control=control is not None,
                )
            )
        return facts

    def _control(self, round: int, spells: Sequence[Spell], rng: random.Random) -> bool | None:
        """Whether the control reaches the target in this round; None when it does not report."""
        at = round + int(CONTROL_PHASE * self.interval)
        for spell in spells:
            if CONTROL in spell.whom and spell.start <= at < spell.end:
                if spell.kind == "control_outage":
                    return None
                if rng.random() < spell.trouble.fails:
                    return False
        return rng.random() >= self.rates.control_failure

    def _verdict(
        self,
        person: Person,
        started: int,
        spells: Sequence[Spell],
        rng: random.Random,
        block: Block | None,
        control: bool | None,
    ) -> Verdict:
        if person.nature is Nature.ALWAYS_OK:
            return words.OK
        seen = (
            words.SNI_RESET
            if person.nature is Nature.ALWAYS_FAIL
            else self._seen(person, started, spells, rng, block)
        )
        if seen.state is not State.BLOCKED or control:
            return seen
        return words.UNCONTROLLED if control is None else words.DOWN

    def _seen(
        self,
        person: Person,
        started: int,
        spells: Sequence[Spell],
        rng: random.Random,
        block: Block | None,
    ) -> Verdict:
        """What the vantage itself sees, before the control is asked."""
        rates = self.rates
        for spell in spells:
            if person.index not in spell.whom or not spell.start <= started < spell.end:
                continue
            if spell.kind == "proxy":
                return words.PROXY
            if spell.kind == "clock":
                return words.CLOCK
            if rng.random() < spell.trouble.fails:
                if rng.random() < spell.trouble.liveness:
                    return words.OFFLINE
                return words.FORGED if spell.typed else words.stray(rng, rates.natural_typed)
        if block is not None and person.asn == block.asn and rng.random() < block.rate(started):
            if not block.typed:
                return words.BLACKHOLE
            return words.SNI_RESET if rng.random() < rates.block_typed else words.UNTOLD
        if rng.random() < person.p0:
            return words.stray(rng, rates.natural_typed)
        return words.OK


def decided(facts: Sequence[Fact], expected: int) -> int:
    """When a round is folded, Unix ms: once everybody who is due has delivered, else when its
    time is up (30 s after its end)."""
    last = max(fact.started for fact in facts)
    if len(facts) >= expected:
        return last + ARRIVES_MS
    return facts[0].round + facts[0].interval + 30_000
