# SPDX-License-Identifier: Apache-2.0
"""The sequential detector of one vantage in one series: a bank of CUSUMs on its failures.

Each member of the bank tests the failure rate p1 against the baseline p0, for its own p1, because
many blocks are partial. Evidence is integers (micro-nats): each logarithm of integer counts is
rounded once, and sums of integers do not depend on their order. A member whose p1 is not well above
the baseline does not count, so that a failure never lowers a sum, a success never raises one, and
chance does not drift towards an alarm. A second CUSUM in the other direction detects the end of a
block.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from monitor.detection.events import baseline, contrasts
from monitor.detection.events.state import Suspicion, Track
from monitor.detection.model import NO_CONTRASTS, Contrasts, Technique
from monitor.detection.policy import EvidencePolicy, Policy

MICRO = 1_000_000
WITNESSES = 6
"""Failures whose ids a track keeps."""
TECHNIQUE_MEMORY = 16
"""How much evidence by technique is kept, in clips: about a dozen failures. With more, an outdated
technique stays too long; with less, the technique of a mixture changes too often."""
DENSEST_PER_MILLE = 980
"""Even a full block lets some connections through."""
SIGNATURES_ENOUGH = 2
WHATEVER_NAME = ".other"
"""End of the ids of rules by which an innocuous name to the same server fails as well."""
LEAST = 1_000_000
"""Micro-nats: a smaller sum is dropped when evidence is weakened."""
NEARLY_MICRONATS = 3_000_000
"""An onset is nearly as likely as another one that is at most twenty times likelier."""
_HALVE_ABOVE = 8
_NO_RUN = (0, 0, 0)
EarlierFailures = Callable[[int], int]
"""Failures of the whole target at earlier steps since a time (Unix ms)."""


class AlarmEvidence(NamedTuple):
    """What one vantage's failures in a series have of what an alarm needs."""

    holds: int
    needs: int
    """Micro-nats, both."""
    lacks: str
    """The first condition that is not met; empty when all are. `evidence` is that of the nats."""


class CountedFailure(msgspec.Struct, frozen=True, kw_only=True):
    """One counted failure of one layer, as the detector sees it."""

    id: str
    started: int
    rule: str
    weight: int
    """Micro-nats of the rule, not negative."""
    technique: str
    """Empty when the verdict named none for this layer."""
    part: bool
    """Only a part of the target failed."""
    heard: int = 0
    """When it arrived, Unix ms."""
    others: tuple[str, ...] = ()
    """Liveness hosts that failed beside it (`monitor.detection.events.other_hosts`)."""
    contrasts: Contrasts = NO_CONTRASTS
    """What tells its cause."""


@functools.lru_cache(maxsize=65536)
def log(above: int, below: int) -> int:
    """log(above/below) in micro-nats, rounded once."""
    return round(MICRO * math.log(above / below))


def _gains(p0: tuple[int, int], p1: int, policy: EvidencePolicy) -> tuple[int, int]:
    """What a failure adds and what a success adds (a negative number), in micro-nats; (0, 0) when
    p1 (per mille) is not far enough above the baseline."""
    above, below = p0
    if p1 * below < policy.apart_per_mille * above:
        return 0, 0
    return log(p1 * below, 1000 * above), log((1000 - p1) * below, 1000 * (below - above))


def evidence(track: Track, policy: EvidencePolicy) -> int:
    """The track's evidence of a block, in micro-nats, clipped."""
    if track.suspicion is None:
        return 0
    return min(policy.clip_micronats, max(track.suspicion.sums))


def persists(suspicion: Suspicion, policy: EvidencePolicy) -> bool:
    """Whether its failures go on: there is more evidence than one failure adds, or none of a few
    measurements since has passed."""
    return max(suspicion.sums) >= policy.sample_clip_micronats or suspicion.sums[-1] > 0


def leading_member(suspicion: Suspicion) -> int:
    """The member of the bank with the most evidence; the larger p1 on ties."""
    sums = suspicion.sums
    return max(range(len(sums)), key=lambda member: (sums[member], member))


def succeed(track: Track, round: int, policy: Policy) -> Track:
    """The track after a success."""
    held = track.suspicion
    kept = None if held is None else _after_success(held, track, round, policy)
    return replace(track, last_good=round, suspicion=kept)


def _after_success(held: Suspicion, track: Track, round: int, policy: Policy) -> Suspicion | None:
    p0 = baseline.rate(track.baseline, policy.baseline)
    sums = tuple(
        max(0, had + _gains(p0, p1, policy.evidence)[1]) if had else 0
        for had, p1 in zip(held.sums, policy.evidence.p1_per_mille, strict=True)
    )
    onsets = _onsets_of(sums, held)
    passed = tuple(
        number + 1 if left else 0 for number, left in zip(_passed(held), sums, strict=True)
    )
    if not held.alarmed:
        if not any(sums):
            return None
        return replace(held, sums=sums, onsets=onsets, passed=passed, misses=held.misses + 1)
    since, rounds, last = held.good_since, held.good_rounds, held.good_last
    if held.recovery == 0:
        since, rounds, last = round, 0, -1
    return replace(
        held,
        sums=sums,
        onsets=onsets,
        passed=passed,
        block=(held.block[0], held.block[1] + 1),
        recovery=min(2 * policy.evidence.clip_micronats, held.recovery + _block(held, p0)[0]),
        pending=held.pending + 1,
        good_since=since,
        good_rounds=rounds + (last != round),
        good_last=round,
    )


def _passed(held: Suspicion) -> tuple[int, ...]:
    return held.passed or (0,) * len(held.sums)


def alarm(held: Suspicion, round: int, policy: EvidencePolicy) -> Suspicion:
    """The evidence of a vantage that agrees with a block from this round on. The block began when
    the densest member with the evidence of a failure last left zero: slower ones may have left it
    days ago, at failures by chance, and have passed much since that says nothing of the block."""
    telling = [n for n, nats in enumerate(held.sums) if nats >= policy.sample_clip_micronats]
    member = max(telling, default=leading_member(held))
    return replace(held, alarmed=round, block=(held.runs[member][0], _passed(held)[member]))


def from_densest(held: Suspicion) -> Suspicion:
    """The evidence of a vantage for which the block began when its densest member last left
    zero: what that takes for a block fails more often than whatever failed at times before."""
    return replace(
        held,
        block=(held.runs[-1][0], _passed(held)[-1]),
        misses=held.misses + held.pending,
        recovery=0,
        pending=0,
        good_rounds=0,
    )


def _onsets_of(sums: tuple[int, ...], held: Suspicion) -> tuple[int, ...]:
    """The onsets of those members that have not returned to zero."""
    return tuple(onset if had else 0 for onset, had in zip(held.onsets, sums, strict=True))


def onset_between(track: Track, interval: int, policy: Policy) -> tuple[int, int] | None:
    """The earliest and the latest round at which the failures of a vantage that measures at such an
    interval (ms) may have begun; None without an onset.

    Each member of the bank has its own: one that tests for a small share of failures takes a
    failure by chance, an hour before, for the beginning, and one that tests for a large share
    begins anew after some successes. How likely each is follows from the failures and successes
    since then. It may have begun at any time since the success before."""
    likely = _likely_onsets(track, policy)
    if not likely:
        return None
    return min(before or left - interval for left, before in likely), max(
        left for left, _ in likely
    )


def worked_before(track: Track, policy: Policy) -> int:
    """The last round that had worked before the failures of a vantage began, at the earliest
    moment at which that is likely; 0 when none had."""
    return min((before for _, before in _likely_onsets(track, policy)), default=0)


def _likely_onsets(track: Track, policy: Policy) -> Sequence[tuple[int, int]]:
    """When members of the bank that are nearly as likely as any left zero, and the last round that
    had worked by then."""
    if (held := track.suspicion) is None:
        return ()
    usual = baseline.rate(track.baseline, policy.baseline)
    likely = [
        (_likelihood(run[0], passed, usual), left, before)
        for run, passed, left, before in zip(
            held.runs, _passed(held), held.onsets, held.befores, strict=True
        )
        if left
    ]
    least = max((nats for nats, _, _ in likely), default=0) - NEARLY_MICRONATS
    return [(left, before) for nats, left, before in likely if nats >= least]


def _likelihood(failed: int, passed: int, usual: tuple[int, int]) -> int:
    """How much likelier so many failures and successes are with the share that they show (by the
    rule of succession) than with the usual one, micro-nats."""
    above, below = usual
    samples = failed + passed + 2
    return failed * log((failed + 1) * below, above * samples) + passed * log(
        (passed + 1) * below, (below - above) * samples
    )


def fail(track: Track, round: int, failure: CountedFailure, policy: Policy) -> Track:
    """The track of a voting vantage after a failure that control and gates let count."""
    p0 = baseline.rate(track.baseline, policy.baseline)
    weights = policy.evidence
    bank = weights.p1_per_mille
    signature_gain = max(0, failure.weight - weights.natural_micronats)
    signature = failure.weight >= weights.signature_micronats
    clip = weights.signature_clip_micronats if signature else weights.sample_clip_micronats
    zero = (0,) * len(bank)
    held = track.suspicion or Suspicion(zero, zero, zero, runs=(_NO_RUN,) * len(bank))
    isolated = not held.alarmed and 4 * max(held.sums) < weights.threshold_micronats
    if isolated:
        held = _without_notes(held)
    sums, onsets, befores = list(held.sums), list(held.onsets), list(held.befores)
    runs, passed = list(held.runs), list(_passed(held))
    for member, p1 in enumerate(bank):
        gain, _ = _gains(p0, p1, weights)
        if gain == 0:
            continue
        if isolated or sums[member] == 0:
            onsets[member], befores[member] = round, track.last_good
            runs[member], passed[member] = _NO_RUN, 0
        failed, signed, whatever = runs[member]
        named = not failure.rule.endswith(WHATEVER_NAME)
        runs[member] = failed + 1, signed + signature, whatever + (not named)
        gain = min(clip, gain + signature_gain)
        # Bounded, so that the evidence of a long block does not last for weeks after its end.
        sums[member] = min(2 * weights.clip_micronats, sums[member] + gain)
    if not any(sums):
        return replace(track, last_bad=round, suspicion=None)
    nats = _gains(p0, max(bank), weights)[0] + signature_gain
    held = replace(
        _with_notes(_recovering_less(held, p0), round, failure, nats, weights),
        sums=tuple(sums),
        onsets=tuple(onsets),
        befores=tuple(befores),
        runs=tuple(runs),
        passed=tuple(passed),
        block=(held.block[0] + (held.alarmed > 0), held.block[1]),
        hits=held.hits + 1,
        heard=failure.heard,
        contrasts=contrasts.together((held.contrasts, failure.contrasts)),
    )
    return replace(track, last_bad=round, suspicion=held)


def _recovering_less(held: Suspicion, p0: tuple[int, int]) -> Suspicion:
    """The evidence of a vantage that saw the block, with less of a recovery after a failure."""
    if not held.alarmed:
        return held
    if recovery := max(0, held.recovery - _block(held, p0)[1]):
        return replace(held, recovery=recovery)
    misses = held.misses + held.pending
    return replace(held, recovery=0, misses=misses, pending=0, good_rounds=0)


def _with_notes(
    held: Suspicion, round: int, failure: CountedFailure, nats: int, policy: EvidencePolicy
) -> Suspicion:
    """The evidence with the technique, the rule and the kind of a failure of `nats` counted."""
    techniques = dict(held.techniques)
    techniques[failure.technique] = techniques.get(failure.technique, 0) + max(1, nats)
    if sum(techniques.values()) > TECHNIQUE_MEMORY * policy.clip_micronats:
        techniques = {name: half for name, had in techniques.items() if (half := had // 2)}
    witnesses = held.witnesses
    if len(witnesses) < WITNESSES:
        witnesses = (*witnesses, (round, failure.started, failure.id))
    whole, part = held.whole + (not failure.part), held.part + failure.part
    if whole + part > _HALVE_ABOVE:
        whole, part = whole // 2, part // 2
    others = {host: held.others.get(host, 0) + 1 for host in failure.others}
    return replace(
        held,
        techniques=techniques,
        rules={**held.rules, failure.rule: held.rules.get(failure.rule, 0) + 1},
        witnesses=witnesses,
        signatures=held.signatures + (failure.weight >= policy.signature_micronats),
        whole=whole,
        part=part,
        others={**held.others, **others} if others else held.others,
    )


def _without_notes(held: Suspicion) -> Suspicion:
    """The evidence without an isolated failure of earlier: it is no part of what begins now."""
    return replace(
        held,
        techniques={},
        rules={},
        witnesses=(),
        others={},
        signatures=0,
        whole=0,
        part=0,
        hits=0,
        misses=0,
        runs=(_NO_RUN,) * len(held.runs),
        contrasts=NO_CONTRASTS,
        stand_in=None,
    )


def _block(suspicion: Suspicion, p0: tuple[int, int], cautious: int = 1) -> tuple[int, int]:
    """What a success adds to the recovery and what a failure takes from it, in micro-nats. Both
    follow from the share of failures during the block: after a partial block the recovery takes
    more successes than after a full one. So it does after a short one (the rule of succession): a
    few failures without a success between them may be those of a partial block. With `cautious` 0
    they are those of a full one."""
    above, below = p0
    failed, passed = block_counts(suspicion)
    samples = failed + passed - suspicion.pending + 2 * cautious
    dense = 1000 * (failed + cautious) // max(1, samples)
    p1 = min(DENSEST_PER_MILLE, max(100, 2000 * above // below, dense))
    return (
        log((below - above) * 1000, below * (1000 - p1)),
        max(0, log(p1 * below, 1000 * above)),
    )


def block_counts(suspicion: Suspicion) -> tuple[int, int]:
    """Failures and successes during the block, those that may be after its end included."""
    if suspicion.block[0]:
        return suspicion.block
    return suspicion.hits, suspicion.misses + suspicion.pending


def recovered(track: Track, round: int, policy: Policy) -> bool:
    """Whether a vantage that saw the block has reached the service often enough since."""
    held = track.suspicion
    return (
        held is not None
        and held.recovery >= policy.evidence.threshold_micronats
        and held.good_rounds >= policy.ending.close_good_rounds
        and round - held.good_since >= policy.ms(policy.ending.close_good_seconds)
    )


def turned(track: Track, policy: Policy) -> bool:
    """Whether a vantage that saw the block reaches the service again, as far as one measurement
    after a full block can tell. One failure alone does not tell a full block from a partial one."""
    held = track.suspicion
    if held is None or held.hits < 2 or track.last_good < track.last_bad:
        return False
    p0 = baseline.rate(track.baseline, policy.baseline)
    added, full = _block(held, p0)[0], _block(held, p0, cautious=0)[0]
    return 2 * held.recovery * full >= policy.evidence.threshold_micronats * added


def recovering(track: Track, policy: Policy) -> bool:
    """Whether a vantage that saw the block is halfway to its recovery. Its evidence no longer
    counts: the member with the smallest p1 falls too slowly, and would hide the end of the
    block."""
    held = track.suspicion
    return (
        held is not None
        and 2 * held.recovery >= policy.evidence.threshold_micronats
        and held.good_rounds >= policy.ending.close_good_rounds
    )


def weaken(track: Track) -> Track:
    """The track after a measurement that weakens its evidence (no control, or the service is down
    in other countries). A suspicion below an alarm is dropped. An alarm stays, and its sums are
    halved: one failure of a control does not undo an hour of a clear block, several in a row do."""
    held = track.suspicion
    if held is None or not held.alarmed:
        return replace(track, suspicion=None)
    sums = tuple(half if (half := had // 2) >= LEAST else 0 for had in held.sums)
    return replace(track, suspicion=replace(held, sums=sums, onsets=_onsets_of(sums, held)))


def has_signature(
    suspicion: Suspicion, policy: EvidencePolicy, earlier: EarlierFailures = lambda since: 0
) -> bool:
    """Whether enough of its failures, in number and in share, have a signature that natural
    failures lack."""
    return suspicion.signatures > 0 and any(
        run[1] >= SIGNATURES_ENOUGH and _signed(run, policy, earlier(since))
        for run, since in _telling_runs(suspicion, policy)
    )


def signature_share_reached(
    suspicion: Suspicion, policy: EvidencePolicy, earlier: EarlierFailures
) -> bool:
    """Whether a larger share of the failures than by chance has a signature, and whether it is the
    name that matters: a device that resets connections at random lets some innocuous names pass.
    `earlier`: failures at earlier steps, at which such a block lets everything pass."""
    return suspicion.signatures > 0 and any(
        _signed(run, policy, earlier(since)) for run, since in _telling_runs(suspicion, policy)
    )


def _telling_runs(
    suspicion: Suspicion, policy: EvidencePolicy
) -> Iterator[tuple[tuple[int, int, int], int]]:
    """The failures to look at, and the last success before them: those of the member with the most
    evidence, and those since a later onset that are enough evidence by themselves. A vantage that
    fails now and then has failures of hours ago in the slowest member, which say nothing of a block
    that begins now."""
    leading = leading_member(suspicion)
    for member, run in enumerate(suspicion.runs):
        if member == leading or suspicion.sums[member] >= policy.threshold_micronats:
            yield run, suspicion.befores[member]


def _signed(run: tuple[int, int, int], policy: EvidencePolicy, earlier: int) -> bool:
    failed, signed, whatever = run
    return 0 < signed * 1000 >= policy.signature_per_mille * (
        failed + earlier
    ) and signed * 1000 >= policy.by_name_per_mille * (signed + whatever)


def depth(technique: str) -> int:
    """The layer's depth at which a technique works; -1 without a technique."""
    return _DEPTHS.get(technique.partition(".")[0], -1)


_DEPTHS = {"dns": 0, "tcp": 1, "tls": 2, "throttle": 2, "quic": 3, "udp": 4, "http": 5, "app": 6}
assert {Technique(each).value.partition(".")[0] for each in Technique} <= _DEPTHS.keys()


def technique_of(suspicion: Suspicion) -> str:
    """The technique with the most evidence, the deepest on ties; empty when none is known."""
    named = {name: nats for name, nats in suspicion.techniques.items() if name}
    return max(named, key=lambda name: (named[name], depth(name), name), default="")


def saw_throttling(track: Track) -> bool:
    """Whether what a vantage suspects is throttling: a retest that only connects would contradict
    that wrongly."""
    held = track.suspicion
    return held is not None and technique_of(held).startswith("throttle.")
