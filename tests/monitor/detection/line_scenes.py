"""What a probe records on a line that is away for a while: attempts in the probe's order, each with
the packets that it sends, of which those in the outage are lost with their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from probes.wire.failure import Failure
from probes.wire.measurement import EndpointRef
from probes.wire.observation import LIVENESS_HOST, AnyObservation
from tests.monitor.detection.app_scenes import app
from tests.monitor.detection.scenes import (
    A1,
    A2,
    BESIDE,
    INNOCUOUS,
    INNOCUOUS_HOST,
    REPEAT,
    dns,
    http,
    quic,
    tcp,
    tls,
)

SYN = (0.0, 1.0, 3.0, 7.0)
HELLO = (0.0, 0.3, 0.9, 2.1, 4.5, 9.3)
DATAGRAM = (0.0, 0.5, 1.5, 3.5, 7.5)
SUBJECT, CONTRAST, LOOKUP = 10.0, 5.0, 5.0
HOSTS = ("14.0.0.1", "14.0.0.2", "14.0.0.3")


@dataclass
class Line:
    """A line that is away from one second to another."""

    away: tuple[float, float]
    """The outage, in seconds; empty when both are the same."""
    blocked: frozenset[str] = frozenset()
    """What nothing answers: `tcp`, `name` (what shows the service's name), or an address."""
    round_trip: float = 0.1
    hosts: int = 3
    """How many liveness hosts the probe knows."""
    repeats: bool = True
    seen: list[AnyObservation] = field(default_factory=list)

    def ask(self, at: float, sends: Sequence[float], limit: float, back: float) -> float | None:
        """When the answer comes; None when none does in time. `back`: the round trip."""
        begin, end = self.away
        for send in sends:
            out, answered = at + send, at + send + back
            lost = out < end and answered >= begin and begin < end
            if not lost and answered < at + limit:
                return answered
        return None

    def step(
        self, make: Any, when: float, sends: Sequence[float], limit: float, dead: bool, **more: Any
    ) -> tuple[bool, float]:
        """Record one attempt; whether it passed, and when it ended."""
        back = more.pop("back", self.round_trip)
        answered = None if dead else self.ask(when, sends, limit, back)
        ended = when + limit if answered is None else answered
        words = more.pop("evidence", ())
        if answered is not None and answered - when > sends[1]:
            words += ("sent_again",)
        failure = Failure.TIMEOUT if answered is None else None
        address = more.pop("address", A1)
        times = {"at_us": _us(when), "took_us": _us(ended - when)}
        self.seen.append(make(address, failure, evidence=words, **times, **more))
        return answered is not None, ended

    def connect(
        self, ref: EndpointRef, at: float, address: str = A1, **more: Any
    ) -> tuple[bool, float]:
        """A connect to the service, as the app makes it unless told otherwise."""
        limit = CONTRAST if more else SUBJECT
        dead = "tcp" in self.blocked or address in self.blocked
        if not more and not self.repeats:
            self.look(ref, at + 2.0)
        return self.step(tcp, at, SYN, limit, dead, at=ref, address=address, **more)

    def look(self, ref: EndpointRef, at: float, hosts: int = 1) -> None:
        """Hosts that liveness had reached, beside an attempt."""
        for number, host in enumerate(HOSTS[: min(hosts, self.hosts)]):
            beside = {"back": 0.05 * (1 + number), "evidence": (LIVENESS_HOST,)}
            self.step(tcp, at, SYN, CONTRAST, False, at=ref, address=host, **BESIDE, **beside)

    def over_tcp(self, ref: EndpointRef, begin: float, addresses: Sequence[str] = (A1,)) -> None:
        """The protocol `tcp`."""
        for nth, address in enumerate(addresses):
            passed, ended = self.connect(ref, begin + nth / 1e3, address)
            if not passed and self.repeats:
                if not nth:
                    self.look(ref, ended, 3)
                for _ in range(2):
                    self.connect(ref, ended + 1e-4, address, **REPEAT)

    def payload(self, ref: EndpointRef, at: float, make: Any, **more: Any) -> tuple[bool, float]:
        """A connect, and what is sent over it."""
        plain = {k: v for k, v in more.items() if k in ("purpose", "contrast")}
        passed, ended = self.connect(ref, at, **plain)
        if not passed:
            return False, ended
        name = "name" in self.blocked and more.get("contrast") is not INNOCUOUS["contrast"]
        dead = name or "payload" in self.blocked
        if not more and not self.repeats:
            self.look(ref, ended + 2.0)
        limit = CONTRAST if more else SUBJECT
        return self.step(make, ended, HELLO, limit, dead, at=ref, **more)

    def over_tls(self, ref: EndpointRef, begin: float, make: Any = tls) -> None:
        """The protocols `tls` and `http`."""
        passed, ended = self.payload(ref, begin, make)
        if passed:
            return
        if not any(seen.step != "tcp" for seen in self.seen if seen.endpoint == ref.id):
            if self.repeats:
                self.look(ref, ended, 3)
                self.connect(ref, ended + 1e-4, **REPEAT)
            return
        other = INNOCUOUS_HOST if make is http else INNOCUOUS
        _, ended = self.payload(ref, ended, make, **other)
        if self.repeats:
            self.look(ref, ended, 3)
            self.payload(ref, ended + 1e-4, make, **REPEAT)

    def over_app(self, ref: EndpointRef, begin: float) -> None:
        """The first exchange of an app over TCP."""
        passed, ended = self.payload(ref, begin, app)
        if not passed and self.repeats:
            self.look(ref, ended, 3)
            self.payload(ref, ended + 1e-4, app, **REPEAT)

    def over_quic(self, ref: EndpointRef, begin: float) -> None:
        """The protocol `quic`."""
        dead = "payload" in self.blocked or "name" in self.blocked
        if not self.repeats:
            self.look(ref, begin + 2.0)
        passed, ended = self.step(quic, begin, DATAGRAM, SUBJECT, dead, at=ref)
        if passed:
            return
        if self.repeats:
            self.look(ref, ended, 3)
            passed, ended = self.step(
                quic, ended + 1e-4, DATAGRAM, CONTRAST, dead, at=ref, **REPEAT
            )
        dead = "payload" in self.blocked
        passed, ended = self.step(quic, ended, DATAGRAM, CONTRAST, dead, at=ref, **INNOCUOUS)
        if passed and self.repeats:
            dead = "name" in self.blocked
            _, ended = self.step(quic, ended, DATAGRAM, CONTRAST, dead, at=ref, **REPEAT)
        self.step(tcp, ended, SYN, CONTRAST, False, at=ref, **BESIDE)

    def lookup(self, ref: EndpointRef, begin: float) -> None:
        """A resolver at home that knows the innocuous name by heart, and asks for this one."""
        dead = "dns" in self.blocked
        resent = tuple(part * LOOKUP for part in (0.0, 0.25, 0.55))
        answered = None if dead else self.ask(begin, resent, LOOKUP, self.round_trip)
        again_at, again_for = begin + resent[1], 1.75 * LOOKUP
        sends = tuple(part * again_for for part in (0.0, 0.25, 0.55))
        if answered is not None and answered < again_at:
            self.seen.append(dns(A1, A2, at=ref, at_us=_us(begin), took_us=_us(self.round_trip)))
            return
        relayed = None if dead else self.ask(again_at, sends, again_for, self.round_trip)
        for at, limit, came, more in (
            (begin, LOOKUP, answered, {}),
            (again_at, again_for, relayed, REPEAT),
        ):
            times = {"at_us": _us(at), "took_us": _us((came or at + limit) - at)}
            failure = Failure.TIMEOUT if came is None else None
            told = (A1, A2) if came is not None else ()
            self.seen.append(dns(*told, at=ref, failure=failure, **times, **more))
        named = {"name": "harmless.example", "at_us": _us(again_at), "took_us": 1_000}
        self.seen += [dns("14.0.0.1", at=ref, **named, **_PLAIN) for _ in range(2)]
        waited = max(came or at + limit for at, limit, came in _both(begin, answered, relayed))
        for look in (2.0, 4.0, 6.0, 8.0):
            if begin + look < waited:
                self.look(ref, begin + look)


_PLAIN = {k: v for k, v in INNOCUOUS.items() if k != "sni"}


def _both(
    begin: float, answered: float | None, relayed: float | None
) -> tuple[tuple[float, float, float | None], ...]:
    return (begin, LOOKUP, answered), (begin + LOOKUP / 4, 1.75 * LOOKUP, relayed)


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
