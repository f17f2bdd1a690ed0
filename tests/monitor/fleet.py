"""A small fleet's measurements as the collector would store them: vantages of several owners, a
control, and who is blocked in which round. Same numbers, same measurements, same ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from msgspec.structs import replace

from monitor.commands.replay import lines
from monitor.detection.events.explain import RoundEvidence
from monitor.detection.model import Stored
from monitor.store.database import Database
from monitor.store.reading.events import list_events
from monitor.store.records import Admitted
from monitor.store.tables import round_evidence
from probes.wire.codec import encode
from probes.wire.failure import Failure
from probes.wire.measurement import Measurement, Role, Vantage, measurement_id
from tests.monitor.detection.scenes import A1, INNOCUOUS, alive, dns, measured, tcp, tls

INTERVAL = 60_000
START = 1_800_000_000_000 - 1_800_000_000_000 % 3_600_000
TARGET = "wechat/messaging"


@dataclass(frozen=True)
class Person:
    number: int
    asn: int
    country: str = "RU"
    role: Role = Role.VANTAGE
    enrolled: int = 0

    @property
    def probe(self) -> str:
        return f"p-{self.number:016x}"


PEOPLE = (
    *(Person(n, 64501) for n in (1, 2, 3)),
    *(Person(n, 64503, "FR") for n in (4, 5)),
    Person(9, 64999, "DE", Role.CONTROL),
)
Blocked = Callable[[int, Person], bool]


def nobody(number: int, who: Person) -> bool:
    return False


def from_round(first: int, last: int = 10**9, asn: int = 64501) -> Blocked:
    return lambda number, who: who.asn == asn and first <= number < last


def works() -> tuple[object, ...]:
    return dns(A1), tcp(A1), tls(A1, **INNOCUOUS), tls(A1)


def reset() -> tuple[object, ...]:
    return dns(A1), tcp(A1), tls(A1, **INNOCUOUS), tls(A1, Failure.RESET)


def one(
    who: Person,
    number: int,
    blocked: bool,
    *,
    target: str = TARGET,
    interval: int = INTERVAL,
    start: int = START,
) -> list[Stored]:
    """A person's target and liveness of a round."""
    at = start + number * interval
    network = Vantage(country=who.country, asn=who.asn, role=who.role)
    other = {"probe": who.probe, "round": at, "vantage": network, "interval_ms": interval}
    seen = reset() if blocked else works()
    made: list[Measurement] = [
        measured(*seen, target=target, **other),  # type: ignore[arg-type]
        *alive(**other),  # type: ignore[arg-type]
    ]
    stored = []
    for index, m in enumerate(made):
        name = f"{target} {number} {index}"
        # The scenes number their ids as they come; here the same round has the same ids.
        m = replace(
            m, id=measurement_id(who.probe, name, 0), started=at + 1000 * who.number + index
        )
        stored.append(
            Stored(measurement=m, owner=f"owner-{who.number}", role=who.role, enrolled=who.enrolled)
        )
    return stored


def rounds(
    numbers: Iterable[int],
    blocked: Blocked = nobody,
    people: Iterable[Person] = PEOPLE,
    *,
    target: str = TARGET,
    start: int = START,
    interval: int = INTERVAL,
) -> list[Stored]:
    return [
        each
        for number in numbers
        for who in people
        for each in one(
            who, number, blocked(number, who), target=target, start=start, interval=interval
        )
    ]


def admitted(stored: Iterable[Stored], received: int | None = None) -> list[Admitted]:
    """`received`: when all of them arrived; by default each when it was measured."""
    return [
        Admitted(
            stored=each,
            line=encode(each.measurement),
            received=each.measurement.started if received is None else received,
        )
        for each in stored
    ]


async def kept_evidence(database: Database, service: str) -> list[RoundEvidence]:
    """What the live detector kept of each round, in order of rounds and places."""
    e = round_evidence.c
    query = sa.select(e.country, e.source, e.round, e.decided, e.body)
    query = query.where(e.service == service).order_by(e.round, e.country, e.source)
    async with database.reading() as connection:
        rows = (await connection.execute(query)).all()
    return [
        RoundEvidence(
            country=row.country,
            source=row.source,
            round=row.round,
            decided=bool(row.decided),
            body=bytes(row.body),
        )
        for row in rows
    ]


async def events_bytes(database: Database) -> bytes:
    """What the live detector concluded, in the form in which replay prints it."""
    async with database.reading() as connection:
        return lines(await list_events(connection, limit=10_000))
