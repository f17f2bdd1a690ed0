# SPDX-License-Identifier: Apache-2.0
"""Imported facts become evidence: one pseudo-vantage per network and source.

The CUSUM is that of our own vantages; the baseline around it differs, because runs are irregular
and many volunteers share one track.
"""

from __future__ import annotations

import functools

from msgspec.structs import replace

from monitor.detection.events import baseline, cusum, gates
from monitor.detection.events.cusum import CountedFailure
from monitor.detection.events.imported import WHOLE, elsewhere, memory, other_pages
from monitor.detection.events.imported.suspicions import alarmed
from monitor.detection.events.state import (
    Baseline,
    ImportedRuns,
    Member,
    Series,
    ServiceState,
    TargetNetwork,
    Track,
    VantageOutcome,
)
from monitor.detection.judge.imported_run import ALONE, HELPER
from monitor.detection.model import Fact, State
from monitor.detection.policy import Policy

_FAILED = (State.BLOCKED, State.IMPAIRED, State.THROTTLED, State.INCONCLUSIVE)
_WHOLE_TENTHS = 9


def outcome(fact: Fact) -> VantageOutcome:
    """The outcome of an imported fact."""
    verdict = fact.verdict
    if verdict.state is State.OK:
        return VantageOutcome.GOOD
    if verdict.state is State.DOWN:
        return VantageOutcome.DOWN
    blocked = any(finding.blocked for finding in verdict.findings) or verdict.layer is not None
    return VantageOutcome.BAD if blocked and verdict.state in _FAILED else VantageOutcome.SILENT


def record(network: TargetNetwork, fact: Fact, policy: Policy) -> None:
    """Record the pseudo-vantage and its latest outcome. Its interval is not a schedule: it sets for
    how long silence means nothing."""
    result = outcome(fact)
    if fact.verdict.page:
        network.runs = other_pages.noted(network.runs or ImportedRuns(), fact)
    network.members[fact.source] = Member(
        owner=fact.source,
        enrolled=0,
        interval=policy.ms(policy.imported.imported_silence_seconds) // 3,
        round=fact.round,
        outcome=result,
    )
    if result in (VantageOutcome.GOOD, VantageOutcome.BAD, VantageOutcome.DOWN):
        runs = network.runs or ImportedRuns()
        network.runs = memory.note_method(runs, fact, result is not VantageOutcome.GOOD)
    if network.runs is not None and result is VantageOutcome.GOOD:
        network.runs = memory.note_layers(network.runs, fact)


def update(
    state: ServiceState, network: TargetNetwork, fact: Fact, inhibited: bool, policy: Policy
) -> None:
    """Fold one fact into the series of its target. There is one series per target, not one per
    layer: runs are few, and a block shows in another layer when a run is cut short."""
    result, runs = outcome(fact), network.runs
    if runs is None or result is VantageOutcome.SILENT:
        return
    if result is VantageOutcome.DOWN:
        # The site's own fault, which may end here later than at the helper.
        if inhibited:
            network.runs = memory.veto(runs, fact.method, fact.round)
        return
    series = network.layers.setdefault(WHOLE, Series({}))
    track = series.tracks.get(fact.source) or Track(Baseline())
    together = _others_fail(state, network, fact.round, policy)
    if not inhibited and ALONE not in fact.verdict.evidence:
        runs = memory.note_outcome(runs, result is VantageOutcome.BAD, policy.imported)
        network.runs = runs
    if result is VantageOutcome.GOOD:
        runs = memory.works(runs, fact.round, policy.ending)
        judged, strict = _worse_baseline(track, together, policy)
        track = _with_baseline_of(cusum.succeed(judged, fact.round, strict), track)
    elif inhibited:
        network.runs = memory.veto(runs, fact.method, fact.round)
        series.tracks[fact.source] = replace(track, last_bad=fact.round)
        return
    else:
        told = fact.verdict.evidence
        runs = memory.fails(runs, fact.round)
        runs = memory.note_helped(runs, HELPER in told and ALONE not in told)
        track = _failed(state, network, track, fact, together, policy)
    if together:
        runs = memory.note_together(runs, result is VantageOutcome.BAD)
    network.runs = runs if track.suspicion is not None else memory.forget(runs)
    # What fails when others of a known block fail is no part of what is normal here.
    if not (together and result is VantageOutcome.BAD):
        track = _learnt(track, result is VantageOutcome.BAD, fact.round, policy)
    series.tracks[fact.source] = track


def _failed(
    state: ServiceState,
    network: TargetNetwork,
    track: Track,
    fact: Fact,
    together: bool,
    policy: Policy,
) -> Track:
    verdict, round = fact.verdict, fact.round
    alarmed = track.suspicion is not None and track.suspicion.alarmed
    member = network.members[fact.source]
    always = elsewhere.fails_here_alone(state, network, round, policy)
    counts = gates.eligible if always else functools.partial(gates.may_vote, track=track)
    if not alarmed and not counts(network, member, round=round, policy=policy):
        return replace(track, last_bad=round, suspicion=None)
    blocked = [finding for finding in verdict.findings if finding.blocked]
    lead = max(blocked, key=lambda finding: finding.weight, default=None)
    share = verdict.endpoints
    failure = CountedFailure(
        id=fact.id,
        started=fact.started,
        rule=lead.rule if lead is not None else verdict.rule,
        # What names a technique is no evidence here: networks that fail by chance fail so, too.
        weight=0,
        technique=str(verdict.technique or ""),
        part=share.failed * 10 < share.total * _WHOLE_TENTHS
        or verdict.state in (State.IMPAIRED, State.THROTTLED),
    )
    judged, strict = _worse_baseline(track, together, policy)
    if always:
        # What is usual is known from other networks: here nothing else was ever seen.
        judged, strict = replace(track, baseline=Baseline()), policy
    after = _with_baseline_of(cusum.fail(judged, round, failure, strict), track)
    return _halved(track, after) if ALONE in verdict.evidence else after


def _others_fail(state: ServiceState, network: TargetNetwork, round: int, policy: Policy) -> bool:
    """Whether another network of an open event of this country has failed within the hour."""
    if f"{network.country} {network.source}" not in state.open_events:
        return False
    hour = round - policy.ms(policy.imported.imported_together_seconds)
    return any(
        track.last_bad >= hour
        for other in state.networks.values()
        if (other.source, other.country) == (network.source, network.country)
        and other.asn != network.asn
        for track, _ in alarmed(other)
    )


@functools.lru_cache(maxsize=8)
def _with_light_prior(policy: Policy) -> Policy:
    usual = policy.baseline
    return replace(policy, baseline=replace(usual, prior_weight=usual.chronic_weight))


def _worse_baseline(track: Track, together: bool, policy: Policy) -> tuple[Track, Policy]:
    """The track and the policy with the worse of two baselines; for a run in the same hours as
    failures of other networks (`together`), with the usual one. The usual one has a prior that
    weighs as much as a month of runs: alone it would make a bad network look good. The other has a
    light prior: alone it would make a good network look perfect, and one failure look like proof,
    so it has one more failure than were seen (the rule of succession). While the history is short,
    the latest runs count in it too."""
    light = _with_light_prior(policy)
    known = track.baseline
    whole = Baseline(known.total, known.failed + 1)
    if known.total < 2 * policy.imported.imported_lag:
        whole = Baseline(known.total + known.recent_total, known.failed + known.recent_failed + 1)
    above, below = baseline.rate(known, policy.baseline)
    more, of = baseline.rate(whole, light.baseline)
    if together or more * below <= above * of:
        return track, policy
    return replace(track, baseline=whole), light


def _with_baseline_of(after: Track, before: Track) -> Track:
    """The track with its own baseline again, after it was updated with another one."""
    return replace(after, baseline=before.baseline)


def _halved(before: Track, after: Track) -> Track:
    """The track with half of what a failure added: nothing in its run shows that the device was
    online, except that the run was published later."""
    held = after.suspicion
    if held is None:
        return after
    had = before.suspicion.sums if before.suspicion is not None else (0,) * len(held.sums)
    sums = tuple(
        # At least the minimum that counts, else a sum would approach its bound for ever.
        old + min(now - old, max((now - old) // 2, cusum.LEAST))
        for old, now in zip(had, held.sums, strict=True)
    )
    return replace(after, suspicion=replace(held, sums=sums))


def _learnt(track: Track, failed: bool, round: int, policy: Policy) -> Track:
    """The track with one more run in its baseline, unless a suspicion has frozen the baseline: one
    that began before anything had worked here cannot open an event, and freezes nothing. Nor does
    one that could have been an alarm for as long as that takes and the baseline lags behind: a
    network that is worse than it was known to be would never be known for it."""
    held = track.suspicion
    if (
        held is not None
        and any(held.befores)
        and max(held.sums) >= policy.evidence.threshold_micronats
    ):
        began = min(onset for onset in held.onsets if onset)
        few = held.hits + held.misses <= policy.imported.imported_lag
        if few or round - began <= 2 * policy.ms(policy.imported.imported_span_seconds):
            return track
    if held is not None and held.alarmed:
        return track
    if held is not None and not failed and not any(held.befores):
        track = replace(track, suspicion=None)
    return replace(track, baseline=memory.learn(track.baseline, failed, policy.imported))
