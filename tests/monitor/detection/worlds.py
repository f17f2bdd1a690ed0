"""Small worlds of facts for the detector: who measures, what each round says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from monitor.detection.events.fold import initial, step
from monitor.detection.events.state import ServiceState
from monitor.detection.model import (
    Event,
    Fact,
    Layer,
    LayerFinding,
    Retraction,
    State,
    Technique,
    Verdict,
)
from monitor.detection.policy import Policy

POLICY = Policy()
START = 1_800_000_000_000 - 1_800_000_000_000 % 86_400_000
INTERVAL = 300_000
STRONG = 3_000_000
TARGET = "wechat/messaging"
_LAYERS = (Layer.DNS, Layer.TCP, Layer.TLS)


@dataclass(frozen=True)
class Vantage:
    probe: str
    owner: str
    country: str = "RU"
    asn: int = 64501
    enrolled: int = 0
    source: str = "probe"


def vantages(n: int, country: str = "RU", asn: int = 64501, **more: int) -> list[Vantage]:
    """`n` vantages in a network, each of its own owner."""
    return [
        Vantage(f"p-{country.lower()}{asn}-{i}", f"owner-{country}-{asn}-{i}", country, asn, **more)
        for i in range(n)
    ]


def ok(layers: Iterable[Layer] = _LAYERS) -> Verdict:
    return Verdict(
        target=TARGET,
        state=State.OK,
        rule="ok",
        findings=tuple(LayerFinding(layer=x, blocked=False, rule="ok") for x in layers),
    )


def blocked(
    technique: Technique = Technique.TLS_RESET_SNI,
    layer: Layer = Layer.TLS,
    weight: int = STRONG,
    state: State = State.BLOCKED,
) -> Verdict:
    depth = list(Layer).index(layer)
    return Verdict(
        target=TARGET,
        state=state,
        layer=layer,
        technique=technique,
        rule=str(technique),
        findings=(
            *(
                LayerFinding(layer=x, blocked=False, rule="ok")
                for x in _LAYERS
                if list(Layer).index(x) < depth
            ),
            LayerFinding(layer=layer, blocked=True, rule=str(technique), weight=weight),
        ),
    )


BLACKHOLE = blocked(Technique.TCP_TIMEOUT, Layer.TCP, 0)
INJECTED = blocked(Technique.DNS_INJECTION_BOGON, Layer.DNS, STRONG)


def says(state: State, *evidence: str) -> Verdict:
    return Verdict(target=TARGET, state=state, rule=str(state), evidence=evidence)


OFFLINE = says(State.VANTAGE_OFFLINE)
DOWN = says(State.DOWN)
UNCONTROLLED = says(State.INCONCLUSIVE, "no_control")
UNSEEN = says(State.INCONCLUSIVE, "no_liveness")

Script = Callable[[int, Vantage], Verdict | None]
"""(round number, vantage) -> what it says; None when it sends nothing."""


def fact(
    who: Vantage,
    round: int,
    verdict: Verdict,
    *,
    target: str = TARGET,
    interval: int = INTERVAL,
    control: bool | None = None,
    started: int | None = None,
    received: int = 0,
) -> Fact:
    word = f"{who.probe} {target} {round} {started}"
    offset = int(hashlib.sha256(who.probe.encode()).hexdigest()[:4], 16) * interval // 200_000
    return Fact(
        id=hashlib.sha256(word.encode()).hexdigest()[:32],
        probe=who.probe,
        owner=who.owner,
        country=who.country,
        asn=who.asn,
        enrolled=who.enrolled,
        round=round,
        started=round + offset if started is None else started,
        interval=interval,
        target=target,
        verdict=verdict,
        control=verdict is not UNCONTROLLED if control is None else control,
        source=who.source,
        received=received,
        others_passed=5,
    )


@dataclass
class World:
    """A fold that is going on, with every event's newest form."""

    people: list[Vantage]
    policy: Policy = POLICY
    interval: int = INTERVAL
    start: int = START
    state: ServiceState = field(default_factory=lambda: initial("wechat"))
    events: dict[str, Event] = field(default_factory=dict)
    number: int = 0
    emitted: list[Event] = field(default_factory=list)
    retractions: dict[str, Retraction] = field(default_factory=dict)

    @property
    def round(self) -> int:
        """The round that `run` folds next."""
        return self.start + self.number * self.interval

    def feed(self, facts: Iterable[Fact]) -> tuple[Event, ...]:
        self.state, touched = step(
            self.state, self.round, tuple(facts), self.policy, retractions=self.retractions
        )
        self.number += 1
        self.events.update({event.id: event for event in touched})
        self.emitted += touched
        return touched

    def run(self, rounds: int, script: Script) -> World:
        for _ in range(rounds):
            said = [(who, script(self.number, who)) for who in self.people]
            self.feed(
                fact(who, self.round, verdict, interval=self.interval)
                for who, verdict in said
                if verdict is not None
            )
        return self

    def quiet(self, rounds: int = 3) -> World:
        return self.run(rounds, lambda n, who: ok())

    @property
    def only(self) -> Event:
        (event,) = self.events.values()
        return event

    def kinds(self) -> list[str]:
        return [change.kind for change in self.only.history]


def in_network(asn: int, verdict: Verdict, otherwise: Verdict | None = None) -> Script:
    """Every vantage of a network says `verdict`, everybody else that all is well."""
    return lambda n, who: verdict if who.asn == asn else otherwise or ok()


def by_probe(said: Mapping[str, Verdict | None]) -> Script:
    return lambda n, who: said.get(who.probe, ok())


def standard() -> list[Vantage]:
    """Three vantages in each of two Russian networks and one French one."""
    return [*vantages(3), *vantages(3, asn=64502), *vantages(3, "FR", 64503)]


def faster(world: World, pace: int) -> World:
    """The same world with all durations divided."""
    return World(
        world.people,
        policy=replace(world.policy, pace=pace),
        interval=world.interval // pace,
        start=world.start // pace,
    )
