# SPDX-License-Identifier: Apache-2.0
"""One target in one network: facts become samples, and samples become evidence of each vantage. How
evidence becomes a tier is decided in `quorum`, and how a block ends in `lifting`.

Networks are never pooled: each operator blocks by itself, and a network that works must not hide
one that is blocked.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from monitor.detection.events import (
    baseline,
    contrasts,
    cusum,
    ending,
    gates,
    other_hosts,
    stand_in,
    usual_hours,
)
from monitor.detection.events.cusum import CountedFailure
from monitor.detection.events.state import (
    Baseline,
    Member,
    Series,
    TargetNetwork,
    Track,
    VantageOutcome,
)
from monitor.detection.model import ClosedGate, Fact, Layer, LayerFinding, StandIn, State, Verdict
from monitor.detection.policy import Policy

DEPTH: Mapping[str, int] = {layer.value: depth for depth, layer in enumerate(Layer)}
"""How far a connection gets before a failure at this layer."""


def record(network: TargetNetwork, fact: Fact, policy: Policy) -> None:
    """Record the vantage and its latest outcome."""
    probe = fact.probe
    before = network.members.get(probe)
    usual = {} if before is None else before.usual
    if usual or fact.others_failed:
        frozen = any(
            _frozen(series, track, fact.round, policy)
            for series in network.layers.values()
            if (track := series.tracks.get(probe)) is not None
        )
        usual = other_hosts.learnt(usual, fact, frozen, policy.other_hosts)
    failing, cause = gates.failing_since(before, fact)
    network.members[probe] = Member(
        owner=fact.owner,
        enrolled=fact.enrolled,
        interval=before.interval if before is not None and fact.retest else fact.interval,
        round=fact.round,
        outcome=gates.outcome(fact),
        failed_at=before.failed_at if before else 0,
        failed_depth=before.failed_depth if before else -1,
        usual=usual,
        shared=before.shared if before else 0,
        hours=usual_hours.ALWAYS
        if before is None
        else usual_hours.after_report(
            before.hours, before.round, before.interval, fact.round, policy
        ),
        release=fact.release,
        failing=failing,
        cause=cause,
    )


def update(
    network: TargetNetwork,
    fact: Fact,
    closed: ClosedGate | None,
    policy: Policy,
    told: StandIn | None = None,
) -> None:
    """Fold one fact into every layer that it concerns. `closed`: the network's gate; `told`: what
    stands in for its control."""
    probe, outcome, inhibited = fact.probe, gates.outcome(fact), closed is not None
    member = network.members[probe]
    if outcome is VantageOutcome.GOOD:
        if member.shared:
            network.members[probe] = replace(member, shared=0)
        if member.shared > 0:
            _forget(network, probe)
        for layer in sorted(_layers(fact.verdict.findings) | _tracked(network, probe)):
            _good(network, layer, probe, fact.round, policy)
        return
    if (shared := gates.shared(member, fact, closed)) != member.shared:
        network.members[probe] = replace(member, shared=shared)
    if outcome in gates.UNCLEAR and told is None and not inhibited:
        _hold_against_end(network, probe, fact.round, policy)
    if told is not None and not inhibited:
        _mixed(network, probe, fact, inhibited, policy)
        _note_stand_in(network, probe, fact.round, told)
    elif gates.unsupported(fact, inhibited):
        _doubt(network, probe)
    elif outcome is VantageOutcome.BAD:
        _mixed(network, probe, fact, inhibited, policy)


def _mixed(network: TargetNetwork, probe: str, fact: Fact, inhibited: bool, policy: Policy) -> None:
    member = network.members[probe]
    echo = fact.started - member.failed_at <= policy.ms(policy.rounds.residual_seconds)
    deepest = -1
    for finding in findings(fact):
        if not finding.blocked:
            _good(network, finding.layer.value, probe, fact.round, policy)
        elif echo and DEPTH[finding.layer] < member.failed_depth:
            continue
        else:
            deepest = max(deepest, DEPTH[finding.layer])
            _bad(network, finding, probe, fact, inhibited, policy)
    if deepest >= 0:
        network.members[probe] = replace(member, failed_at=fact.started, failed_depth=deepest)
    if inhibited:
        _doubt(network, probe)


def _hold_against_end(network: TargetNetwork, probe: str, round: int, policy: Policy) -> None:
    """Count a failure that is no evidence of a block against its end."""
    for layer, series in network.layers.items():
        if (track := series.tracks.get(probe)) is not None:
            network.layers[layer] = ending.after_failure(series, probe, track, round, None, policy)


def _note_stand_in(network: TargetNetwork, probe: str, round: int, told: StandIn) -> None:
    for series in network.layers.values():
        track = series.tracks.get(probe)
        if track is not None and track.suspicion is not None and track.last_bad == round:
            held = stand_in.with_stand_in(track.suspicion, told)
            series.tracks[probe] = replace(track, suspicion=held)


def _is_of_a_part(verdict: Verdict) -> bool:
    """Whether a failure leaves a part of the target reachable. Where no control was there, the
    endpoints tell and not the state."""
    if gates.NO_CONTROL in verdict.evidence and verdict.endpoints.total:
        return verdict.endpoints.failed < verdict.endpoints.total
    return verdict.state is not State.BLOCKED


def findings(fact: Fact) -> Iterator[LayerFinding]:
    """The findings of a verdict; a verdict that names a layer without a finding counts as one."""
    verdict = fact.verdict
    yield from verdict.findings
    if verdict.layer is not None and not any(f.blocked for f in verdict.findings):
        yield LayerFinding(layer=verdict.layer, blocked=True, rule=verdict.rule)


@functools.lru_cache(maxsize=256)
def _layers(layer_findings: tuple[LayerFinding, ...]) -> frozenset[str]:
    return frozenset(finding.layer.value for finding in layer_findings)


def _tracked(network: TargetNetwork, probe: str) -> set[str]:
    return {name for name, series in network.layers.items() if probe in series.tracks}


def _track(network: TargetNetwork, layer: str, probe: str) -> tuple[Series, Track]:
    series = network.layers.get(layer)
    if series is None:
        series = network.layers[layer] = Series({})
    return series, series.tracks.get(probe) or Track(Baseline())


def _good(network: TargetNetwork, layer: str, probe: str, round: int, policy: Policy) -> None:
    series, track = _track(network, layer, probe)
    if track.suspicion is None and not series.likely_since:  # the usual case, in one step
        learnt = baseline.learn(track.baseline, round, False, policy)
        series.tracks[probe] = Track(learnt, round, track.last_bad, None)
        return
    series = network.layers[layer] = ending.after_success(series, probe, track, round, policy)
    track = cusum.succeed(track, round, policy)
    series.tracks[probe] = _learnt(series, track, round, False, policy)


def _bad(
    network: TargetNetwork,
    finding: LayerFinding,
    probe: str,
    fact: Fact,
    inhibited: bool,
    policy: Policy,
) -> None:
    series, track = _track(network, finding.layer.value, probe)
    verdict, round = fact.verdict, fact.round
    if inhibited:
        series.tracks[probe] = replace(track, last_bad=round)
        return
    alarmed = track.suspicion is not None and track.suspicion.alarmed
    if alarmed or gates.may_vote(network, network.members[probe], track, round, policy):
        named = verdict.technique if verdict.layer == finding.layer else None
        failure = CountedFailure(
            id=fact.id,
            started=fact.started,
            rule=finding.rule,
            weight=max(0, finding.weight),
            technique=str(named or ""),
            part=_is_of_a_part(verdict),
            heard=fact.received or fact.started,
            others=other_hosts.unusual(network.members[probe], fact, policy.other_hosts),
            contrasts=contrasts.of_failure(fact),
        )
        is_signed = failure.weight >= policy.evidence.signature_micronats
        series = ending.after_failure(series, probe, track, round, is_signed, policy)
        network.layers[finding.layer.value] = series
        track = cusum.fail(track, round, failure, policy)
    else:
        track = replace(track, last_bad=round, suspicion=None)
    series.tracks[probe] = _learnt(series, track, round, True, policy)


def _learnt(series: Series, track: Track, round: int, failed: bool, policy: Policy) -> Track:
    """The track with one more sample in its baseline, unless the baseline is frozen."""
    if _frozen(series, track, round, policy):
        return track
    learnt = baseline.learn(track.baseline, round, failed, policy)
    return replace(track, baseline=learnt)


def _frozen(series: Series, track: Track, round: int, policy: Policy) -> bool:
    """Whether what happens now must not become usual: it may be a block."""
    held = track.suspicion
    if held is not None and (held.alarmed or max(held.sums) >= policy.evidence.threshold_micronats):
        return not gates.uncorroborated(series, track, round, policy)
    return series.likely_since > 0


def _doubt(network: TargetNetwork, probe: str) -> None:
    """Weaken a vantage's evidence, except where the block is confirmed."""
    for series in network.layers.values():
        track = series.tracks.get(probe)
        if track is None or track.suspicion is None or series.is_confirmed:
            continue
        # Runs of others are published hours later: until then the evidence is kept.
        if not stand_in.rests_on_it(track.suspicion):
            series.tracks[probe] = cusum.weaken(track)


def _forget(network: TargetNetwork, probe: str) -> None:
    """Drop a vantage's evidence, except where the block is confirmed: what began with an outage has
    ended, so it was the outage."""
    for series in network.layers.values():
        if probe in series.tracks and not series.is_confirmed:
            series.tracks[probe] = replace(series.tracks[probe], suspicion=None)


def suspected(series: Series) -> bool:
    """Whether any vantage has a suspicion in this series."""
    return any(track.suspicion is not None for track in series.tracks.values())


def is_alarmed(series: Series, probe: str) -> bool:
    """Whether a vantage saw the block of a series."""
    track = series.tracks.get(probe)
    return track is not None and track.suspicion is not None and track.suspicion.alarmed > 0


def alarmed(series: Series) -> tuple[str, ...]:
    """The alarmed vantages, sorted: those that saw the block."""
    return tuple(sorted([probe for probe in series.tracks if is_alarmed(series, probe)]))
