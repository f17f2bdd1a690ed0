# SPDX-License-Identifier: Apache-2.0
"""Fill a store with the measurements, verdicts, hourly cells and events of a large fleet.

Rows are written with the databases' own bulk paths, because the collector and the detector would
take hours; every row has the form that they write. The last rounds are one interval apart, as a
running fleet leaves them; the older ones are spread evenly over the days. Neither database is
analysed: no query may need to know how rows are distributed.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import asyncpg
import msgspec

from benchmarks.size.bulk_rows import PostgreSQLRows, SQLiteRows
from monitor.detection.events.explain import SeriesRound, VantageEvidence
from monitor.detection.events.explain import pack as pack_told
from monitor.detection.model import (
    Event,
    EventState,
    Layer,
    LayerFinding,
    NetworkEvidence,
    State,
    Technique,
    Tier,
    Verdict,
)
from monitor.store import cell_sums
from monitor.store.batches import HEADER, LEVEL
from monitor.store.database import open_database
from monitor.store.days import day_of
from monitor.store.engines import connect, writing
from monitor.store.reading.counts import judged_rounds
from monitor.store.reading.vantages import list_vantages
from monitor.store.service_hours import KEPT_HOURS, insert_days, insert_hours
from monitor.store.verdicts import Entry, pack
from probes.catalogue.load import load
from probes.wire.codec import encode, encode_batch
from probes.wire.measurement import (
    LIVENESS_INTERNATIONAL,
    EndpointRef,
    Measurement,
    Vantage,
    measurement_id,
    service_of,
)
from probes.wire.observation import TCPConnect, TLSHandshake

HOUR, DAY = 3_600_000, 86_400_000
HEARD_MS = 60_000
"""How long ago every probe was last heard."""
RECENT_ROUNDS = 8
OPEN_EVENTS = 40
SHARE_FAILING = 0.02
"""Measurements that fail by chance: the detector keeps what their rounds tell for a day."""
CHUNK = 200
_HOURS = insert_hours(
    f"c.hour > (SELECT max(hour) FROM cell) - {KEPT_HOURS * HOUR} "
    "AND c.hour > (SELECT coalesce(max(hour), 0) FROM service_hour)"
)
_NOT_OVER = "DELETE FROM service_day WHERE day = (SELECT max(day) FROM service_day)"
_DAYS = insert_days(f"c.hour >= (SELECT coalesce(max(day) + {DAY}, 0) FROM service_day)")
_RECEIVED = (
    "INSERT INTO cursor (name, value) SELECT 'received', received FROM batch WHERE true "
    "ORDER BY first_arrival DESC LIMIT 1 ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
_REVISIONS = (
    "INSERT INTO revision (service, number) SELECT DISTINCT service, 1 FROM verdict WHERE true "
    "ON CONFLICT (service) DO UPDATE SET number = revision.number + 1"
)
_FOLDED = (
    "INSERT INTO detector_state (service, round) SELECT service, (SELECT max(round) FROM verdict) "
    "FROM revision WHERE true ON CONFLICT (service) DO UPDATE SET round = excluded.round"
)
"""As of detectors that keep up: else each page says that conclusions lag, and asks since when."""


@dataclass(frozen=True)
class Size:
    """How large the fleet is and for how long it has measured."""

    measurements: int
    probes: int = 250
    networks: int = 200
    countries: int = 30
    days: int = 90
    interval_ms: int = 1_800_000


@dataclass
class Round:
    """Rows of one probe and round."""

    at: int
    facts: list[tuple[Any, ...]]
    entries: list[Entry]
    batch: tuple[Any, ...] = ()
    delivered: tuple[Any, ...] = ()


class Fleet:
    """Who measures what, and what each round leaves in the store. `now` is when it was first
    filled, `latest` until when it has gone on since."""

    def __init__(self, size: Size, now: int, latest: int | None = None, seed: int = 1) -> None:
        self.size, self.now, self.latest = size, now, latest or now
        self.rng = random.Random(seed)
        self.targets = [LIVENESS_INTERNATIONAL, *(t.id for t in load().targets)]
        codes = [a + b for a in "ABCDEFGH" for b in "RSTUVW"][: size.countries - 2]
        countries = ["RU", "FR", *codes]
        networks = [(countries[n % len(countries)], 64496 + n) for n in range(size.networks)]
        self.probes = [
            (f"p-{n:016x}", *networks[n % len(networks)], "control" if n < 2 else "vantage")
            for n in range(size.probes)
        ]
        self.asns = networks

    def rounds(self) -> list[int]:
        """First milliseconds of all rounds, oldest first."""
        step = self.size.interval_ms
        newest = self.now // step * step - step
        per_round = len(self.probes) * len(self.targets)
        total = max(RECENT_ROUNDS + 1, self.size.measurements // per_round)
        recent = [newest - k * step for k in range(RECENT_ROUNDS)]
        older = total - RECENT_ROUNDS
        span = self.size.days * DAY
        past = {(recent[-1] - span * k // older) // step * step for k in range(1, older + 1)}
        return [*sorted({*recent, *past}), *self._since(newest)]

    def _since(self, newest: int) -> list[int]:
        """Rounds after the newest one of the first filling. They are those of whole hours, because
        the cells of an hour are written once."""
        first = newest - newest % HOUR + HOUR
        return list(range(first, self.latest // HOUR * HOUR, self.size.interval_ms))

    def rounds_of_probes(self, after: int = -1) -> Iterator[Round]:
        """What each probe sends in each round later than `after`: one batch."""
        said = {
            (target, state): _verdict(target, state)
            for target in self.targets
            for state in (State.OK, State.BLOCKED, State.INCONCLUSIVE)
        }
        payload = b""
        sequence = 0
        for at in self.rounds():
            newest = at > self.latest - 2 * self.size.interval_ms
            if at <= after:
                sequence += len(self.probes) * len(self.targets)
                continue
            for number, (probe, _, asn, role) in enumerate(self.probes, 1):
                first = sequence + 1
                made = Round(at, [], [])
                lines = []
                for index, target in enumerate(self.targets, 1):
                    sequence += 1
                    id = bytes.fromhex(measurement_id(probe, "bench", sequence))
                    if newest or not payload:
                        lines.append(encode(_measurement(id, probe, target, at, asn)))
                    made.facts.append(
                        (
                            sequence,
                            at,
                            at + 900,
                            number,
                            index,
                            self.size.interval_ms,
                            index - 1,
                            id,
                        )
                    )
                    if role == "vantage" and index > 1:
                        state = self._state(target, asn, at)
                        made.entries.append((sequence, number, said[target, state]))
                # The lines of older rounds are not read by what is measured: one batch for all.
                if lines:
                    payload = encode_batch(HEADER, lines, LEVEL)
                made.batch = (first, sequence, at, at + 9000, payload, number)
                made.delivered = (
                    *(probe, day_of(at), "bench", 0, first, sequence, 0),
                    *(at + 9000, at + 9000, 8100, 8100),
                )
                yield made

    def witnesses(self, n: int) -> list[str]:
        """The newest measurements of the first target by `n` vantages."""
        before = (len(self.rounds()) - 1) * len(self.probes)
        return [
            measurement_id(self.probes[k][0], "bench", (before + k) * len(self.targets) + 2)
            for k in range(2, 2 + n)
        ]

    def _state(self, target: str, asn: int, at: int) -> State:
        if target.startswith("wechat/") and asn == self.asns[0][1] and at > self.now - 3 * DAY:
            return State.BLOCKED
        return State.INCONCLUSIVE if self.rng.random() < 0.02 else State.OK

    def events(self) -> list[Event]:
        """Forty confirmed events that are open, and a hundred that are over."""
        made = [self._event("wechat", *self.asns[0], self.now - 3 * DAY, None)]
        services = sorted({service_of(t) for t in self.targets[1:]})
        for k in range(1, OPEN_EVENTS):
            onset = self.now - DAY * (1 + k * (self.size.days - 2) // OPEN_EVENTS)
            place = self.asns[(11 * k) % len(self.asns)]
            made.append(self._event(services[k % len(services)], *place, onset, None))
        for k in range(100):
            onset = self.now - DAY * (4 + k * (self.size.days - 8) // 100)
            place = self.asns[(7 * k + 1) % len(self.asns)]
            made.append(self._event(services[k % len(services)], *place, onset, onset + DAY))
        # In a few networks or days the same service, place and onset come again: one event.
        return list({each.id: each for each in made}.values())

    def evidence(self) -> Iterator[tuple[Any, ...]]:
        """Rows of the last day's rounds in which a vantage failed by chance, and of those of events
        that the detector keeps for longer. Vantages take turns."""
        events = {(each.service, each.country): each for each in reversed(self.events())}
        services = sorted({service_of(t) for t in self.targets[1:]})
        step = self.size.interval_ms
        today = self.now // step * step - DAY
        for country in dict.fromkeys(country for country, _ in self.asns):
            own = [each for each in self.probes if each[1] == country and each[3] == "vantage"]
            here = [(probe, asn) for probe, _, asn, _ in own]
            for service in services:
                event = events.get((service, country))
                for at in range(today if event is None else event.onset, self.now, step):
                    if at < today and not self._is_decided(event, at) and at % DAY:
                        continue
                    for turn, (_, asn) in enumerate(here):
                        round = at + turn * (step // len(here))
                        told = [
                            _told(round, target, asn, [p for p, a in here if a == asn], turn)
                            for target in self._told_of(service, asn, event, at)
                        ]
                        if told:
                            decided = event is not None and at in (event.opened, event.confirmed)
                            yield service, country, "probe", round, int(decided), pack_told(told)

    def _is_decided(self, event: Event | None, at: int) -> bool:
        return event is not None and (
            event.onset <= at <= (event.confirmed or 0) + HOUR // 2
            or abs(at - (event.closed or 0)) <= HOUR // 2
        )

    def _told_of(self, service: str, asn: int, event: Event | None, at: int) -> Sequence[str]:
        """Targets that a round of one vantage tells of."""
        if event is not None and asn in event.asns and at < (event.closed or self.now):
            return event.targets
        mine = [target for target in self.targets if target.startswith(f"{service}/")]
        return [target for target in mine if self.rng.random() < SHARE_FAILING]

    def _event(self, service: str, country: str, asn: int, onset: int, closed: int | None) -> Event:
        onset -= onset % self.size.interval_ms
        targets = [t for t in self.targets if t.startswith(f"{service}/")][:2]
        return Event(
            id=measurement_id(service, country, onset)[:16],
            service=service,
            country=country,
            targets=tuple(targets),
            asns=(asn,),
            technique="tls.reset.sni",
            extent="full",
            state=EventState.CLOSED if closed else EventState.OPEN,
            tier=Tier.CONFIRMED,
            onset=onset,
            onset_earliest=onset,
            onset_latest=onset,
            opened=onset,
            confirmed=onset + self.size.interval_ms,
            closed=closed,
            updated=closed or onset + self.size.interval_ms,
            agreeing=3,
            total=3,
            control="ok",
            rule_counts=(("rule.blocked", 40),),
            networks=tuple(
                NetworkEvidence(
                    asn=asn,
                    target=target,
                    layer="tls",
                    technique="tls.reset.sni",
                    tier=Tier.CONFIRMED,
                    onset=onset,
                    agreeing=3,
                    voting=3,
                    owners=3,
                    signature=True,
                )
                for target in targets
            ),
        )


def _told(round: int, target: str, asn: int, probes: Sequence[str], turn: int) -> SeriesRound:
    """What a round tells of vantages of one network, of which one has just failed."""
    speaks = probes[turn % len(probes)]
    return SeriesRound(
        round=round,
        asn=asn,
        target=target,
        layer="tls",
        vantages=tuple(
            VantageEvidence(
                probe=probe,
                owner=f"owner-{probe[-4:]}",
                outcome="failed" if probe == speaks else "",
                rule="tls.reset.sni" if probe == speaks else "",
                technique="tls.reset.sni" if probe == speaks else "",
                measurement=measurement_id(probe, target, round) if probe == speaks else "",
                holds=7_000_000,
            )
            for probe in probes
        ),
        holds=7_000_000 * len(probes),
        needs=10_500_000,
        tier="confirmed",
    )


def _verdict(target: str, state: State) -> Verdict:
    bad, rule = state is State.BLOCKED, f"rule.{state.value}"
    return Verdict(
        target=target,
        state=state,
        layer=Layer.TLS if bad else None,
        technique=Technique.TLS_RESET_SNI if bad else None,
        rule=rule,
        findings=(LayerFinding(layer=Layer.TLS, blocked=True, rule=rule),) if bad else (),
    )


def _measurement(id: bytes, probe: str, target: str, at: int, asn: int) -> Measurement:
    endpoint = f"{target.replace('/', '.')}.example:443/tls"
    where: dict[str, Any] = {"endpoint": endpoint, "address": "192.0.2.1", "port": 443}
    return Measurement(
        v=1,
        id=id.hex(),
        probe=probe,
        target=target,
        round=at,
        interval_ms=1_800_000,
        started=at + 900,
        clock_offset_ms=12,
        vantage=Vantage(country="RU", asn=asn),
        endpoints=(EndpointRef(id=endpoint, protocol="tls", host="x.example"),),
        observations=(
            TCPConnect(**where, took_us=20_000),
            TLSHandshake(**where, at_us=20_000, took_us=40_000, sni="x.example"),
        ),
    )


class _Judged:
    """Writes the verdicts of round after round, and the cells of hour after hour."""

    def __init__(self, fleet: Fleet, rows: SQLiteRows | PostgreSQLRows) -> None:
        self._probes, self._rows = fleet.probes, rows
        self._at = 0
        self._entries: dict[str, list[Entry]] = defaultdict(list)
        self._cells: dict[tuple[str, str, int], dict[Verdict, list[int]]] = {}
        """The numbers of the vantages that said so, by place."""

    async def add(self, made: Round) -> None:
        """Take what a probe measured in a round."""
        if made.at != self._at:
            await self.write_round()
            if made.at // HOUR != self._at // HOUR:
                await self.write_hour()
            self._at = made.at
        for entry in made.entries:
            _, number, said = entry
            _, country, asn, _ = self._probes[number - 1]
            self._entries[service_of(said.target)].append(entry)
            here = self._cells.setdefault((said.target, country, asn), {})
            here.setdefault(said, []).append(number)

    async def write_round(self) -> None:
        """Write the verdicts of the round."""
        frames = [(name, self._at, pack(some)) for name, some in self._entries.items()]
        if frames:
            await self._rows.add("verdict", frames)
        self._entries.clear()

    async def write_hour(self) -> None:
        """Write the cells of the hour."""
        await self._rows.add(
            "cell",
            [
                (
                    *(self._at - self._at % HOUR, *place, said.state.value, said.rule),
                    *(said.layer, said.technique, len(numbers), len(set(numbers))),
                    len(set().union(*here.values())),
                )
                for place, here in self._cells.items()
                for said, numbers in here.items()
            ],
        )
        self._cells.clear()


async def fill(url: str, size: Size, now: int) -> Fleet:
    """Make the store and everything in it; returns the fleet, for what to ask for. A store that was
    filled before gets the rounds since then."""
    database = await open_database(url)
    async with database.reading() as connection:
        there = await list_vantages(connection)
        _, newest = await judged_rounds(connection, None, 0, 2**62)
    await database.close()
    rows: SQLiteRows | PostgreSQLRows
    if url.startswith("sqlite"):
        rows = SQLiteRows(url)
    else:
        writer = await asyncpg.connect(url.replace("+asyncpg", ""))
        await writer.execute("BEGIN")
        rows = PostgreSQLRows(url, writer)
    try:
        enrolled = there[0].enrolled if there else None
        fleet = await _fill(rows, size, now, enrolled, newest or 0)
    finally:
        await rows.close()
    async with connect(url) as engines, writing(engines) as connection:
        await connection.run_sync(cell_sums.count_cells, newest or 0)
    return fleet


async def _fill(
    rows: SQLiteRows | PostgreSQLRows, size: Size, now: int, enrolled: int | None, newest: int
) -> Fleet:
    """The same, where a fleet that is there has `enrolled` and measured until `newest`."""
    enrolled_before = (size.days + 30) * DAY
    if enrolled is not None:
        fleet = Fleet(size, enrolled + enrolled_before, now)
        days = await _measurements(rows, fleet, newest)
        await rows.finish(_sums(fleet, days))
        return fleet
    fleet = Fleet(size, now)
    began = now - enrolled_before
    places = list(enumerate(fleet.probes, 1))
    await rows.add(
        "vantage",
        [(n, p, f"owner-{n % 90}", role, began, c, a, "probe") for n, (p, c, a, role) in places],
    )
    await rows.add(
        "probe",
        [
            (p, f"owner-{n % 90}", role, began, c, a, now - HEARD_MS, b"", "")
            for n, (p, c, a, role) in places
        ],
    )
    await rows.add("target", [(n, t, service_of(t)) for n, t in enumerate(fleet.targets, 1)])
    events = fleet.events()
    await rows.add(
        "event",
        [
            (
                *(e.id, e.service, e.country, e.state.value, e.tier.value, e.onset, e.opened),
                *(e.updated, e.closed, msgspec.json.encode(e)),
            )
            for e in events
        ],
    )
    await rows.add(
        "journal",
        [
            (at, e.id, e.service, e.country, word)
            for e in events
            for at, word in ((e.opened, "opened"), (e.confirmed, "confirmed"), (e.closed, "closed"))
            if at is not None
        ],
    )
    await rows.add("round_evidence", list(fleet.evidence()))
    days = await _measurements(rows, fleet, -1)
    await rows.finish(_sums(fleet, days))
    return fleet


async def _measurements(
    rows: SQLiteRows | PostgreSQLRows, fleet: Fleet, after: int
) -> Counter[int]:
    """Write the rounds later than `after`, with their verdicts and cells; how many measurements of
    each day there are."""
    made, judged = fleet.rounds_of_probes(after), _Judged(fleet, rows)
    days: Counter[int] = Counter()
    await rows.begin({day_of(at) for at in fleet.rounds() if at > after})
    while chunk := list(islice(made, CHUNK)):
        await rows.add("batch", [each.batch for each in chunk])
        await rows.add("delivered", [each.delivered for each in chunk])
        await rows.add("measurement", [fact for each in chunk for fact in each.facts])
        for each in chunk:
            days[day_of(each.at)] += len(each.facts)
            await judged.add(each)
    await judged.write_round()
    await judged.write_hour()
    return days


def _sums(fleet: Fleet, days: Counter[int]) -> list[str]:
    """Statements that sum up what was written."""
    count = days.total()
    counted = [
        ("stored_day (day, measurements)", f"{day}, {n}", "(day) DO UPDATE SET measurements = "
         f"stored_day.measurements + {n}")
        for day, n in days.items()
    ] + [
        ("cursor (name, value)", f"'arrival', {count}", f"(name) DO UPDATE SET value = "
         f"cursor.value + {count}"),
        ("tally (name, reason, n)", f"'ingested', '', {count}", "(name, reason) DO UPDATE SET n = "
         f"tally.n + {count}"),
    ]  # fmt: skip
    return [
        f"UPDATE probe SET last_seen = {fleet.latest - HEARD_MS}",
        *(f"INSERT INTO {into} VALUES ({row}) ON CONFLICT {there}" for into, row, there in counted),
        *(_HOURS, _NOT_OVER, _DAYS, _REVISIONS, _FOLDED, _RECEIVED),
    ]
