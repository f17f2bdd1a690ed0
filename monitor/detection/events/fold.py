# SPDX-License-Identifier: Apache-2.0
"""The detector: a fold over rounds. State and facts of a round in, state and events out.

The unit is one service with all its targets, networks and countries, because gates compare them.
A round without facts changes nothing but the round: what depends on time is computed from rounds at
the next fact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy

from msgspec.structs import replace

from monitor.detection.events import event_update, life, series
from monitor.detection.events.imported import neighbours, other_pages
from monitor.detection.events.sources import strategy_of
from monitor.detection.events.state import (
    NetworkSign,
    ServiceState,
    TargetNetwork,
    changeable,
    network_key,
)
from monitor.detection.lateness import timely
from monitor.detection.model import (
    NO_RETRACTIONS,
    ClosedGate,
    Event,
    Fact,
    Retraction,
)
from monitor.detection.policy import Policy
from probes.wire.measurement import LIVENESS_TARGETS


def initial(service: str) -> ServiceState:
    """The state of a service before its first round."""
    return ServiceState(service=service, networks={}, open_events={})


def step(
    state: ServiceState,
    round: int,
    facts: Sequence[Fact],
    policy: Policy,
    *,
    rules_version: str = "",
    closed_gates: dict[str, ClosedGate] | None = None,
    retractions: Mapping[str, Retraction] = NO_RETRACTIONS,
    heard: tuple[NetworkSign, ...] = (),
) -> tuple[ServiceState, tuple[Event, ...]]:
    """Fold the facts of one round; return the new state and the events that changed.

    The given state is not changed. The order of the facts does not matter, and late ones change
    nothing. Rounds must be
    folded in ascending order: ValueError otherwise. `closed_gates` receives, by key of
    a target in a network, the gate that is closed: why failures did not count. `retractions`: what
    operators retracted, by id of an event. `heard`: what other services' states told
    (`imported.neighbours`).
    """
    if round <= state.round:
        raise ValueError(f"{state.service}: round {round} after round {state.round}")
    facts = [fact for fact in timely(facts, policy) if fact.target not in LIVENESS_TARGETS]
    new = copy(state)
    new.round = round
    if not facts:
        return new, ()
    new.networks, new.open_events = dict(state.networks), dict(state.open_events)
    new.heard = heard
    facts = other_pages.weighed(new, facts, policy)
    catalogue = _newest_catalogue(facts)
    _sweep(new, round, policy)
    touched: dict[str, TargetNetwork] = {}
    keyed = [
        (network_key(fact.target, fact.country, fact.asn, fact.source), fact)
        for fact in sorted(facts, key=_by_start)
    ]
    for key, fact in keyed:
        if key not in touched:
            if key not in new.networks:
                place = fact.target, fact.country, fact.asn, fact.source
                new.networks[key] = TargetNetwork(*place, {}, {})
            touched[key] = changeable(new, key)
        strategy_of(fact.source).record(touched[key], fact, policy)
    closed = _inhibitions(new, touched, policy)
    if closed_gates is not None:
        closed_gates.update(closed)
    for key, fact in keyed:
        strategy_of(fact.source).update(new, touched[key], fact, closed.get(key), policy)
    for key, network in sorted(touched.items()):
        strategy = strategy_of(network.source)
        for layer, suspected in network.layers.items():
            evidence = strategy.weigh(new, network, layer, round, key in closed, policy)
            if (rank := life.rank_after(suspected.rank, evidence)) != suspected.rank:
                network.layers[layer] = replace(network.layers[layer], rank=rank)
    changed = event_update.update_events(
        new, round, touched.keys(), closed, policy, rules_version, catalogue, retractions
    )
    new.told = _after_round(new, touched, policy)
    return new, changed


def _after_round(
    state: ServiceState, touched: Mapping[str, TargetNetwork], policy: Policy
) -> tuple[NetworkSign, ...]:
    """What the service has told others after the round."""
    told = neighbours.tell(state, touched, state.round, policy)
    return other_pages.tell(state, touched, told, state.round, policy)


def _inhibitions(
    state: ServiceState, touched: Mapping[str, TargetNetwork], policy: Policy
) -> dict[str, ClosedGate]:
    """The gates that are closed in this round, by key of a touched network."""
    by_source: dict[str, list[str]] = {}
    for key, network in touched.items():
        by_source.setdefault(network.source, []).append(key)
    closed: dict[str, ClosedGate] = {}
    for source, keys in by_source.items():
        closed |= strategy_of(source).inhibitions(state, keys, state.round, policy)
    return closed


def _by_start(fact: Fact) -> tuple[int, str]:
    return fact.started, fact.id


def _newest_catalogue(facts: Sequence[Fact]) -> str:
    named = (fact for fact in facts if fact.catalogue)
    newest = max(named, key=_by_start, default=None)
    return newest.catalogue if newest else ""


def _sweep(state: ServiceState, round: int, policy: Policy) -> None:
    """Once an hour, remove vantages that have not reported for longer than their history is worth.
    One that saw a block is kept until another vantage can tell whether it lasts."""
    if round - state.swept < policy.ms(policy.baseline.baseline_bucket_seconds):
        return
    state.swept = round
    for key, network in list(state.networks.items()):
        oldest = strategy_of(network.source).forgotten_before(round, policy)
        gone = {probe for probe, member in network.members.items() if member.round < oldest}
        if not gone:
            continue
        needed = {
            probe
            for each in network.layers.values()
            if not set(each.tracks) - gone
            for probe in series.alarmed(each)
        }
        gone -= needed
        left = changeable(state, key)
        left.members = {p: m for p, m in network.members.items() if p not in gone}
        left.layers = {
            name: replace(each, tracks=tracks)
            for name, each in network.layers.items()
            if (tracks := {p: t for p, t in each.tracks.items() if p not in gone})
        }
        if not left.members:
            del state.networks[key]
