# SPDX-License-Identifier: Apache-2.0
"""Writes verdicts, and the hourly cells that are counted from them.

The writer has the counts of the last hours in memory, so that a round adds to them; where verdicts
are replaced the hour is counted again from the stored ones. Only cells that differ are written.
Cells of an hour whose facts were pruned are left as they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.detection.model import Fact, Layer, State, Technique, Verdict
from monitor.store import cell_sums, service_hours, statements, verdicts
from monitor.store.days import has_id
from monitor.store.tables import cell, measurement, vantage, verdict
from monitor.store.verdicts import Entry, ServiceRound
from probes.wire.measurement import service_of

HOUR = 3_600_000
HOURS_KEPT = 2
"""Hours of a service whose counts are in memory: the present one, and its late measurements."""
Place = tuple[str, str, int]
"""(target, country, asn)."""
Where = tuple[str, str, int]
"""(probe, country, asn) of a vantage."""

_set_cell = statements.upsert(cell)
_forget_place = sa.text(
    "DELETE FROM cell WHERE hour = :hour AND target = :target AND country = :country AND asn = :asn"
)


@dataclass(slots=True)
class _Count:
    """Verdicts of one place and hour with one state and rule."""

    layer: Layer | None
    technique: Technique | None
    n: int = 0
    probes: set[str] = field(default_factory=set)


_Counts = dict[tuple[State, str], _Count]
"""By (state, rule)."""
_Hour = dict[Place, _Counts]


class HourCounts:
    """Counts of the last hours of each service, as the store has them after the transaction with
    which a `revision` of the service ended."""

    def __init__(self) -> None:
        self._hours: dict[str, tuple[int, dict[int, _Hour]]] = {}
        self.vantages: dict[int, Where] = {}
        """By number. These rows never change."""

    def get(self, service: str, revision: int) -> dict[int, _Hour]:
        """What is known of the hours of a service at a revision; the caller changes it."""
        known, hours = self._hours.pop(service, (revision, {}))
        return hours if known == revision else {}

    def put(self, service: str, revision: int, hours: dict[int, _Hour]) -> None:
        """Remember the newest hours."""
        kept = {hour: hours[hour] for hour in sorted(hours)[-HOURS_KEPT:]}
        self._hours[service] = revision, kept

    def forget(self) -> None:
        """Forget what a transaction may have changed that was not committed."""
        self._hours.clear()


def hour_of(round: int) -> int:
    """First millisecond of the hour of a round."""
    return round - round % HOUR


class Judged(NamedTuple):
    """What was judged of a service, in the transaction that makes `revision` of its conclusions."""

    service: str
    facts: Sequence[Fact]
    revision: int
    replaced_after: int | None = None
    """Verdicts of the service's later rounds that are not among these are deleted."""


async def save_verdicts(
    connection: AsyncConnection, judged: Sequence[Judged], counts: HourCounts, pruned: int
) -> None:
    """Write the verdicts of the facts of some services, each once, and count them. A verdict on a
    measurement that was pruned meanwhile is ignored."""
    facts = await _without_pruned(
        connection, [fact for one in judged for fact in one.facts], pruned
    )
    rounds = await _by_round(connection, facts)
    replaced = await _replaced(connection, rounds, judged)
    hours = {one.service: counts.get(one.service, one.revision - 1) for one in judged}
    for service, hour in {(service, hour_of(round)) for service, round in (*replaced, *rounds)}:
        if hour not in hours[service]:
            hours[service][hour] = await _count(connection, service, hour, counts.vantages)
    await _write_verdicts(connection, rounds, replaced, judged)
    again = {(service, hour_of(round)) for service, round in replaced}
    gone: list[tuple[int, Place]] = []
    written = _add_all(facts, hours, again)
    for service, hour in again:
        before = hours[service][hour]
        now = hours[service][hour] = await _count(connection, service, hour, counts.vantages)
        gone += [(hour, place) for place in before if before[place] != now.get(place)]
        written += [(hour, place, here) for place, here in now.items() if before.get(place) != here]
    await _write(
        connection,
        [(hour, place) for hour, place in gone if hour >= pruned],
        [each for each in written if each[0] >= pruned],
        hours,
    )
    for one in judged:
        counts.put(one.service, one.revision, hours[one.service])


async def _replaced(
    connection: AsyncConnection, rounds: Collection[ServiceRound], judged: Iterable[Judged]
) -> dict[ServiceRound, bool]:
    """Those rounds with stored verdicts that are among some rounds or are to be replaced, each with
    whether its verdicts are dropped."""
    v = verdict.c
    replaced: dict[ServiceRound, bool] = {}
    for some in statements.chunks(sorted(rounds), verdicts.ROWS_AT_ONCE):
        there = sa.select(v.service, v.round).where(sa.tuple_(v.service, v.round).in_(list(some)))
        replaced |= dict.fromkeys(map(tuple, await connection.execute(there)), False)
    for service, _, _, after in judged:
        if after is not None:
            later = sa.select(v.round).where(v.service == service, v.round > after)
            replaced |= {(service, round): True for (round,) in await connection.execute(later)}
    return replaced


async def _write_verdicts(
    connection: AsyncConnection,
    rounds: Mapping[ServiceRound, Sequence[Entry]],
    replaced: Mapping[ServiceRound, bool],
    judged: Iterable[Judged],
) -> None:
    """Write the verdicts of rounds, beside those that their rounds have already and that are not
    to be replaced; `replaced` as `_replaced` gives it."""
    for service, _, _, after in judged:
        if after is not None:
            later = verdict.c.service == service, verdict.c.round > after
            await connection.execute(sa.delete(verdict).where(*later))
    merged = {key: list(entries) for key, entries in rounds.items()}
    kept = {key for key, is_dropped in replaced.items() if not is_dropped}
    async for service, round, stored in verdicts.read(connection, kept):
        new = {arrival for arrival, _, _ in merged[service, round]}
        merged[service, round] += [entry for entry in stored.entries() if entry[0] not in new]
    await verdicts.write(connection, merged.items())


def _add_all(
    facts: Iterable[Fact],
    hours: Mapping[str, dict[int, _Hour]],
    without: Collection[tuple[str, int]],
) -> list[tuple[int, Place, _Counts]]:
    """Count the verdicts of facts in the hours of their services, except some; return what is
    counted now of their places."""
    touched: dict[tuple[int, Place], _Counts] = {}
    for fact in facts:
        service, hour = service_of(fact.target), hour_of(fact.round)
        if hour in hours[service] and (service, hour) not in without:
            place = fact.target, fact.country, fact.asn
            counted = touched[hour, place] = hours[service][hour].setdefault(place, {})
            _add(counted, fact.verdict, fact.probe)
    return [(hour, place, counted) for (hour, place), counted in touched.items()]


async def _write(
    connection: AsyncConnection,
    gone: Collection[tuple[int, Place]],
    written: Collection[tuple[int, Place, _Counts]],
    hours: Mapping[str, Mapping[int, _Hour]],
) -> None:
    """Write the cells that differ, and the sums of their hours; `hours` by service."""
    if gone:
        await connection.execute(
            _forget_place,
            [
                {"hour": hour, "target": target, "country": country, "asn": asn}
                for hour, (target, country, asn) in gone
            ],
        )
    rows = [
        {
            "hour": hour,
            "target": target,
            "country": country,
            "asn": asn,
            "state": state.value,
            "rule": rule,
            "layer": one.layer.value if one.layer else None,
            "technique": one.technique.value if one.technique else None,
            "n": one.n,
            "vantages": len(one.probes),
            "all_vantages": probes,
            "hours": 1,
        }
        for hour, (target, country, asn), here in written
        for probes in (_probes(here),)
        for (state, rule), one in here.items()
    ]
    if rows:
        await connection.execute(_set_cell, rows)
    places = {(hour, *place) for hour, place in gone}
    places |= {(hour, *place) for hour, place, _ in written}
    await service_hours.sum_up(connection, places)
    if places:
        await cell_sums.sum_up(connection, _by_country(places, hours))


def _by_country(
    places: Iterable[service_hours.CellKey], hours: Mapping[str, Mapping[int, _Hour]]
) -> dict[tuple[str, str, int], cell_sums.Hour]:
    """The hours of the countries of these places, by (service, country, hour)."""
    countries: dict[tuple[str, int], dict[str, list[tuple[str, int, cell_sums.Name, int]]]] = {}
    for hour, target, country, _ in places:
        countries.setdefault((service_of(target), hour), {})[country] = []
    for (service, hour), wanted in countries.items():
        for (target, country, asn), here in hours[service][hour].items():
            if (rows := wanted.get(country)) is not None:
                for (state, rule), one in here.items():
                    technique = one.technique and one.technique.value
                    rows.append((target, asn, (state.value, rule, technique), one.n))
    return {
        (service, country, hour): rows
        for (service, hour), wanted in countries.items()
        for country, rows in wanted.items()
    }


def _probes(here: _Counts) -> int:
    """How many probes have a verdict."""
    some = [one.probes for one in here.values()]
    return len(some[0] if len(some) == 1 else set().union(*some))


def _add(here: _Counts, said: Verdict, probe: str) -> None:
    key = said.state, said.rule
    if (one := here.get(key)) is None:
        one = here[key] = _Count(said.layer, said.technique)
    else:
        # Verdicts with one rule may differ in these: the least is shown, in whatever order.
        if said.layer is not one.layer:
            one.layer = min(filter(None, (one.layer, said.layer)))
        if said.technique is not one.technique:
            one.technique = min(filter(None, (one.technique, said.technique)))
    one.n += 1
    one.probes.add(probe)


async def _count(
    connection: AsyncConnection, service: str, hour: int, vantages: dict[int, Where]
) -> _Hour:
    """Count the stored verdicts of an hour."""
    counted: _Hour = {}
    async for _, _, judged in verdicts.read_newest(connection, service, hour, hour + HOUR):
        await load_vantages(connection, judged.vantages, vantages)
        for _, number, said in judged.entries():
            probe, country, asn = vantages[number]
            _add(counted.setdefault((said.target, country, asn), {}), said, probe)
    return counted


async def load_vantages(
    connection: AsyncConnection, numbers: Iterable[int], known: dict[int, Where]
) -> None:
    """Add those of some vantages that are not known yet."""
    v = vantage.c
    for some in statements.chunks(sorted(set(numbers) - known.keys())):
        query = sa.select(v.number, v.probe, v.country, v.asn).where(v.number.in_(some))
        for number, probe, country, asn in await connection.execute(query):
            known[number] = probe, country, asn


async def _by_round(
    connection: AsyncConnection, facts: Sequence[Fact]
) -> dict[ServiceRound, list[Entry]]:
    """Verdicts by round. Of facts that were not read by line the numbers are looked up."""
    m = measurement.c
    numbers: dict[str, tuple[int, int]] = {}
    for some in statements.chunks([fact.id for fact in facts if not fact.arrival]):
        query = sa.select(m.id, m.arrival, m.vantage).where(has_id(some))
        numbers |= {id: (at, number) for id, at, number in await connection.execute(query)}
    rounds: defaultdict[ServiceRound, list[Entry]] = defaultdict(list)
    for fact in facts:
        arrival, number = (
            (fact.arrival, fact.vantage) if fact.arrival else numbers.get(fact.id, (0, 0))
        )
        if arrival:
            key = service_of(fact.target), fact.round
            rounds[key].append((arrival, number, fact.verdict))
    return rounds


async def _without_pruned(
    connection: AsyncConnection, facts: Sequence[Fact], pruned: int
) -> Sequence[Fact]:
    old = [fact.id for fact in facts if fact.round < pruned]
    if not old:
        return facts
    left: set[str] = set()  # witnesses of events
    for chunk in statements.chunks(old):
        query = sa.select(measurement.c.id).where(has_id(chunk))
        left.update((await connection.execute(query)).scalars())
    return [fact for fact in facts if fact.round >= pruned or fact.id in left]
