# SPDX-License-Identifier: Apache-2.0
"""When a round may be folded: every expected measurement has arrived, or its deadline passed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from monitor.detection.model import Stored
from monitor.detection.policy import Policy
from probes.wire.measurement import LIVENESS_TARGETS, Measurement, Role


def deadline(round: int, interval: int, policy: Policy) -> int:
    """When a round closes even with measurements missing, Unix milliseconds.

    `interval` is the longest interval of the round's measurements. A very long one does not delay
    the others: such a probe is late by design, and its facts are folded afterwards.
    """
    wait = min(interval, policy.ms(policy.round_wait_seconds))
    return round + wait + policy.ms(policy.round_close_seconds)


def delivered(round: int, stored: Sequence[Stored]) -> bool:
    """Whether every probe that was active before and is due has delivered this round.

    `stored` holds the measurements of the round and of some rounds before it. False without
    earlier rounds: then only the deadline decides. In a round of retests the requested vantages
    are due: those of the networks that answer, and controls.
    """
    here = {_pair(one) for one in stored if one.measurement.round == round}
    now = [one.measurement for one in stored if one.measurement.round == round]
    retested = [m for m in now if m.retest]
    due: set[_Pair] = set()
    if not retested or any(not m.retest and m.target not in LIVENESS_TARGETS for m in now):
        due |= _due_by_interval(round, stored)
    if retested:
        due |= _due_by_retest(round, stored, retested)
    return bool(due) and due <= here


_Pair = tuple[str, str]
"""Probe and target."""


def _pair(one: Stored) -> _Pair:
    return one.measurement.probe, one.measurement.target


def _due_by_interval(round: int, stored: Sequence[Stored]) -> set[_Pair]:
    """Those that measured before and whose interval is over."""
    return {
        _pair(one)
        for one in stored
        if one.measurement.round < round
        and one.measurement.round + one.measurement.interval_ms <= round
        and not one.measurement.retest
    }


def _due_by_retest(
    round: int, stored: Sequence[Stored], retested: Iterable[Measurement]
) -> set[_Pair]:
    """Those that a retest was requested from, as far as the answers show."""
    places = {(m.vantage.country, m.vantage.asn, m.target) for m in retested}
    targets = {m.target for m in retested}
    before = [one for one in stored if one.measurement.round < round]
    due = set()
    for one in before:
        m = one.measurement
        control = one.role is Role.CONTROL and m.target in targets
        if control or (m.vantage.country, m.vantage.asn, m.target) in places:
            due.add(_pair(one))
    probes = {probe for probe, _ in due}
    return due | {
        _pair(one)
        for one in before
        if one.measurement.probe in probes and one.measurement.target in LIVENESS_TARGETS
    }
