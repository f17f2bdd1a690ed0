"""What one laboratory looks like, drawn from a seed: names, addresses, order, who is hit.

Pure. Every run of a seed measures the same catalogue; which case is played shows in nothing that
the probe can read.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from tests.lab.cases import CASES, MORE, Case

_VOWELS, _CONSONANTS = "aeiou", "bdfgklmnprtvz"
PORTS = {"http": 80, "whatsapp": 5222, "stun": 3478}
"""Where a protocol is served, when not on 443."""
APPS = ("mtproto", "whatsapp", "stun")
"""Protocols of the apps, each with a service of its own."""
_TOPS = ("test", "example", "invalid")


@dataclass(frozen=True)
class Host:
    """One name, where it lives, and what it speaks."""

    name: str
    protocol: str
    v4: tuple[str, ...]
    v6: tuple[str, ...]
    far_v4: tuple[str, ...] = ()
    """What the control's resolver answers, where that differs: geographic DNS."""
    far_v6: tuple[str, ...] = ()

    @property
    def port(self) -> int:
        """Its port."""
        return PORTS.get(self.protocol, 443)

    @property
    def country_domain(self) -> str:
        """Its site under the domain of a country."""
        return f"www.{self.name.split('.')[-2]}.fr"

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses on which it is served."""
        return (*self.v4, *self.v6, *self.far_v4, *self.far_v6)


@dataclass(frozen=True)
class Service:
    """One service of the catalogue with its single target."""

    id: str
    target: str
    host: Host
    others: tuple[Host, ...] = ()
    """Further endpoints of the target."""
    combine: str = "any_of"

    @property
    def hosts(self) -> tuple[Host, ...]:
        """What its endpoints are, in order."""
        return (self.host, *self.others)

    @property
    def several(self) -> str:
        """How its endpoints combine when there are several, else empty."""
        return self.combine if self.others else ""


@dataclass(frozen=True)
class Plan:
    """One laboratory."""

    seed: int
    services: tuple[Service, ...]
    """A TLS, an HTTPS and a plain HTTP service, and one with geographic DNS, in drawn order; then
    two of several endpoints: three any of which will do, and two that both are needed."""
    international: tuple[Host, ...]
    echo: Host
    """An international host that is asked over UDP."""
    domestic: Host
    resolver: str
    """The vantage's own."""
    reference: Host
    """A resolver that anyone may ask: UDP, TCP, DoT, DoH; the control's own as well."""
    silent: str
    reflector: str
    order: tuple[str, ...]
    """Names of the first twelve cases in the order played, then of the others in theirs."""
    victims: dict[str, str]
    """Case -> id of the service that is hit."""
    forged: str
    """Where forged answers point: the address of someone else."""
    bogon: str
    warner: str
    """Where the block page is."""
    private: str
    """A private address, for the name that the whole world finds there."""
    whole_path: bool
    """Forged answers by rule concern every resolver on the path, else only the ISP's own."""

    def service(self, id: str) -> Service:
        """The service with an id."""
        return next(s for s in self.services if s.id == id)

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Every name that is served."""
        return (
            *(host for s in self.services for host in s.hosts),
            *self.international,
            self.echo,
            self.domestic,
            self.reference,
        )


class _Draw:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self._used: set[str] = set()
        self._v4 = [
            f"{net}.{n}" for net in ("192.0.2", "198.51.100", "203.0.113") for n in range(1, 255)
        ]
        self.rng.shuffle(self._v4)
        self._v6 = f"2001:db8:{self.rng.randrange(1, 0xFFFF):x}"

    def word(self) -> str:
        """A new word without meaning."""
        while True:
            pairs = self.rng.randint(3, 4)
            word = "".join(
                self.rng.choice(_CONSONANTS) + self.rng.choice(_VOWELS) for _ in range(pairs)
            )
            if word not in self._used:
                self._used.add(word)
                return word

    def v4(self) -> str:
        return self._v4.pop()

    def v6(self) -> str:
        while (address := f"{self._v6}::{self.rng.randrange(16, 0xFFFF):x}") in self._used:
            pass
        self._used.add(address)
        return address

    def host(self, protocol: str, prefix: str = "", many: int = 1, far: bool = False) -> Host:
        name = f"{prefix}{self.word()}.{self.rng.choice(_TOPS)}"
        return Host(
            name,
            protocol,
            tuple(self.v4() for _ in range(many)),
            (self.v6(),),
            tuple(self.v4() for _ in range(many)) if far else (),
            (self.v6(),) if far else (),
        )


def draw(seed: int) -> Plan:
    """Return the laboratory of a seed."""
    by = _Draw(seed)
    rng = by.rng
    kinds = [("tls", False), ("https", False), ("http", False), ("tls", True)]
    rng.shuffle(kinds)
    services = []
    for protocol, far in kinds:
        host = by.host(protocol, f"{by.word()}.", rng.randint(1, 2), far)
        word = by.word()
        services.append(Service(word, f"{word}/{rng.choice(('chat', 'web', 'login'))}", host))
    for combine, protocols in (("any_of", ("tls", "tls", "http")), ("all_of", ("tls", "tls"))):
        hosts = [by.host(protocol, f"{by.word()}.", 2) for protocol in protocols]
        if combine == "any_of":  # the same name over two protocols
            hosts[2] = replace(hosts[0], protocol="http")
        word = by.word()
        services.append(Service(word, f"{word}/chat", hosts[0], tuple(hosts[1:]), combine))
    for protocol in APPS:
        host = by.host(protocol, f"{by.word()}.", rng.randint(1, 2))
        services.append(Service(word := by.word(), f"{word}/messaging", host))
    host = by.host("quic", f"{by.word()}.", rng.randint(1, 2))
    services.append(Service(word := by.word(), f"{word}/calls", host))
    order = [case.name for case in CASES]
    rng.shuffle(order)
    others = [case.name for case in MORE]
    rng.shuffle(others)
    order += others
    victims = {case.name: rng.choice(_hit(case, services)).id for case in (*CASES, *MORE)}
    international = tuple(by.host("tls") for _ in range(3))
    reference = Host(f"{by.word()}.test", "dns", (by.v4(),), ())
    return Plan(
        seed=seed,
        services=tuple(services),
        international=international,
        echo=by.host("stun"),
        domestic=by.host("tls"),
        resolver=by.v4(),
        reference=reference,
        silent=by.v4(),
        reflector=by.v4(),
        order=tuple(order),
        victims=victims,
        forged=rng.choice(international).v4[0],
        bogon=rng.choice(("10.66.0.9", "127.0.0.1", "0.0.0.0", "192.168.70.1")),
        warner=by.v4(),
        private=f"10.77.{rng.randrange(256)}.{rng.randrange(1, 255)}",
        whole_path=rng.random() < 0.5,
    )


def _hit(case: Case, services: list[Service]) -> list[Service]:
    """Services that a case can hit."""
    return [
        s
        for s in services
        if s.host.protocol in case.protocols
        and bool(s.host.far_v4) == case.geographic
        and s.several == case.several
    ]
