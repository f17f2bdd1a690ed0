# SPDX-License-Identifier: Apache-2.0
"""The present state of a target in a network, from the newest verdict of each vantage there.

For pages and gauges only: it has no memory and no threshold except the majority, so it changes more
often than the detector. Only events call a service blocked.

The structs are `gc=False`: a large fleet has hundreds of thousands, never part of a cycle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter

import msgspec

from monitor.detection.model import OWN_SOURCE, Event, EventState, State, Tier, Verdict

SILENT = (State.VANTAGE_OFFLINE, State.INSUFFICIENT)
_ORDER = (
    State.BLOCKED,
    State.IMPAIRED,
    State.THROTTLED,
    State.DOWN,
    State.INCONCLUSIVE,
    State.OK,
    State.VANTAGE_OFFLINE,
    State.INSUFFICIENT,
)
"""Which state is named on a tie: the more important one."""
_RANKS = {state: rank for rank, state in enumerate(_ORDER)}


class LatestVerdict(msgspec.Struct, frozen=True, gc=False):
    """One vantage's newest verdict."""

    target: str
    country: str
    asn: int
    probe: str
    round: int
    verdict: Verdict


class PresentState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The present state of a target in a network."""

    target: str
    country: str
    asn: int
    state: State
    technique: str | None
    rule: str
    vantages: int
    """Vantages with a conclusive verdict."""
    agreeing: int
    """Those of them that say this state."""
    round: int
    """Newest round looked at."""


def leading(events: Iterable[Event]) -> Event | None:
    """The event by which a service in a place is described where there is room for one: one that
    stands, the surest, one that goes on rather than one that is clearing or over, one of our own
    vantages rather than of runs of others, which are hours old, the newest."""
    return max(events, key=_weight, default=None)


def _weight(event: Event) -> tuple[bool, bool, int, bool, bool, int, str]:
    surest = tuple(Tier).index(event.tier)
    going_on, own = event.state is EventState.OPEN, event.source == OWN_SOURCE
    return event.ongoing, event.stands, surest, going_on, own, event.onset, event.id


def confirmed_open(events: Iterable[Event]) -> list[Event]:
    """Those that are called blocks of now: confirmed, and of these not what is clearing where any
    other goes on."""
    confirmed = [event for event in events if event.stands and event.tier is Tier.CONFIRMED]
    return [event for event in confirmed if event.state is EventState.OPEN] or confirmed


def worst(rows: Sequence[PresentState], limit: int) -> Sequence[PresentState]:
    """At most `limit` of the rows, the most important states; their order stays."""
    if len(rows) <= limit:
        return rows
    ranks = [_RANKS[row.state] for row in rows]
    ranked = sorted(range(len(rows)), key=ranks.__getitem__)  # equal ones stay in order
    return [rows[n] for n in sorted(ranked[:limit])]


def states_in_order(verdicts: Iterable[LatestVerdict]) -> Sequence[PresentState]:
    """Return one row per (target, country, network) of verdicts sorted by these, one a vantage."""
    return [_summary(*place, list(seen)) for place, seen in groupby(verdicts, _place)]


_place = attrgetter("target", "country", "asn")


def _summary(target: str, country: str, asn: int, seen: list[LatestVerdict]) -> PresentState:
    said, newest = seen[0].verdict, seen[0].round
    for each in seen:  # a loop, as a large fleet has ten thousand places
        if each.verdict is not said:
            return _counted(target, country, asn, seen)
        if each.round > newest:
            newest = each.round
    # Mostly all say the same, and there is nothing to count.
    conclusive = 0 if said.state in SILENT else len(seen)
    return PresentState(
        target=target,
        country=country,
        asn=asn,
        state=said.state,
        technique=str(said.technique) if said.technique else None,
        rule=said.rule,
        vantages=conclusive,
        agreeing=conclusive,
        round=newest,
    )


def _counted(target: str, country: str, asn: int, seen: list[LatestVerdict]) -> PresentState:
    speaking = [each for each in seen if each.verdict.state not in SILENT]
    counts = Counter(each.verdict.state for each in (speaking or seen))
    state = max(counts, key=lambda each: (counts[each], -_ORDER.index(each)))
    same = [each.verdict for each in (speaking or seen) if each.verdict.state == state]
    techniques = Counter(str(verdict.technique) for verdict in same if verdict.technique)
    rules = Counter(verdict.rule for verdict in same)
    return PresentState(
        target=target,
        country=country,
        asn=asn,
        state=state,
        technique=_commonest(techniques),
        rule=_commonest(rules) or "",
        vantages=len(speaking),
        agreeing=len(same) if speaking else 0,
        round=max(each.round for each in seen),
    )


def _commonest(counts: Counter[str]) -> str | None:
    return min(counts, key=lambda word: (-counts[word], word)) if counts else None
