# SPDX-License-Identifier: Apache-2.0
"""The verdicts of simulated measurements, with the judge's rules and weights."""

from __future__ import annotations

import functools
import math
import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from msgspec.structs import replace

from monitor.detection.events.contrasts import LOCAL_RESOLVER, PUBLIC_RESOLVER
from monitor.detection.layers.dns import DNS_RULES
from monitor.detection.layers.dns_origin import MADE_UP, NO_ZONE, OTHERS_ANSWER
from monitor.detection.layers.nearer import HOPS_BEFORE, SOONER
from monitor.detection.layers.tcp import TCP_RULES
from monitor.detection.layers.tls import TLS_RULES
from monitor.detection.layers.tls_contrasts import NAME_FAILS_ANYWHERE, NAME_PASSES_AT_OURS
from monitor.detection.model import Layer, LayerFinding, State, Technique, Verdict
from monitor.detection.observed.same_port import OTHER_PORT_FAILS, PARTIAL_PORT
from monitor.detection.rule import Rule

TARGET = "service/messaging"
_ORDER = (Layer.DNS, Layer.TCP, Layer.TLS)


def _rule(id: str) -> Rule[Any]:
    rules: tuple[Rule[Any], ...] = (*DNS_RULES, *TCP_RULES, *TLS_RULES)
    return next(rule for rule in rules if rule.id == id)


def accusing(id: str) -> Verdict:
    """The verdict in which a real rule accuses; the layers above it are seen to work."""
    rule = _rule(id)
    assert rule.layer is not None, id
    above = _ORDER[: _ORDER.index(rule.layer)]
    return Verdict(
        target=TARGET,
        state=State.BLOCKED,
        layer=rule.layer,
        technique=rule.technique,
        rule=id,
        findings=(
            *(LayerFinding(layer=layer, blocked=False, rule="ok") for layer in above),
            LayerFinding(layer=rule.layer, blocked=True, rule=id, weight=rule.weight),
        ),
    )


def saying(state: State, *evidence: str) -> Verdict:
    """A verdict that accuses nobody."""
    return Verdict(target=TARGET, state=state, rule=f"sim.{state}", evidence=evidence)


OK = Verdict(
    target=TARGET,
    state=State.OK,
    rule="target.works",
    findings=tuple(LayerFinding(layer=x, blocked=False, rule="ok") for x in _ORDER),
)
OFFLINE = saying(State.VANTAGE_OFFLINE)
DOWN = saying(State.DOWN)
UNCONTROLLED = saying(State.INCONCLUSIVE, "no_control")
PROXY = saying(State.INCONCLUSIVE, "tls_interception")
CLOCK = saying(State.INCONCLUSIVE, "clock_wrong")
SNI_RESET = accusing("tls.reset.sni")
BLACKHOLE = accusing("tcp.timeout")
FORGED = accusing("dns.bogon")
SOMEBODYS = accusing("dns.foreign_certificate")
RESET = accusing("tls.reset.other")
"""Every handshake to the address is reset, whatever the name."""
UNTOLD = accusing("tls.timeout.untold")
"""A handshake that met silence with no contrast beside it: what a block looks like when its
signature was missed."""
_HOST_GONE = replace(BLACKHOLE, evidence=(OTHER_PORT_FAILS,))
STRAY = (_HOST_GONE, _HOST_GONE, _HOST_GONE, accusing("tls.timeout.other"), UNTOLD)
"""What failures that are no block look like, each as often as it stands here."""


class Look(StrEnum):
    """What the failures of a fault, or of a block, look like to the judge."""

    SILENT = "silent"
    NAMED = "named"
    """Connections are reset when the service's name appears."""
    LIE = "lie"
    """The same with every sign of the way: whatever a stranger says to be believed."""
    IPV6 = "ipv6"
    """Addresses of IPv6 are silent, those of IPv4 work."""
    CERTIFICATE = "certificate"
    """A certificate that no known authority signed, and that no comparison places."""
    REFUSED = "refused"
    """The server refuses connections."""
    RESET = "reset"
    """Connections to the address are reset at once."""
    DENIED = "denied"
    """The network's resolver says that the name does not exist."""
    FORGED = "forged"
    """It gives an address that nobody can have, where that is a sign of the cause, else another
    party's."""
    SERVFAIL = "servfail"
    """It reports a failure."""
    ALERT = "alert"
    """Every handshake at the address is refused by an alert of TLS."""
    NAME_ALERT = "name alert"
    """That with the service's name is."""


class OtherPort(StrEnum):
    """What another port of a host does that fails at the service's port."""

    FAILS = "fails"
    ANSWERS = "answers"
    UNKNOWN = "unknown"
    """It answers nobody, or was not tried."""


class OtherAnswers(StrEnum):
    """What the addresses do that other resolvers give, asked from the same vantage."""

    FAIL = "fail"
    WORK = "work"
    UNKNOWN = "unknown"
    """Nobody else answered, or what they gave was not tried."""


@dataclass(frozen=True)
class Signs:
    """What the failures of one fault or block show of its cause."""

    sooner: bool = False
    """What ends a connection answers sooner than the server."""
    before: bool = False
    """It stands some hops before the server."""
    forged: bool = False
    """Something answers that cannot be the service."""
    zoneless: bool = False
    """The resolver denies without the SOA record of a zone."""
    others: bool = False
    """Other resolvers give a right address."""
    other_port: OtherPort = OtherPort.FAILS
    """Of hosts that are not reached. Faults of ways and of servers concern all ports, and where the
    others answer nobody such a fault is the less likely to be taken for a block."""
    other_answers: OtherAnswers = OtherAnswers.FAIL
    """Of addresses that are not reached. The same holds of what other resolvers give."""
    ours_passes: bool = False
    """The name passes at a host of our own."""
    public: bool = False
    """The resolver is known to be a public one, where it is no device at home."""

    def drawn(self, rng: random.Random, at_home: bool) -> tuple[str, ...]:
        """The remarks on one failure of a vantage. `at_home`: its resolver is a device at home."""
        shown = [remark for holds, remark in self._remarks if holds and rng.random() < SHOWN]
        shown += self.hop(rng)
        if not self.sooner and rng.random() < MISTIMED:
            shown.append(SOONER)
        if at_home and self.others and MADE_UP not in shown:
            shown.append(LOCAL_RESOLVER)
        elif self.public:
            shown.append(PUBLIC_RESOLVER)
        return tuple(sorted(shown))

    def hop(self, rng: random.Random) -> tuple[str, ...]:
        """What the search for the hop shows, of a failure whose cause reads no name too."""
        return (HOPS_BEFORE,) if self.before and rng.random() < TRACED else ()

    def port(self, rng: random.Random) -> tuple[str, ...]:
        """What another port of the host shows beside one failure."""
        if self.other_port is OtherPort.UNKNOWN or rng.random() >= SHOWN:
            return ()
        answers = self.other_port is OtherPort.ANSWERS and rng.random() >= LOST
        return (PARTIAL_PORT,) if answers else (OTHER_PORT_FAILS,)

    def others_work(self, rng: random.Random) -> bool | None:
        """Whether what other resolvers give works, as one failure shows it."""
        if self.other_answers is OtherAnswers.UNKNOWN or rng.random() >= SHOWN:
            return None
        return self.other_answers is OtherAnswers.WORK

    @property
    def _remarks(self) -> tuple[tuple[bool, str], ...]:
        return (
            (self.sooner, SOONER),
            (self.forged, MADE_UP),
            (self.zoneless, NO_ZONE),
            (self.others, OTHERS_ANSWER),
            (self.ours_passes, NAME_PASSES_AT_OURS),
        )


NO_SIGNS = Signs()
SHOWN = 0.85
"""Share of the failures that show a sign where their cause has it."""
TRACED = 0.2
"""Share of the failures beside which the hop is looked for: the first of each vantage."""
LOST = 0.03
"""Share of the connects to a port that answers which get no answer."""
MISTIMED = 0.03
"""Share of the failures that seem to end sooner than the server answers, and do not."""

IPV6_DEAD = replace(
    BLACKHOLE,
    state=State.IMPAIRED,
    evidence=("partial:ipv6",),
    findings=(*BLACKHOLE.findings, LayerFinding(layer=Layer.TLS, blocked=False, rule="ok")),
)
NAMED_ANYWHERE = replace(SNI_RESET, evidence=(NAME_FAILS_ANYWHERE,))
LIE = replace(SNI_RESET, evidence=(HOPS_BEFORE, NAME_FAILS_ANYWHERE, SOONER))
_LOOKS = {
    Look.LIE: LIE,
    Look.SILENT: BLACKHOLE,
    Look.NAMED: SNI_RESET,
    Look.IPV6: IPV6_DEAD,
    Look.CERTIFICATE: saying(State.INCONCLUSIVE, "certificate_untold"),
    Look.REFUSED: accusing("tcp.refused"),
    Look.RESET: accusing("tcp.reset"),
    Look.DENIED: accusing("dns.nxdomain"),
    Look.FORGED: FORGED,
    Look.SERVFAIL: accusing("dns.servfail"),
    Look.ALERT: accusing("tls.alert.other"),
    Look.NAME_ALERT: accusing("tls.alert.sni"),
}
_READ_NAMES = (Look.NAMED, Look.DENIED, Look.FORGED)
_DIALLED = (Look.SILENT, Look.IPV6, Look.REFUSED, Look.RESET)


def looking(
    look: Look,
    rng: random.Random,
    signature: float,
    named: bool = False,
    signs: Signs = NO_SIGNS,
    at_home: bool = False,
) -> Verdict:
    """One failure of a fault that looks so; `signature` of those by name carry their signature.
    `named`: the name fails at our own host as well."""
    if look is Look.NAMED and rng.random() >= signature:
        return UNTOLD
    verdict = NAMED_ANYWHERE if look is Look.NAMED and named else _LOOKS[look]
    if look is Look.FORGED and not signs.forged:
        verdict = SOMEBODYS
    if look in _DIALLED:
        hop = signs.hop(rng) if look is Look.RESET else ()
        return _with(verdict, (*hop, *signs.port(rng)))
    return _with(verdict, signs.drawn(rng, at_home)) if look in _READ_NAMES else verdict


@functools.lru_cache(maxsize=1024)
def _with(verdict: Verdict, remarks: tuple[str, ...]) -> Verdict:
    return replace(verdict, evidence=(*verdict.evidence, *remarks)) if remarks else verdict


def stray(rng: random.Random, by_name: float) -> Verdict:
    """One failure that is no block; `by_name` of them look like one nevertheless."""
    return SNI_RESET if rng.random() < by_name else rng.choice(STRAY)


def cut(rng: random.Random, fails: float) -> Verdict:
    """A failure behind a device that resets connections and reads no name; `fails` of the
    measurements fail. A probe accuses once its handshake and the repeat are dead, so the root of
    them is the share of connections that is reset, and the innocuous name to the same server
    passes by chance in the others: only then it looks like a block by name."""
    return RESET if rng.random() < math.sqrt(fails) else SNI_RESET


assert SNI_RESET.technique is Technique.TLS_RESET_SNI
