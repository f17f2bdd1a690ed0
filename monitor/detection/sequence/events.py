# SPDX-License-Identifier: Apache-2.0
"""Events: alarmed series of one service and country, clustered; the only thing that pages.

An event opens with the first alarmed series, rises with the best of them, names only the
networks and targets of that best tier, and ends when they have lifted. One that was never
confirmed and turns out to be the service's own trouble is retracted, visibly. Times are rounds.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from monitor.detection.imported import folding as imported
from monitor.detection.imported.gathering import gathered
from monitor.detection.model import OWN_SOURCE, Change, Event, EventState, Tier
from monitor.detection.policy import Policy
from monitor.detection.sequence import gates, series, series_summary
from monitor.detection.sequence.series_summary import Fares, Sight
from monitor.detection.sequence.state import Case, ServiceState, Stood

MAX_HISTORY = 64
PROVES_WRONG = frozenset(("service_down", "endpoint_stale"))
"""Gates that speak against an event; a dark network only silences it."""
DIVIDED = "network_divided"
DOWN = (gates.DOWN, gates.UNKNOWN)
"""A control fails too, whether or not the vantage's liveness was seen."""
_RANK = {Tier.UNCONFIRMED: 1, Tier.LIKELY: 2, Tier.CONFIRMED: 3}


def event_id(service: str, country: str, opened: int, source: str = OWN_SOURCE) -> str:
    """The id of an event. Imported evidence has events of its own, so its source counts."""
    words = [service, country, str(opened)] + ([source] if source != OWN_SOURCE else [])
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def correlate(
    state: ServiceState,
    round: int,
    touched: Collection[str],
    reasons: Mapping[str, str],
    policy: Policy,
    rules_version: str = "",
    catalogue_version: str = "",
) -> tuple[Event, ...]:
    """Bring the events of all countries that were heard in this round up to date (in the cases
    of `state`, this round's own copy) and return those that changed."""
    # Asked once a round and not once an event: it looks at every vantage of every country.
    fares = functools.cache(lambda target: gates.elsewhere(state, target, round, policy))
    places = {(state.networks[key].country, state.networks[key].source) for key in touched}
    changed = []
    for country, source in sorted(places):
        place = f"{country} {source}"
        case = state.cases.get(place)
        before = case.event if case else None
        case = _lift(state, case, touched, country, source, round, policy)
        seen = series_summary.sights(state, country, source, round, policy)
        after = _advanced(state, case, seen, round, touched, reasons, fares, policy)
        if after is None:
            continue
        event = after.event
        if before is None or replace(event, updated=before.updated) != before:
            event = replace(
                event,
                updated=round,
                rules_version=rules_version,
                catalogue_version=catalogue_version or event.catalogue_version,
            )
            changed.append(event)
        if event.state is EventState.OPEN:
            state.cases[place] = replace(after, event=event)
        else:
            del state.cases[place]
    return tuple(changed)


def _lift(
    state: ServiceState,
    case: Case | None,
    touched: Collection[str],
    country: str,
    source: str,
    round: int,
    policy: Policy,
) -> Case | None:
    """End the series that have recovered; what they counted stays with the case."""
    for sight in series_summary.sights(state, country, source, round, policy):
        if sight.key not in touched:
            continue
        own = source == OWN_SOURCE
        if (
            series.lifted(sight.network, sight.layer, round, policy)
            if own
            else imported.lifted(state, sight.network, round, policy)
        ):
            if case is not None:
                # An import is read afterwards: its end is when the service was seen again.
                ends = None if own else imported.seen_again(state, sight.network, case.event)
                case = replace(
                    case,
                    event=replace(case.event, closed=ends),
                    rules=series_summary.rule_counts([sight], case.rules),
                    witnesses=series_summary.witnesses([sight], case.witnesses),
                )
            series.settle(sight.series)
        elif own:
            series.relieve(sight.network, sight.layer, round, policy)
    return case


def _advanced(
    state: ServiceState,
    case: Case | None,
    seen: Sequence[Sight],
    round: int,
    touched: Collection[str],
    reasons: Mapping[str, str],
    fares: Fares,
    policy: Policy,
) -> Case | None:
    """The case after this round; None when there is neither a case nor a reason for one."""
    top = max((sight.series.rank for sight in seen), default=0)
    if case is None:
        if not seen:
            return None
        return _opened(state, seen, top, round, fares, policy)
    if top < _RANK[case.event.tier]:
        return _ended(case, EventState.CLOSED, round, "vantages that saw it reach the service")
    mine = [sight for sight in seen if sight.key in touched]
    inhibited = _inhibited_by(mine, reasons, round) if mine else case.event.inhibited_by
    doubts = case.doubts
    if mine:
        doubts = doubts + 1 if inhibited in PROVES_WRONG else 0
    if case.event.tier is not Tier.CONFIRMED and top < 3 and doubts >= policy.close_good_rounds:
        for key in sorted({sight.key for sight in seen}):
            # A network that was not heard in this round is still shared with the old state.
            network = state.networks[key] = series.fork(state.networks[key])
            for each in network.layers.values():
                series.settle(each, wholly=True)
        return _ended(case, EventState.RETRACTED, round, inhibited or "")
    event = _described(case, seen, top, round, fares, policy, inhibited)
    told = series_summary.witnesses(seen, case.witnesses)
    return Case(event, doubts, case.rules, told, _stood(case.stood, event))


def _stood(old: Stood | None, event: Event) -> Stood | None:
    if event.source != OWN_SOURCE:
        return None
    if old is not None and old.tier is event.tier and old.agreeing > event.agreeing:
        return old
    return Stood(event.tier, event.agreeing, event.total, event.networks, event.against)


def _ended(case: Case, how: EventState, round: int, note: str) -> Case:
    event = replace(
        case.event,
        state=how,
        closed=(case.event.closed or round) if how is EventState.CLOSED else None,
        inhibited_by=note if how is EventState.RETRACTED else case.event.inhibited_by,
        rule_counts=tuple(sorted({**dict(case.event.rule_counts), **case.rules}.items())),
        history=_told(case.event.history, round, how.value, note),
    )
    if how is EventState.CLOSED and (stood := case.stood) is not None:
        event = replace(
            event,
            agreeing=stood.agreeing,
            total=stood.total,
            networks=stood.networks,
            against=stood.against,
        )
    return replace(case, event=event, doubts=0)


def _inhibited_by(mine: Sequence[Sight], reasons: Mapping[str, str], round: int) -> str | None:
    """The gate that holds for every network of this round that is alarmed, else None."""
    # What proves an event wrong first: who lost its liveness as well must not hide that.
    words = [_down(sight, round) or reasons.get(sight.key) for sight in mine]
    return max((word for word in words if word), default=None) if all(words) else None


def _down(sight: Sight, round: int) -> str | None:
    """`service_down` when the control fails too for most of those that saw the block."""
    members = [sight.network.members[probe] for probe in series.alarmed(sight.series)]
    now = [member.outcome for member in members if member.round == round]
    return "service_down" if 2 * sum(word in DOWN for word in now) > len(now) else None


def _opened(
    state: ServiceState,
    seen: Sequence[Sight],
    top: int,
    round: int,
    fares: Fares,
    policy: Policy,
) -> Case:
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
        control="ok" if network.source == OWN_SOURCE else "none",
        source=network.source,
        policy_name=policy.name,
        pace=policy.pace,
    )
    case = Case(event)
    event = _described(case, seen, top, round, fares, policy, None)
    return Case(event, 0, {}, series_summary.witnesses(seen, []), _stood(None, event))


def _described(
    case: Case,
    seen: Sequence[Sight],
    top: int,
    round: int,
    fares: Fares,
    policy: Policy,
    inhibited: str | None,
) -> Event:
    """The event's new form from what all series say now."""
    old = case.event
    new = not old.targets
    best = [sight for sight in seen if sight.series.rank == top]
    # Another layer of the same networks may name the technique once it is likely itself.
    naming = [
        sight
        for sight in seen
        if sight.series.rank >= min(2, top) and sight.key in {each.key for each in best}
    ]
    tier = series.TIERS[top]
    assert tier is not None, "an event without an alarmed series"
    rose = new or top > _RANK[old.tier]
    started = series_summary.onset_of(best, round)
    foreign = old.source != OWN_SOURCE and not new
    event = replace(
        old,
        targets=tuple(sorted({sight.network.target for sight in best})),
        asns=tuple(sorted({sight.network.asn for sight in best})),
        technique=series_summary.chosen(
            series_summary.supported(naming, round, policy), old.technique
        ),
        extent=series_summary.extent(best, old.extent),
        tier=tier,
        closed=None,
        # Later networks do not move it; the vantages that raised the tier know best.
        onset=started.at if rose or foreign else old.onset,
        onset_earliest=started.earliest if rose or foreign else old.onset_earliest,
        onset_latest=started.latest if rose or foreign else old.onset_latest,
        confirmed=round if rose and tier is Tier.CONFIRMED else old.confirmed,
        agreeing=len({probe for sight in best for probe in sight.standing.agreeing}),
        total=len({probe for sight in best for probe in sight.standing.voting}),
        rule_counts=tuple(sorted(series_summary.rule_counts(seen, case.rules).items())),
        witnesses=tuple(id for _, _, id in series_summary.witnesses(seen, case.witnesses)),
        inhibited_by=inhibited,
        networks=tuple(series_summary.network_evidence(sight, round, policy) for sight in seen),
        against=series_summary.against(best, fares, policy),
    )
    if foreign:
        event = gathered(old, event, rose, series_summary.dense_series(best))
    history = old.history
    if new:
        history = _told(history, round, "opened", event.technique)
    elif note := _difference(old, event):
        history = _told(history, round, "changed", note)
    if rose and tier is not Tier.UNCONFIRMED:
        part = tier is Tier.LIKELY and DIVIDED in event.against
        history = _told(history, round, tier.value, DIVIDED if part else "")
    return replace(event, history=history)


def _difference(old: Event, new: Event) -> str:
    """What changed that people would want to know, in one line; empty when nothing did."""
    parts = []
    if old.technique != new.technique:
        parts.append(f"{old.technique or 'unknown'} -> {new.technique}")
    if old.extent != new.extent:
        parts.append(f"{old.extent} -> {new.extent}")
    parts += [f"+{target}" for target in new.targets if target not in old.targets]
    parts += [f"-{target}" for target in old.targets if target not in new.targets]
    parts += [f"+AS{asn}" for asn in new.asns if asn not in old.asns]
    parts += [f"-AS{asn}" for asn in old.asns if asn not in new.asns]
    return ", ".join(parts)


def _told(history: tuple[Change, ...], round: int, kind: str, note: str) -> tuple[Change, ...]:
    """The history with one more entry; when it grows long, old `changed` entries go first."""
    told = (*history, Change(round=round, kind=kind, note=note))
    if len(told) <= MAX_HISTORY:
        return told
    first = next((i for i, each in enumerate(told) if each.kind == "changed"), 1)
    return told[:first] + told[first + 1 :]
