# SPDX-License-Identifier: Apache-2.0
"""Rules for an imported run: how most of its failing endpoints fail.

No rule here accuses: without a control the state is `inconclusive`, with layer and technique named.
The weights are those of the same signature with a control, lowered where other causes look alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.detection.model import Layer, State, Technique
from monitor.detection.observed.imported_endings import BOGON, FOREIGN, NO_WORD, PAGE
from monitor.detection.observed.kinds import Kind
from monitor.detection.observed.page_in_place import AWAY, LEGAL, OTHER
from monitor.detection.rule import Rule

_OPEN = State.INCONCLUSIVE
_CONTRADICTED = "_contradicted"
_IN_ITS_PLACE = (
    Technique.DNS_INJECTION_BOGON,
    Technique.DNS_INJECTION_BLOCKPAGE,
    Technique.DNS_INJECTION_OTHER,
    Technique.HTTP_BLOCKPAGE,
    Technique.HTTP_REDIRECT,
    Technique.HTTP_451,
)
"""Techniques that put something in the place of the service."""


@dataclass(frozen=True)
class RunFacts:
    """How the failing endpoints of a run fail."""

    layer: Layer
    kind: str
    """A `Kind`, or one of the words of `imported_endings`."""
    contradicted: bool = False
    """At an address that the run's own resolver did not give, TLS passed."""


def _rule(
    id: str,
    layer: Layer,
    kinds: tuple[str, ...],
    comment: str,
    technique: Technique | None,
    weight: int,
) -> Rule[RunFacts]:
    return Rule(
        f"imported.{id}",
        lambda f: f.layer is layer and f.kind in kinds,
        _OPEN,
        comment,
        technique,
        weight,
    )


def _family(
    layer: Layer, techniques: Mapping[Kind, Technique], what: str, weights: Mapping[Kind, int]
) -> tuple[Rule[RunFacts], ...]:
    return tuple(
        _rule(f"{layer}_{kind}", layer, (kind,), f"{what}: {kind}.", techniques.get(kind), weight)
        for kind, weight in weights.items()
    )


def _contradicted(kind: str, technique: Technique | None, weight: int) -> Rule[RunFacts]:
    return Rule(
        f"imported.dns_{kind}{_CONTRADICTED}",
        lambda f: f.layer is Layer.DNS and f.kind == kind and f.contradicted,
        _OPEN,
        f"The resolver answers so ({kind}), and in the same run TLS passes at an address that "
        "another resolver or OONI's helper gave: the service works, the resolver's answer does "
        "not. (fit: dns failure, control ok +1.61)",
        technique,
        weight,
    )


_PAGES = (
    _rule(
        "http_differs",
        Layer.HTTP,
        (OTHER,),
        "In clear text, another page than OONI's helper got: nothing in common of title, headers "
        "and length. A page of another region, or a refusal by the service, looks the same.",
        Technique.HTTP_BLOCKPAGE,
        1_000_000,
    ),
    _rule(
        "http_redirect",
        Layer.HTTP,
        (AWAY,),
        "A request in clear text led to a foreign host, and to another page than OONI's helper "
        "got. Services redirect by country.",
        Technique.HTTP_REDIRECT,
        1_000_000,
    ),
    _rule(
        "http_451",
        Layer.HTTP,
        (LEGAL,),
        "In clear text, status 451 (blocked for legal reasons), which OONI's helper did not get. "
        "Services answer so by country.",
        Technique.HTTP_451,
        1_000_000,
    ),
)
"""Pages in place of the site's. They count where other hosts of the network show the same one."""
IMPORT_RULES: tuple[Rule[RunFacts], ...] = (
    _rule(
        "dns_bogon",
        Layer.DNS,
        (BOGON,),
        "The resolver answers only with addresses that no public service can have. "
        "(fit: dns bogon +1.78)",
        Technique.DNS_INJECTION_BOGON,
        4_100_000,
    ),
    _rule(
        "dns_blockpage",
        Layer.DNS,
        (PAGE,),
        "Every answer is an address that is known to be given in place of what is blocked.",
        Technique.DNS_INJECTION_BLOCKPAGE,
        4_100_000,
    ),
    _rule(
        "dns_foreign",
        Layer.DNS,
        (FOREIGN,),
        "No answer of the resolver can complete TLS as this name, and an address that another "
        "resolver or OONI's helper gave can. (fit: TLS inconsistent, not in control 0.9)",
        Technique.DNS_INJECTION_OTHER,
        4_100_000,
    ),
    *(
        _contradicted(kind, technique, weight)
        for kind, technique, weight in (
            (Kind.NXDOMAIN, Technique.DNS_NXDOMAIN, 3_700_000),
            (Kind.DNS_REFUSED, Technique.DNS_REFUSED, 3_700_000),
            (Kind.SERVFAIL, Technique.DNS_SERVFAIL, 3_000_000),
            (Kind.EMPTY, Technique.DNS_EMPTY, 3_700_000),
            # A resolver may be slow, and Android says the same of a slow one.
            (Kind.TIMEOUT, Technique.DNS_TIMEOUT, 2_000_000),
            (NO_WORD, None, 2_000_000),
        )
    ),
    *_family(
        Layer.DNS,
        {
            Kind.NXDOMAIN: Technique.DNS_NXDOMAIN,
            Kind.DNS_REFUSED: Technique.DNS_REFUSED,
            Kind.SERVFAIL: Technique.DNS_SERVFAIL,
            Kind.EMPTY: Technique.DNS_EMPTY,
            Kind.TIMEOUT: Technique.DNS_TIMEOUT,
        },
        "The run's resolver answers so for half or more of the names",
        {
            Kind.NXDOMAIN: 3_000_000,
            Kind.DNS_REFUSED: 2_000_000,
            Kind.SERVFAIL: 1_000_000,
            Kind.EMPTY: 1_500_000,
            Kind.TIMEOUT: 500_000,
        },
    ),
    _rule(
        "dns_no_word",
        Layer.DNS,
        (NO_WORD,),
        "Android's resolver failed, and says the same whatever the cause was. (low)",
        None,
        500_000,
    ),
    *_family(
        Layer.TCP,
        {
            Kind.RESET: Technique.TCP_RESET,
            Kind.REFUSED: Technique.TCP_REFUSED,
            Kind.UNREACHABLE: Technique.TCP_UNREACHABLE,
            Kind.PROHIBITED: Technique.TCP_UNREACHABLE,
            Kind.TIMEOUT: Technique.TCP_TIMEOUT,
        },
        "Half or more of the endpoints cannot be connected to, most of them so",
        {
            Kind.RESET: 2_000_000,
            Kind.REFUSED: 1_800_000,
            Kind.UNREACHABLE: 500_000,
            Kind.PROHIBITED: 3_100_000,
            Kind.TIMEOUT: 500_000,
        },
    ),
    *_family(
        Layer.TLS,
        {
            Kind.RESET: Technique.TLS_RESET_OTHER,
            Kind.TIMEOUT: Technique.TLS_TIMEOUT_OTHER,
            Kind.EOF: Technique.TLS_EOF_OTHER,
            Kind.ALERT: Technique.TLS_ALERT_OTHER,
            Kind.SELF_SIGNED: Technique.TLS_MITM_SELF_SIGNED,
            Kind.CA_SIGNED: Technique.TLS_MITM_CA_SIGNED,
        },
        "TCP connects, and half or more of the handshakes end so; which name would have passed "
        "was not tried",
        {
            Kind.RESET: 3_100_000,
            Kind.TIMEOUT: 1_500_000,
            Kind.EOF: 2_000_000,
            Kind.ALERT: 2_000_000,
            Kind.SELF_SIGNED: 3_000_000,
            Kind.CA_SIGNED: 3_000_000,
        },
    ),
    _rule(
        "http_blockpage",
        Layer.HTTP,
        (PAGE,),
        "Half or more of the answers are a known block page, or lead to a known block host.",
        Technique.HTTP_BLOCKPAGE,
        4_100_000,
    ),
    *_PAGES,
    *_family(
        Layer.HTTP,
        {},
        "The steps before pass, and half or more of the requests end so; which host name would "
        "have passed was not tried",
        {Kind.RESET: 2_000_000, Kind.TIMEOUT: 500_000},
    ),
    *_family(
        Layer.APP,
        {
            Kind.RESET: Technique.APP_RESET,
            Kind.EOF: Technique.APP_RESET,
            Kind.TIMEOUT: Technique.APP_TIMEOUT,
        },
        "Endpoints of the app connect, and half or more of the first exchanges end so",
        {Kind.RESET: 2_000_000, Kind.EOF: 1_000_000, Kind.TIMEOUT: 500_000},
    ),
    Rule(
        "imported.unclear",
        lambda _: True,
        _OPEN,
        "Half or more of the endpoints fail, in a way that these rules do not know.",
        None,
        0,
    ),
)
INTERFERENCE = frozenset(
    rule.id
    for rule in IMPORT_RULES
    if rule.id.endswith(_CONTRADICTED) or rule.technique in _IN_ITS_PLACE
)
"""Rules after which no fault of the service explains the failure: something else answered."""
OTHER_PAGES = frozenset(rule.id for rule in _PAGES)
"""Rules after which a page came that may be the service's own."""
