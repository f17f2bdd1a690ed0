"""Imported measurements as an importer makes them, and worlds of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from monitor.detection.events.fold import initial, step
from monitor.detection.events.state import ServiceState
from monitor.detection.judge.round_facts import facts_of
from monitor.detection.model import Event, Stored
from monitor.detection.observed.imported_run import ROUND_MS, RUN_STEP, Helper, SitePage
from monitor.detection.policy import Policy
from probes.wire.measurement import EndpointRef, Measurement, Role, Vantage
from probes.wire.observation import (
    AnyObservation,
    DNSLookup,
    DNSReply,
    HTTPExchange,
    TCPConnect,
    TLSHandshake,
    Unrecognised,
)

POLICY = Policy()
HOUR = 3_600_000
START = 1_800_000_000_000 - 1_800_000_000_000 % 86_400_000
TARGET, WEB = "telegram/dc", "telegram/web"
ADDRESSES = tuple(f"203.0.114.{n}" for n in range(6))
"""Addresses of nobody in particular, not in a range that reads as forged."""
HOST = "web.example.net"
GOOD = "203.0.114.99"
"""An address of HOST."""
QUIET = 48
"""Hours in which everything works: a history."""
BLOCKED = 64500
"""The network that is blocked."""


def endpoint(address: str) -> str:
    return f"{address}:443/tcp"


def connect(address: str, failure: str | None = None) -> TCPConnect:
    return TCPConnect(endpoint=endpoint(address), address=address, port=443, failure=failure)


def spoken(address: str, failure: str | None = None) -> HTTPExchange:
    return HTTPExchange(
        endpoint=endpoint(address), address=address, port=443, host=address, failure=failure
    )


def dc(failed: int, failure: str = "generic_timeout_error") -> list[AnyObservation]:
    """A run over six addresses of which some fail."""
    return [
        connect(address, failure if n < failed else None) for n, address in enumerate(ADDRESSES)
    ]


def forged(failed: int) -> list[AnyObservation]:
    """A run whose resolver answers with an address that no service can have."""
    return [lookup("10.10.34.34")] if failed else dc(0)


def lookup(*answers: str, failure: str | None = None) -> DNSLookup:
    reply = (DNSReply(after_us=0, rcode=0, answers=answers),) if failure is None else ()
    return DNSLookup(
        endpoint=f"{HOST}:443/https",
        name=HOST,
        qtype="ANY",
        resolver="system",
        failure=failure,
        replies=reply,
    )


def dial(address: str, failure: str | None = None) -> TCPConnect:
    return TCPConnect(endpoint=f"{HOST}:443/https", address=address, port=443, failure=failure)


def handshake(address: str, failure: str | None = None) -> TLSHandshake:
    return TLSHandshake(
        endpoint=f"{HOST}:443/https", address=address, port=443, sni=HOST, failure=failure
    )


def fetch(failure: str | None = None) -> HTTPExchange:
    return HTTPExchange(
        endpoint=f"{HOST}:443/https", address="", port=443, host=HOST, tls=True, failure=failure
    )


def record(passed: int, **more: object) -> Unrecognised:
    told = {"step": RUN_STEP, "passed": passed, "steps": 9, **more}
    return Unrecognised(step=RUN_STEP, raw=msgspec.json.encode(told))


def measurement(
    seen: Iterable[AnyObservation],
    started: int = START,
    asn: int = 64500,
    country: str = "KE",
    target: str = TARGET,
    resolver: int = 0,
) -> Measurement:
    refs = [EndpointRef(id=endpoint(a), protocol="tcp") for a in ADDRESSES]
    if target == WEB:
        refs = [EndpointRef(id=f"{HOST}:443/https", protocol="https", host=HOST)]
    return Measurement(
        v=1,
        id=f"{asn:08x}{sum(target.encode()):08x}{started:016x}",
        probe=f"p-{asn:016x}",
        target=target,
        round=started - started % ROUND_MS,
        started=started,
        vantage=Vantage(country=country, asn=asn, resolver_asn=resolver),
        endpoints=tuple(refs),
        observations=tuple(seen),
    )


def of_test(name: str = "telegram", version: str = "0.3.1") -> dict[str, str]:
    """The test of a run, for its record."""
    return {"test_name": name, "test_version": version}


def stored(one: Measurement) -> Stored:
    return Stored(measurement=one, owner="ooni", role=Role.VANTAGE, enrolled=0, source="ooni")


@dataclass
class World:
    """Networks with two runs an hour each; `fails` says how many of six addresses fail."""

    networks: Sequence[tuple[str, int]] = (("KE", 64500), ("KE", 64501), ("KE", 64502))
    targets: tuple[str, ...] = (TARGET,)
    policy: Policy = POLICY
    seen: Callable[[int], list[AnyObservation]] = dc
    """What a run sees when so many addresses fail."""
    state: ServiceState = field(default_factory=lambda: initial("telegram"))
    events: dict[str, Event] = field(default_factory=dict)
    hour: int = 0

    def run(self, hours: int, fails: Callable[[int, int], int] = lambda hour, asn: 0) -> World:
        for hour in range(self.hour, self.hour + hours):
            for half in range(2):
                found = [
                    stored(
                        measurement(
                            [*self.seen(fails(hour, asn)), record(9, **of_test())],
                            START + hour * HOUR + half * HOUR // 2 + n * 1000,
                            asn,
                            country,
                            target,
                        )
                    )
                    for n, (country, asn) in enumerate(self.networks)
                    for target in self.targets
                ]
                self.update(found)
        self.hour += hours
        return self

    def update(self, found: Sequence[Stored]) -> None:
        round = found[0].measurement.round
        self.state, touched = step(
            self.state, round, facts_of(found, round, self.policy), self.policy
        )
        self.events |= {event.id: event for event in touched}

    @property
    def only(self) -> Event:
        (event,) = self.events.values()
        return event


def in_network(asn: int, failed: int = 6) -> Callable[[int, int], int]:
    return lambda hour, where: failed if where == asn else 0


def quiet() -> World:
    """A world with a history."""
    return World().run(QUIET)


def round_of(hour: float) -> int:
    at = START + int(hour * HOUR)
    return at - at % ROUND_MS


def single(world: World, hour: float, *seen: AnyObservation, **more: Any) -> None:
    """One run at an hour of the world."""
    at = START + int(hour * HOUR)
    world.update([stored(measurement([*(seen or dc(6)), record(9, **of_test())], at, **more))])


SITE = "www.example.com"


def of_site(address: str, host: str = SITE, **more: Any) -> list[AnyObservation]:
    """A run that asks for a site in clear text and is answered; its pages are in the record."""
    asked = HTTPExchange(
        endpoint=f"{host}:80/http", address=address, port=80, host=host, status=200
    )
    return [asked, record(9, **of_test("web_connectivity", "0.4.3"), **more)]


def pages(
    shown: SitePage | None, theirs: SitePage | None, host: str = SITE
) -> dict[str, SitePage | Helper]:
    """What a run's record has of the page that it got and of the helper's."""
    helper = Helper(name=host, addresses=(GOOD,), http=True, page=theirs)
    return {"helper": helper} if shown is None else {"helper": helper, "page": shown}
