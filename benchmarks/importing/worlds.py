# SPDX-License-Identifier: Apache-2.0
"""Worlds of imported runs whose rates and shapes are drawn at random, none of them chosen to fit.

Each has networks in some countries, each of which runs a test now and then and fails a little by
chance. What happens to the service is one of `KINDS`: most are no block, and nobody may be accused;
the others are a block in one country or two.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

from monitor.detection.judge.imported_run import judge
from monitor.detection.model import Fact, Verdict
from monitor.detection.observed.imported_run import ROUND_MS
from tests.monitor.detection.imported_runs import (
    ADDRESSES,
    HOUR,
    START,
    connect,
    dc,
    measurement,
    of_test,
    record,
    spoken,
)

DAY = 24.0
TARGETS = ("telegram/dc", "telegram/links")
SERVICES = ("signal/chat", "messenger/chat")
OTHERS = ("facebook/web", "x/web")
METHOD = " ".join(of_test().values())
TIMEOUT, REFUSED, RESET = "generic_timeout_error", "connection_refused", "connection_reset"
LEFT_BEHIND = (TIMEOUT, REFUSED)
"""How connections to an endpoint fail that the service has left."""
FORGED = (TIMEOUT, RESET, REFUSED)
"""How connections to a blocked one fail."""
UNWANTED = (REFUSED, REFUSED, TIMEOUT)
"""How connections of a network fail that the service does not want."""


@dataclass(frozen=True)
class Place:
    """A network in which volunteers measure."""

    country: str
    asn: int
    gap: float
    """Hours from one run to the next, on average."""
    noise: float
    """Share of its runs that fail by chance."""


Failing = Callable[[Place, str, float], str | None]
"""How a target fails at a place at an hour; None when it works."""


@dataclass
class World:
    """What happens, and who blocks."""

    places: Sequence[Place]
    failing: Failing
    hours: float
    blocked: dict[str, float] = field(default_factory=dict)
    """The hour at which each country begins to block."""
    targets: Collection[str] = TARGETS
    service: str = "telegram"
    """Of which blocks are counted."""
    judged: Callable[[str, str | None], Verdict] = field(default_factory=lambda: verdict)
    """The verdict on a run of a target that fails so."""


@cache
def verdict(target: str, failure: str | None) -> Verdict:
    """The verdict on a run that works, or fails at all addresses."""
    if failure == RESET:
        seen = [connect(address) for address in ADDRESSES]
        seen += [spoken(address, RESET) for address in ADDRESSES]
    else:
        seen = dc(0 if failure is None else len(ADDRESSES), failure or TIMEOUT)
    return judge(measurement([*seen, record(9, **of_test())], target=target))


def rounds(world: World, draw: random.Random) -> Iterator[tuple[int, list[Fact]]]:
    """The facts of the world by round."""
    visits = []
    for place in world.places:
        at = draw.random() * place.gap
        while at < world.hours:
            visits.append((at, place))
            at += max(0.2, draw.expovariate(1 / place.gap))
    by_round: dict[int, list[Fact]] = {}
    for at, place in sorted(visits, key=lambda visit: (visit[0], visit[1].asn)):
        started = START + int(at * HOUR)
        round = started - started % ROUND_MS
        for target in world.targets:
            failure = world.failing(place, target, at)
            if failure is None and draw.random() < place.noise:
                failure = TIMEOUT
            fact = Fact(
                id=f"{place.asn:08x}{sum(target.encode()):08x}{started:016x}",
                probe=f"p-{place.asn:016x}",
                owner="ooni",
                country=place.country,
                asn=place.asn,
                enrolled=0,
                round=round,
                started=started,
                interval=ROUND_MS,
                target=target,
                verdict=world.judged(target, failure),
                control=False,
                source="ooni",
                method=METHOD,
            )
            by_round.setdefault(round, []).append(fact)
    yield from sorted(by_round.items())


def places(draw: random.Random, countries: int, most: int = 4) -> list[Place]:
    """Some networks in each country. Some run the test every half hour, some once in two days."""
    made = []
    for number in range(countries):
        for _ in range(draw.randint(1, most)):
            gap = 0.5 * 96 ** draw.random()
            noise = draw.choice((0, 0, 0.002, 0.01, 0.03))
            made.append(Place(f"C{number:02}", 64500 + len(made), gap, noise))
    return made


def history(draw: random.Random) -> float:
    return DAY * draw.uniform(5, 15)


def _block(draw: random.Random, country: str, begins: float) -> Failing:
    """All networks of a country, or most, from an hour on; all of the runs or most."""
    share, way = draw.choice((1.0, 1.0, 0.9, 0.6)), draw.choice(FORGED)
    part = draw.choice((1.0, 1.0, 0.6))
    hit: dict[int, bool] = {}
    chance = random.Random(draw.random())

    def failing(place: Place, target: str, at: float) -> str | None:
        if place.country != country or at < begins:
            return None
        if not hit.setdefault(place.asn, not hit or chance.random() < part):
            return None
        return way if chance.random() < share else None

    return failing


def retired(draw: random.Random) -> World:
    """An endpoint is left behind within up to two weeks, country by country in any order, or
    network by network."""
    where = places(draw, draw.randint(3, 40))
    return _left(draw, where, draw.choice((0.0, *(draw.uniform(0, 14) for _ in range(3)))))


def retired_at_once(draw: random.Random) -> World:
    """Within a day."""
    return _left(draw, places(draw, draw.randint(3, 40)), draw.uniform(0, 1))


def _left(draw: random.Random, where: Sequence[Place], days: float) -> World:
    begins, way = history(draw), draw.choice(LEFT_BEHIND)
    targets = draw.choice((TARGETS[:1], TARGETS))
    by_network = draw.random() < 0.25
    since: dict[str | int, float] = {}
    for place in where:
        key = place.asn if by_network else place.country
        since.setdefault(key, begins + draw.uniform(0, days) * DAY)

    def failing(place: Place, target: str, at: float) -> str | None:
        gone = at >= since[place.asn if by_network else place.country]
        return way if gone and target in targets else None

    return World(where, failing, begins + (days + 6) * DAY)


def launched(draw: random.Random) -> World:
    """A new service, or a new endpoint, works in one country after the other, and in some never."""
    where = places(draw, draw.randint(4, 30))
    days, late = draw.uniform(0, 14), draw.uniform(0, 1)
    since = {}
    for place in where:
        never = draw.random() < 0.3
        begins = draw.uniform(0, days) * DAY if draw.random() < late else 0.0
        since.setdefault(place.country, 1e9 if never else begins)

    def failing(place: Place, target: str, at: float) -> str | None:
        return TIMEOUT if at < since[place.country] else None

    return World(where, failing, (days + 10) * DAY, targets=TARGETS[:1])


def outage(draw: random.Random) -> World:
    """The service is down everywhere, or in a region, and comes back by and by."""
    where = places(draw, draw.randint(3, 30))
    begins, lasts = history(draw), draw.uniform(0.5, 30)
    region = {place.country for place in where if draw.random() < draw.choice((1, 1, 0.6))}
    begin = {place.asn: begins + draw.uniform(0, 2) for place in where}
    again = {place.asn: begins + lasts * draw.uniform(0.7, 1.3) for place in where}

    def failing(place: Place, target: str, at: float) -> str | None:
        down = place.country in region and begin[place.asn] <= at < again[place.asn]
        return TIMEOUT if down else None

    return World(where, failing, begins + lasts + 6 * DAY)


def reputation(draw: random.Random) -> World:
    """The service refuses some networks here and there, from some day on, for a part of their
    runs or all of them."""
    where = places(draw, draw.randint(6, 30))
    begins = history(draw)
    refused = {
        place.asn: (begins + draw.uniform(0, 7) * DAY, draw.uniform(0.1, 1), draw.choice(UNWANTED))
        for place in where
        if draw.random() < 0.1
    }
    chance = random.Random(draw.random())

    def failing(place: Place, target: str, at: float) -> str | None:
        since, share, way = refused.get(place.asn, (1e9, 0.0, REFUSED))
        return way if at >= since and chance.random() < share else None

    return World(where, failing, begins + 14 * DAY)


def alone(draw: random.Random) -> World:
    """One country is measured, in one network, two or five. The service has an outage, or leaves
    an endpoint behind."""
    where = _one_country(draw)
    if draw.random() < 0.5:
        return _left(draw, where, 0.0)
    begins, lasts = history(draw), draw.uniform(1, 72)

    def failing(place: Place, target: str, at: float) -> str | None:
        return TIMEOUT if begins <= at < begins + lasts else None

    return World(where, failing, begins + 8 * DAY)


def _one_country(draw: random.Random) -> list[Place]:
    networks = draw.choice((1, 2, 5))
    return [
        Place("C00", 64500 + n, 0.5 * 24 ** draw.random(), draw.choice((0, 0.01, 0.03)))
        for n in range(networks)
    ]


def quiet(draw: random.Random) -> World:
    """Nothing happens; some networks are poor."""
    where = [
        Place(place.country, place.asn, place.gap, draw.choice((place.noise, draw.uniform(0, 0.3))))
        for place in places(draw, draw.randint(2, 15))
    ]
    return World(where, lambda place, target, at: None, 30 * DAY)


def blocked(draw: random.Random) -> World:
    """One country blocks the service, or two within two weeks."""
    where = places(draw, draw.randint(4, 40))
    begins = {country: history(draw) for country in ("C00", "C01")[: draw.choice((1, 1, 2))]}
    blocks = [_block(draw, country, hour) for country, hour in begins.items()]

    def failing(place: Place, target: str, at: float) -> str | None:
        return next((way for block in blocks if (way := block(place, target, at))), None)

    return World(where, failing, max(begins.values()) + 6 * DAY, begins)


def blocked_in_part(draw: random.Random) -> World:
    """One country is measured, and some of its networks block the service."""
    where = _one_country(draw)
    begins = history(draw)
    block = _block(draw, "C00", begins)

    def failing(place: Place, target: str, at: float) -> str | None:
        return block(place, target, at)

    return World(where, failing, begins + 6 * DAY, {"C00": begins})


def _services(draw: random.Random) -> tuple[str, ...]:
    """Two, and perhaps others that go on."""
    return ("telegram/dc", "whatsapp/messaging", *SERVICES[: draw.choice((0, 1, 2))])


def poor_lines(draw: random.Random) -> World:
    """Volunteers run all tests one after the other. In some networks their lines fail for minutes
    or hours, for some services or for all."""
    where, targets = places(draw, draw.randint(2, 15)), _services(draw)
    poor = {place.asn: draw.uniform(0.02, 0.3) for place in where if draw.random() < 0.3}
    chance, lasting = random.Random(draw.random()), draw.choice((0.1, 1.0, 6.0))
    bad: dict[tuple[int, int], frozenset[str]] = {}

    def failing(place: Place, target: str, at: float) -> str | None:
        key = place.asn, int(at / lasting)
        if key not in bad:
            some = [name for name in targets if chance.random() < 0.7]
            bad[key] = frozenset(some if chance.random() < poor.get(place.asn, 0.0) else ())
        return TIMEOUT if target in bad[key] else None

    return World(where, failing, 30 * DAY, targets=targets)


def network_outage(draw: random.Random) -> World:
    """What leads abroad fails in some networks for hours: nothing that is measured is reached."""
    where, targets = places(draw, draw.randint(2, 20)), _services(draw)
    begins, lasts = history(draw), draw.uniform(0.5, 60)
    out = {place.asn: draw.uniform(0, 2) for place in where if draw.random() < 0.15}

    def failing(place: Place, target: str, at: float) -> str | None:
        late = out.get(place.asn, 1e9)
        return TIMEOUT if begins + late <= at < begins + late + lasts else None

    return World(where, failing, begins + lasts + 6 * DAY, targets=targets)


def several_blocked(draw: random.Random) -> World:
    """A country blocks one service, and another within a day."""
    where, targets = places(draw, draw.randint(4, 30)), _services(draw)
    first = history(draw)
    second = first + draw.uniform(0, 24)
    begins = {targets[0]: first, targets[1]: second}
    blocks = {name: _block(draw, "C00", hour) for name, hour in begins.items()}

    def failing(place: Place, target: str, at: float) -> str | None:
        return blocks[target](place, target, at) if target in blocks else None

    return World(where, failing, second + 6 * DAY, {"C00": second}, targets, "whatsapp")


def blocked_at_once(draw: random.Random) -> World:
    """A country blocks several services in one hour, or all messengers; mostly something else goes
    on there, and is measured."""
    where, targets = places(draw, draw.randint(4, 30)), ("telegram/dc", "whatsapp/messaging")
    first = history(draw)
    messengers = (*targets, *SERVICES)
    hit = draw.choice((targets, messengers))
    measured = (*messengers, *draw.choice(((), OTHERS[:1], OTHERS)))
    seed = draw.random()
    blocks = {name: _block(random.Random(seed), "C00", first) for name in hit}

    def failing(place: Place, target: str, at: float) -> str | None:
        return blocks[target](place, target, at) if target in blocks else None

    return World(where, failing, first + 6 * DAY, {"C00": first}, measured, "whatsapp")


KINDS: dict[str, Callable[[random.Random], World]] = {
    "retired by and by": retired,
    "retired within a day": retired_at_once,
    "launched by region": launched,
    "down": outage,
    "refused by reputation": reputation,
    "one country, no block": alone,
    "quiet": quiet,
    "blocked": blocked,
    "one country, blocked": blocked_in_part,
    "poor lines": poor_lines,
    "network outage": network_outage,
    "several blocked": several_blocked,
    "blocked at once": blocked_at_once,
}
