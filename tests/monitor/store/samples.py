"""Measurements, verdicts and events to store, made from a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor.detection.events.explain import RoundEvidence
from monitor.detection.model import (
    Event,
    EventState,
    Fact,
    Layer,
    State,
    Stored,
    Technique,
    Tier,
    Verdict,
)
from monitor.store.database import Database
from monitor.store.reading.progress import ingest_counters
from monitor.store.records import Admitted, Conclusions
from probes.wire.codec import encode
from probes.wire.measurement import (
    LIVENESS_INTERNATIONAL,
    Measurement,
    Role,
    Vantage,
    measurement_id,
)
from probes.wire.observation import TCPConnect

MINUTE = 60_000
HOUR = 3_600_000
NOON = 1_790_000_000_000 - 1_790_000_000_000 % 86_400_000 + 12 * HOUR


def admitted(
    sequence: int,
    *,
    probe: int = 1,
    target: str = "wechat/messaging",
    at: int = NOON,
    country: str = "RU",
    asn: int = 64501,
    role: Role = Role.VANTAGE,
    interval: int = MINUTE,
    took: int = 5,
    owner: str = "ada",
) -> Admitted:
    name = f"p-{probe:016x}"
    measured = Measurement(
        v=1,
        id=measurement_id(name, "spool", sequence),
        probe=name,
        target=target,
        round=at,
        interval_ms=interval,
        started=at + 100 + sequence % 1000,
        took_us=took,
        sequence=sequence,
        vantage=Vantage(country=country, asn=asn),
        observations=(
            TCPConnect(endpoint="192.0.2.1:443/tcp", address="192.0.2.1", port=443, took_us=3),
        ),
    )
    return Admitted(
        stored=Stored(
            measurement=measured,
            owner=owner,
            role=role,
            enrolled=NOON - 9 * HOUR,
            received=at + 500,
        ),
        line=encode(measured),
        received=at + 500,
    )


def id_of(one: Admitted) -> str:
    return one.stored.measurement.id


def fact_of(stored: Stored, verdict: Verdict) -> Fact:
    """What the detector makes of a measurement and its verdict."""
    m = stored.measurement
    return Fact(
        id=m.id,
        probe=m.probe,
        owner=stored.owner,
        country=m.vantage.country,
        asn=m.vantage.asn,
        enrolled=stored.enrolled,
        round=m.round,
        started=m.started,
        interval=m.interval_ms,
        target=m.target,
        verdict=verdict,
        control=True,
    )


def verdict(one: Admitted, state: State = State.OK, rule: str = "tls.ok") -> Fact:
    bad = state is State.BLOCKED
    said = Verdict(
        target=one.stored.measurement.target,
        state=state,
        layer=Layer.TLS if bad else None,
        technique=Technique.TLS_RESET_SNI if bad else None,
        rule=rule,
    )
    return fact_of(one.stored, said)


def event(id: str = "00000000000000aa", **changes: Any) -> Event:
    values: dict[str, Any] = {
        "id": id,
        "service": "wechat",
        "country": "RU",
        "targets": ("wechat/messaging",),
        "asns": (64501,),
        "technique": "tls.reset.sni",
        "extent": "full",
        "state": EventState.OPEN,
        "tier": Tier.LIKELY,
        "onset": NOON,
        "onset_earliest": NOON,
        "onset_latest": NOON,
        "opened": NOON,
        "updated": NOON,
        "agreeing": 2,
        "total": 3,
        "control": "ok",
    }
    return Event(**(values | changes))


def frame(round: int, body: bytes = b"frame", decided: bool = False, **place: str) -> RoundEvidence:
    """What is kept of a round; nothing here reads it."""
    values = {"country": "RU", "source": "probe", **place}
    return RoundEvidence(round=round, decided=decided, body=body, **values)


def concluded(round: int = NOON, service: str = "wechat", **changes: Any) -> Conclusions:
    values: dict[str, Any] = {"service": service, "round": round, "state": b"state"}
    return Conclusions(**(values | changes))


async def judged_store(store: Database) -> Sequence[str]:
    """Two probes, three rounds, two targets; returns the ids, newest first."""
    rows = [
        admitted(n, probe=p, target=target, at=NOON + r * MINUTE, country=country, asn=asn)
        for n, (r, p, target, country, asn) in enumerate(
            (r, p, target, country, asn)
            for r in range(3)
            for p, country, asn in ((1, "RU", 64501), (2, "FR", 64503))
            for target in ("wechat/messaging", "signal/messaging")
        )
    ]
    await store.facts.add(rows, [])
    for service in ("wechat", "signal"):
        said = tuple(
            verdict(row, State.BLOCKED if row.stored.measurement.vantage.asn == 64501 else State.OK)
            for row in rows
            if row.stored.measurement.service == service
        )
        await store.conclusions.save([concluded(service=service, facts=said)], len(rows))
    return [id_of(row) for row in reversed(rows)]


async def fill_blocked(store: Database) -> None:
    """Four rounds, a quarter of an hour apart, of two networks; one of them is blocked."""
    rows = [
        admitted(10 * r + p, probe=p, at=NOON + r * 15 * MINUTE, asn=64500 + p)
        for r in range(4)
        for p in (1, 2)
    ]
    await store.facts.add(rows, [])
    said = tuple(
        verdict(row, State.BLOCKED if row.stored.measurement.vantage.asn == 64501 else State.OK)
        for row in rows
    )
    await store.conclusions.save([concluded(facts=said)], len(rows))


async def fill_three_probes(store: Database) -> None:
    """Three probes in two networks; the third measures in the first of four rounds only."""
    rows = [
        admitted(10 * r + p, probe=p, at=NOON + r * 15 * MINUTE, asn=64501 + (p == 2))
        for r in range(4)
        for p in (1, 2, 3)
        if p < 3 or r == 0
    ]
    alive = [
        admitted(100 + r, probe=1, at=NOON + r * 15 * MINUTE, target=LIVENESS_INTERNATIONAL)
        for r in range(4)
    ]
    await store.facts.add([*rows, *alive], [])
    said = tuple(verdict(row, State.BLOCKED) for row in rows)
    await store.conclusions.save([concluded(facts=said)], len(rows))


TARGETS = ["wechat/messaging"]


async def counters(store: Database) -> Sequence[tuple[str, str, int]]:
    """Every counter of what was ingested."""
    async with store.reading() as connection:
        return await ingest_counters(connection)
