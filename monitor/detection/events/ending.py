# SPDX-License-Identifier: Apache-2.0
"""The evidence that the block of a series has ended, of all vantages that saw it together.

A success says that the block is over, or that it lets some connections pass. How likely the latter
is follows from all failures and successes so far (the rule of succession), those of this run of
successes included: no share of failures is taken for known, so a block of half of the flows that
happened to fail ten times takes more successes than a full one, and each further success says less.
Failures and successes of other vantages count half, because blocks differ from line to line.

A block may become weaker instead. Then its failures so far say nothing of how many connections it
lets pass now. So the same is counted from the first success on, as if no more had been known before
than that it is no weaker than some share, and both counts must be enough: what fails more often
than it naturally does goes on. What is then expected is the mean of the shares from that one on,
weighted by what was seen: two failures among forty are less than any of them would show.

A failure without a control, or whose cause nothing tells, is no evidence of a block. It counts
against an end nevertheless: successes count without a control too, and a block of a third would
seem over whenever the control is silent.

A failure of a kind that the block's failures are not (without the signature that they have) is
rather a natural one, and takes away little. Natural failures of a vantage come together, those of
a block do not: so what a vantage sees next after a failure between successes says nothing.

A vantage that has failed since hours before all others, which reached the service meanwhile, fails
of something of its own. That goes on when their block is over, so it says nothing of the end.

Each failure gives chance another opportunity to look like an end, so the evidence that is enough
grows with the logarithm of their number: the probability that a block is ever told to have ended
while it lasts grows by that logarithm alone (Ville's inequality, summed).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Set

from msgspec.structs import replace

from monitor.detection.events import baseline, cusum
from monitor.detection.events.cusum import DENSEST_PER_MILLE, block_counts, log
from monitor.detection.events.state import (
    EndEvidence,
    Member,
    PresentShare,
    Series,
    Suspicion,
    Track,
)
from monitor.detection.policy import EndingPolicy, Policy

CHOSEN = 2
"""Failures of a vantage that say nothing of their share: its count begins with one, and it became a
witness of the block at another."""
THINNEST_PER_MILLE = 100
"""No share of failures below this is told from the natural ones."""
WEAKEST_PER_MILLE = 150
"""Nor is a block supposed to have become weaker than this."""
SUPPOSED = 3
"""Failures and successes each that stand for what is not known of a share."""
LEAST_PASSED = 16
"""Successes that tell an end from a block of a third of the flows. A dozen are enough evidence
against what is supposed, and pass by chance too often where it is weaker."""
GOES_ON = 2
"""Failures from which it is known that a block goes on that lets connections pass."""
LEAST_FAILED, LEAST_SAMPLES = 3, 12
"""Failures, and measurements, from which the present share of a block is told."""
AS_BEFORE = 6
"""Failures in a row after which a block that let connections pass is as strong as before: one that
lets half pass seldom fails so often in a row."""


def after_success(series: Series, probe: str, track: Track, round: int, policy: Policy) -> Series:
    """The series with its evidence after a vantage reached the service. `track`: before that."""
    held = track.suspicion
    if held is None or not held.alarmed or failed_before(series, probe, held, policy):
        return series
    ending = series.ending or _none_yet(series, round)
    above, below = baseline.rate(track.baseline, policy.baseline)
    tells = not _has_just_failed(ending, track, round, policy)
    gain = tells * log((below - above) * 1000, below * (1000 - _share(ending, held, above, below)))
    nats = {**ending.nats, probe: ending.nats.get(probe, 0) + gain}
    ending = replace(ending, nats=nats, last=round, passed=ending.passed + 1)
    now = series.present or PresentShare()
    share = _cautious(_present_share(now, above, below), now)
    gain = tells * log((below - above) * 1000, below * (1000 - share))
    now = PresentShare(now.failed, now.passed + 1, 0, max(0, now.nats + gain))
    return replace(series, ending=ending, present=now)


def after_failure(
    series: Series, probe: str, track: Track, round: int, is_signed: bool | None, policy: Policy
) -> Series:
    """The series with its evidence, if any is left, after a vantage failed. `track`: before that;
    `is_signed`: None where its kind is not known."""
    held, ending = track.suspicion, series.ending
    if held is None or not held.alarmed or failed_before(series, probe, held, policy):
        return series
    above, below = baseline.rate(track.baseline, policy.baseline)
    kind = 0 if is_signed is None else _kind(held, is_signed, policy.ending)
    tells = ending is None or not _has_just_failed(ending, track, round, policy)
    if (now := series.present) is not None:
        share = _present_share(now, above, below)
        loss = tells * max(0, log(share * below, 1000 * above) + kind)
        now = PresentShare(now.failed + 1, now.passed, now.in_a_row + 1, max(0, now.nats - loss))
        series = replace(series, present=now if now.in_a_row < AS_BEFORE else None)
    if ending is None:
        return series
    share = _share(ending, held, above, below)
    loss = tells * max(0, log(share * below, 1000 * above) + kind)
    nats = {**ending.nats, probe: ending.nats.get(probe, 0) - loss}
    if sum(nats.values()) <= 0:
        return replace(series, ending=None)
    return replace(series, ending=replace(ending, nats=nats, failed=ending.failed + 1))


def failed_before(series: Series, probe: str, held: Suspicion, policy: Policy) -> bool:
    """Whether a vantage has failed since long before any of several others did, each of which
    still reached the service then: a third of the times at least, since what fails of something
    else fails at other layers too."""
    if 2 * held.hits <= held.misses:
        return False
    long = held.alarmed + policy.ms(policy.ending.alone_seconds)
    others = [
        each for name, each in series.tracks.items() if name != probe and _alarmed_at(each) > 0
    ]
    return len(others) >= policy.quorum.quorum_min_vantages and all(
        _alarmed_at(each) > long and cusum.worked_before(each, policy) > held.alarmed
        for each in others
    )


def _has_just_failed(ending: EndEvidence, track: Track, round: int, policy: Policy) -> bool:
    """Whether the latest of a vantage is a failure that followed a success of this run not long
    ago. What it sees next is as likely if the block goes on as if it is over."""
    last, together = track.last_good, policy.ms(policy.ending.together_seconds)
    return track.last_bad > last >= ending.since and round - last <= together


def _none_yet(series: Series, round: int) -> EndEvidence:
    """No evidence, with what is known of the block so far."""
    counts = [
        _counts(track.suspicion)
        for track in series.tracks.values()
        if track.suspicion is not None and track.suspicion.alarmed
    ]
    failed, passed = (sum(numbers) for numbers in zip(*counts, strict=True))
    return EndEvidence(since=round, failed=failed, passed=passed)


def _counts(held: Suspicion) -> tuple[int, int]:
    """Failures and successes of a vantage that tell the share of failures."""
    failed, passed = block_counts(held)
    return max(0, failed - CHOSEN), passed


def _share(ending: EndEvidence, held: Suspicion, above: int, below: int) -> int:
    """The share of failures, per mille, that a vantage would have if the block went on: by its own
    failures and successes, half of the others', and one of each. At least twice the share of its
    natural failures (`above` of `below`)."""
    failed, passed = _counts(held)
    others_failed = max(0, ending.failed - failed)
    others_passed = max(0, ending.passed - passed)
    samples = 2 * (2 + failed + passed) + others_failed + others_passed
    share = 1000 * (2 * (1 + failed) + others_failed) // samples
    return _bounded(share, above, below)


def _present_share(now: PresentShare, above: int, below: int) -> int:
    """The share of failures, per mille, that is expected if a block goes on as it is now."""
    return _bounded(_mean_above(now.failed + SUPPOSED, now.passed + SUPPOSED), above, below)


def _cautious(share: int, now: PresentShare) -> int:
    """Half a standard deviation less of a share, once it is known that the block lets connections
    pass and goes on: a few failures and successes may show a denser block than it is. One failure
    may be natural. Near the least share the deviation is the distance from it."""
    if now.failed < GOES_ON:
        return share
    samples = now.failed + now.passed + 2 * SUPPOSED
    deviation = math.isqrt(share * (1000 - share) // samples)
    return share - min(deviation, share - WEAKEST_PER_MILLE) // 2


@functools.lru_cache(maxsize=65536)
def _mean_above(failed: int, passed: int) -> int:
    """The mean, per mille, of a share that is the weakest at least and of which so many failures
    and successes are known: of a Beta distribution above it.

    Its tail there is the probability of fewer than `failed` failures among `failed + passed - 1`
    (`terms`, as multiples of the last). That with one more success differs by the last term."""
    low, terms, term = WEAKEST_PER_MILLE / 1000, 0.0, 1.0
    for number in range(failed - 1, -1, -1):
        terms += term
        term *= number * (1 - low) / ((failed + passed - number) * low)
    return round(1000 - 1000 * passed / (failed + passed) * (1 - low / terms))


def present_per_mille(series: Series) -> int | None:
    """The share of failures since the block of a series began to let connections pass, where enough
    of both is known to tell it from a block that lets none pass and from its end."""
    now = series.present
    if now is None or now.failed < LEAST_FAILED or now.failed + now.passed < LEAST_SAMPLES:
        return None
    return 1000 * now.failed // (now.failed + now.passed)


def _bounded(share: int, above: int, below: int) -> int:
    return min(DENSEST_PER_MILLE, max(THINNEST_PER_MILLE, 2000 * above // below, share))


def _kind(held: Suspicion, is_signed: bool, policy: EndingPolicy) -> int:
    """How much more a failure with (or without) a signature speaks for the block than for chance,
    micro-nats; negative when less."""
    signed, all_of_them = held.signatures + 1, held.hits + 2
    natural = policy.natural_signature_per_mille
    if is_signed:
        return log(1000 * signed, natural * all_of_them)
    return log(1000 * max(1, all_of_them - signed), (1000 - natural) * all_of_them)


def is_enough_alone(track: Track, policy: Policy) -> bool:
    """Whether the successes of one vantage since it began to reach the service say by themselves
    that the block has ended for it. It need not be asked of others then, whoever still fails."""
    held = track.suspicion
    if held is None:
        return False
    failed, passed = _counts(held)
    above, below = baseline.rate(track.baseline, policy.baseline)
    before = passed - held.pending
    told = sum(
        log((below - above) * (2 + failed + number), below * (1 + number))
        for number in range(before, passed)
    )
    return told >= _needed(failed, policy.ending)


def _needed(failed: int, policy: EndingPolicy) -> int:
    return policy.end_micronats + log(max(1, failed), 1)


def may_be_weaker(series: Series, policy: Policy) -> bool:
    """Whether too little says that the block of a series is over and not only weaker."""
    now = series.present
    if now is None or now.passed < LEAST_PASSED:
        return True
    return now.nats < _needed(now.failed, policy.ending)


def is_enough(
    series: Series,
    members: Mapping[str, Member],
    policy: Policy,
    known: Set[str] = frozenset(),
) -> bool:
    """Whether all together say that the block has ended: for long enough, that a pause of a block
    is none, and half of what it takes without the owner who says most of it; and that it is not
    only weaker. `known`: the vantages of owners with standing; where there are any, what strangers
    say counts as much as what these do at most."""
    ending = series.ending
    if ending is None or may_be_weaker(series, policy):
        return False
    saw = {probe for probe, track in series.tracks.items() if _alarmed_at(track) > 0}
    told = {probe: nats for probe, nats in ending.nats.items() if probe in saw}
    owned: dict[str, int] = {}
    for probe, nats in told.items():
        owned[members[probe].owner] = owned.get(members[probe].owner, 0) + nats
    enough, total = _needed(ending.failed, policy.ending), sum(owned.values())
    if saw & known:
        total = min(total, 2 * sum(nats for probe, nats in told.items() if probe in known))
    shared = {members[probe].owner for probe in saw}
    return (
        ending.last - ending.since >= policy.ms(policy.ending.close_good_seconds)
        and total >= enough
        and (len(shared) < 2 or 2 * (sum(owned.values()) - max(owned.values())) >= enough)
    )


def _alarmed_at(track: Track) -> int:
    """The round at which a vantage became a witness of the block; 0 for others."""
    return 0 if track.suspicion is None else track.suspicion.alarmed
