"""A monitor's store filled by hand through its public calls, and the web application over it.

Seven vantages and a control measured two services for two hours. WeChat's web page is blocked
in AS64501 since BLOCKED_SINCE; the events are written by hand, one of every state. Texts that a
stranger can choose (owners, names in certificates, titles, DNS names) are hostile.

    async with opened(file) as site, client(site) as web:
        answer = await web.get("/")
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from msgspec.structs import replace

from monitor.detection.model import (
    Change,
    ChangeKind,
    ClosedGate,
    Difference,
    Event,
    EventState,
    Fact,
    NetworkEvidence,
    Stored,
    Tier,
)
from monitor.detection.policy import Policy
from monitor.metrics.lags import Lags
from monitor.store.database import Database, open_database
from monitor.store.records import Admitted, Conclusions, Probe, Seen, Token
from monitor.web.app import make_app
from monitor.web.site import Site
from probes.wire.codec import encode
from probes.wire.measurement import Role, measurement_id, service_of
from tests.monitor.store.samples import fact_of
from tests.world.scenery import (
    BLOCKED_FROM,
    BLOCKED_SINCE,
    CATALOGUE,
    FORMULA,
    GONE,
    HOUR,
    INTERVAL,
    MEASURED,
    MINUTE,
    NOW,
    OFFLINE,
    PEOPLE,
    ROUNDS,
    SCRIPT,
    SLEEPING,
    START,
    Person,
    measurement,
    verdict,
)
from tests.world.stores import migrated

CONFIRMED, LIKELY, SINGLE, CLOSED, RETRACTED, INHIBITED = (f"{n:016x}" for n in range(0xA1, 0xA7))

__all__ = ["FORMULA", "GONE", "OFFLINE", "SCRIPT", "SLEEPING", "measurement"]


_CHANGED = Difference(
    technique=("tcp.timeout", "tls.reset.sni"),
    targets_added=("wechat/web",),
    asns_removed=(64502,),
)


def events() -> list[Event]:
    """One event of every kind."""
    late = BLOCKED_SINCE + 2 * INTERVAL
    confirmed = Event(
        id=CONFIRMED,
        service="wechat",
        country="RU",
        targets=("wechat/web",),
        asns=(64501,),
        technique="tls.reset.sni",
        extent="full",
        state=EventState.OPEN,
        tier=Tier.CONFIRMED,
        onset=BLOCKED_SINCE,
        onset_earliest=BLOCKED_SINCE - INTERVAL,
        onset_latest=BLOCKED_SINCE,
        opened=BLOCKED_SINCE,
        confirmed=late,
        updated=late,
        agreeing=3,
        total=3,
        control="ok",
        rule_counts=(("tls.reset.sni", 36),),
        witnesses=tuple(
            measurement_id(PEOPLE[0].id, "wechat/web", n) for n in range(BLOCKED_FROM, 20)
        ),
        networks=(
            NetworkEvidence(
                asn=64501,
                target="wechat/web",
                layer="tls",
                technique="tls.reset.sni",
                tier=Tier.CONFIRMED,
                onset=BLOCKED_SINCE,
                agreeing=3,
                voting=3,
                owners=3,
                watch=((PEOPLE[0].id, BLOCKED_SINCE),),
            ),
        ),
        against=("one_network",),
        history=(
            Change(round=BLOCKED_SINCE, kind=ChangeKind.OPENED, technique="tcp.timeout"),
            Change(round=BLOCKED_SINCE, kind=ChangeKind.CHANGED, difference=_CHANGED),
            Change(round=BLOCKED_SINCE + INTERVAL, kind=ChangeKind.LIKELY),
            Change(round=late, kind=ChangeKind.CONFIRMED),
        ),
        rules_version="1",
        catalogue_version=CATALOGUE.version,
    )

    def other(id: str, **changes: object) -> Event:
        bare = {"confirmed": None, "witnesses": (), "networks": (), "history": ()}
        return replace(confirmed, id=id, **(bare | changes))

    return [
        confirmed,
        other(
            LIKELY,
            service="signal",
            targets=("signal/messaging",),
            tier=Tier.LIKELY,
            extent="partial",
            agreeing=2,
            against=("few_vantages", "untyped"),
        ),
        other(SINGLE, country="FR", asns=(64503,), tier=Tier.UNCONFIRMED, agreeing=1),
        other(
            CLOSED,
            state=EventState.CLOSED,
            onset=START,
            closed=START + 6 * INTERVAL,
            updated=START + 6 * INTERVAL,
            confirmed=START + INTERVAL,
            history=(
                Change(round=START, kind=ChangeKind.OPENED, technique="dns.nxdomain"),
                Change(round=START + 6 * INTERVAL, kind=ChangeKind.CLOSED),
            ),
        ),
        other(
            RETRACTED,
            service="telegram",
            targets=("telegram/web",),
            tier=Tier.LIKELY,
            state=EventState.RETRACTED,
            onset=START,
            updated=START + 3 * INTERVAL,
            inhibited_by=ClosedGate.SERVICE_DOWN,
            history=(
                Change(
                    round=START + 3 * INTERVAL,
                    kind=ChangeKind.RETRACTED,
                    cause=ClosedGate.SERVICE_DOWN,
                ),
            ),
        ),
        other(
            INHIBITED,
            service="telegram",
            targets=("telegram/web",),
            country="FR",
            asns=(64503,),
            tier=Tier.LIKELY,
            inhibited_by=ClosedGate.COUNTRY_DARK,
        ),
    ]


async def fill(database: Database) -> None:
    """Write the whole world."""
    admitted = []
    for number in range(ROUNDS):
        for person in PEOPLE:
            for target in (*MEASURED, "liveness/international"):
                made = measurement(person, target, number)
                stored = Stored(
                    measurement=made, owner=person.owner, role=person.role, enrolled=START - HOUR
                )
                admitted.append(
                    Admitted(stored=stored, line=encode(made), received=made.started + 2_000)
                )
    await database.facts.add(admitted, [])
    by_service: dict[str, list[Fact]] = {"wechat": [], "signal": [], "telegram": []}
    for number in range(ROUNDS):
        for person in PEOPLE:
            if person.role is Role.VANTAGE:
                for target in MEASURED:
                    said = verdict(person, target, number)
                    made = measurement(person, target, number)
                    stored = Stored(
                        measurement=made, owner=person.owner, role=person.role, enrolled=0
                    )
                    by_service[service_of(said.target)].append(fact_of(stored, said))
    await database.conclusions.save(
        [
            Conclusions(
                service=service,
                round=START + ROUNDS * INTERVAL,
                state=b"state",
                events=tuple(event for event in events() if event.service == service),
                facts=tuple(facts),
                journal=tuple((e.id, "opened") for e in events() if e.service == service),
            )
            for service, facts in by_service.items()
        ],
        len(admitted),
    )
    registry = database.registry
    for person in (
        *PEOPLE,
        Person(0xAAAA_AAAA_AAAA_AAAA, "DE", 64520, "zoe"),
        Person(0xBBBB_BBBB_BBBB_BBBB, "DE", 64520, "zoe"),
    ):
        token = Token(
            id=f"t{person.number}",
            secret_sha256="0" * 64,
            role=str(person.role),
            owner=person.owner,
            uses_left=1,
            expires=NOW + HOUR,
            created=START - HOUR,
        )
        await registry.add_token(token)
        probe = Probe(id=person.id, owner="", role="", enrolled=START - HOUR)
        await registry.enrol(token.id, token.secret_sha256, probe, "hash", START - HOUR)
        seen = NOW - 4 * HOUR if person.id == SLEEPING else NOW - MINUTE
        await registry.record_seen(
            [Seen(probe=person.id, at=seen, country=person.country, asn=person.asn)]
        )
    await registry.revoke_probe(GONE, NOW - HOUR)


def make_file(path: Path) -> Path:
    """A filled SQLite file, to be copied by each test."""

    async def make() -> None:
        database = await open_database(await migrated(path), now=lambda: NOW)
        await fill(database)
        await database.close()

    asyncio.run(make())
    return path


def site_of(database: Database, **changes: object) -> Site:
    """The site over a store, at the world's own time."""
    values: dict[str, object] = {
        "database": database,
        "policy": Policy(),
        "catalogue": CATALOGUE,
        "clock": lambda: NOW,
        "unready": lambda: (),
        "lags": Lags(),
        "public_url": "https://reach.example",
        "brokers": ("mqtts://reach.example:8883",),
        "interval_seconds": INTERVAL // 1000,
    }
    return Site(**(values | changes))  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def opened(file: Path | None, folder: Path, **changes: object) -> AsyncIterator[Site]:
    """The site over a copy of a filled file, or over an empty store."""
    copy = folder / "site.sqlite"
    if file is not None:
        shutil.copy(file, copy)
    database = await open_database(await migrated(copy), now=lambda: NOW)
    try:
        yield site_of(database, **changes)
    finally:
        await database.close()


Client = TestClient[web.Request, web.Application]


@contextlib.asynccontextmanager
async def client(site: Site) -> AsyncIterator[Client]:
    """A client of the application on a free loopback port."""
    served = TestServer(make_app(site))
    await served.start_server(access_log=None)  # as the monitor itself does
    async with TestClient(served) as made:
        yield made
