# SPDX-License-Identifier: Apache-2.0
"""What tells a block from a fault that looks like it: each failure is compared with the same
address elsewhere, the same name at our own host, and the other address family. Pure counts.

An address that failed here and answered a control in the same minutes puts the cause on the way;
one that is dead there too, at the server. Where neither was tried, nothing is known, and time does
not replace it: an outage of the service's own servers for one region lasts for hours as well.
"""

from __future__ import annotations

from collections.abc import Iterable

from monitor.detection.layers.tls_contrasts import NAME_FAILS_ANYWHERE
from monitor.detection.model import Answer, Contrasts, Fact

ANSWERS = 4
"""Answers from elsewhere that are kept by name."""
PARTIAL_IPV4, PARTIAL_IPV6 = "partial:ipv4", "partial:ipv6"


def of_failure(fact: Fact) -> Contrasts:
    """The counts of one failure."""
    evidence, elsewhere = fact.verdict.evidence, fact.elsewhere
    return Contrasts(
        failures=1,
        answered=int(bool(elsewhere.answered)),
        dead=int(elsewhere.dead > 0 and not elsewhere.answered),
        named=int(NAME_FAILS_ANYWHERE in evidence),
        ipv4=int(PARTIAL_IPV4 in evidence),
        ipv6=int(PARTIAL_IPV6 in evidence),
        answers=_newest(elsewhere.answered),
    )


def together(every: Iterable[Contrasts]) -> Contrasts:
    """The counts of several vantages or networks."""
    counts = tuple(every)
    return Contrasts(
        failures=sum(contrasts.failures for contrasts in counts),
        answered=sum(contrasts.answered for contrasts in counts),
        dead=sum(contrasts.dead for contrasts in counts),
        named=sum(contrasts.named for contrasts in counts),
        ipv4=sum(contrasts.ipv4 for contrasts in counts),
        ipv6=sum(contrasts.ipv6 for contrasts in counts),
        answers=_newest(answer for contrasts in counts for answer in contrasts.answers),
    )


def _newest(answers: Iterable[Answer]) -> tuple[Answer, ...]:
    """The newest answers, one of each address and place."""
    kept: dict[tuple[str, str, int], Answer] = {}
    for answer in sorted(set(answers), key=lambda answer: (-answer.at, answer.address, answer.asn)):
        kept.setdefault((answer.address, answer.country, answer.asn), answer)
    return tuple(kept.values())[:ANSWERS]
