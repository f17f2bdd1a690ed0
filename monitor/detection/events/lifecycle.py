# SPDX-License-Identifier: Apache-2.0
"""Events: the alarmed series of one service and country together. Only events alert anyone.

An event opens with the first alarmed series, has the tier of the best of them, names only the
networks and targets of that tier, and closes when their blocks have ended; then it also names those
of its peak. An event that was never confirmed and turns out to be a fault of the service is
retracted. Operators may retract any: what was known of it then is part of no event until it ends,
and what is left, or joins, makes another event. Times are rounds.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from monitor.detection.events import gates, series, series_summary
from monitor.detection.events.series_summary import HealthByCountry, SeriesSummary
from monitor.detection.events.sources import strategy_of
from monitor.detection.events.state import OpenEvent, PeakSnapshot, ServiceState, VantageOutcome
from monitor.detection.model import (
    BY_OPERATOR,
    NO_RETRACTIONS,
    OWN_SOURCE,
    Change,
    ChangeKind,
    ClosedGate,
    Difference,
    Event,
    EventState,
    Retraction,
    Tier,
    Votes,
)
from monitor.detection.policy import Policy

MAX_HISTORY = 64
_MINOR = frozenset((ChangeKind.CHANGED, ChangeKind.CLEARING, ChangeKind.AGAIN))
DIVIDED = "network_divided"
DOWN = (VantageOutcome.DOWN, VantageOutcome.UNKNOWN)
"""The control fails too, whether or not the vantage's liveness is known."""
_RANK = {Tier.UNCONFIRMED: 1, Tier.LIKELY: 2, Tier.CONFIRMED: 3}


def event_id(service: str, country: str, opened: int, source: str = OWN_SOURCE) -> str:
    """The id of an event. Each source has events of its own, whose ids differ."""
    words = [service, country, str(opened), *strategy_of(source).id_words(source)]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Round:
    """What all events of a round share."""

    state: ServiceState
    """This round's own copy."""
    at: int
    touched: Collection[str]
    """Keys of the networks that reported."""
    closed_gates: Mapping[str, ClosedGate]
    """By key of a network."""
    health: HealthByCountry
    policy: Policy


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
    health = functools.cache(lambda target: gates.health_by_country(state, target, round, policy))
    now = _Round(state, round, touched, closed_gates, health, policy)
    places = {(state.networks[key].country, state.networks[key].source) for key in touched}
    changed = []
    for country, source in sorted(places):
        place = f"{country} {source}"
        current = state.open_events.get(place)
        said = retractions.get(current.event.id) if current is not None else None
        results: list[tuple[Event | None, OpenEvent]] = []
        if current is not None and said is not None and said.at < round:
            results.append((current.event, _retract(now, current, said)))
            current = None
        before = current.event if current else None
        current = _close_lifted(now, current, country, source)
        summaries = series_summary.series_summaries(state, country, source, round, policy)
        seen = [summary for summary in summaries if not summary.series.is_retracted]
        if (updated := _updated(now, current, seen)) is not None:
            results.append((before, updated))
        for old, after in results:
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
    return tuple(changed)


def _retract(now: _Round, current: OpenEvent, said: Retraction) -> OpenEvent:
    """End an event that an operator retracted, and mark the series that the retraction is about."""
    event = current.event
    for summary in series_summary.series_summaries(
        now.state, event.country, event.source, now.at, now.policy
    ):
        network, layer = summary.network, summary.layer
        if (network.target, network.asn, layer) in said.series:
            # A network that did not report in this round is still shared with the old state.
            own = now.state.networks[summary.key] = series.copy_for_round(
                now.state.networks[summary.key]
            )
            own.layers[layer].retracted = now.at
    return _ended(current, EventState.RETRACTED, said.at, BY_OPERATOR)


def _close_lifted(
    now: _Round, current: OpenEvent | None, country: str, source: str
) -> OpenEvent | None:
    """Clear the alarms of series whose block has ended; their counts stay with the event."""
    state, round, policy, strategy = now.state, now.at, now.policy, strategy_of(source)
    lifted = []
    for summary in series_summary.series_summaries(state, country, source, round, policy):
        if summary.key not in now.touched:
            continue
        if strategy.lifted(state, summary.network, summary.layer, round, policy):
            if current is not None and not summary.series.is_retracted:
                lifted.append(summary)
                ends = strategy.ended(summary.network, current.event)
                current = replace(
                    current,
                    event=replace(current.event, closed=ends, now=_votes(lifted)),
                    rules=series_summary.rule_counts([summary], current.rules),
                    witnesses=series_summary.witnesses([summary], current.witnesses),
                )
            series.clear_alarms(summary.series)
        else:
            strategy.drop_recovered(summary.network, summary.layer, round, policy)
    return current


def _updated(
    now: _Round, current: OpenEvent | None, seen: Sequence[SeriesSummary]
) -> OpenEvent | None:
    """The event after this round; None when there is neither an event nor a reason for one."""
    state, round = now.state, now.at
    top = max((summary.series.rank for summary in seen), default=0)
    if current is None:
        if not seen:
            return None
        return _new(now, seen, top)
    if top < _RANK[current.event.tier]:
        return _ended(current, EventState.CLOSED, round)
    mine = [summary for summary in seen if summary.key in now.touched]
    inhibited = _common_gate(mine, now.closed_gates, round) if mine else current.event.inhibited_by
    doubts = current.doubts
    if mine:
        doubts = doubts + 1 if inhibited in gates.PROVES_WRONG else 0
    if (
        current.event.tier is not Tier.CONFIRMED
        and top < 3
        and doubts >= now.policy.close_good_rounds
    ):
        for key in sorted({summary.key for summary in seen}):
            # A network that did not report in this round is still shared with the old state.
            network = state.networks[key] = series.copy_for_round(state.networks[key])
            for each in network.layers.values():
                series.clear_alarms(each, wholly=True)
        return _ended(current, EventState.RETRACTED, round, inhibited or "", inhibited)
    event = _updated_event(now, current, seen, top, inhibited)
    peak = _peak(current.peak, event)
    witnesses = series_summary.witnesses(seen, current.witnesses)
    return OpenEvent(_with_votes(event, peak), doubts, current.rules, witnesses, peak)


def _peak(old: PeakSnapshot | None, event: Event) -> PeakSnapshot | None:
    if not strategy_of(event.source).keeps_peak:
        return None
    votes = event.now
    if old is not None and old.tier is event.tier and old.agreeing > votes.agreeing:
        return old
    return PeakSnapshot(event.tier, votes.agreeing, votes.total, event.networks, event.against)


def _with_votes(event: Event, peak: PeakSnapshot | None) -> Event:
    """The event with the numbers of then and of now. `agreeing` and `total` are those on which it
    rests: of now, while it is open and any vantage sees it, else of then."""
    then = event.now if peak is None else Votes(peak.agreeing, peak.total)
    rests = event.now if event.state is EventState.OPEN and event.now.agreeing else then
    return replace(event, agreeing=rests.agreeing, total=rests.total, peak=then)


def _ended(
    current: OpenEvent,
    how: EventState,
    round: int,
    cause: str = "",
    gate: ClosedGate | None = None,
) -> OpenEvent:
    """The event at its end. `cause`: why it is retracted; `gate`: when a gate proves it wrong."""
    event = replace(
        current.event,
        state=how,
        closed=(current.event.closed or round) if how is EventState.CLOSED else None,
        inhibited_by=gate or current.event.inhibited_by,
        rule_counts=tuple(sorted({**dict(current.event.rule_counts), **current.rules}.items())),
        history=_with_changes(
            current.event.history, [Change(round=round, kind=ChangeKind(how), cause=cause)]
        ),
    )
    if how is EventState.CLOSED and (peak := current.peak) is not None:
        # Networks recover one by one: its scope is not that of the last one.
        best = [each for each in peak.networks if each.tier is event.tier]
        targets = {*event.targets, *(each.target for each in best)}
        asns = {*event.asns, *(each.asn for each in best)}
        event = replace(
            event,
            targets=tuple(sorted(targets)),
            asns=tuple(sorted(asns)),
            targets_measured=max(event.targets_measured, len(targets)),
            networks_measured=max(event.networks_measured, len(asns)),
            agreeing=peak.agreeing,
            total=peak.total,
            networks=peak.networks,
            against=peak.against,
        )
    return replace(current, event=event, doubts=0)


def _common_gate(
    mine: Sequence[SeriesSummary], closed_gates: Mapping[str, ClosedGate], round: int
) -> ClosedGate | None:
    """The gate that is closed for every alarmed network of this round, else None."""
    # `max`: gates that speak against the event come before those of networks that are offline.
    closed = [_down(summary, round) or closed_gates.get(summary.key) for summary in mine]
    return max((gate for gate in closed if gate), default=None) if all(closed) else None


def _down(summary: SeriesSummary, round: int) -> ClosedGate | None:
    """`service_down` when the control fails too for most vantages that saw the block."""
    members = [summary.network.members[probe] for probe in series.alarmed(summary.series)]
    now = [member.outcome for member in members if member.round == round]
    return ClosedGate.SERVICE_DOWN if 2 * sum(word in DOWN for word in now) > len(now) else None


def _new(now: _Round, seen: Sequence[SeriesSummary], top: int) -> OpenEvent:
    state, round, policy = now.state, now.at, now.policy
    network = seen[0].network
    event = Event(
        id=event_id(state.service, network.country, round, network.source),
        service=state.service,
        country=network.country,
        targets=(),
        asns=(),
        technique="",
        extent="",
        state=EventState.OPEN,
        tier=Tier.UNCONFIRMED,
        onset=round,
        onset_earliest=round,
        onset_latest=round,
        opened=round,
        updated=round,
        agreeing=0,
        total=0,
        control=strategy_of(network.source).control,
        source=network.source,
        policy_name=policy.name,
        pace=policy.pace,
    )
    current = OpenEvent(event)
    event = _updated_event(now, current, seen, top, None)
    peak = _peak(None, event)
    return OpenEvent(_with_votes(event, peak), 0, {}, series_summary.witnesses(seen, []), peak)


def _updated_event(
    now: _Round, current: OpenEvent, seen: Sequence[SeriesSummary], top: int, inhibited: str | None
) -> Event:
    """The event's new form according to all series."""
    round, policy = now.at, now.policy
    old = current.event
    new = not old.targets
    best = [summary for summary in seen if summary.series.rank == top]
    # Another layer of the same networks may give the technique once it is likely itself.
    naming = [
        summary
        for summary in seen
        if summary.series.rank >= min(2, top) and summary.key in {each.key for each in best}
    ]
    tier = series.TIERS[top]
    assert tier is not None, "an event without an alarmed series"
    rose = new or top > _RANK[old.tier]
    started = series_summary.onset_of(best, round)
    event = replace(
        old,
        targets=tuple(sorted({summary.network.target for summary in best})),
        asns=tuple(sorted({summary.network.asn for summary in best})),
        technique=series_summary.chosen(
            series_summary.supported(naming, round, policy), old.technique
        ),
        extent=series_summary.extent(best, old.extent),
        tier=tier,
        closed=None,
        # Only the vantages that raised the tier set the onset, not networks that joined later.
        onset=started.at if rose else old.onset,
        onset_earliest=started.earliest if rose else old.onset_earliest,
        onset_latest=started.latest if rose else old.onset_latest,
        confirmed=round if rose and tier is Tier.CONFIRMED else old.confirmed,
        state=EventState.CLEARING if _clearing(best, now) else EventState.OPEN,
        now=_votes(best),
        rule_counts=tuple(sorted(series_summary.rule_counts(seen, current.rules).items())),
        witnesses=tuple(id for _, _, id in series_summary.witnesses(seen, current.witnesses)),
        inhibited_by=inhibited,
        networks=tuple(series_summary.network_evidence(summary, round, policy) for summary in seen),
        against=series_summary.against(best, now.health, policy),
    )
    event = replace(event, **_measured(now, event))
    suspected = [(each.network.target, each.network.asn, each.held) for each in best]
    event = strategy_of(old.source).grown(old, event, rose, started, suspected)
    changes = []
    if new:
        changes.append(Change(round=round, kind=ChangeKind.OPENED, technique=event.technique))
    elif (difference := _difference(old, event)) != Difference():
        changes.append(Change(round=round, kind=ChangeKind.CHANGED, difference=difference))
    if event.state is not old.state:
        clears = event.state is EventState.CLEARING
        kind = ChangeKind.CLEARING if clears else ChangeKind.AGAIN
        changes.append(Change(round=round, kind=kind))
    if rose and tier is not Tier.UNCONFIRMED:
        part = tier is Tier.LIKELY and DIVIDED in event.against
        changes.append(Change(round=round, kind=ChangeKind(tier), divided=part))
    return replace(event, history=_with_changes(old.history, changes))


def _votes(seen: Sequence[SeriesSummary]) -> Votes:
    return Votes(
        agreeing=len({probe for summary in seen for probe in summary.tally.agreeing}),
        total=len({probe for summary in seen for probe in summary.tally.voting}),
    )


def _clearing(seen: Sequence[SeriesSummary], now: _Round) -> bool:
    """Whether the service is reached again in all these series."""
    return all(
        strategy_of(summary.network.source).clearing(
            summary.network, summary.layer, now.at, now.policy
        )
        for summary in seen
    )


def _measured(now: _Round, event: Event) -> dict[str, int]:
    """In how many networks of the country the event's targets are measured, and how many targets of
    the service: the event's scope is told by them."""
    networks, targets = set(), set()
    for network in now.state.networks.values():
        if (network.country, network.source) != (event.country, event.source):
            continue
        if any(gates.fresh(member, now.at, now.policy) for member in network.members.values()):
            targets.add(network.target)
            if network.target in event.targets:
                networks.add(network.asn)
    return {
        "networks_measured": len(networks | set(event.asns)),
        "targets_measured": len(targets | set(event.targets)),
    }


def _difference(old: Event, new: Event) -> Difference:
    """What matters to people and is different in the new form."""
    return Difference(
        technique=_replaced(old.technique, new.technique),
        extent=_replaced(old.extent, new.extent),
        targets_added=tuple(target for target in new.targets if target not in old.targets),
        targets_removed=tuple(target for target in old.targets if target not in new.targets),
        asns_added=tuple(asn for asn in new.asns if asn not in old.asns),
        asns_removed=tuple(asn for asn in old.asns if asn not in new.asns),
    )


def _replaced(before: str, now: str) -> tuple[str, str] | None:
    return None if before == now else (before, now)


def _with_changes(history: tuple[Change, ...], changes: Sequence[Change]) -> tuple[Change, ...]:
    """The history with more entries; when it is full, old minor entries are removed first."""
    for change in changes:
        history = (*history, change)
        if len(history) > MAX_HISTORY:
            first = next((i for i, entry in enumerate(history) if entry.kind in _MINOR), 1)
            history = history[:first] + history[first + 1 :]
    return history
