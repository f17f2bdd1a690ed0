# SPDX-License-Identifier: Apache-2.0
"""When a round may be folded: every expected measurement has arrived, or its deadline passed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from monitor.detection.policy import Policy
from monitor.store.records import Arrived
from probes.wire.measurement import LIVENESS_INTERNATIONAL, LIVENESS_TARGETS, Role

_LIVENESS = LIVENESS_INTERNATIONAL.partition("/")[0]


def deadline(round: int, interval: int, policy: Policy) -> int:
    """When a round closes even with measurements missing, Unix milliseconds.

    `interval` is the longest interval of the round's measurements. A very long one does not delay
    the others: such a probe is late by design, and its facts are folded afterwards.
    """
    wait = min(interval, policy.ms(policy.round_wait_seconds))
    return round + wait + policy.ms(policy.round_close_seconds)


class Reports:
    """Who has delivered what lately: decides whether a round is complete before its deadline.

    Only when a round is folded depends on this, never what is concluded from it. Of a retest the
    store's rows do not say that it is one; here it is a measurement in the length of a round of
    retests by a probe that otherwise measures more rarely.
    """

    def __init__(self, policy: Policy) -> None:
        self._window = policy.ms(policy.control_window_seconds)
        self._retest_ms = policy.ms(policy.retest_round_seconds)
        self._rounds: dict[str, dict[int, dict[_Pair, Arrived]]] = {}
        """By service (or `liveness`) and round."""
        self._longest: dict[str, int] = {}
        """Each probe's longest interval."""

    def add(self, arrived: Iterable[Arrived]) -> None:
        """Note measurements that were stored."""
        for one in arrived:
            service = one.target.partition("/")[0]
            rounds = self._rounds.setdefault(service, {})
            rounds.setdefault(one.round, {})[one.probe, one.target] = one
            self._longest[one.probe] = max(one.interval_ms, self._longest.get(one.probe, 0))

    def forget(self, before: int) -> None:
        """Forget rounds before this one."""
        for service, rounds in self._rounds.items():
            self._rounds[service] = {r: some for r, some in rounds.items() if r >= before}

    def delivered(self, service: str, round: int) -> bool:
        """Whether every probe that was active within the control window before a round of a
        service, and is due, has delivered this round.

        False without earlier rounds: then only the deadline decides. In a round of retests the
        requested vantages are due: those of the networks that answer, and controls.
        """
        here: dict[_Pair, Arrived] = {}
        before: list[Arrived] = []
        for some in (self._rounds.get(service, {}), self._rounds.get(_LIVENESS, {})):
            here |= some.get(round, {})
            for earlier, reports in some.items():
                if round - self._window <= earlier < round:
                    before += reports.values()
        retested = [one for one in here.values() if self._is_retest(one)]
        due: set[_Pair] = set()
        if len(retested) < len(here) or not here:
            due = {
                (one.probe, one.target)
                for one in before
                if one.round + one.interval_ms <= round and not self._is_retest(one)
            }
        if retested:
            due |= _due_by_retest(before, retested)
        return bool(due) and due <= here.keys()

    def _is_retest(self, one: Arrived) -> bool:
        return one.interval_ms == self._retest_ms < self._longest[one.probe]


_Pair = tuple[str, str]
"""Probe and target."""


def _due_by_retest(before: Sequence[Arrived], retested: Iterable[Arrived]) -> set[_Pair]:
    """Those that a retest was requested from, as far as the answers show."""
    targets = {one.target for one in retested} - set(LIVENESS_TARGETS)
    places = {(one.country, one.asn, one.target) for one in retested if one.target in targets}
    due = {
        (one.probe, one.target)
        for one in before
        if (one.role is Role.CONTROL and one.target in targets)
        or (one.country, one.asn, one.target) in places
    }
    probes = {probe for probe, _ in due}
    return due | {
        (one.probe, one.target)
        for one in before
        if one.probe in probes and one.target in LIVENESS_TARGETS
    }
