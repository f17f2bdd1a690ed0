# SPDX-License-Identifier: Apache-2.0
"""Explanations of an event other than a block, by name. What fits one is said on the event's page
(`Event.against`), and keeps the confidence below that of a page: no number of failures that look
alike tells a block from these, only a contrast does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitor.detection.events import contrasts
from monitor.detection.model import Contrasts, Event, NetworkEvidence, Technique

NEW_VANTAGES = "new_vantages"
PATH_UNKNOWN = "path_unknown"
ENOUGH_REFUSED = 5
"""Vantages of one network that a service does not suspect all at once."""
LEAST_ANSWERS = 2
"""Answers from elsewhere, or names that fail at our own host, from which they show anything."""
KNOWN_WEIGHT, NEW_WEIGHT, TRUSTED_WEIGHT = 2, 1, 3
"""An owner whom the monitor has known for long counts as much as two new ones. Two new ones are too
few for a page: a stranger enrols twice within a minute."""
_SOME_FLOWS = (100, 850)
"""Per mille of the samples that fail under load: a full block lets fewer through."""
_REFUSALS = frozenset(
    (
        Technique.TCP_REFUSED,
        Technique.TCP_RESET,
        Technique.TLS_RESET_OTHER,
        Technique.TLS_EOF_OTHER,
        Technique.TLS_ALERT_OTHER,
        Technique.TLS_ALERT_SNI,
        Technique.HTTP_451,
    )
)
"""What a server does to clients that it does not want, as well as somebody on the way."""


class NetworksEvidence:
    """The surest networks of an event, as the hypotheses see them."""

    def __init__(self, networks: Sequence[NetworkEvidence]) -> None:
        self.networks = networks
        self.contrasts: Contrasts = contrasts.together(each.contrasts for each in networks)
        self.signature = any(network.signature for network in networks)

    def mostly(self, count: int) -> bool:
        """Whether that many of the failures are most of them."""
        return 2 * count > self.contrasts.failures

    @property
    def path(self) -> bool:
        """Whether the addresses that fail answer elsewhere at the same time."""
        answered = self.contrasts.answered
        return answered >= LEAST_ANSWERS and 2 * answered >= self.contrasts.failures

    @property
    def named(self) -> bool:
        """Whether the service's name fails at our own host as well."""
        named = self.contrasts.named
        return named >= LEAST_ANSWERS and 2 * named >= self.contrasts.failures


@dataclass(frozen=True)
class Hypothesis:
    """One explanation."""

    remark: str
    """In `Event.against`. Append-only."""
    fits: Callable[[NetworksEvidence], bool]
    comment: str


def _all(condition: Callable[[NetworkEvidence], bool]) -> Callable[[NetworksEvidence], bool]:
    return lambda seen: bool(seen.networks) and all(map(condition, seen.networks))


def _may_be_suspected(network: NetworkEvidence) -> bool:
    """Whether the service may have chosen those who fail."""
    return network.agreeing < max(network.voting, ENOUGH_REFUSED)


def _of_name(technique: str) -> bool:
    """Whether a technique is seen in the answers of DNS, where no address is dialled."""
    return technique.startswith("dns.")


HYPOTHESES: tuple[Hypothesis, ...] = (
    Hypothesis(
        PATH_UNKNOWN,
        lambda seen: (
            not seen.signature
            and not seen.path
            and not seen.mostly(seen.contrasts.dead)
            and not _all(lambda network: _of_name(network.technique))(seen)
        ),
        "Nobody elsewhere tried the addresses that fail: servers for this region may be down.",
    ),
    Hypothesis(
        "dead_elsewhere",
        lambda seen: seen.mostly(seen.contrasts.dead),
        "The addresses that fail do not answer elsewhere either: these servers are down.",
    ),
    Hypothesis(
        "partial_ipv4",
        lambda seen: seen.mostly(seen.contrasts.ipv4),
        "Only IPv4 fails, and IPv6 works: a fault of routing concerns one family more often than a "
        "block does.",
    ),
    Hypothesis(
        "partial_ipv6",
        lambda seen: seen.mostly(seen.contrasts.ipv6),
        "Only IPv6 fails, and IPv4 works: a fault of routing concerns one family more often than a "
        "block does.",
    ),
    Hypothesis(
        "overloaded",
        _all(
            lambda network: (
                not network.signature and _SOME_FLOWS[0] <= network.dense_per_mille < _SOME_FLOWS[1]
            )
        ),
        "A share of the connections fails and the others pass, without a signature: a link or a "
        "server with too much load does so.",
    ),
    Hypothesis(
        "refused_by_service",
        _all(lambda network: network.technique in _REFUSALS and _may_be_suspected(network)),
        "A service refuses clients that it suspects in this way, and not all vantages of the "
        "network are refused, or they are too few to tell.",
    ),
    Hypothesis(
        NEW_VANTAGES,
        _all(
            lambda network: (
                NEW_WEIGHT * network.new_owners + KNOWN_WEIGHT * network.known_owners
                < TRUSTED_WEIGHT
            )
        ),
        "Too few owners agree whom the monitor has known for long.",
    ),
)
REMARKS = frozenset(hypothesis.remark for hypothesis in HYPOTHESES)


def surest_networks(event: Event) -> Sequence[NetworkEvidence]:
    """The networks of an event's tier: those that it is about."""
    return [network for network in event.networks if network.tier is event.tier]


def fitting(event: Event) -> tuple[str, ...]:
    """The remarks of the hypotheses that fit the surest networks of an event."""
    seen = NetworksEvidence(surest_networks(event))
    return tuple(each.remark for each in HYPOTHESES if each.fits(seen))
