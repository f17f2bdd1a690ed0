# SPDX-License-Identifier: Apache-2.0
"""What strangers can do, and what a larger fleet changes.

Sleepers behave well until they lie together: they report a block that there is none of, at once or
in the night when the others are off, or reach a service that is blocked, from its beginning or once
it has been told, or fail abroad so that a block looks like an outage. Fleets of different sizes see
the same block, while two in a hundred vantages have troubles of their own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from dataclasses import replace as replaced

from msgspec.structs import replace

from benchmarks.world import verdicts
from benchmarks.world.alarms import WARM_DAYS, pages
from benchmarks.world.blocks import HOUR_MS, Block
from benchmarks.world.delays import town
from benchmarks.world.figures import percentile
from benchmarks.world.rates import RATES, Rates
from benchmarks.world.scene import START, Scene
from benchmarks.world.vantages import Settlement
from monitor.detection.events.fold import initial, step
from monitor.detection.events.state import ServiceState
from monitor.detection.model import Answer, Elsewhere, Event, EventState, Fact, Tier
from monitor.detection.policy import Policy

INTERVAL = 300_000
CLOSE_MS = 30_000
"""A round of a large fleet is folded so long after its end: somebody is always missing."""
NIGHT_HOURS, WAITED_MS = 8, 3_600_000
"""Hours of each day at which the others are off, and for how long those wait who lie then."""
FALSE_ROUNDS, TRUE_ROUNDS = 72, 48
"""How long liars go on, and how long a block is waited for: six hours and four."""
LATER_MS = 90 * 60_000
"""By then a block has been confirmed, with or without a signature."""
_OVER = (EventState.CLOSED, EventState.RETRACTED)
RANKS = {Tier.UNCONFIRMED: 1, Tier.LIKELY: 2, Tier.CONFIRMED: 3}
_ABROAD_ASN = 66001
LIED = Elsewhere((Answer("198.51.100.1", "ZC", 64999, START, True),))
"""The address that a liar says to fail answers a control, of course."""


@dataclass
class Outcomes:
    """What became of some tries."""

    tries: int = 0
    reached: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """By rank: tries in which an event of the network in question reached it."""
    minutes: list[float] = field(default_factory=list)
    """From the beginning to the confirmation; endless where there was none."""
    paged: int = 0
    """Tries in which somebody would have been woken."""
    ended: int = 0
    """Tries in which the event was closed or retracted while its block, or the lie, went on."""

    def add(self, other: Outcomes) -> None:
        """Count another world's as well."""
        self.tries += other.tries
        self.reached = [a + b for a, b in zip(self.reached, other.reached, strict=True)]
        self.minutes += other.minutes
        self.paged += other.paged
        self.ended += other.ended


def sleepers(
    size: int,
    liars: int,
    kind: str,
    *,
    seed: int,
    tries: int,
    policy: Policy,
    share: float = 0.98,
    signature: bool = True,
    rates: Rates = RATES,
    new: bool = False,
) -> Outcomes:
    """`liars` of `size` vantages of a network (kind `accuse`, `night`, `deny`, `end`), or as many
    in other countries (`silence`), each of its own owner, from some moment of one world on, or of
    kind `end` from LATER_MS after it on. In `night` all others of the network are off every night.
    `new`: the monitor has known them for eight days, else for half a year."""
    here, *others = town(size)
    networks = [replaced(here, strangers=liars if new else 0), *others]
    if kind == "silence":
        networks += [Settlement(f"X{n}", _ABROAD_ASN + n, 1) for n in range(liars)]
    rounds = FALSE_ROUNDS if kind in FALSE else TRUE_ROUNDS
    warm = WARM_DAYS * 86_400_000 // INTERVAL
    days = WARM_DAYS + 2 + rounds * INTERVAL / 86_400_000
    scene = Scene(networks, seed=seed, interval=INTERVAL, days=days, rates=rates)
    rng, state, found = random.Random(f"sleepers {seed}"), initial("service"), Outcomes()
    asn = networks[0].asn
    mine = [person.probe for person in scene.people if person.asn == asn][:liars]
    abroad = [person.probe for person in scene.people if person.asn >= _ABROAD_ASN]
    lying = frozenset(abroad if kind == "silence" else mine)
    sleep = {p.probe for p in scene.people if p.asn == asn} - lying if kind == "night" else set()
    for n in range(warm):
        state, _ = step(state, scene.round(n), _awake(scene.facts(n, rng), sleep), policy)
    for number in range(tries):
        chance = random.Random(f"{seed} {kind} {size} {liars} {number}")
        onset = scene.round(warm) + chance.randrange(INTERVAL)
        blocks = () if kind in FALSE else (Block(asn, onset, share, signature),)
        looks = verdicts.LIE if signature else verdicts.BLACKHOLE
        lie = verdicts.OK if kind in ("deny", "end") else looks
        lies_from = onset + {"end": LATER_MS, "night": WAITED_MS}.get(kind, 0)

        rounds_of = (
            (
                scene.round(n),
                [
                    replace(fact, verdict=lie, elsewhere=LIED, others_work=False)
                    if fact.probe in lying and fact.started >= lies_from
                    else fact
                    for fact in _awake(scene.facts(n, chance, blocks), sleep)
                ],
            )
            for n in range(warm, warm + rounds)
        )
        _follow(state, rounds_of, asn, onset, policy, found, to_the_end=kind == "end")
    return found


def _awake(facts: Sequence[Fact], sleep: Set[str]) -> Sequence[Fact]:
    """The facts without those of vantages that sleep at this hour."""
    return [f for f in facts if f.probe not in sleep or f.round // HOUR_MS % 24 >= NIGHT_HOURS]


def _follow(
    state: ServiceState,
    rounds: Iterator[tuple[int, list[Fact]]],
    asn: int,
    onset: int,
    policy: Policy,
    into: Outcomes,
    to_the_end: bool = False,
) -> None:
    """Fold rounds until an event of a network pages, or all, and count how far it came."""
    # In a large network some vantage has opened an event of its own earlier.
    before = {one.event.id: _rank(one.event, asn) for one in state.open_events.values()}
    highest, at, paged, ended = 0, float("inf"), False, False
    for round, facts in rounds:
        state, changed = step(state, round, facts, policy)
        for event in changed:
            if (rank := _rank(event, asn)) > before.get(event.id, 0):
                highest = max(highest, rank)
            paged |= asn in event.asns and pages(event, policy)
            ended |= asn in event.asns and event.state in _OVER and event.confirmed is not None
        if highest == max(RANKS.values()):
            at = min(at, (round + INTERVAL + CLOSE_MS - onset) / 60_000)
        if paged and not to_the_end:
            break
    into.tries += 1
    into.paged += paged
    into.ended += ended
    into.minutes.append(at)
    for rank in range(1, highest + 1):
        into.reached[rank] += 1


def _rank(event: Event, asn: int) -> int:
    return max((RANKS[each.tier] for each in event.networks if each.asn == asn), default=0)


# -- fleets ---------------------------------------------------------------------------------

ILL = 0.02
"""Share of the vantages with troubles at any time."""
ILL_ROUNDS = 12
WARM_ROUNDS = 96
"""Eight hours: a vote takes six."""
_TROUBLES = (
    verdicts.SNI_RESET,
    verdicts.BLACKHOLE,
    verdicts.DOWN,
    verdicts.UNCONTROLLED,
    verdicts.OFFLINE,
)


def fleet(size: int, countries: int, *, tries: int, seed: int, policy: Policy) -> Outcomes:
    """A block of one network, with a signature; a network a country, all of about the same size."""
    rng, found = random.Random(f"fleet {seed} {size} {countries}"), Outcomes()
    people = [(n, n % countries) for n in range(size)]
    state = initial("service")
    for n in range(WARM_ROUNDS):
        state, _ = step(state, START + n * INTERVAL, _said(people, n, rng, None), policy)
    for _ in range(tries):
        onset = START + WARM_ROUNDS * INTERVAL + rng.randrange(INTERVAL)
        rounds = (
            (START + n * INTERVAL, _said(people, n, rng, onset))
            for n in range(WARM_ROUNDS, WARM_ROUNDS + TRUE_ROUNDS)
        )
        _follow(state, rounds, 64501, onset, policy, found)
    return found


def _said(
    people: Sequence[tuple[int, int]], n: int, rng: random.Random, onset: int | None
) -> list[Fact]:
    round = START + n * INTERVAL
    facts = []
    for number, place in people:
        trouble = random.Random(f"{number} {(n + number % ILL_ROUNDS) // ILL_ROUNDS}")
        started = round + int((number * 0.618) % 1 * 0.95 * INTERVAL)
        verdict = verdicts.OK
        if trouble.random() < ILL:
            verdict = trouble.choice(_TROUBLES)
        elif onset is not None and place == 0 and started >= onset and rng.random() < 0.98:
            verdict = verdicts.SNI_RESET
        facts.append(
            Fact(
                id=f"{number:06x}{n:06x}",
                probe=f"p-{number:05}",
                owner=f"o-{number:05}",
                country=f"{chr(65 + place // 26)}{chr(65 + place % 26)}",
                asn=64501 + place,
                enrolled=START - 7 * 3_600_000,
                round=round,
                started=started,
                interval=INTERVAL,
                target=verdicts.TARGET,
                verdict=verdict,
                control=verdict is not verdicts.UNCONTROLLED,
                others_passed=5,
            )
        )
    return facts


def line(title: str, some: Outcomes) -> str:
    """A row for people."""
    n = max(1, some.tries)
    shares = " ".join(f"{100 * some.reached[rank] / n:5.0f} %" for rank in (1, 2, 3))
    times = [percentile(some.minutes, part) for part in (0.5, 0.95)]
    said = " / ".join("never" if each == float("inf") else f"{each:.1f}" for each in times)
    shares += f" {100 * some.paged / n:5.0f} % {100 * some.ended / n:5.0f} %"
    return f"  {title:54}{some.tries:6} {shares}  {said}"


# -- what is run ----------------------------------------------------------------------------

KINDS = {
    "accuse": "report a block that there is none of",
    "night": "report a block that there is none of while all others are off, as every night",
    "deny": "reach a service that is blocked",
    "end": "begin to reach it while it goes on being blocked",
    "silence": "fail in other countries while a network of five is blocked",
}
FALSE = ("accuse", "night")
"""Kinds of lies while nothing is blocked."""
_NUMBERS = {
    "accuse": (
        (2, 2),
        (3, 1),
        (3, 2),
        (3, 3),
        (5, 1),
        (5, 2),
        (5, 3),
        (10, 2),
        (10, 3),
        (10, 4),
        (10, 5),
    ),
    "night": ((5, 1), (5, 2), (10, 2), (10, 3)),
    "deny": ((3, 0), (3, 1), (3, 2), (5, 0), (5, 1), (5, 2), (5, 3), (10, 0), (10, 2), (10, 4)),
    "end": ((3, 1), (3, 2), (5, 1), (5, 2), (5, 3), (10, 2), (10, 4)),
    "silence": tuple((5, n) for n in (0, 1, 2, 3, 4, 6, 10)),
}
PLANS = tuple(
    (kind, size, liars, new)
    for kind in KINDS
    for size, liars in _NUMBERS[kind]
    for new in ((True, False) if kind != "silence" and liars else (False,))
)
FLEETS = (
    (10, 3),
    (100, 3),
    (100, 10),
    (100, 30),
    (1000, 3),
    (1000, 10),
    (1000, 100),
    (10_000, 100),
)
"""(vantages, countries)."""
Plan = tuple[str, int, int, bool, bool, int, int]
"""Kind, size, liars, whether they are new, whether with a signature, seed, tries."""


def tried(plan: Plan, policy: Policy, rates: Rates) -> tuple[str, Outcomes]:
    """One row's outcomes in one world."""
    kind, size, liars, new, signature, seed, tries = plan
    found = sleepers(
        size,
        liars,
        kind,
        seed=seed,
        tries=tries,
        policy=policy,
        signature=signature,
        rates=rates,
        new=new,
    )
    known = "8 days" if new else "26 weeks"
    where = f"{liars} abroad, N = {size}" if kind == "silence" else f"{liars} of {size}"
    looks = "with signature" if signature else "without signature"
    return f"{kind}: {where}, known for {known}, {looks}", found


def table(title: str, rows: Sequence[tuple[str, Outcomes]]) -> Sequence[str]:
    """Lines for people; rows with the same name are added."""
    whole: dict[str, Outcomes] = {}
    for name, some in rows:
        whole.setdefault(name, Outcomes()).add(some)
    head = f"  {'':54}{'tries':>6}  opened  likely  confirmed  paged  ended, minutes to confirmed"
    return [title, head, *(line(name, some) for name, some in whole.items())]
