# SPDX-License-Identifier: Apache-2.0
"""What events say, and whether it is true, in simulations with and without blocks.

A statement is an event with one set of terms. The weights are fitted to the rounds in which it
holds; how true it is is counted at each change of its figure. An event is counted once, when it
first says a page's confidence. Numbers are per year for one service and country: false ones from a
simulation without faults of networks, and from such faults tried at many moments, as many per year
as the world has; true ones from blocks at many moments, as many per year as the prior assumes.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from string import ascii_uppercase

from benchmarks.world.alarms import WARM_DAYS, behind
from benchmarks.world.blocks import HOUR_MS, Block
from benchmarks.world.faults import Spell, network_fault, network_faults
from benchmarks.world.hazard import World, hazard
from benchmarks.world.rates import (
    BLOCKING,
    MINUTE_MS,
    NETWORK_FAULTS,
    RATES,
    Blocking,
    Rates,
    Trouble,
)
from benchmarks.world.scene import Scene
from benchmarks.world.trials import days, moments
from benchmarks.world.vantages import settled
from benchmarks.world.verdicts import NO_SIGNS, Look, OtherAnswers, OtherPort, Signs
from monitor.detection.events import confidence
from monitor.detection.events.fold import initial, step
from monitor.detection.events.state import ServiceState
from monitor.detection.model import Event, EventState, Tier
from monitor.detection.policy import Policy

SIZES = (3, 3, 5)
INTERVAL = 300_000
AFTER_MS = 3 * HOUR_MS
"""How long is looked on after a block was lifted or a fault has ended."""
LONGEST_HOURS = 72.0
"""A fault that lasts longer is followed for so long."""
BETWEEN_MS = 30 * MINUTE_MS
"""Mean time between two moments at which something is tried."""
_FULL = 0.95
"""Share of the measurements that fail in a full block."""
Said = tuple[Tier, tuple[int, ...], tuple[str, ...]]
"""Tier, values of the terms, and the explanations other than a block that fit."""


@dataclass
class Story:
    """What one event said, one after the other."""

    weight: float
    """Events of its kind a year and country."""
    cause: str
    """What was behind it."""
    said: list[tuple[Said, bool, int]] = field(default_factory=list)
    """(statement, whether true, for how many rounds it held)."""
    kind: str = ""
    """Of a block."""
    seed: int = 0
    """Of its world."""


def said(event: Event) -> Said:
    """What an event says."""
    return event.tier, confidence.values(event), confidence.doubts(event)


class _Ear:
    """Listens to events and writes down what they say."""

    def __init__(self, weight: float, before: Iterable[Event] = ()) -> None:
        """What events of `before` say until they say something else is not written down."""
        self.stories: list[Story] = []
        self._weight = weight
        self._of: dict[str, Story] = {}
        self._old = {event.id: said(event) for event in before}

    def hear(self, event: Event, true: bool, cause: str) -> None:
        """Write down what an open event says in this round."""
        if confidence.probability(event) is None:
            return
        now = said(event)
        if self._old.get(event.id) == now:
            return
        self._old.pop(event.id, None)
        if (story := self._of.get(event.id)) is None:
            story = self._of[event.id] = Story(self._weight, cause)
            self.stories.append(story)
        if story.said and story.said[-1][:2] == (now, true):
            story.said[-1] = now, true, story.said[-1][2] + 1
        else:
            story.said.append((now, true, 1))


def quiet_ones(
    seed: int,
    length: int,
    policy: Policy,
    rates: Rates = RATES,
    sizes: Sequence[int] = SIZES,
) -> list[Story]:
    """What is said in `length` days of a world without blocks and without faults of networks."""
    none = Trouble(0, 1, 0)
    scene = Scene(
        settled(sizes),
        seed=seed,
        interval=INTERVAL,
        days=length + WARM_DAYS,
        rates=replace(rates, **dict.fromkeys(NETWORK_FAULTS, none)),
    )
    rng = random.Random(f"false {seed}")
    state = initial("service")
    countries = {person.country for person in scene.people}
    ear = _Ear(365 / (length * len(countries)))
    warm = scene.round(0) + WARM_DAYS * 86_400_000
    for n in range(scene.rounds):
        round = scene.round(n)
        state, _ = step(state, round, scene.facts(n, rng), policy)
        for one in state.open_events.values():
            if one.event.opened >= warm:
                ear.hear(one.event, False, behind(scene, one.event.asns[0], round))
    return ear.stories


def fault_ones(
    seed: int,
    tries: int,
    policy: Policy,
    rates: Rates = RATES,
    sizes: Sequence[int] = SIZES,
) -> list[Story]:
    """What is said of a country during and shortly after faults of its networks."""
    yearly, stories = 0.0, list[Story]()
    scene, found = _moments("fault", seed, tries, policy, _calm(rates), tuple(sizes), 12)
    for at, n, state in found:
        rng = random.Random(f"fault {seed} {at}")
        fault = network_fault(scene.people, rates, at, rng)
        yearly = network_faults(scene.people, rates)
        ear = _Ear(yearly / tries, _open(scene, state))
        until = fault.end + AFTER_MS
        _played(scene, state, n, rng, policy, until, ear, faults=[fault])
        stories += ear.stories
    return stories


def hazard_ones(seed: int, tries: int, policy: Policy, world: World) -> list[Story]:
    """What is said of countries during and shortly after what befalls the networks of a world."""
    stories: list[Story] = []
    days_more = max(each.spread_days for each in world.hazards)
    longest = 24 * (days_more + 1) if days_more else LONGEST_HOURS
    scene, found = _moments(
        "hazard",
        seed,
        tries,
        policy,
        _calm(world.rates),
        world.sizes,
        longest,
        world.strangers,
        world.countries,
    )
    yearly = sum(each.often(scene.people) for each in world.hazards)
    for at, n, state in found:
        rng = random.Random(f"hazard {seed} {at}")
        told = hazard(world, scene.people, rng)
        faults = told.spells(scene.people, at, rng)
        if world.strangers:
            faults = [replace(each, whom=frozenset(range(world.strangers))) for each in faults]
        if told.by_service and world.blocks.named:
            faults = [replace(each, signs=replace(each.signs, ours_passes=True)) for each in faults]
        ear = _Ear(yearly / tries / world.countries, _open(scene, state))
        end = max(fault.end for fault in faults)
        until = min(end, at + int(longest * HOUR_MS)) + AFTER_MS
        _played(scene, state, n, rng, policy, until, ear, faults=faults)
        stories += ear.stories
    return stories


def plan(scene: Scene, onset: int, rng: random.Random, prior: Blocking) -> list[Block]:
    """Draw a block of the first country."""
    country = scene.people[0].country
    mine = sorted({person.asn for person in scene.people if person.country == country})
    share, signature = rng.choices([k[1:] for k in prior.kinds], [k[0] for k in prior.kinds])[0]
    lasts = (
        prior.shortest_minutes * (prior.longest_minutes / prior.shortest_minutes) ** rng.random()
    )
    until = onset + int(lasts * MINUTE_MS)
    whom = None
    if rng.random() < prior.patchy:
        whom = frozenset(p.index for p in scene.people if rng.random() < prior.behind)
    named = rng.random() < prior.named
    look = _look(signature, rng, prior)
    signs = replace(
        _signs(look, rng, prior),
        other_answers=_other_answers(onset, prior),
        ours_passes=look is Look.NAMED and prior.named > 0 and not named,
    )
    first, spread = rng.choice(mine), int(prior.spread_minutes * MINUTE_MS)
    networks = mine if rng.random() < prior.national else [first]
    return [
        Block(
            asn,
            onset if asn == first else onset + rng.randrange(spread),
            share,
            signature,
            until=until,
            whom=whom,
            named=named,
            look=look,
            signs=signs,
        )
        for asn in networks
    ]


def _look(signature: bool, rng: random.Random, prior: Blocking) -> Look:
    chance = rng.random()
    if not signature:
        return Look.RESET if chance < prior.reset else Look.SILENT
    if chance < prior.denied:
        return Look.DENIED
    return Look.FORGED if chance < prior.denied + prior.forged else Look.NAMED


def _signs(look: Look, rng: random.Random, prior: Blocking) -> Signs:
    """What the failures of a block show."""
    first, second, others = (rng.random() for _ in range(3))
    if look is Look.NAMED:
        return Signs(sooner=first < prior.sooner, before=second < prior.before)
    if look in (Look.RESET, Look.SILENT):
        told = OtherPort.ANSWERS if first < prior.by_port else OtherPort.FAILS
        return Signs(
            before=look is Look.RESET and second < prior.before,
            other_port=told if others < prior.two_ports else OtherPort.UNKNOWN,
        )
    if others >= prior.shown:
        return NO_SIGNS
    if look is Look.FORGED:
        return Signs(forged=first < prior.nobodys, others=True)
    forged, zoneless = first < prior.on_path, second < prior.zoneless
    return Signs(forged=forged, zoneless=zoneless, others=True)


def _other_answers(onset: int, prior: Blocking) -> OtherAnswers:
    """Of its own chance, so that the rest of a block stays as it is."""
    rng = random.Random(f"answers {onset}")
    if rng.random() >= prior.compared:
        return OtherAnswers.UNKNOWN
    return OtherAnswers.WORK if rng.random() < prior.spared else OtherAnswers.FAIL


def kind_of(blocks: Sequence[Block]) -> str:
    """What is said of a block for people: what it looks like, how much of it, where."""
    first = blocks[0]
    part = "full" if first.share >= _FULL and first.whom is None else "partial"
    where = "one network" if len(blocks) == 1 else "several networks"
    return f"{first.look}, {part}, {where}"


def true_ones(
    seed: int,
    tries: int,
    policy: Policy,
    rates: Rates = RATES,
    prior: Blocking = BLOCKING,
    sizes: Sequence[int] = SIZES,
) -> list[Story]:
    """What is said of the country while and shortly after it blocks, tried at many moments."""
    hours, stories = prior.longest_minutes / 60, list[Story]()
    scene, found = _moments("true", seed, tries, policy, _calm(rates), tuple(sizes), hours)
    for at, n, state in found:
        rng = random.Random(f"true {seed} {at}")
        blocks = plan(scene, at, rng, prior)
        until = blocks[0].until
        assert until is not None
        ear = _Ear(prior.yearly / tries, _open(scene, state))
        _played(scene, state, n, rng, policy, until + AFTER_MS, ear, blocks=blocks)
        stories += [replace(story, kind=kind_of(blocks)) for story in ear.stories]
    return stories


def _calm(rates: Rates) -> Rates:
    """Without the faults that are tried, and without outages of the service, for which the
    countries would be needed that are not simulated here."""
    none = Trouble(0, 1, 0)
    return replace(
        rates,
        service_outage=none,
        national_hosts=RATES.national_hosts,
        **dict.fromkeys(NETWORK_FAULTS, none),
    )


@functools.lru_cache(maxsize=8)
def _moments(
    name: str,
    seed: int,
    tries: int,
    policy: Policy,
    rates: Rates,
    sizes: Sequence[int],
    hours: float,
    strangers: int = 0,
    countries: int = 1,
) -> tuple[Scene, Sequence[tuple[int, int, ServiceState]]]:
    """A world of one country or several, and moments in it. Kinds of worlds that differ only in
    what is tried share them."""
    first, *others = settled(sizes, [2 * letter for letter in ascii_uppercase[:countries]])
    scene = Scene(
        [replace(first, strangers=strangers), *others],
        seed=seed,
        interval=INTERVAL,
        days=days(tries, hours + AFTER_MS / HOUR_MS, BETWEEN_MS),
        rates=rates,
    )
    rng = random.Random(f"{name} {seed}")
    return scene, list(moments(scene, tries, rng, policy, BETWEEN_MS))


def _open(scene: Scene, state: ServiceState) -> Sequence[Event]:
    countries = dict.fromkeys(person.country for person in scene.people)
    return [
        there.event
        for country in countries
        if (there := state.open_events.get(f"{country} probe")) is not None
    ]


def _played(
    scene: Scene,
    state: ServiceState,
    n: int,
    rng: random.Random,
    policy: Policy,
    until: int,
    ear: _Ear,
    *,
    blocks: Sequence[Block] = (),
    faults: Sequence[Spell] = (),
) -> None:
    """Listen to the countries' events until nothing more comes of a block or a fault."""
    over = until - AFTER_MS
    cause = _name(faults[0]) if faults else "block"
    while scene.round(n) < until and n < scene.rounds:
        round = scene.round(n)
        state, _ = step(state, round, scene.facts(n, rng, blocks, more=faults), policy)
        n += 1
        there = _open(scene, state)
        for event in there:
            # What is clearing is said to have been a block, anything else to be one.
            ends = event.state is EventState.CLEARING and event.opened < over
            ear.hear(event, bool(blocks) and (round < over or ends), cause)
        if not there and round >= over:
            break


def _name(fault: Spell) -> str:
    if fault.looks is not None:
        return fault.kind
    looks = ", by name" if fault.by_name else ", reset" if fault.cuts else ""
    return f"{fault.kind}{looks}{'' if fault.hosts else ', alone'}"
