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
    Event,
    EventState,
    Layer,
    NetworkEvidence,
    Share,
    State,
    Stored,
    Technique,
    Tier,
    Verdict,
)
from monitor.detection.policy import Policy
from monitor.metrics.lags import Lags
from monitor.store.base import Admitted, Conclusions, Probe, Token
from monitor.store.database import Database, open_database
from monitor.web.app import make_app
from monitor.web.site import Site
from probes.wire.codec import encode
from probes.wire.failure import Failure
from probes.wire.measurement import (
    EndpointRef,
    Measurement,
    Role,
    Software,
    Vantage,
    measurement_id,
)
from probes.wire.observation import (
    AnyObservation,
    Certificate,
    Contrast,
    DNSLookup,
    DNSReply,
    HTTPExchange,
    Purpose,
    TCPConnect,
    TLSHandshake,
)
from probes.wire.target import Catalogue, Endpoint, Service, Target
from tests.world.pki import Authority

MINUTE, HOUR = 60_000, 3_600_000
INTERVAL = 5 * MINUTE
START = 1_800_000_000_000 - 1_800_000_000_000 % (24 * HOUR) + 8 * HOUR
ROUNDS = 24
NOW = START + ROUNDS * INTERVAL + 9_000
BLOCKED_FROM = 12
BLOCKED_SINCE = START + BLOCKED_FROM * INTERVAL
SCRIPT = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'"
FORMULA = '=HYPERLINK("http://evil.example/","click")'
CONFIRMED, LIKELY, SINGLE, CLOSED, RETRACTED, INHIBITED = (f"{n:016x}" for n in range(0xA1, 0xA7))

CHANGED = "tcp.timeout -> tls.reset.sni, +wechat/web, -AS64502"


def _service(id: str, name: str, *targets: tuple[str, str, str]) -> Service:
    return Service(
        id=id,
        name=name,
        targets=tuple(
            Target(id=f"{id}/{what}", endpoints=(Endpoint(host=host, port=443, protocol=protocol),))
            for what, host, protocol in targets
        ),
    )


CATALOGUE = Catalogue(
    version="0123456789ab",
    services=(
        _service(
            "wechat",
            "WeChat",
            ("messaging", "szlong.weixin.test", "tls"),
            ("web", "web.wechat.test", "https"),
        ),
        _service("signal", "Signal", ("messaging", "chat.signal.test", "tls")),
        _service("telegram", "Telegram", ("web", "telegram.test", "https")),
        _service("zulip", "Zulip", ("web", "zulip.test", "https")),
    ),
)
MEASURED = ("wechat/messaging", "wechat/web", "signal/messaging")


class Person:
    """A probe of this world."""

    def __init__(
        self, number: int, country: str, asn: int, owner: str, role: Role = Role.VANTAGE
    ) -> None:
        self.id = f"p-{number:016x}"
        self.number, self.country, self.asn, self.owner, self.role = (
            number,
            country,
            asn,
            owner,
            role,
        )


PEOPLE = (
    Person(1, "RU", 64501, "ada"),
    Person(2, "RU", 64501, SCRIPT),
    Person(3, "RU", 64501, FORMULA),
    Person(4, "RU", 64502, "dora"),
    Person(5, "RU", 64502, "ada"),
    Person(6, "FR", 64503, "emil"),
    Person(7, "FR", 64503, "emil"),
    Person(8, "NL", 64510, "house", Role.CONTROL),
)
SKEWED, OFFLINE, SLEEPING, GONE = "p-" + "5" * 16, PEOPLE[6].id, "p-" + "a" * 16, "p-" + "b" * 16
_root = Authority("Root <b>of</b> evil")
_forged = _root.issue(f"{SCRIPT[:40]}.test")


def observations(host: str, *, blocked: bool, https: bool) -> tuple[AnyObservation, ...]:
    """What one round saw of one endpoint."""
    at = f"{host}:443/{'https' if https else 'tls'}"
    address = "198.51.100.7"

    def dns(qtype: str, *answers: str, **more: object) -> DNSLookup:
        failure = None if answers else Failure.DNS_NO_ANSWER
        reply = DNSReply(after_us=900, rcode=0, answers=answers)
        values: dict[str, object] = {
            "endpoint": at,
            "name": host,
            "qtype": qtype,
            "resolver": "system",
            "failure": failure,
            "replies": (reply,),
            "took_us": 900,
        }
        return DNSLookup(**(values | more))  # type: ignore[arg-type]

    def tls(failure: str | None = None, **more: object) -> TLSHandshake:
        values: dict[str, object] = {
            "endpoint": at,
            "address": address,
            "port": 443,
            "sni": host,
            "failure": failure,
            "version": None if failure else "TLSv1.3",
            "verify_code": None if failure else 0,
            "took_us": 12_000,
        }
        return TLSHandshake(**(values | more))  # type: ignore[arg-type]

    seen: list[AnyObservation] = [
        dns("A", address),
        dns("AAAA"),
        dns("A", address, purpose=Purpose.REFERENCE, resolver="google"),
        dns(
            "A",
            purpose=Purpose.CONTRAST,
            contrast=Contrast.SILENT_ADDRESS,
            resolver="silent",
            failure=Failure.TIMEOUT,
            replies=(),
        ),
        TCPConnect(endpoint=at, address=address, port=443, took_us=3_000),
    ]
    if blocked:
        harmless = {"purpose": Purpose.CONTRAST, "contrast": Contrast.INNOCUOUS_NAME}
        seen += [
            tls(Failure.RESET),
            tls(sni="harmless.example", **harmless),
            tls(
                Failure.SSL_UNKNOWN_AUTHORITY,
                purpose=Purpose.CONTRAST,
                contrast=Contrast.REFLECTOR,
                verify_code=20,
                chain=(
                    Certificate(sha256="c" * 64, der=_forged.der),
                    Certificate(sha256="d" * 64, der=b"not a certificate"),
                ),
            ),
        ]
    else:
        seen.append(tls())
        if https:
            seen.append(
                HTTPExchange(
                    endpoint=at,
                    address=address,
                    port=443,
                    host=host,
                    tls=True,
                    status=302,
                    location=f"https://x.test/{SCRIPT}",
                    title=SCRIPT,
                    took_us=20_000,
                )
            )
    return tuple(seen)


def measurement(person: Person, target: str, number: int) -> Measurement:
    """One person's measurement of one target in one round; always the same."""
    round = START + number * INTERVAL
    host = next(
        (t.endpoints[0].host for t in CATALOGUE.targets if t.id == target), "www.harmless.example"
    )
    https = target.endswith("/web")
    blocked = is_blocked(person, target, number)
    where = Vantage(
        country=person.country, asn=person.asn, role=person.role, geo="flag", resolver_class="isp"
    )
    return Measurement(
        v=1,
        id=measurement_id(person.id, target, number),
        probe=person.id,
        target=target,
        round=round,
        interval_ms=INTERVAL,
        started=round + 100 * person.number,
        took_us=40_000,
        sequence=number,
        clock_offset_ms=45_000 if person.number == 5 else 200,
        vantage=where,
        software=Software(name="reachprobe", version="0.1", tls_profile="default.1"),
        catalogue=CATALOGUE.version,
        endpoints=(
            EndpointRef(
                id=f"{host}:443/{'https' if https else 'tls'}",
                protocol="https" if https else "tls",
                host=host,
            ),
        ),
        observations=observations(host, blocked=blocked, https=https),
    )


def is_blocked(person: Person, target: str, number: int) -> bool:
    """The one block of this world."""
    return person.asn == 64501 and target == "wechat/web" and number >= BLOCKED_FROM


def verdict(person: Person, target: str, number: int) -> Verdict:
    """The judgement of a measurement."""
    if person.id == OFFLINE:
        return Verdict(target=target, state=State.VANTAGE_OFFLINE, rule="vantage.offline")
    if is_blocked(person, target, number):
        return Verdict(
            target=target,
            state=State.BLOCKED,
            layer=Layer.TLS,
            technique=Technique.TLS_RESET_SNI,
            rule="tls.reset.sni",
            endpoints=Share(1, 1),
            addresses=Share(1, 1),
            evidence=("on_path",),
        )
    if target == "signal/messaging" and person.asn == 64502:
        # Single rounds say so, and no event of this network does.
        return Verdict(
            target=target,
            state=State.BLOCKED,
            layer=Layer.TCP,
            technique=Technique.TCP_TIMEOUT,
            rule="tcp.timeout",
        )
    return Verdict(target=target, state=State.OK, rule="tls.ok", endpoints=Share(1, 0))


def _change(kind: str, at: int, note: str = "") -> Change:
    return Change(round=at, kind=kind, note=note)


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
            ),
        ),
        against=("one_network",),
        history=(
            _change("opened", BLOCKED_SINCE, "tcp.timeout"),
            _change(
                "changed", BLOCKED_SINCE, "tcp.timeout -> tls.reset.sni, +wechat/web, -AS64502"
            ),
            _change("likely", BLOCKED_SINCE + INTERVAL),
            _change("confirmed", late),
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
                _change("opened", START, "dns.nxdomain"),
                _change("closed", START + 6 * INTERVAL, "vantages that saw it reach the service"),
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
            inhibited_by="service_down",
            history=(_change("retracted", START + 3 * INTERVAL, "service_down"),),
        ),
        other(
            INHIBITED,
            service="telegram",
            targets=("telegram/web",),
            country="FR",
            asns=(64503,),
            tier=Tier.LIKELY,
            inhibited_by="country_dark",
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
    by_service: dict[str, list[tuple[str, Verdict]]] = {"wechat": [], "signal": [], "telegram": []}
    for number in range(ROUNDS):
        for person in PEOPLE:
            if person.role is Role.VANTAGE:
                for target in MEASURED:
                    said = verdict(person, target, number)
                    id = measurement_id(person.id, target, number)
                    by_service[target.partition("/")[0]].append((id, said))
    await database.conclusions.save(
        [
            Conclusions(
                service=service,
                round=START + ROUNDS * INTERVAL,
                state=b"state",
                events=tuple(event for event in events() if event.service == service),
                verdicts=tuple(verdicts),
                journal=tuple((e.id, "opened") for e in events() if e.service == service),
            )
            for service, verdicts in by_service.items()
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
        await registry.saw(person.id, seen, country=person.country, asn=person.asn)
    await registry.revoke_probe(GONE, NOW - HOUR)


def make_file(path: Path) -> Path:
    """A filled SQLite file, to be copied by each test."""

    async def make() -> None:
        database = await open_database(f"sqlite+aiosqlite:///{path}", now=lambda: NOW)
        await fill(database)
        await database.close()

    asyncio.run(make())
    return path


def site_of(database: Database, **changes: object) -> Site:
    """The site over a store, at the world's own time."""
    values: dict[str, object] = {
        "engine": database.engine,
        "facts": database.facts,
        "registry": database.registry,
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
    database = await open_database(f"sqlite+aiosqlite:///{copy}", now=lambda: NOW)
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
