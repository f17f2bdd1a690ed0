# SPDX-License-Identifier: Apache-2.0
"""What the series lacked that failed and opened no event: how near each came to an alarm, and which
condition kept it from one.

"No event" alone does not tell a quiet network from one in which a block was nearly seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from monitor.detection.events.explain import no_vote
from monitor.detection.events.sources import strategy_of
from monitor.detection.events.state import ServiceState, network_key
from monitor.detection.model import ClosedGate, Fact
from monitor.detection.policy import Policy


class SeriesShortfall(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """A series that failed and opened no event."""

    target: str
    country: str
    asn: int
    source: str
    layer: str
    failed: int
    """Rounds in which it failed."""
    not_counted: dict[str, int]
    """Of these, rounds in which a gate was closed, by gate."""
    round: int
    """When it was nearest to an alarm."""
    holds: int
    needs: int
    """Evidence then, micro-nats."""
    lacked: str
    """What was missing then: a condition of `AlarmEvidence`, one of `explain.NO_VOTE`, or a
    `ClosedGate`."""


@dataclass
class _Nearest:
    """One series so far."""

    failed: int = 0
    not_counted: Counter[str] = field(default_factory=Counter)
    round: int = 0
    holds: int = -1
    needs: int = 1
    lacked: str = ""


class Shortfalls:
    """Watches a fold (`history.Observe`), and keeps how near each series came."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._nearest: dict[tuple[str, str], _Nearest] = {}
        """By key of a network, and layer."""
        self._opened: set[tuple[str, str]] = set()

    def observe(
        self,
        before: ServiceState,
        after: ServiceState,
        round: int,
        facts: Sequence[Fact],
        closed: Mapping[str, ClosedGate],
    ) -> None:
        """Look at a round."""
        for key in {
            network_key(fact.target, fact.country, fact.asn, fact.source) for fact in facts
        }:
            if (network := after.networks.get(key)) is None:
                continue
            for layer, series in network.layers.items():
                if series.rank:
                    self._opened.add((key, layer))
                elif any(track.last_bad == round for track in series.tracks.values()):
                    self._look(after, key, layer, closed.get(key))

    def _look(self, state: ServiceState, key: str, layer: str, gate: ClosedGate | None) -> None:
        network, round = state.networks[key], state.round
        near = self._nearest.setdefault((key, layer), _Nearest())
        near.failed += 1
        if gate is not None:
            near.not_counted[gate.value] += 1
        strategy, series = strategy_of(network.source), network.layers[layer]
        for probe, track in series.tracks.items():
            if track.last_bad != round:
                continue
            shown = strategy.alarm_evidence(state, network, layer, probe, self._policy)
            if shown.holds * near.needs <= near.holds * shown.needs:
                continue
            member = network.members[probe]
            lacked = no_vote(network, member, series, track, round, self._policy)
            near.round, near.holds, near.needs = round, shown.holds, shown.needs
            near.lacked = gate.value if gate is not None else lacked or shown.lacks

    def found(self) -> Iterator[SeriesShortfall]:
        """The series that failed and opened nothing, the nearest to an alarm first in each target
        and country."""
        for (key, layer), near in sorted(self._nearest.items(), key=_order):
            if (key, layer) not in self._opened:
                target, country, asn, source = key.split(" ")
                yield SeriesShortfall(
                    target=target,
                    country=country,
                    asn=int(asn),
                    source=source,
                    layer=layer,
                    failed=near.failed,
                    not_counted=dict(near.not_counted),
                    round=near.round,
                    holds=near.holds,
                    needs=near.needs,
                    lacked=near.lacked,
                )


def _order(item: tuple[tuple[str, str], _Nearest]) -> tuple[str, str, int, int, str]:
    (key, layer), near = item
    target, country, asn, _ = key.split(" ")
    return target, country, -1000 * near.holds // near.needs, int(asn), layer
