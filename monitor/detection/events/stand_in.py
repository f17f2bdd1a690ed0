# SPDX-License-Identifier: Apache-2.0
"""What stands in for a control where a monitor has none: runs that others publish (OONI's), if they
reach the same target, as far as it failed here, in other countries and in the same hour. It is
weaker than a control, which measures beside the vantage and in the same way: what rests on it is
never confirmed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from monitor.detection.events import gates
from monitor.detection.events.state import ServiceState, Suspicion, TargetNetwork, VantageOutcome
from monitor.detection.model import OWN_SOURCE, Fact, StandIn
from monitor.detection.policy import Policy


class RunsElsewhere(NamedTuple):
    """The networks of other countries whose runs of the last hour tell of a target."""

    reached: tuple[tuple[str, int, int], ...]
    """(country, network, newest success)."""
    failed: int
    """How many others failed last."""
    first: int
    """Since when runs count."""


@dataclass(frozen=True)
class StandInCondition:
    """What runs elsewhere must show."""

    name: str
    holds: Callable[[RunsElsewhere, Policy], bool]
    comment: str


CONDITIONS: tuple[StandInCondition, ...] = (
    StandInCondition(
        "several_networks",
        lambda runs, policy: len(runs.reached) >= policy.imported.stand_in_networks,
        "One network may be the only one that still reaches it.",
    ),
    StandInCondition(
        "works_for_most",
        lambda runs, policy: (
            1000 * runs.failed
            <= policy.gates.elsewhere_per_mille * (len(runs.reached) + runs.failed)
        ),
        "A service that fails for many elsewhere is down, and a control would fail with them.",
    ),
)


def stand_in(state: ServiceState, fact: Fact, policy: Policy) -> StandIn | None:
    """What stands in for the control of a failure that has none; None where nothing does, or where
    it is not needed."""
    if fact.control or gates.outcome(fact) is not VantageOutcome.UNSUPPORTED:
        return None
    if str(fact.verdict.technique or "").startswith("throttle"):
        return None  # runs of others tell that a handshake passed, not how fast what followed was
    runs = runs_elsewhere(state, fact, policy)
    if not all(condition.holds(runs, policy) for condition in CONDITIONS):
        return None
    return StandIn(
        failures=1,
        networks=len(runs.reached),
        countries=len({country for country, _, _ in runs.reached}),
        first=runs.first,
        last=max(at for _, _, at in runs.reached),
    )


def runs_elsewhere(state: ServiceState, fact: Fact, policy: Policy) -> RunsElsewhere:
    """Look up the networks of other countries. A run counts as reaching it if it passed the layer
    at which it fails here: a connection says nothing of a handshake, and one over TCP nothing of
    QUIC. Runs of hours before count for nothing: a service may have failed since."""
    layer, first = fact.verdict.layer, fact.round - policy.ms(policy.imported.stand_in_seconds)
    reached, failed = [], 0
    for network in state.networks.values():
        if not _tells(network, fact) or network.runs is None or layer is None:
            continue
        newest = network.runs.reached.get(layer.value, 0)
        if network.members[network.source].outcome is not VantageOutcome.GOOD:
            failed += first < network.members[network.source].round
        elif first < newest:
            reached.append((network.country, network.asn, newest))
    return RunsElsewhere(tuple(sorted(reached)), failed, first)


def _tells(network: TargetNetwork, fact: Fact) -> bool:
    return (
        network.source != OWN_SOURCE
        and network.target == fact.target
        and network.country not in (fact.country, gates.UNKNOWN_COUNTRY)
        and network.source in network.members
    )


def with_stand_in(held: Suspicion, told: StandIn) -> Suspicion:
    """The evidence of a vantage with one more failure that counts because of it."""
    return replace(held, stand_in=replace(told, failures=counted(held) + 1))


def counted(held: Suspicion | None) -> int:
    """How many failures of a vantage count because something stood in for a control."""
    return 0 if held is None or held.stand_in is None else held.stand_in.failures


def rests_on_it(held: Suspicion) -> bool:
    """Whether most failures of a vantage count only because something stood in for a control."""
    return held.stand_in is not None and 2 * held.stand_in.failures > held.hits


def network_rests_on_it(network: TargetNetwork) -> bool:
    """Whether the evidence of a vantage that saw a block in a network does."""
    return any(
        held is not None and held.alarmed > 0 and rests_on_it(held)
        for series in network.layers.values()
        for held in (track.suspicion for track in series.tracks.values())
    )
