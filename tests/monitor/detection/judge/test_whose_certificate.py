"""Whose certificate it is, in worlds where services change theirs and where somebody intercepts.

Each world says which certificate a handshake is shown, by vantage, address, name and hour; what a
probe measures there follows from it, and the judge sees no more than that.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

from monitor.detection.judge.round_facts import facts_of
from monitor.detection.model import Fact, State, Stored
from monitor.detection.policy import Policy
from probes.wire.measurement import Measurement, Role, Vantage
from probes.wire.observation import AnyObservation, Certificate, Contrast, TLSHandshake
from tests.monitor.detection.scenes import (
    CONTROL_PROBE,
    HOST,
    INNOCUOUS,
    NO_VERIFY,
    OWN_HOST,
    REFLECTOR,
    ROUND,
    alive,
    contrast,
    dns,
    endpoint,
    foreign,
    measured,
    reference,
    tcp,
    tls,
)

HOURS = 6
HOUR_MS = 3_600_000
HARMLESS, UNLISTED, ANYCAST = "harmless.example", "a1b2c3.example", "11.0.0.1"
ALSO = endpoint("tls", "famous.example")
OLD = ROUND - 90 * 86_400_000
"""When the vantages were enrolled."""


class Shown(NamedTuple):
    """A certificate, and what OpenSSL says of it for the name that was asked for."""

    leaf: str
    key: str = ""
    authority: str = ""
    code: int = 0

    def kept(self) -> Certificate:
        """What a probe keeps of it."""
        return Certificate(
            sha256=hashlib.sha256(self.leaf.encode()).hexdigest(),
            key=_short(self.key or self.leaf),
            authority=_short(self.authority),
        )


def _short(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:8] if text else b""


UNKNOWN_CA, SELF_SIGNED, NAME_DIFFERS = 20, 18, 62


@dataclass(frozen=True)
class Place:
    """Where somebody measures."""

    country: str
    asn: int = 0
    owner: str = ""
    antivirus: bool = False
    """It intercepts all but what is famous."""


@dataclass(frozen=True)
class Internet:
    """One world. Both functions take place, name and hour."""

    server: Callable[[Place, str, int], Shown]
    """Which certificate the servers show that this place gets to."""
    path: Callable[[Place, str, int], Shown | None] = lambda *_: None
    """What an interceptor on the way shows instead."""
    address: Callable[[Place], str] = lambda _: ANYCAST
    reflector: bool = True
    encrypted: bool = True
    """An encrypted resolver gives the same addresses here."""
    places: Sequence[Place] = field(
        default_factory=lambda: [
            Place(country, 100 * number + operator, f"{country}{operator}")
            for number, country in enumerate(("RU", "FR", "DE", "BR"), 1)
            for operator in (1, 2)
        ]
    )

    def seen(self, place: Place, name: str, hour: int) -> Shown:
        """What a handshake is shown at the service's address."""
        if place.antivirus:
            return Shown(f"antivirus for {name}", "antivirus", "antivirus", UNKNOWN_CA)
        return self.path(place, name, hour) or self.server(place, name, hour)

    def at_our_host(self, place: Place, name: str, hour: int) -> Shown:
        """What it is shown at our own host."""
        if place.antivirus:
            return self.seen(place, name, hour)
        ours = Shown("our own host", "our own host", "", SELF_SIGNED)
        return self.path(place, name, hour) or ours


NETHERLANDS = Place("NL")


def measure(world: Internet, place: Place, hour: int, probe: str) -> list[Measurement]:
    """What a probe sends from a place."""
    at, round = world.address(place), ROUND + hour * HOUR_MS
    encrypted = reference(at, transport="doh")
    observations: list[AnyObservation] = [dns(at), tcp(at), _handshake(world, place, hour)]
    observations += [encrypted] if world.encrypted else []
    subject = observations[2]
    if isinstance(subject, TLSHandshake) and subject.failure and place is not NETHERLANDS:
        for _ in range(2):
            observations.append(_look(world.seen(place, HOST, hour), at, NO_VERIFY))
            observations.append(_look(world.seen(place, HARMLESS, hour), at, INNOCUOUS))
        if world.reflector:
            for name, change in ((UNLISTED, contrast(Contrast.INNOCUOUS_NAME)), (HOST, OWN_HOST)):
                shown = world.at_our_host(place, name, hour)
                observations.append(_refused(shown, REFLECTOR, {**change, "sni": name}))
    vantage = Vantage(country=place.country, asn=place.asn)
    mine = measured(*observations, probe=probe, round=round, vantage=vantage)
    return [mine, *alive(probe=probe, round=round)]


def _handshake(world: Internet, place: Place, hour: int) -> TLSHandshake:
    shown, at = world.seen(place, HOST, hour), world.address(place)
    return _refused(shown, at, {}) if shown.code else tls(at, chain=(shown.kept(),))


def _refused(shown: Shown, at: str, change: dict[str, object]) -> TLSHandshake:
    return foreign(at, shown.code, chain=(shown.kept(),), **change)


def _look(shown: Shown, at: str, change: dict[str, object]) -> TLSHandshake:
    return tls(at, chain=(shown.kept(),), **change)


def judged(
    world: Internet,
    hours: Iterable[int] = range(HOURS),
    enrolled: Callable[[Place], int] = lambda _: OLD,
) -> list[Fact]:
    """The facts of all vantages in all hours; a control measures in each."""
    facts: list[Fact] = []
    for hour in hours:
        control = measure(world, NETHERLANDS, hour, CONTROL_PROBE)
        given = [_stored(m, "center", OLD, Role.CONTROL) for m in control]
        for number, place in enumerate(world.places, 1):
            sent = measure(world, place, hour, f"p-{number:016x}")
            given += [_stored(m, place.owner, enrolled(place)) for m in sent]
        facts += facts_of(given, ROUND + hour * HOUR_MS, Policy())
    return facts


def _stored(
    measurement: Measurement, owner: str, enrolled: int, role: Role = Role.VANTAGE
) -> Stored:
    return Stored(measurement=measurement, owner=owner, role=role, enrolled=enrolled)


GOOD = Shown("leaf", "key", "Public CA")


def _moved(place: Place, hour: int) -> bool:
    """Region by region: one country an hour, the control's last."""
    return hour >= ("RU", "FR", "DE", "BR", "NL").index(place.country) + 1


def by_region(place: Place, name: str, hour: int) -> Shown:
    """A new private authority, for every name."""
    return Shown("new", "new", "New CA", UNKNOWN_CA) if _moved(place, hour) else GOOD


def by_region_this_name(place: Place, name: str, hour: int) -> Shown:
    """The same for this name alone; others are shown the certificate that stood there before."""
    return by_region(place, name, hour) if name == HOST else GOOD


def by_hour(place: Place, name: str, hour: int) -> Shown:
    """A second certificate, everywhere at once, every other hour; a control is shown either."""
    return Shown("other", "other", "Another CA", UNKNOWN_CA) if hour % 2 else GOOD


def edges(place: Place, name: str, hour: int) -> Shown:
    """Each edge has a certificate of its own; one shows that of its operator."""
    if place.country == "RU":
        return Shown("edge", "edge", "Public CA", NAME_DIFFERS)
    return Shown(f"edge {place.country}", f"edge {place.country}", "Public CA")


def pinned(place: Place, name: str, hour: int) -> Shown:
    """A private authority of the service, whose successor the control already trusts; each edge has
    a key of its own, and shows other names what the control gets from another edge."""
    if place.country == "NL":
        return Shown("new edge", "new edge", "Service CA")
    if name != HOST:
        return Shown("new edge", "new edge", "Service CA")
    return Shown(f"edge {place.country}", f"edge {place.country}", "Service CA", UNKNOWN_CA)


def same_key(place: Place, name: str, hour: int) -> Shown:
    """The same key under an authority of one country."""
    if place.country == "RU" and name == HOST:
        return Shown("national", "key", "National CA", UNKNOWN_CA)
    return GOOD


def two_at_once(seed: int) -> Callable[[Place, str, int], Shown]:
    """Behind one address some servers have the old certificate, and others a new one, but for the
    control's edge: a handshake gets either, whatever its name."""
    rng = random.Random(seed)

    def server(place: Place, name: str, hour: int) -> Shown:
        new = place.country != "NL" and rng.random() < 0.5
        return Shown("new", "new", "New CA", UNKNOWN_CA) if new else GOOD

    return server


def near(place: Place) -> str:
    """Each country has addresses of its own."""
    return f"11.0.{sum(map(ord, place.country))}.1"


OWN_CHANGES = {
    "by region": Internet(by_region),
    "by region, no host of our own": Internet(by_region, reflector=False),
    "by region, for this name, near addresses": Internet(by_region_this_name, address=near),
    "by hour": Internet(by_hour),
    "edges with certificates of their own": Internet(edges, address=near),
    "edges at one address": Internet(edges),
    "a pinned authority and its successor": Internet(pinned),
    "the same key": Internet(same_key),
}


@pytest.mark.parametrize("world", OWN_CHANGES.values(), ids=OWN_CHANGES)
def test_a_service_that_changes_its_certificates_accuses_nobody(world: Internet) -> None:
    facts = judged(world)
    assert State.BLOCKED not in {fact.verdict.state for fact in facts}
    assert {fact.verdict.state for fact in facts} != {State.OK}


def test_two_certificates_at_once_add_up_to_nothing() -> None:
    facts = [fact for seed in range(20) for fact in judged(Internet(two_at_once(seed)), range(2))]
    said = [fact.verdict.state for fact in facts]
    assert 0.35 < said.count(State.OK) / len(said) < 0.65
    assert said.count(State.BLOCKED) < 0.06 * len(said)


def test_once_others_show_it_the_first_region_is_told() -> None:
    """For this name alone, at one address: the first region looks like a block until others follow,
    whose owners are known."""
    facts = judged(Internet(by_region_this_name, reflector=False))
    first = [fact for fact in facts if fact.country == "RU"]
    after_two_more = [fact for fact in first if 3 <= (fact.round - ROUND) // HOUR_MS < 5]
    assert {fact.verdict.rule for fact in after_two_more} == {"tls.own_certificate"}
    assert all("own_certificate" in fact.verdict.evidence for fact in after_two_more)


def test_a_resolver_that_alone_gives_an_edge_is_told_once_others_show_its_certificate() -> None:
    world = Internet(by_region_this_name, address=near, encrypted=False)
    facts = judged(world, range(1, 5))
    first = {f.round: f.verdict.rule for f in facts if f.country == "RU"}
    assert list(first.values()) == ["dns.foreign_certificate"] * 2 + ["tls.own_certificate"] * 2


def listed(authority: Callable[[Place], str]) -> Callable[[Place, str, int], Shown | None]:
    """An interceptor of one country for one service."""

    def path(place: Place, name: str, hour: int) -> Shown | None:
        if place.country != "RU" or name != HOST or not hour:
            return None
        signer = authority(place)
        return Shown(f"made by {signer}", signer, signer, UNKNOWN_CA)

    return path


def every_name(place: Place, name: str, hour: int) -> Shown | None:
    """An interceptor of one country for every name."""
    if place.country != "RU":
        return None
    return Shown(f"made for {name}", "national", "National CA", UNKNOWN_CA)


def calm(place: Place, name: str, hour: int) -> Shown:
    """The service changes nothing."""
    return GOOD


BY_OPERATOR = {
    "one authority": listed(lambda _: "National CA"),
    "one authority for each operator": listed(lambda place: f"Operator {place.asn}"),
}


@pytest.mark.parametrize("reflector", [True, False], ids=["our own host", "none of our own"])
@pytest.mark.parametrize("path", BY_OPERATOR.values(), ids=BY_OPERATOR)
def test_who_intercepts_one_service_in_one_country_is_found(
    path: Callable[[Place, str, int], Shown | None], reflector: bool
) -> None:
    facts = judged(Internet(calm, path, reflector=reflector))
    later = [fact for fact in facts if fact.round > ROUND]
    by_country = {fact.country: fact.verdict.rule for fact in later}
    assert by_country.pop("RU") == "tls.mitm.ca_signed"
    assert set(by_country.values()) == {"tls.certificate_valid"}
    proven = {"name_fails_anywhere" in f.verdict.evidence for f in later if f.country == "RU"}
    assert proven == {reflector}


def test_near_addresses_are_first_tried_by_a_control() -> None:
    """Until then nothing tells a server for this region from somebody on the way."""
    facts = judged(Internet(calm, BY_OPERATOR["one authority"], address=near, reflector=False))
    said = {fact.verdict.evidence for fact in facts if fact.country == "RU" and fact.round > ROUND}
    assert said == {("certificate_untold", "unseen_address")}
    assert all(fact.untried for fact in facts if "unseen_address" in fact.verdict.evidence)


LOCAL = {
    "an antivirus on one machine": Internet(
        calm, places=[Place("RU", 101, "a", antivirus=True), Place("RU", 101, "b")]
    ),
    "an office": Internet(calm, places=[Place("RU", 101, "a", antivirus=True)] * 3),
    "a country that intercepts every name": Internet(calm, every_name),
}


@pytest.mark.parametrize("world", LOCAL.values(), ids=LOCAL)
def test_who_intercepts_every_name_does_not_block_the_service(world: Internet) -> None:
    rules = {fact.verdict.rule for fact in judged(world)}
    assert "tls.local_interceptor" in rules
    assert rules <= {"tls.local_interceptor", "tls.certificate_valid"}


def test_strangers_elsewhere_take_no_accusation_back() -> None:
    """Whoever has read of the interceptor's certificate can say that they saw it."""
    liars = [Place(country, 900, f"liar {country}") for country in ("US", "CA", "MX")]

    def path(place: Place, name: str, hour: int) -> Shown | None:
        return BY_OPERATOR["one authority"](Place("RU") if place in liars else place, name, hour)

    places = [*Internet(calm).places, *liars]
    world = Internet(calm, path, reflector=False, places=places)
    new = judged(world, [1], lambda place: ROUND - 86_400_000 if place in liars else OLD)
    known = judged(world, [1])
    assert {f.verdict.rule for f in new if f.country == "RU"} == {"tls.mitm.ca_signed"}
    assert {f.verdict.rule for f in known if f.country == "RU"} == {"tls.own_certificate"}
