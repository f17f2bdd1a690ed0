# SPDX-License-Identifier: Apache-2.0
"""Events: the alarmed series of one service and country together. Only events alert anyone.

What happens to an event in a round: the evidence of its series is gathered, `life` says what
follows, and the event gets its new form. It opens with the first alarmed series, has the tier of
the best of them, names only the networks and targets of that tier, and closes when their blocks
have ended; then it also names those of its peak. Operators may retract any event: what was known of
it then is part of no event until it ends, and what is left, or joins, makes another event. Times
are rounds.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from monitor.detection.events import gates, life, lifting, outages, scope_in_time, series_summary
from monitor.detection.events.description import (
    EventRound,
    announced,
    described,
    surest_of,
    unopened,
    votes,
    with_changes,
)
from monitor.detection.events.life import (
    EventEvidence,
    Position,
    SeriesEvidence,
    Stage,
    StageTransition,
)
from monitor.detection.events.other_witnesses import with_other_witnesses
from monitor.detection.events.series_summary import SeriesSummary
from monitor.detection.events.sources import strategy_of
from monitor.detection.events.state import (
    OpenEvent,
    ServiceState,
    VantageOutcome,
    changeable,
)
from monitor.detection.model import (
    BY_OPERATOR,
    NO_RETRACTIONS,
    ClosedGate,
    Event,
    Retraction,
)
from monitor.detection.policy import Policy

DOWN = (VantageOutcome.DOWN, VantageOutcome.UNKNOWN)
"""The control fails too, whether or not the vantage's liveness is known."""
_Forms = list[tuple[Event | None, OpenEvent]]
"""An event before and after the round."""


def update_events(
    state: ServiceState,
    round: int,
    touched: Collection[str],
    closed_gates: Mapping[str, ClosedGate],
    policy: Policy,
    rules_version: str = "",
    catalogue_version: str = "",
    retractions: Mapping[str, Retraction] = NO_RETRACTIONS,
) -> tuple[Event, ...]:
    """Update the events of all countries that reported in this round (in `state.open_events`, this
    round's own copy) and return those that changed. `retractions`: what operators retracted, by id
    of an event."""
    # Once per round, not once per event: it reads every vantage of every country.
    health = functools.cache(lambda target: outages.TargetHealth(state, target, round, policy))
    now = EventRound(state, round, touched, closed_gates, health, policy)
    places = {(state.networks[key].country, state.networks[key].source) for key in touched}
    # Once per round as well: most places have no event and no reason for one.
    risen = series_summary.risen_places(state)
    changed = []
    for country, source in sorted(places):
        place = f"{country} {source}"
        if (country, source) not in risen and place not in state.open_events:
            continue
        for old, after in _forms(now, country, source, retractions):
            event = after.event
            if old is None or replace(event, updated=old.updated) != old:
                event = replace(
                    event,
                    updated=round,
                    rules_version=rules_version,
                    catalogue_version=catalogue_version or event.catalogue_version,
                )
                changed.append(event)
            if event.ongoing:
                state.open_events[place] = replace(after, event=event)
            else:
                state.open_events.pop(place, None)
    countries = {country for country, _ in places}
    return tuple(with_other_witnesses(state.open_events, changed, countries, round))


def _forms(
    now: EventRound, country: str, source: str, retractions: Mapping[str, Retraction]
) -> _Forms:
    """The event of a country after this round; two when one is retracted and another opens."""
    forms: _Forms = []
    current = now.state.open_events.get(f"{country} {source}")
    retraction = None if current is None else retractions.get(current.event.id)
    if current is not None and retraction is not None and retraction.at < now.at:
        forms.append((current.event, _retracted_by_operator(now, current, retraction)))
        current = None
    before = None if current is None else current.event
    current, summaries = _after_lifts(now, current, country, source)
    concerned = [summary for summary in summaries if not summary.series.is_retracted]
    if (after := _after(now, current, country, source, concerned)) is not None:
        forms.append((before, after))
    return forms


def _retracted_by_operator(
    now: EventRound, current: OpenEvent, retraction: Retraction
) -> OpenEvent:
    """End an event that an operator retracted, and mark the series that the retraction is about."""
    event = current.event
    for summary in series_summary.series_summaries(
        now.state, event.country, event.source, now.at, now.policy
    ):
        network, layer = summary.network, summary.layer
        if (network.target, network.asn, layer) in retraction.series:
            own = changeable(now.state, summary.key)
            own.layers[layer] = replace(own.layers[layer], retracted=now.at)
    evidence = EventEvidence(retracted_by_operator=True)
    position, taken = life.walk(life.EVENT, life.position_of(event), evidence)
    return _ended(current, position, taken, retraction.at, BY_OPERATOR)


def _after_lifts(
    now: EventRound, current: OpenEvent | None, country: str, source: str
) -> tuple[OpenEvent | None, Sequence[SeriesSummary]]:
    """Clear the alarms of series whose block has ended, and return the series whose block goes on.
    The counts of those that ended stay with the event."""
    state, round, policy, strategy = now.state, now.at, now.policy, strategy_of(source)
    lifted, is_changed = [], False
    summaries = series_summary.series_summaries(state, country, source, round, policy)
    for summary in summaries:
        if summary.key not in now.touched:
            continue
        network, layer = summary.network, summary.layer
        evidence = SeriesEvidence(lifted=strategy.lifted(state, network, layer, round, policy))
        if life.rank_after(summary.series.rank, evidence):
            is_changed |= strategy.drop_recovered(network, layer, round, policy)
            continue
        is_changed = True
        if current is not None and not summary.series.is_retracted:
            lifted.append(summary)
            ends = strategy.ended(network, current.event)
            first, last = strategy.end_range(network, layer) or (None, None)
            current = replace(
                current,
                event=replace(
                    current.event,
                    closed=ends,
                    ended_earliest=first,
                    ended_latest=last,
                    now=votes(lifted),
                ),
                rules=series_summary.rule_counts([summary], current.rules),
                witnesses=series_summary.witnesses([summary], current.witnesses),
            )
        lifting.clear_alarms(network, layer)
    if is_changed:
        summaries = series_summary.series_summaries(state, country, source, round, policy)
    return current, summaries


def _after(
    now: EventRound,
    current: OpenEvent | None,
    country: str,
    source: str,
    concerned: Sequence[SeriesSummary],
) -> OpenEvent | None:
    """The event after this round; None when there is neither an event nor a reason for one."""
    gate, doubts = _doubts(now, current, concerned)
    position = Position() if current is None else life.position_of(current.event)
    surest = surest_of(concerned)
    evidence = EventEvidence(
        sure=position.sure,
        best=life.SURENESS[surest[0].series.rank] if surest else Stage.SUSPECTED,
        proven_wrong=doubts >= now.policy.ending.close_good_rounds,
        reached_again=_reached_again(now, surest),
    )
    position, taken = life.walk(life.EVENT, position, evidence)
    if position.sure is Stage.SUSPECTED:
        return None
    if current is None:
        current = unopened(now, country, source)
    if position.course is Stage.CLOSED:
        return _with_peak(_ended(current, position, taken, now.at))
    if position.course is Stage.RETRACTED:
        _drop_evidence(now, concerned)
        ended = _ended(current, position, taken, now.at, gate or "")
        return replace(
            ended, event=replace(ended.event, inhibited_by=gate or current.event.inhibited_by)
        )
    return replace(described(now, current, position, taken, concerned, gate), doubts=doubts)


def _doubts(
    now: EventRound, current: OpenEvent | None, concerned: Sequence[SeriesSummary]
) -> tuple[ClosedGate | None, int]:
    """The gate that is closed for all series that reported, and for how many rounds in a row such a
    gate has spoken against the event."""
    if current is None:
        return None, 0
    mine = [summary for summary in concerned if summary.key in now.touched]
    if not mine:
        return current.event.inhibited_by, current.doubts
    gate = _common_gate(mine, now.closed_gates, now.at)
    return gate, current.doubts + 1 if gate in gates.PROVES_WRONG else 0


def _common_gate(
    mine: Sequence[SeriesSummary], closed_gates: Mapping[str, ClosedGate], round: int
) -> ClosedGate | None:
    """The gate that is closed for every alarmed network of this round, else None."""
    # `max`: gates that speak against the event come before those of networks that are offline.
    closed = [_down(summary, round) or closed_gates.get(summary.key) for summary in mine]
    return max((gate for gate in closed if gate), default=None) if all(closed) else None


def _down(summary: SeriesSummary, round: int) -> ClosedGate | None:
    """`service_down` when the control fails too for most vantages that saw the block."""
    members = [summary.network.members[probe] for probe in summary.saw]
    now = [member.outcome for member in members if member.round == round]
    return ClosedGate.SERVICE_DOWN if 2 * sum(word in DOWN for word in now) > len(now) else None


def _reached_again(now: EventRound, surest: Sequence[SeriesSummary]) -> bool:
    """Whether the service is reached again in all these series."""
    return bool(surest) and all(
        strategy_of(summary.network.source).clearing(
            summary.network, summary.layer, now.at, now.policy
        )
        for summary in surest
    )


def _drop_evidence(now: EventRound, concerned: Sequence[SeriesSummary]) -> None:
    """Drop all evidence of the networks of an event that a gate proves wrong: there was no
    block."""
    evidence = SeriesEvidence(event_wrong=True)
    for key in sorted({summary.key for summary in concerned}):
        network = changeable(now.state, key)
        for layer, suspected in network.layers.items():
            if life.rank_after(suspected.rank, evidence) == 0:
                lifting.clear_alarms(network, layer, wholly=True)


def _ended(
    current: OpenEvent,
    position: Position,
    taken: Sequence[StageTransition[EventEvidence]],
    round: int,
    cause: str = "",
) -> OpenEvent:
    """The event at its end. `cause`: why it is retracted."""
    event = current.event
    event = replace(
        event,
        state=life.state_of(position),
        closed=(event.closed or round) if position.course is Stage.CLOSED else None,
        rule_counts=tuple(sorted({**dict(event.rule_counts), **current.rules}.items())),
        history=with_changes(event.history, announced(taken, event, round, cause)),
    )
    return replace(current, event=event, doubts=0)


def _with_peak(current: OpenEvent) -> OpenEvent:
    """A closed event with the scope of all its time, and the evidence of its peak. Networks recover
    one by one, and a block may move: its scope is not that of the last one."""
    event, peak = current.event, current.peak
    if peak is None:
        return current
    best = [network for network in peak.networks if network.tier is event.tier]
    left = scope_in_time.functions_left(event)
    targets = {*event.targets, *left, *(network.target for network in best)}
    asns = {*event.asns, *scope_in_time.left(event), *(network.asn for network in best)}
    event = replace(
        event,
        targets=tuple(sorted(targets)),
        asns=tuple(sorted(asns)),
        targets_measured=max(event.targets_measured, len(targets)),
        networks_measured=max(event.networks_measured, len(asns)),
        agreeing=peak.agreeing,
        total=peak.total,
        networks=peak.networks,
        peak_networks=(),
        against=tuple(word for word in peak.against if word != "one_network" or len(asns) == 1),
    )
    return replace(current, event=event)
