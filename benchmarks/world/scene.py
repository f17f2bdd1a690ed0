# SPDX-License-Identifier: Apache-2.0
"""One simulation: round by round, the facts that the detector gets.

What lasts longer than a round (which vantages are on, which faults occur) follows from the seed
alone, so that a scene can start at any round. Chance within a round comes from a given generator.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from benchmarks.world import verdicts
from benchmarks.world.blocks import Block
from benchmarks.world.faults import CONTROL, HOSTS, HOUR_MS, Spell, draw
from benchmarks.world.rates import RATES, Rates
from benchmarks.world.vantages import Nature, Person, Settlement, populate
from benchmarks.world.verdicts import NO_SIGNS, Look, Signs
from monitor.collector.interval_slots import AWAKE_MS, places
from monitor.detection.model import NOT_KNOWN, Answer, Elsewhere, Fact, Layer, State, Verdict
from probes.rounds import scheduler
from probes.wire.retest import Retest

START = 1_800_000_000_000 - 1_800_000_000_000 % 86_400_000
MINUTE_MS = 60_000
ARRIVES_MS = 15_000
"""A measurement has been made and has arrived so long after it started."""
CONTROL_PHASE = 0.5
ASKED = 0.9
"""Share of failures of which the control is asked for the addresses and answers in time."""
AT_HOME = Signs(forged=True, others=True)
"""What a filter of the vantage's own shows."""
_ALL_DAY = 24
_NO_HOSTS: frozenset[int] = frozenset()


class Seen(NamedTuple):
    """What a vantage sees, and what is known of it elsewhere."""

    verdict: Verdict
    answers: bool = True
    """Whether the addresses that fail here answer elsewhere: they do but for faults of the
    service's own servers."""
    signs: Signs = NO_SIGNS
    """What the failure shows of its cause, beside its verdict."""


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
        self.faults = draw(self.people, rates, START, end, rng)
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
            self._on[hour] = [
                p for p in self.people if self._chance(p, rng) < self._share(hour + p.zone)
            ]
        return self._on[hour]

    def _chance(self, person: Person, rng: random.Random) -> float:
        """What the share of those who are on must exceed for a vantage to be on."""
        if self.rates.habits:
            return random.Random(f"habit {self.seed} {person.index}").random()
        return rng.random()

    def _share(self, local_hour: int) -> float:
        day, night = self.rates.online_day, self.rates.online_night
        wave = (1 - math.cos(2 * math.pi * (local_hour - 4) / 24)) / 2
        return night + (day - night) * wave

    def facts(
        self,
        n: int,
        rng: random.Random,
        blocks: Sequence[Block] = (),
        only: int | None = None,
        more: Sequence[Spell] = (),
    ) -> list[Fact]:
        """The facts of the n-th round; `only` those of one network (by number), with `more`
        troubles than the scene has."""
        people = [p for p in self.on(self.round(n)) if only is None or p.asn == only]
        return self._facts(self.round(n), self.interval, people, f"{n:012x}", rng, blocks, more)

    def again(
        self, round: int, length: int, asn: int, rng: random.Random, blocks: Sequence[Block] = ()
    ) -> list[Fact]:
        """The facts of a round of `length` ms that a network measures because it was asked to."""
        people = [p for p in self.on(round) if p.asn == asn]
        return self._facts(round, length, people, f"r{round:x}", rng, blocks)

    def _facts(
        self,
        round: int,
        interval: int,
        people: Sequence[Person],
        name: str,
        rng: random.Random,
        blocks: Sequence[Block],
        more: Sequence[Spell] = (),
        starts: Mapping[int, int] | None = None,
    ) -> list[Fact]:
        """`starts`: when each measures, by index; otherwise each has its moment in the interval."""
        spells = [*more, *self.faults.between(round, round + interval)]
        control = self._control(round, interval, spells, rng)
        at = round + int(CONTROL_PHASE * interval)
        missed = [s.hosts for s in spells if CONTROL in s.whom and s.start <= at < s.end]
        gone = _NO_HOSTS.union(*missed) if control is not None else _NO_HOSTS
        facts = []
        for person in people:
            if rng.random() < self.rates.missed:
                continue
            # Whoever is asked spreads at random, else everybody has a moment of its own.
            phase = person.phase if interval == self.interval else rng.random()
            started = round + int(phase * 0.95 * interval)
            if starts is not None:
                started = starts[person.index]
            seen = self._verdict(person, started, spells, rng, blocks, control)
            verdict = seen.verdict
            failed = self._hosts(person, started, spells, rng)
            if 2 * len(failed) >= HOSTS and person.nature is Nature.HONEST:
                verdict = verdicts.OFFLINE
            facts.append(
                Fact(
                    id=f"{person.index:04x}{name}",
                    probe=person.probe,
                    owner=person.owner,
                    country=person.country,
                    asn=person.asn,
                    enrolled=START - int(person.known_days * 86_400_000),
                    round=round,
                    started=started,
                    interval=interval,
                    release=_release(person, spells, started),
                    target=verdicts.TARGET,
                    verdict=verdict,
                    control=control is not None,
                    elsewhere=_elsewhere(seen, control, started, rng),
                    others_work=_others_work(seen, person, started),
                    others_passed=HOSTS - len(failed),
                    others_failed=tuple(f"host-{host}" for host in sorted(failed - gone)),
                )
            )
        return facts

    def _hosts(
        self, person: Person, started: int, spells: Sequence[Spell], rng: random.Random
    ) -> frozenset[int]:
        """The liveness hosts that a vantage does not reach."""
        failed = _NO_HOSTS
        for spell in spells:
            if spell.hosts and person.index in spell.whom and spell.start <= started < spell.end:
                failed |= {host for host in spell.hosts if rng.random() < spell.hosts_fail}
        if rng.random() < HOSTS * person.p0:  # p0 of each; hardly ever two at once
            failed |= {rng.randrange(HOSTS)}
        return failed

    def _control(
        self, round: int, interval: int, spells: Sequence[Spell], rng: random.Random
    ) -> bool | None:
        """Whether the control reaches the target in this round; None when it does not report."""
        at = round + int(CONTROL_PHASE * interval)
        for spell in spells:
            if spell.kind == "host_outage":
                continue
            if CONTROL in spell.whom and spell.start <= at < spell.end:
                if spell.kind == "control_outage":
                    return None
                if rng.random() < spell.fails:
                    return False
        return rng.random() >= self.rates.control_failure

    def _verdict(
        self,
        person: Person,
        started: int,
        spells: Sequence[Spell],
        rng: random.Random,
        blocks: Sequence[Block],
        control: bool | None,
    ) -> Seen:
        if person.nature is Nature.ALWAYS_OK:
            return Seen(verdicts.OK)
        seen = (
            Seen(verdicts.SNI_RESET)
            if person.nature is Nature.ALWAYS_FAIL
            else self._seen(person, started, spells, rng, blocks)
        )
        if seen.verdict.state is not State.BLOCKED or control:
            return seen
        return Seen(verdicts.UNCONTROLLED if control is None else verdicts.DOWN)

    def _seen(
        self,
        person: Person,
        started: int,
        spells: Sequence[Spell],
        rng: random.Random,
        blocks: Sequence[Block],
    ) -> Seen:
        """What the vantage itself sees, before the control is asked."""
        rates = self.rates
        for spell in spells:
            if not spell.strikes(person, started):
                continue
            if spell.kind == "proxy":
                return Seen(verdicts.PROXY)
            if spell.kind == "clock":
                return Seen(verdicts.CLOCK)
            if spell.kind == "host_outage":
                continue
            if rng.random() < spell.fails:
                if rng.random() < spell.trouble.liveness:
                    return Seen(verdicts.OFFLINE)
                if spell.looks is not None:
                    return Seen(
                        verdicts.looking(
                            spell.looks,
                            rng,
                            rates.block_signature,
                            signs=spell.signs,
                            at_home=person.at_home,
                        ),
                        spell.answers,
                        spell.signs,
                    )
                if spell.cuts and rng.random() < rates.block_signature:
                    return Seen(verdicts.cut(rng, spell.fails))
                if not spell.by_name:
                    return Seen(verdicts.stray(rng, rates.natural_signature))
                if spell.kind == "local_filter":
                    return Seen(verdicts.looking(Look.FORGED, rng, 1.0, signs=AT_HOME))
                return Seen(verdicts.looking(verdicts.Look.NAMED, rng, rates.block_signature))
        for block in blocks:
            if not block.concerns(person.index, person.asn):
                continue
            if rng.random() >= block.rate(started):
                continue
            if block.natural:
                return Seen(verdicts.stray(rng, rates.natural_signature))
            look = block.look or (Look.NAMED if block.signature else Look.SILENT)
            return Seen(
                verdicts.looking(
                    look, rng, rates.block_signature, block.named, block.signs, person.at_home
                ),
                signs=block.signs,
            )
        if rng.random() < person.p0:
            return Seen(verdicts.stray(rng, rates.natural_signature))
        return Seen(verdicts.OK)


class SpreadScene(Scene):
    """A world in which the vantages of a network take turns, each at its own place in the interval
    (`monitor.collector.interval_slots`). Its rounds are minutes; in most of them only some vantages
    measure, or none. Controls measure every five minutes, so one is always valid."""

    def __init__(
        self,
        networks: Sequence[Settlement],
        *,
        seed: int,
        interval: int,
        days: float,
        rates: Rates = RATES,
    ) -> None:
        super().__init__(networks, seed=seed, interval=MINUTE_MS, days=days, rates=rates)
        self._every = interval // MINUTE_MS
        self._members: dict[tuple[str, int], list[int]] = {}
        for each in self.people:
            self._members.setdefault((each.country, each.asn), []).append(each.index)
        self._places: dict[int, Mapping[int, int]] = {}

    def interval_of(self, person: Person) -> int:
        """How often a vantage measures, ms."""
        return self._every * MINUTE_MS

    def phase(self, person: Person, at: int) -> int:
        """When the rounds of a vantage begin in its interval at a time (Unix ms), ms."""
        return self._places_in(at // HOUR_MS)[person.index] // MINUTE_MS * MINUTE_MS

    def starts(self, n: int, rng: random.Random) -> Mapping[int, int]:
        """When those begin (by index, Unix ms) whose round is the n-th minute."""
        return {
            each.index: self.round(n)
            + place % MINUTE_MS
            + int(rng.uniform(0, scheduler.SPREAD_MOST_MS))
            for each in self.on(self.round(n))
            if (place := self._place(each.index, n)) is not None
        }

    def _place(self, index: int, n: int) -> int | None:
        """The place of a vantage in the interval, ms, if the n-th minute is its turn. It learns of
        another place when its next measurement is acknowledged."""
        hour, minute = self.round(n) // HOUR_MS, self.round(n) % HOUR_MS // MINUTE_MS
        place, before = (self._places_in(each)[index] for each in (hour, hour - 1))
        if place != before and minute < self._every:
            learns = (before // MINUTE_MS - n + minute) % self._every
            if minute <= learns:
                return before if minute == learns else None
        return place if place // MINUTE_MS == n % self._every else None

    def _places_in(self, hour: int) -> Mapping[int, int]:
        """The place of each vantage in the interval, ms, in an hour since 1970."""
        if hour not in self._places:
            if len(self._places) > _ALL_DAY:
                self._places.clear()
            lately = range(1 + AWAKE_MS // HOUR_MS)
            awake = {each.index for ago in lately for each in self.on((hour - ago) * HOUR_MS)}
            self._places[hour] = {
                index: scheduler.phase_ms("", self._every * MINUTE_MS, place)
                for network, members in self._members.items()
                for index, place in places(network, members, awake).items()
            }
        return self._places[hour]

    def facts(
        self,
        n: int,
        rng: random.Random,
        blocks: Sequence[Block] = (),
        only: int | None = None,
        starts: Mapping[int, int] | None = None,
    ) -> list[Fact]:
        """The facts of the n-th minute; `only` those of one network (by number), or of those who
        begin at these times."""
        starts = self.starts(n, rng) if starts is None else starts
        due = [each for each in self.people if each.index in starts and only in (None, each.asn)]
        if not due:
            return []
        round = self.round(n)
        facts = self._facts(round, MINUTE_MS, due, f"{n:012x}", rng, blocks, starts=starts)
        return [replace(fact, interval=self._every * MINUTE_MS) for fact in facts]

    def retest(
        self,
        request: Retest,
        starts: Mapping[int, int],
        rng: random.Random,
        blocks: Sequence[Block] = (),
    ) -> list[Fact]:
        """The facts of vantages (by index) that begin a retest at these times."""
        people = [p for p in self.people if p.index in starts]
        length = request.interval_ms
        facts = self._facts(
            request.round, length, people, f"r{request.round:x}", rng, blocks, starts=starts
        )
        return [replace(fact, retest=True) for fact in facts]


def _release(person: Person, spells: Sequence[Spell], started: int) -> str:
    """The release of the probe that a vantage runs at this time."""
    came = (spell.release for spell in spells if spell.release and spell.strikes(person, started))
    return next(came, person.release)


def _elsewhere(seen: Seen, control: bool | None, at: int, rng: random.Random) -> Elsewhere:
    """What a control finds that is asked for the addresses that fail. Of a name that is denied or
    forged there are none."""
    if not (_dialled(seen.verdict) and control) or rng.random() >= ASKED:
        return NOT_KNOWN
    return (
        Elsewhere((Answer("198.51.100.1", "ZC", 64999, at, True),))
        if seen.answers
        else Elsewhere(dead=1)
    )


def _dialled(verdict: Verdict) -> bool:
    failed = verdict.state in (State.BLOCKED, State.IMPAIRED, State.THROTTLED)
    return failed and verdict.layer is not Layer.DNS


def _others_work(seen: Seen, person: Person, started: int) -> bool | None:
    """Whether addresses work that other resolvers give. Of its own chance, so that the rest of a
    scene stays as it is."""
    if not _dialled(seen.verdict):
        return None
    return seen.signs.others_work(random.Random(f"answers {person.index} {started}"))


def decided(facts: Sequence[Fact], expected: int) -> int:
    """When a round is folded, Unix ms: once everybody who is due has delivered, else when its
    time is up (30 s after its end)."""
    last = max(fact.started for fact in facts)
    if len(facts) >= expected:
        return last + ARRIVES_MS
    return facts[0].round + facts[0].interval + 30_000
