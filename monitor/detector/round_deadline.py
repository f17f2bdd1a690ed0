# SPDX-License-Identifier: Apache-2.0
"""When a round may be folded: everybody who is due has delivered, or has had time enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from monitor.detection.model import Stored
from monitor.detection.policy import Policy
from probes.wire.measurement import LIVENESS_TARGETS, Measurement, Role


def deadline(round: int, interval: int, policy: Policy) -> int:
    """When a round closes whatever is missing, Unix milliseconds.

    `interval` is the longest of the round's measurements. A probe with a very long one does not
    hold everybody else up: it is late by design, and late facts are folded in afterwards.
    """
    wait = min(interval, policy.ms(policy.round_wait_seconds))
    return round + wait + policy.ms(policy.round_close_seconds)


def delivered(round: int, stored: Sequence[Stored]) -> bool:
    """Whether all who were active before, and are due, have delivered this round.

    `stored` holds the measurements of the round and of some rounds before it. False when
    nothing is known of rounds before: then only time can tell. Where the detector asked for the
    round, those are due whom it asked: the vantages of the networks that answer, and controls.
    """
    here = {_pair(one) for one in stored if one.measurement.round == round}
    now = [one.measurement for one in stored if one.measurement.round == round]
    asked = [m for m in now if m.retest]
    due: set[_Pair] = set()
    if not asked or any(not m.retest and m.target not in LIVENESS_TARGETS for m in now):
        due |= _by_rhythm(round, stored)
    if asked:
        due |= _by_request(round, stored, asked)
    return bool(due) and due <= here


_Pair = tuple[str, str]
"""Probe and target."""


def _pair(one: Stored) -> _Pair:
    return one.measurement.probe, one.measurement.target


def _by_rhythm(round: int, stored: Sequence[Stored]) -> set[_Pair]:
    """Who measured before, and whose interval is over."""
    return {
        _pair(one)
        for one in stored
        if one.measurement.round < round
        and one.measurement.round + one.measurement.interval_ms <= round
        and not one.measurement.retest
    }


def _by_request(round: int, stored: Sequence[Stored], asked: Iterable[Measurement]) -> set[_Pair]:
    """Who was asked, as far as the answers show."""
    places = {(m.vantage.country, m.vantage.asn, m.target) for m in asked}
    targets = {m.target for m in asked}
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
