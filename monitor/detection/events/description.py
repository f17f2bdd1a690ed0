# SPDX-License-Identifier: Apache-2.0
"""What an event says after a round, as values: how sure it is, what is blocked, where, since when,
who sees it, and what has changed.

Nothing is decided here: `life` says where the event is, and `event_update` asks for its form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from monitor.detection.events import gates, hypotheses, life, series_summary
from monitor.detection.events.life import EventEvidence, Position, Stage, StageTransition
from monitor.detection.events.series_summary import Health, SeriesSummary
from monitor.detection.events.sources import strategy_of
from monitor.detection.events.state import OpenEvent, PeakSnapshot, ServiceState
from monitor.detection.model import (
    OWN_SOURCE,
    Change,
    ChangeKind,
    ClosedGate,
    Difference,
    Event,
    EventState,
    Tier,
    Votes,
)
from monitor.detection.policy import Policy

MAX_HISTORY = 64
DIVIDED = "network_divided"


@dataclass(frozen=True)
class EventRound:
    """What all events of a round share."""

    state: ServiceState
    """This round's own copy."""
    at: int
    touched: Collection[str]
    """Keys of the networks that reported."""
    closed_gates: Mapping[str, ClosedGate]
    """By key of a network."""
    health: Health
    policy: Policy


def event_id(service: str, country: str, opened: int, source: str = OWN_SOURCE) -> str:
    """The id of an event. Each source has events of its own, whose ids differ."""
    words = [service, country, str(opened), *strategy_of(source).id_words(source)]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def unopened(now: EventRound, country: str, source: str) -> OpenEvent:
    """An event that is about to open, of which nothing is described yet."""
    round, policy = now.at, now.policy
    event = Event(
        id=event_id(now.state.service, country, round, source),
        service=now.state.service,
        country=country,
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
        control=strategy_of(source).control,
        source=source,
        policy_name=policy.name,
        pace=policy.pace,
    )
    return OpenEvent(event)


def described(
    now: EventRound,
    current: OpenEvent,
    position: Position,
    taken: Sequence[StageTransition[EventEvidence]],
    series: Sequence[SeriesSummary],
    gate: ClosedGate | None,
) -> OpenEvent:
    """An event that goes on, in its new form according to all its series. `position`: where it is
    in its life, `taken`: what led there in this round, `gate`: what is closed for all of them."""
    old, round, policy = replace(current.event, peak_networks=()), now.at, now.policy
    surest = surest_of(series)
    started = series_summary.onset_of(surest, round)
    rose = any(row.to in life.SURENESS for row in taken)
    event = replace(
        old,
        targets=tuple(sorted({summary.network.target for summary in surest})),
        asns=tuple(sorted({summary.network.asn for summary in surest})),
        technique=series_summary.chosen(
            series_summary.supported(_naming(series), round, policy), old.technique
        ),
        extent=series_summary.extent(surest, old.extent),
        tier=life.tier_of(position),
        closed=None,
        ended_earliest=None,
        ended_latest=None,
        # Only the vantages that raised the tier set the onset, not networks that joined later.
        onset=started.at if rose else old.onset,
        onset_earliest=started.earliest if rose else old.onset_earliest,
        onset_latest=started.latest if rose else old.onset_latest,
        confirmed=round if rose and position.sure is Stage.CONFIRMED else old.confirmed,
        state=life.state_of(position),
        now=votes(surest),
        rule_counts=tuple(sorted(series_summary.rule_counts(series, current.rules).items())),
        witnesses=tuple(id for _, _, id in series_summary.witnesses(series, current.witnesses)),
        inhibited_by=gate,
        networks=tuple(
            series_summary.network_evidence(summary, round, policy) for summary in series
        ),
        against=series_summary.against(surest, now.health, round, policy),
    )
    stood_in = any(network.stand_in for network in event.networks)
    event = replace(event, control="none" if stood_in else strategy_of(old.source).control)
    event = replace(event, **_measured(now, event))
    if strategy_of(old.source).has_confidence:
        against = {*event.against, *hypotheses.fitting(event)}
        event = replace(event, against=tuple(sorted(against)))
    suspected = [(each.network.target, each.network.asn, each.held) for each in surest]
    event = strategy_of(old.source).grown(old, event, rose, started, suspected)
    changes = announced(taken, event, round)
    if old.targets and (difference := _difference(old, event)) != Difference():
        changes.insert(0, Change(round=round, kind=ChangeKind.CHANGED, difference=difference))
    event = replace(event, history=with_changes(old.history, changes))
    peak = _peak(current.peak, event)
    return replace(
        current,
        event=_resting(event, peak),
        witnesses=series_summary.witnesses(series, current.witnesses),
        peak=peak,
    )


def surest_of(series: Sequence[SeriesSummary]) -> Sequence[SeriesSummary]:
    """The series of the highest tier: those that the event is about."""
    top = max((summary.series.rank for summary in series), default=0)
    return [summary for summary in series if summary.series.rank == top]


def _naming(series: Sequence[SeriesSummary]) -> Sequence[SeriesSummary]:
    """The series that may give the technique: another layer of the networks that the event is about
    may do so once it is likely itself."""
    surest = surest_of(series)
    keys = {summary.key for summary in surest}
    least = min(life.SURENESS.index(Stage.LIKELY), surest[0].series.rank)
    return [summary for summary in series if summary.series.rank >= least and summary.key in keys]


def votes(series: Sequence[SeriesSummary]) -> Votes:
    """How many vantages see the block in any of these series, of how many that vote."""
    return Votes(
        agreeing=len({probe for summary in series for probe in summary.tally.agreeing}),
        total=len({probe for summary in series for probe in summary.tally.voting}),
    )


def _peak(old: PeakSnapshot | None, event: Event) -> PeakSnapshot | None:
    """The new peak of an event; None for sources that have none."""
    if not strategy_of(event.source).keeps_peak:
        return None
    agreed = event.now
    is_more = _is_seen(event) and (old is None or agreed.agreeing >= old.agreeing)
    if old is not None and old.tier is event.tier and not is_more:
        return old
    return PeakSnapshot(event.tier, agreed.agreeing, agreed.total, event.networks, event.against)


def _is_seen(event: Event) -> bool:
    """Whether an event rests on what is seen now, not on its peak."""
    return event.state is EventState.OPEN and event.now.agreeing > 0


def _resting(event: Event, peak: PeakSnapshot | None) -> Event:
    """The event with the numbers of then and of now, and with what it rests on: now, while it is
    open and any vantage sees it, else its peak."""
    then = event.now if peak is None else Votes(peak.agreeing, peak.total)
    if peak is None or _is_seen(event):
        return replace(event, agreeing=event.now.agreeing, total=event.now.total, peak=then)
    return replace(
        event,
        agreeing=then.agreeing,
        total=then.total,
        peak=then,
        peak_networks=peak.networks,
        against=peak.against,
    )


def _measured(now: EventRound, event: Event) -> dict[str, int]:
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


def announced(
    taken: Sequence[StageTransition[EventEvidence]], event: Event, round: int, cause: str = ""
) -> list[Change]:
    """What the history tells of these transitions. `cause`: why the event is retracted."""
    return [
        Change(
            round=round,
            kind=row.announces,
            technique=event.technique if row.announces is ChangeKind.OPENED else "",
            divided=row.announces is ChangeKind.LIKELY and DIVIDED in event.against,
            cause=cause,
        )
        for row in taken
        if row.announces is not None
    ]


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


def with_changes(history: tuple[Change, ...], changes: Sequence[Change]) -> tuple[Change, ...]:
    """The history with more entries; when it is full, old minor entries are removed first."""
    for change in changes:
        history = (*history, change)
        if len(history) > MAX_HISTORY:
            first = next(
                (i for i, entry in enumerate(history) if entry.kind not in life.PUBLISHED), 1
            )
            history = history[:first] + history[first + 1 :]
    return history
