# SPDX-License-Identifier: Apache-2.0
"""Which targets to measure again at once because a block may have ended: so the successes that tell
its end from chance come within minutes.

A pure decision: networks in which vantages that saw a block have begun to reach the service. It
asks affected vantages until the block has ended or they fail again: one at a time while the
evidence is small, as in a block that lets half of the flows pass, then all. One is asked as well
when nobody has measured a known block for long. All have limits of their own (`retest_limits`).
Networks whose vantages measure often enough by themselves are not asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from monitor.detection.events import cusum, ending, gates, retest_limits, split, standing
from monitor.detection.events.retest_limits import NOTHING, Asked, OpenQuestion, Place, Question
from monitor.detection.events.series import alarmed
from monitor.detection.events.sources import strategy_of
from monitor.detection.events.state import Series, ServiceState, TargetNetwork
from monitor.detection.policy import Policy


def wanted(
    state: ServiceState, policy: Policy, now: int, asked: Asked = NOTHING
) -> dict[Place, Question]:
    """The places of which all who saw the block are to measure again at `now`, as
    `retest_requests.wanted`."""
    sure = (
        question
        for question in _open_questions(state, policy, now)
        if _evidence(question) >= policy.ending.end_retest_micronats
    )
    return retest_limits.allowed(sure, asked, retest_limits.for_ends(policy), now, policy)


def looks(
    state: ServiceState, policy: Policy, now: int, asked: Asked = NOTHING
) -> dict[Place, Question]:
    """The places of which one vantage is to measure again at `now`; `asked`: such requests alone.
    The evidence of an end is small there, or nobody has measured the block for long: the first
    success does not wait for a turn that is far off, or that a vantage lost because it is offline
    or gone."""
    unsure = (
        (place, reasons, whom[:1], slow)
        for place, reasons, whom, slow in _open_questions(state, policy, now)
        if _evidence((place, reasons, whom, slow)) < policy.ending.end_retest_micronats
    )
    return retest_limits.allowed(unsure, asked, retest_limits.for_looks(policy), now, policy)


def _evidence(question: OpenQuestion) -> int:
    return sum(nats for _, nats in question[1])


def _open_questions(state: ServiceState, policy: Policy, now: int) -> Iterator[OpenQuestion]:
    """Places where a block may have ended; without evidence of it, whoever is asked is itself the
    reason."""
    for network in state.networks.values():
        if network.inhibited_until >= state.round or not strategy_of(network.source).is_asked:
            continue
        for series in network.layers.values():
            if not _has_lasted(series):
                continue
            affected = _affected(network, series, state.round, now, policy)
            if not affected or _is_known_soon(network, affected, policy):
                continue
            reasons = [(affected[0], 0)]
            if (evidence := series.ending) is not None:
                told = [(probe, nats) for probe, nats in evidence.nats.items() if nats > 0]
                reasons = sorted(told, key=lambda reason: (-reason[1], reason[0]))
            elif not _is_overdue(network, series, affected, now, policy):
                continue
            slow = any(cusum.saw_throttling(series.tracks[probe]) for probe in affected)
            place = network.country, network.asn, network.target
            yield place, reasons, tuple(affected[: policy.ending.end_retest_vantages]), slow


def _is_overdue(
    network: TargetNetwork, series: Series, affected: list[str], now: int, policy: Policy
) -> bool:
    """Whether the newest measurement of a known block is older than a part of its age, or than the
    time between two turns."""
    tracks = [series.tracks[probe] for probe in affected]
    newest = max(max(track.last_good, track.last_bad) for track in tracks)
    began = min(track.suspicion.alarmed for track in tracks if track.suspicion is not None)
    turns = max(member.interval for member in network.members.values()) // len(network.members)
    missed = turns + policy.ms(policy.rounds.round_wait_seconds)
    gap = min((now - began) // policy.ending.end_look_part, missed)
    return now - newest >= max(policy.ms(policy.ending.end_look_seconds), gap)


def _has_lasted(series: Series) -> bool:
    """Whether there is a block whose end is new: one that is confirmed, or was about to be."""
    return series.is_confirmed or (series.is_likely and not series.likely_since)


def _affected(
    network: TargetNetwork, series: Series, round: int, now: int, policy: Policy
) -> list[str]:
    """The vantages that saw the block and report: first those that can answer now, did not reach
    the service last, and are of owners with standing, then others in each round, so that the
    retests are shared. One that has failed since long before says nothing of the end, whatever it
    measures."""
    reporting = [
        probe
        for probe in alarmed(series)
        if gates.reports(network.members[probe], series.tracks[probe], round, policy)
        and not ending.failed_before(series, probe, split.suspicion_of(series, probe), policy)
    ]
    known = standing.with_standing(network, reporting, round, policy)
    residual = policy.ms(policy.rounds.residual_seconds)

    def order(probe: str) -> tuple[bool, bool, bool, bytes]:
        track = series.tracks[probe]
        # Whoever has just failed refuses, and whoever could say nothing lately hardly can now.
        told_nothing = network.members[probe].round > max(track.last_good, track.last_bad)
        cannot = told_nothing or now - track.last_bad < residual
        chance = hashlib.sha256(f"{round} {probe}".encode()).digest()
        return cannot, track.last_good > track.last_bad, probe not in known, chance

    return sorted(reporting, key=order)


def _is_known_soon(network: TargetNetwork, affected: list[str], policy: Policy) -> bool:
    """Whether the rounds of these vantages alone tell the end of a block as soon as it can be
    told."""
    least = policy.ms(policy.ending.close_good_seconds)
    samples = sum(least / max(1, network.members[probe].interval) for probe in affected)
    return samples >= policy.ending.end_samples
