# SPDX-License-Identifier: Apache-2.0
"""The present state of a target in a network, from the newest verdict of each vantage there.

For pages and gauges only: it has no memory and no threshold but the majority, so it flickers
where the detector does not. Whether something is *called* blocked is the events' to say.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from monitor.detection.model import State, Verdict

_SILENT = (State.VANTAGE_OFFLINE, State.INSUFFICIENT)
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
"""Which state is named on a tie: the one that more people would want to know of."""


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """One vantage's newest verdict."""

    target: str
    country: str
    asn: int
    probe: str
    round: int
    verdict: Verdict


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """How a target looks from a network now."""

    target: str
    country: str
    asn: int
    state: State
    technique: str | None
    rule: str
    vantages: int
    """Vantages with a verdict that says anything."""
    agreeing: int
    """Those of them that say this state."""
    round: int
    """Newest round looked at."""


def present(sights: Iterable[Sight]) -> Sequence[Present]:
    """Return one row a (target, country, network), in that order. Of several sights of one
    vantage the newest counts; the order of the input does not matter."""
    newest: dict[tuple[str, str, int, str], Sight] = {}
    for sight in sights:
        key = (sight.target, sight.country, sight.asn, sight.probe)
        if key not in newest or sight.round > newest[key].round:
            newest[key] = sight
    places: dict[tuple[str, str, int], list[Sight]] = defaultdict(list)
    for (target, country, asn, _), sight in sorted(newest.items()):
        places[target, country, asn].append(sight)
    return [_summary(*place, seen) for place, seen in sorted(places.items())]


def _summary(target: str, country: str, asn: int, seen: list[Sight]) -> Present:
    speaking = [sight for sight in seen if sight.verdict.state not in _SILENT]
    counts = Counter(sight.verdict.state for sight in (speaking or seen))
    state = max(counts, key=lambda each: (counts[each], -_ORDER.index(each)))
    same = [sight.verdict for sight in (speaking or seen) if sight.verdict.state == state]
    techniques = Counter(str(verdict.technique) for verdict in same if verdict.technique)
    rules = Counter(verdict.rule for verdict in same)
    return Present(
        target=target,
        country=country,
        asn=asn,
        state=state,
        technique=_commonest(techniques),
        rule=_commonest(rules) or "",
        vantages=len(speaking),
        agreeing=len(same) if speaking else 0,
        round=max(sight.round for sight in seen),
    )


def _commonest(counts: Counter[str]) -> str | None:
    return min(counts, key=lambda word: (-counts[word], word)) if counts else None
