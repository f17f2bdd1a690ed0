"""A network in which some flows die for good, with a block and without."""

from __future__ import annotations

from tests.lab.cases.benign import CHANCE
from tests.lab.cases.case import ANY, TLS, Case

CASES: tuple[Case, ...] = (
    Case("lossy.works", "ok", CHANCE, None, ANY, or_state="inconclusive", everyone=True),
    Case(
        "lossy.drop",
        "blocked",
        ("tcp.timeout", "tcp.background"),
        "tcp.timeout",
        ANY,
        or_state="inconclusive",
        or_bystander="inconclusive",
    ),
    Case(
        "lossy.most",
        "blocked",
        ("tcp.timeout",),
        "tcp.timeout",
        several="any_of",
        endpoints=(3, 3),
        or_bystander="inconclusive",
    ),
    Case(
        "lossy.name",
        "blocked",
        ("tls.reset.sni",),
        "tls.reset.sni",
        TLS,
        or_bystander="inconclusive",
    ),
)
