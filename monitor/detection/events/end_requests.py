# SPDX-License-Identifier: Apache-2.0
"""Which targets to measure again at once because a block may have ended: so the successes that tell
its end from chance come within minutes.

A pure decision: networks in which vantages that saw a block have begun to reach the service. It
asks affected vantages until the block has ended or they fail again, on limits of its own
(`retest_limits`). Networks whose vantages measure often enough by themselves are not asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from monitor.detection.events import cusum, gates, retest_limits, standing
from monitor.detection.events.retest_limits import NOTHING, Asked, OpenQuestion, Place, Question
from monitor.detection.events.series import alarmed
from monitor.detection.events.sources import strategy_of
from monitor.detection.events.state import Series, ServiceState, TargetNetwork
from monitor.detection.policy import Policy


def wanted(
    state: ServiceState, policy: Policy, now: int, asked: Asked = NOTHING
) -> dict[Place, Question]:
    """The places to measure again at `now`, as `retest_requests.wanted`."""
    limits, weak = retest_limits.for_ends(policy), retest_limits.for_weak_ends(policy)
    sure, unsure = list[OpenQuestion](), list[OpenQuestion]()
    for question in _open_questions(state, policy):
        known = sum(nats for _, nats in question[1]) >= policy.ending.end_retest_micronats
        (sure if known else unsure).append(question)
    return retest_limits.allowed(unsure, asked, weak, now, policy) | retest_limits.allowed(
        sure, asked, limits, now, policy
    )


def _open_questions(state: ServiceState, policy: Policy) -> Iterator[OpenQuestion]:
    """Places where a block may have ended."""
    for network in state.networks.values():
        if network.inhibited_until >= state.round or not strategy_of(network.source).is_asked:
            continue
        for series in network.layers.values():
            ending = series.ending
            if ending is None or not _has_lasted(series):
                continue
            affected = _affected(network, series, state.round, policy)
            if _is_known_soon(network, affected, policy):
                continue
            reasons = sorted(
                ((probe, nats) for probe, nats in ending.nats.items() if nats > 0),
                key=lambda reason: (-reason[1], reason[0]),
            )
            slow = any(cusum.saw_throttling(series.tracks[probe]) for probe in affected)
            place = network.country, network.asn, network.target
            yield place, reasons, tuple(affected[: policy.ending.end_retest_vantages]), slow


def _has_lasted(series: Series) -> bool:
    """Whether there is a block whose end is new: one that is confirmed, or was about to be."""
    return series.is_confirmed or (series.is_likely and not series.likely_since)


def _affected(network: TargetNetwork, series: Series, round: int, policy: Policy) -> list[str]:
    """The vantages that saw the block and report: first those that did not reach the service last,
    and of owners with standing, then others in each round, so that the retests are shared."""
    reporting = [
        probe
        for probe in alarmed(series)
        if gates.reports(network.members[probe], series.tracks[probe], round, policy)
    ]
    known = standing.with_standing(network, reporting, round, policy)

    def order(probe: str) -> tuple[bool, bool, bytes]:
        track = series.tracks[probe]
        chance = hashlib.sha256(f"{round} {probe}".encode()).digest()
        return track.last_good > track.last_bad, probe not in known, chance

    return sorted(reporting, key=order)


def _is_known_soon(network: TargetNetwork, affected: list[str], policy: Policy) -> bool:
    """Whether the rounds of these vantages alone tell the end of a block as soon as it can be
    told."""
    least = policy.ms(policy.ending.close_good_seconds)
    samples = sum(least / max(1, network.members[probe].interval) for probe in affected)
    return samples >= policy.ending.end_samples
