"""Whatever was judged, and however late: counts from the sums are those of the verdicts, on both
databases."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import pytest

from monitor.detection.model import Fact, State
from monitor.store.database import Database
from monitor.store.reading import breakdown
from monitor.store.reading.breakdown import FailedShare, Period, Place
from monitor.store.reading.cell_sums import Across
from monitor.store.records import Admitted
from monitor.store.service_hours import kinds_of
from tests.monitor.store.samples import HOUR, MINUTE, NOON, admitted, concluded, verdict

DAY = 24 * HOUR
FIRST = NOON - NOON % (8 * DAY)
LENGTH = 20 * DAY
TARGETS = ("wechat/messaging", "wechat/web", "wechat/voice")
PLACES = (*(("RU", 64500 + n) for n in range(18)), ("FR", 64530), ("FR", 64500))
FAILED = {State.BLOCKED, State.IMPAIRED, State.THROTTLED}
JUDGED = FAILED | {State.OK, State.DOWN, State.INCONCLUSIVE}
Said = dict[str, Fact]
Hours = dict[tuple[str, str, int, int], Counter[tuple[State, str, str | None]]]


def _fact(row: Admitted, rng: random.Random) -> Fact:
    state = rng.choice([State.BLOCKED, State.BLOCKED, *State])
    return verdict(row, state, f"rule.{state.value}.{rng.randrange(2)}")


async def _judged(store: Database, rng: random.Random) -> Said:
    """A few hundred measurements at random times, judged in random order; some rounds are judged
    again, or refolded."""
    rows = [
        admitted(
            number,
            probe=number % 7 + 50 * place,
            target=rng.choice(TARGETS),
            at=FIRST + rng.randrange(LENGTH // MINUTE) * MINUTE
            if number % 3
            else FIRST + 8 * DAY - HOUR + rng.randrange(120) * MINUTE,
            country=PLACES[place][0],
            asn=PLACES[place][1],
        )
        for number in range(150)
        for place in [rng.randrange(len(PLACES))]
    ]
    await store.facts.add(rows, [])
    said: Said = {}
    for _ in range(6):
        facts = tuple(_fact(row, rng) for row in rng.sample(rows, 60))
        after = FIRST + rng.randrange(LENGTH) if rng.random() < 0.5 else None
        if after is not None:
            said = {id: fact for id, fact in said.items() if fact.round <= after}
        said |= {fact.id: fact for fact in facts}
        await store.conclusions.save([concluded(facts=facts, refolded_after=after)], len(rows))
    return said


def _hours(said: Said) -> Hours:
    hours: Hours = defaultdict(Counter)
    for fact in said.values():
        of = fact.verdict
        key = fact.target, fact.country, fact.asn, fact.round - fact.round % HOUR
        hours[key][of.state, of.rule, of.technique] += 1
    return hours


def _chosen(hours: Hours, period: Period, place: Place) -> Hours:
    unit = DAY if period.daily else HOUR
    since, until = period.since // unit * unit, -(-period.until // unit) * unit
    return {
        key: states
        for key, states in hours.items()
        if since <= key[3] < until
        and (not place.countries or key[1] in place.countries)
        and (not place.asns or key[2] in place.asns)
    }


PERIODS = [
    Period(FIRST, FIRST + LENGTH, 2 * DAY, daily=True),
    Period(FIRST + 5 * DAY, FIRST + 18 * DAY, DAY, daily=True),
    Period(FIRST, FIRST + LENGTH, 8 * DAY, daily=True),
    Period(FIRST + 7 * DAY + 5 * HOUR, FIRST + 8 * DAY + 5 * HOUR, 2 * HOUR, daily=False),
    Period(FIRST + 3 * DAY + 7 * HOUR, FIRST + 17 * DAY + 3 * HOUR, DAY, daily=False),
    *(
        Period(since, FIRST + LENGTH + 2 * HOUR, slice_ms, daily, to_now=True)
        for since, slice_ms, daily in (
            (FIRST + LENGTH - 22 * HOUR, 2 * HOUR, False),
            (FIRST + 13 * DAY + 7 * HOUR, DAY, False),
            (FIRST + DAY, 8 * DAY, True),
        )
    ),
]
CHOICES = [Place(), Place(("RU",)), Place((), (64500, 64517)), Place(("FR",), (64530,))]


@pytest.mark.parametrize("seed", range(4))
async def test_counts_are_those_of_the_verdicts(store: Database, seed: int) -> None:
    rng = random.Random(seed)
    hours = _hours(await _judged(store, rng))
    for period in PERIODS:
        for place in CHOICES:
            mine = _chosen(hours, period, place)
            for across in ("country", "network", "time"):
                await _compare(store, mine, period, place, across)


async def _compare(
    store: Database, mine: Hours, period: Period, place: Place, across: Across
) -> None:
    shares: dict[object, FailedShare] = defaultdict(FailedShare)
    names: dict[str, Counter[object]] = {"technique": Counter(), "rule": Counter()}
    for (target, country, asn, hour), states in mine.items():
        column: object = (country, asn) if across == "network" else (country, -1)
        if across == "time":
            slice_ms = period.slice_ms
            begin = next(s for s in (8 * DAY, DAY, HOUR) if slice_ms % s == 0)
            first = period.since // begin * begin
            column = "", first + (hour - first) // slice_ms * slice_ms
        by_state: Counter[State] = Counter()
        for (state, rule, technique), n in states.items():
            by_state[state] += n
            if technique is not None:
                names["technique"][technique, column] += n
            if state not in FAILED | {State.OK}:
                names["rule"][rule, column] += n
        shares[target, column] += FailedShare(
            sum(by_state[state] for state in FAILED),
            sum(by_state[state] for state in JUDGED),
            bool(kinds_of(by_state) & 2),
        )
    async with store.reading() as connection:
        chosen = await breakdown.chosen_at(connection, TARGETS, place)
        found = await breakdown.functions(connection, chosen, period, across)
        assert {key: share for key, share in found.items() if share != FailedShare()} == {
            key: share for key, share in shares.items() if share != FailedShare()
        }
        for by in ("technique", "rule"):
            named = await breakdown.named(connection, chosen, period, across, by)
            assert named.counts == names[by]
            assert sum(named.total.values()) == sum(s.total() for s in mine.values())


async def test_targets_that_were_not_chosen_are_not_counted(store: Database) -> None:
    await _judged(store, random.Random(1))
    period = PERIODS[0]
    async with store.reading() as connection:
        chosen = await breakdown.chosen_at(connection, TARGETS[:1], Place())
        found = await breakdown.functions(connection, chosen, period, "country")
        assert {target for target, _ in found} == {TARGETS[0]}
        nowhere = await breakdown.chosen_at(connection, TARGETS, Place((), (65000,)))
        assert nowhere.axes == ()
        assert await breakdown.functions(connection, nowhere, period, "time") == {}
