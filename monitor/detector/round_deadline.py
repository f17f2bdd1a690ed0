# SPDX-License-Identifier: Apache-2.0
"""When a round may be folded: every expected measurement has arrived, or its deadline passed."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.detection.lateness import deadline
from monitor.detection.policy import Policy
from monitor.store.records import Arrived
from probes.wire.measurement import LIVENESS, LIVENESS_TARGETS, Role, service_of


class Reports:
    """Who has delivered what lately: decides whether a round is complete before its deadline.

    Each vantage has its own place in the interval, so that a round holds the measurements of those
    in the same minute. Who measured a target before is expected again one interval later.

    Only when a round is folded depends on this, never what is concluded from it. Of a retest the
    store's rows do not say that it is one; here it is a measurement in the length of a round of
    retests by a probe that otherwise measures more rarely.
    """

    def __init__(self, policy: Policy) -> None:
        self._window = policy.ms(policy.rounds.control_window_seconds)
        self._longest_wait = deadline(0, 2**62, policy)
        self._pause = policy.ms(policy.retests.retest_pause_seconds)
        self._retest_ms = policy.ms(policy.retests.retest_round_seconds)
        self._rounds: dict[str, dict[int, dict[_Pair, Arrived]]] = {}
        """By service (or `liveness`) and round."""
        self._expected: dict[str, dict[int, set[_Pair]]] = {}
        """By service and the round in which they measure next."""
        self._next: dict[_Pair, int] = {}
        """That round, by probe and target."""
        self._last: dict[_Pair, int] = {}
        """The newest round of each probe and target, without retests."""
        self._latest: dict[str, dict[_Pair, Arrived]] = {}
        """Each probe's latest measurement of a target, retests included, by service."""
        self._on_time: set[tuple[str, int]] = set()
        """(service, round) in which somebody measured who was expected."""
        self._longest: dict[str, int] = {}
        """Each probe's longest interval."""

    def add(self, arrived: Iterable[Arrived]) -> None:
        """Note measurements that were stored."""
        for one in arrived:
            service = service_of(one.target)
            rounds = self._rounds.setdefault(service, {})
            rounds.setdefault(one.round, {})[one.probe, one.target] = one
            latest = self._latest.setdefault(service, {})
            pair = one.probe, one.target
            if pair not in latest or one.round > latest[pair].round:
                latest[pair] = one
            self._longest[one.probe] = max(one.interval_ms, self._longest.get(one.probe, 0))
            if not self._is_retest(one):
                self._expect(service, one)

    def _expect(self, service: str, one: Arrived) -> None:
        pair = one.probe, one.target
        before = self._next.get(pair)
        if before is not None and before <= one.round:
            self._on_time.add((service, one.round))
        if before is not None and one.round < self._last[pair]:
            return  # it came late
        self._last[pair] = one.round
        expected = self._expected.setdefault(service, {})
        if before is not None:
            expected.get(before, set()).discard(pair)
        self._next[pair] = one.round + one.interval_ms
        expected.setdefault(one.round + one.interval_ms, set()).add(pair)

    def forget(self, before: int) -> None:
        """Forget rounds before this one, and those who were expected then."""
        for service, rounds in self._rounds.items():
            self._rounds[service] = {r: some for r, some in rounds.items() if r >= before}
        for expected in self._expected.values():
            for round in [r for r in expected if r < before]:
                for pair in expected.pop(round):
                    del self._next[pair], self._last[pair]
                    self._latest.get(service_of(pair[1]), {}).pop(pair, None)
        self._on_time = {each for each in self._on_time if each[1] >= before}

    def delivered(self, service: str, round: int, now: int) -> bool:
        """Whether everybody who was expected in this round of a service, or in the control window
        before it, has delivered. Those whose own round would be over are not waited for any more.

        False when nobody was expected: then only the deadline decides. In a round of retests the
        requested vantages are expected: those of the networks that answer, and controls.
        """
        here: dict[_Pair, Arrived] = {}
        missing = False
        for each in (service, LIVENESS):
            here |= self._rounds.get(each, {}).get(round, {})
            missing |= any(
                pairs and max(round - self._window, now - self._longest_wait) <= expected <= round
                for expected, pairs in self._expected.get(each, {}).items()
            )
        retested = [one for one in here.values() if self._is_retest(one)]
        complete = bool(retested) or (service, round) in self._on_time
        if len(retested) < len(here):
            complete = not missing and (service, round) in self._on_time
        return complete and self._asked(service, round, retested) <= here.keys()

    def _asked(self, service: str, round: int, retested: Iterable[Arrived]) -> set[_Pair]:
        """Those that a retest was requested from and that are likely to answer, as far as the
        answers show: of the networks that answer, and controls. Vantages that measured the target
        shortly before wait for the residual time when they failed."""
        targets = {one.target for one in retested} - set(LIVENESS_TARGETS)
        places = {(one.country, one.asn, one.target) for one in retested if one.target in targets}
        recent = round - self._pause
        return {
            pair
            for pair, one in self._latest.get(service, {}).items()
            if one.target in targets
            and round <= self._next.get(pair, -1)
            and (one.role is Role.CONTROL or one.round <= recent)
            and (one.role is Role.CONTROL or (one.country, one.asn, one.target) in places)
        }

    def _is_retest(self, one: Arrived) -> bool:
        return one.interval_ms == self._retest_ms < self._longest[one.probe]


_Pair = tuple[str, str]
"""Probe and target."""
