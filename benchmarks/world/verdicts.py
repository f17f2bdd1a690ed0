# SPDX-License-Identifier: Apache-2.0
"""The verdicts of simulated measurements, with the judge's rules and weights."""

from __future__ import annotations

import math
import random
from enum import StrEnum
from typing import Any

from msgspec.structs import replace

from monitor.detection.events.contrasts import NAME_FAILS_ANYWHERE
from monitor.detection.layers.dns import DNS_RULES
from monitor.detection.layers.tcp import TCP_RULES
from monitor.detection.layers.tls import TLS_RULES
from monitor.detection.model import Layer, LayerFinding, State, Technique, Verdict
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
RESET = accusing("tls.reset.other")
"""Every handshake to the address is reset, whatever the name."""
UNTOLD = accusing("tls.timeout.untold")
"""A handshake that met silence with no contrast beside it: what a block looks like when its
signature was missed."""
STRAY = (BLACKHOLE, BLACKHOLE, BLACKHOLE, accusing("tls.timeout.other"), UNTOLD)
"""What failures that are no block look like, each as often as it stands here."""


class Look(StrEnum):
    """What the failures of a fault look like to the judge."""

    SILENT = "silent"
    NAMED = "named"
    """Connections are reset when the service's name appears."""
    LIE = "lie"
    """The same, and at our own host as well: whatever a stranger says to be believed."""
    IPV6 = "ipv6"
    """Addresses of IPv6 are silent, those of IPv4 work."""
    CERTIFICATE = "certificate"
    """A certificate that no known authority signed, and that no comparison places."""
    REFUSED = "refused"
    """The server refuses connections."""


IPV6_DEAD = replace(
    BLACKHOLE,
    state=State.IMPAIRED,
    evidence=("partial:ipv6",),
    findings=(*BLACKHOLE.findings, LayerFinding(layer=Layer.TLS, blocked=False, rule="ok")),
)
NAMED_ANYWHERE = replace(SNI_RESET, evidence=(NAME_FAILS_ANYWHERE,))
_LOOKS = {
    Look.LIE: NAMED_ANYWHERE,
    Look.SILENT: BLACKHOLE,
    Look.NAMED: SNI_RESET,
    Look.IPV6: IPV6_DEAD,
    Look.CERTIFICATE: saying(State.INCONCLUSIVE, "certificate_untold"),
    Look.REFUSED: accusing("tcp.refused"),
}


def looking(look: Look, rng: random.Random, signature: float, named: bool = False) -> Verdict:
    """One failure of a fault that looks so; `signature` of those by name carry their signature.
    `named`: the name fails at our own host as well."""
    if look is Look.NAMED and rng.random() >= signature:
        return UNTOLD
    return NAMED_ANYWHERE if look is Look.NAMED and named else _LOOKS[look]


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
