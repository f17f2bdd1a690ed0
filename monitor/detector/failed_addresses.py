# SPDX-License-Identifier: Apache-2.0
"""The addresses that fail in a network, and which of them the controls are to try.

Only addresses that the resolvers of two owners' vantages in one network gave, and that failed there
for both: one vantage sends no control anywhere. All of this is in memory alone. It is no evidence:
what the controls see is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from monitor.detection.events.retest_limits import Place
from monitor.detection.events.sources import strategy_of
from monitor.detection.judge.address import UNSEEN
from monitor.detection.judge.elsewhere import DialledAddress
from monitor.detection.judge.target import OPEN_STATES
from monitor.detection.model import Fact
from monitor.detection.observed.ranges import special_range
from monitor.detection.policy import Policy
from probes.wire.retest import MOST_FAILED_ADDRESSES, MOST_FAILED_ENDPOINTS, FailedAddresses

RECENT_SECONDS = 1200
"""So long a failure counts."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 600, 5400
"""From one request for an address until the next; it doubles. Controls go on for longer
(`probes.rounds.handed_over.KEPT_MS`)."""
LEAST_OWNERS = 2
MOST_REMEMBERED = 64
"""Addresses of a target in a network."""
_NOBODYS = frozenset(("unspecified", "malformed", "multicast", "reserved", "link"))
"""Ranges in which no host lies that a control could reach, be it in a laboratory: other special
ones a control refuses itself (`probes.net.guard`)."""


@dataclass
class _Pace:
    """When an address was asked for last, and how long the pause after that is."""

    at: int
    pause: int


@dataclass
class FailedElsewhere:
    """What failed lately, by place."""

    policy: Policy
    _failed: dict[Place, dict[DialledAddress, dict[str, int]]] = field(default_factory=dict)
    """When each address failed last, by owner. Unix milliseconds."""
    _asked: dict[tuple[str, DialledAddress], _Pace] = field(default_factory=dict)
    """By target and address, whichever networks it fails in."""

    def record(self, facts: Iterable[Fact]) -> None:
        """Remember which addresses of these measurements failed, and no control has tried."""
        for fact in facts:
            if not fact.untried or not strategy_of(fact.source).is_asked:
                continue
            if fact.verdict.state not in OPEN_STATES and UNSEEN not in fact.verdict.evidence:
                continue
            failed = self._failed.setdefault((fact.country, fact.asn, fact.target), {})
            for dialled in fact.untried:
                if special_range(dialled[1]) in _NOBODYS:
                    continue
                by_owner = failed.setdefault(dialled, {})
                by_owner[fact.owner] = max(fact.started, by_owner.get(fact.owner, 0))
            while len(failed) > MOST_REMEMBERED:
                del failed[min(failed, key=lambda dialled: max(failed[dialled].values()))]

    def due(self, targets: Collection[str], now: int) -> Mapping[str, tuple[FailedAddresses, ...]]:
        """The addresses of these targets that controls should try now, by target; they count as
        asked for."""
        self._forget(now)
        due: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for (_, _, target), failed in sorted(self._failed.items()):
            if target not in targets:
                continue
            shared = {d: owners for d, owners in failed.items() if len(owners) >= LEAST_OWNERS}
            for dialled in sorted(
                shared, key=lambda d: (-len(shared[d]), -max(shared[d].values()), d)
            ):
                id, address = dialled
                chosen = due[target]
                if id not in chosen and len(chosen) >= MOST_FAILED_ENDPOINTS:
                    continue
                if len(chosen[id]) < MOST_FAILED_ADDRESSES and self._may_ask(target, dialled, now):
                    chosen[id].append(address)
        return {
            target: tuple(
                FailedAddresses(target=target, endpoint=id, addresses=tuple(addresses))
                for id, addresses in endpoints.items()
                if addresses
            )
            for target, endpoints in due.items()
            if any(endpoints.values())
        }

    def _may_ask(self, target: str, dialled: DialledAddress, now: int) -> bool:
        """Whether an address may be asked for now; then it counts as asked for."""
        known = self._asked.get((target, dialled))
        if known is None:
            self._asked[target, dialled] = _Pace(now, self.policy.ms(FIRST_PAUSE_SECONDS))
            return True
        if now - known.at < known.pause:
            return False
        longest = self.policy.ms(LONGEST_PAUSE_SECONDS)
        self._asked[target, dialled] = _Pace(now, min(2 * known.pause, longest))
        return True

    def _forget(self, now: int) -> None:
        oldest = now - self.policy.ms(RECENT_SECONDS)
        for place, failed in list(self._failed.items()):
            for dialled, by_owner in list(failed.items()):
                late = {owner: at for owner, at in by_owner.items() if at > oldest}
                if late:
                    failed[dialled] = late
                else:
                    del failed[dialled]
            if not failed:
                del self._failed[place]
        longest = 2 * self.policy.ms(LONGEST_PAUSE_SECONDS)
        self._asked = {key: pace for key, pace in self._asked.items() if now - pace.at < longest}
