# SPDX-License-Identifier: Apache-2.0
"""The detector: a fold over rounds. State and facts of a round in, state and events out.

The unit is one service with all its targets, networks and countries, because gates compare
them. A round without facts changes nothing but the round, so silence needs no steps: whatever
depends on time is reckoned from rounds when something is heard again.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from copy import copy

from monitor.detection.calm import plane
from monitor.detection.calm.plane import Calm, Said
from monitor.detection.imported import folding as imported
from monitor.detection.model import Event, Fact
from monitor.detection.policy import Policy
from monitor.detection.sequence import events, gates, series
from monitor.detection.sequence.series_summary import Fares
from monitor.detection.sequence.state import Network, Series, ServiceState, network_key
from probes.wire.measurement import LIVENESS_TARGETS

CALM_FROM = 256
"""Networks of a service from which on those in which nothing is the matter are kept and folded as
columns. Below, numpy's calls would cost more than they save."""


def initial(service: str) -> ServiceState:
    """The state of a service that nothing is known of."""
    return ServiceState(service=service, networks={}, cases={})


def step(
    state: ServiceState,
    round: int,
    facts: Sequence[Fact],
    policy: Policy,
    *,
    rules_version: str = "",
    calm_from: int = CALM_FROM,
    shut: dict[str, str] | None = None,
) -> tuple[ServiceState, tuple[Event, ...]]:
    """Fold the facts of one round; return the new state and the events that changed.

    The given state is not changed. The order of the facts does not matter. Rounds must be
    folded in ascending order: ValueError otherwise. `calm_from`: with as many networks those in
    which nothing is the matter are folded as columns; what is concluded does not depend on it.
    `shut` is given the gates that held: why failures did not count, by key of a network.
    """
    if round <= state.round:
        raise ValueError(f"{state.service}: round {round} after round {state.round}")
    facts = [fact for fact in facts if fact.target not in LIVENESS_TARGETS]
    new = copy(state)
    new.round = round
    if not facts:
        return new, ()
    new.networks, new.cases = dict(state.networks), dict(state.cases)
    catalogue = _newest_catalogue(facts)
    said, woken, facts = _told(new, facts, round, policy)
    ordered = sorted(facts, key=_when)
    _sweep(new, round, policy)
    touched: dict[str, Network] = {}
    for fact in ordered:
        key = network_key(fact.target, fact.country, fact.asn, fact.source)
        if key not in touched:
            known = new.networks.get(key)
            touched[key] = new.networks[key] = (
                series.fork(known)
                if known is not None
                else Network(fact.target, fact.country, fact.asn, fact.source, {}, {})
            )
        if fact.source == gates.PROBE:
            series.meet(touched[key], fact)
        else:
            imported.meet(touched[key], fact, policy)
    # Asked here and for what is in columns, and not again until something is taken.
    fares = functools.cache(lambda target: gates.elsewhere(new, target, round, policy))
    reasons = gates.inhibitions(new, touched.keys(), round, policy, fares)
    reasons |= imported.inhibitions(new, touched.keys(), round, policy)
    if shut is not None:
        shut.update(reasons)
    touched |= _taken(new, said, round, policy, fares, shut)
    for fact in ordered:
        key = network_key(fact.target, fact.country, fact.asn, fact.source)
        if fact.source == gates.PROBE:
            series.take(touched[key], fact, key in reasons, policy)
        else:
            imported.take(touched[key], fact, key in reasons, policy)
    for key, network in sorted(touched.items()):
        for layer, each in network.layers.items():
            if network.source != gates.PROBE:
                imported.promote(new, network, layer, round, key in reasons, policy)
            elif series.suspected(each):
                standing = series.stand(network, layer, round, policy)
                series.promote(network, layer, standing, round, key in reasons, policy)
            else:
                each.likely_since = 0
    changed = events.correlate(
        new,
        round,
        touched.keys(),
        reasons,
        policy,
        rules_version,
        catalogue,
        heard=plane.heard(new.calm, said) if said else (),
    )
    _settle(new, touched.keys() | woken, policy, calm_from)
    return new, changed


def _when(fact: Fact) -> tuple[int, str]:
    return fact.started, fact.id


def _newest_catalogue(facts: Sequence[Fact]) -> str:
    named = (fact for fact in facts if fact.catalogue)
    newest = max(named, key=_when, default=None)
    return newest.catalogue if newest else ""


def _told(
    new: ServiceState, facts: list[Fact], round: int, policy: Policy
) -> tuple[Said, set[str], list[Fact]]:
    """What is said of calm networks, as columns; networks that wake for it, or to be swept; and
    the facts that are left for the objects."""
    if new.calm is None:
        return {}, set(), facts
    said: Said = {}
    if new.calm.policy != policy:
        awake = dict(new.calm.networks())
        new.calm = None
    else:
        awake = {}
        if _sweeping(new, round, policy):
            old = plane.forgotten(new.calm, _oldest(round, policy))
            new.calm, awake = plane.woken(new.calm, old)
        said, which, facts = plane.told(new.calm, facts)
        new.calm, more = plane.woken(new.calm, which)
        awake |= more
        new.calm = plane.met(new.calm, said, round)
    new.networks |= awake
    return said, set(awake), facts


def _taken(
    new: ServiceState,
    said: Said,
    round: int,
    policy: Policy,
    fares: Fares,
    reasons: dict[str, str] | None,
) -> dict[str, Network]:
    """Fold what is said of calm networks; those that are calm no more. `reasons`, when asked for,
    is given the gates that held."""
    if not said:
        return {}
    shut = plane.shut(new, said, round, policy, fares)
    if reasons is not None:
        looking = copy(new)
        _, asleep = plane.woken(
            new.calm, {place: where.nonzero()[0] for place, where in shut.items()}
        )
        looking.networks = new.networks | asleep
        reasons.update(gates.inhibitions(looking, asleep.keys(), round, policy, fares))
    new.calm, awake = plane.woken(new.calm, plane.taken(new.calm, said, round, shut))
    new.networks |= awake
    return awake


def _settle(new: ServiceState, keys: Collection[str], policy: Policy, calm_from: int) -> None:
    """Pack what has calmed down, where there is enough of it."""
    if new.calm is None and len(new.networks) < calm_from:
        return
    calm = Calm(policy) if new.calm is None else new.calm
    calm = plane.settled(calm, new.networks, [key for key in keys if key in new.networks])
    new.calm = calm if len(calm) else None


def _sweeping(state: ServiceState, round: int, policy: Policy) -> bool:
    return round - state.swept >= policy.ms(policy.baseline_bucket_seconds)


def _oldest(round: int, policy: Policy) -> int:
    return round - policy.ms(policy.baseline_seconds) - policy.ms(policy.baseline_lag_seconds)


def _sweep(state: ServiceState, round: int, policy: Policy) -> None:
    """Once in a while forget vantages that have not been heard for longer than a baseline
    lasts. One that saw a block is kept until somebody else can tell whether it lasts."""
    if not _sweeping(state, round, policy):
        return
    state.swept = round
    oldest = _oldest(round, policy)
    for key, network in list(state.networks.items()):
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
        left = series.fork(network)
        left.members = {p: m for p, m in network.members.items() if p not in gone}
        left.layers = {
            name: Series(tracks, each.likely_since, each.rank)
            for name, each in network.layers.items()
            if (tracks := {p: t for p, t in each.tracks.items() if p not in gone})
        }
        if left.members:
            state.networks[key] = left
        else:
            del state.networks[key]
