from __future__ import annotations

import math
import random

import pytest
from msgspec.structs import replace

from monitor.detection.events.cusum import (
    WITNESSES,
    CountedFailure,
    alarm,
    block_counts,
    depth,
    evidence,
    fail,
    has_signature,
    leading_member,
    persists,
    recovered,
    recovering,
    signature_share_reached,
    succeed,
    technique_of,
    weaken,
)
from monitor.detection.events.state import Baseline, Suspicion, Track
from monitor.detection.model import Technique
from monitor.detection.policy import EvidencePolicy, Policy

POLICY = Policy()
FULL = POLICY.evidence.threshold_micronats
MINUTE = 60_000


def failure(
    weight: int = 0, technique: str = "tcp.timeout", part: bool = False, n: int = 0
) -> CountedFailure:
    return CountedFailure(
        id=f"{n:032x}", started=n, rule="r", weight=weight, technique=technique, part=part
    )


def fresh() -> Track:
    return Track(Baseline())


def run(track: Track, said: str, *, start: int = MINUTE, weight: int = 0) -> Track:
    """Fold a word such as `FF.F`: F fails, a dot succeeds, one a minute."""
    for n, letter in enumerate(said):
        at = start + n * MINUTE
        if letter == "F":
            track = fail(track, at, failure(weight, n=n), POLICY)
        else:
            track = succeed(track, at, POLICY)
    return track


def held(track: Track) -> Suspicion:
    assert track.suspicion is not None
    return track.suspicion


def alarmed(said: str = "FFF", weight: int = 0) -> Track:
    track = run(fresh(), said, weight=weight)
    return replace(track, suspicion=alarm(held(track), 2 * MINUTE, POLICY.evidence))


def test_a_failure_adds_the_logarithm_of_the_ratio_and_a_success_takes_its_own() -> None:
    policy = Policy(evidence=EvidencePolicy(sample_clip_micronats=10**9))
    track = fail(fresh(), 1, failure(), policy)
    expected = tuple(round(1e6 * math.log(p1 / 20)) for p1 in policy.evidence.p1_per_mille)
    assert held(track).sums == expected
    after = held(succeed(track, 2, policy)).sums
    for had, has, p1 in zip(expected, after, policy.evidence.p1_per_mille, strict=True):
        assert has == max(0, had + round(1e6 * math.log((1000 - p1) / 980)))


def test_a_typed_failure_adds_once_what_it_weighs_beyond_a_bare_one() -> None:
    policy = Policy(
        evidence=EvidencePolicy(sample_clip_micronats=10**9, signature_clip_micronats=10**9)
    )
    none, bare, signature = (fail(fresh(), 1, failure(w), policy) for w in (0, 500_000, 2_500_000))
    assert held(none).sums == held(bare).sums
    assert [b - a for a, b in zip(held(bare).sums, held(signature).sums, strict=True)] == [
        2_000_000
    ] * 3


@pytest.mark.parametrize("per_mille", [20, 40, 50, 70, 100, 150, 200, 250, 290])
def test_strays_that_look_typed_now_and_then_do_not_drift_to_an_alarm(per_mille: int) -> None:
    known = Baseline(10**6, 1000 * per_mille)
    rng, at, reached = random.Random(per_mille), 0, 0
    track = Track(known)
    for _ in range(20_000):
        at += MINUTE
        if 1000 * rng.random() < per_mille:
            weight = 4_700_000 if rng.random() < 0.04 else 500_000
            track = fail(track, at, failure(weight), POLICY)
        else:
            track = succeed(track, at, POLICY)
        reached += evidence(track, POLICY.evidence) == FULL
    assert reached < 20_000 // 40


def test_who_is_half_convinced_that_it_is_over_speaks_no_more_for_it() -> None:
    track = alarmed("F" * 20)
    assert not recovering(track, POLICY)
    track = run(track, ".", start=30 * MINUTE)
    assert not recovering(track, POLICY)  # even a full block lets something through
    track = run(track, ".", start=31 * MINUTE)
    assert recovering(track, POLICY)
    assert evidence(track, POLICY.evidence) == FULL
    assert not recovering(run(track, "FF", start=40 * MINUTE), POLICY)
    assert not recovering(fresh(), POLICY)


def test_one_measurement_is_never_enough_and_two_in_a_row_are() -> None:
    assert evidence(run(fresh(), "F", weight=50_000_000), POLICY.evidence) < FULL
    assert evidence(run(fresh(), "FF"), POLICY.evidence) == FULL


def test_evidence_is_clipped_and_the_path_is_bounded() -> None:
    track = run(fresh(), "F" * 500)
    assert evidence(track, POLICY.evidence) == POLICY.evidence.clip_micronats
    assert max(held(track).sums) == 2 * POLICY.evidence.clip_micronats


def test_stray_failures_are_forgotten() -> None:
    assert run(fresh(), "F" + "." * 60).suspicion is None
    track = run(fresh(), "F" + "." * 8 + "F")
    assert held(track).hits == 1
    assert [round for round, _, _ in held(track).witnesses] == [10 * MINUTE]


def test_a_thin_block_is_found_by_the_low_member() -> None:
    track = run(fresh(), ("F" + "." * 9) * 12)
    assert evidence(track, POLICY.evidence) == FULL
    assert leading_member(held(track)) == 0


def test_a_member_not_far_above_the_baseline_is_silent() -> None:
    poor = Track(Baseline(10_000, 1000))
    track = run(poor, "FF")
    assert held(track).sums[0] == 0
    assert held(track).sums[1] > 0
    assert run(Track(Baseline(10**6, 10**6)), "FFF").suspicion is None


def test_onset_is_where_each_path_last_left_zero() -> None:
    track = run(fresh(), "....FF")
    assert held(track).onsets == (5 * MINUTE,) * 3
    assert held(track).befores == (4 * MINUTE,) * 3


def test_the_path_begins_anew_after_an_isolated_failure_that_is_nearly_forgotten() -> None:
    """What began with the old one would be the onset of a block of hours later, and failures at an
    earlier step since then would count against its signature."""
    track = run(fresh(), "F" + "." * 8 + "FF")
    assert held(track).onsets == (10 * MINUTE,) * 3
    assert held(track).befores == (9 * MINUTE,) * 3


@pytest.mark.parametrize(
    ("said", "well"),
    [
        ("." * 12, False),  # enough evidence, but not yet for long enough
        ("." * 13, True),
        (".F.F.F.F.F.F.F.", False),
        (".......F.......", True),  # one failure does not undo seven successes
    ],
)
def test_recovery_of_a_full_block(said: str, well: bool) -> None:
    track = run(alarmed("F" * 10), said, start=20 * MINUTE)
    assert recovered(track, (19 + len(said)) * MINUTE, POLICY) is well


def test_a_thin_block_needs_more_good_news() -> None:
    thin = alarmed(("F" + "." * 9) * 12)
    later = run(thin, "." * 9, start=200 * MINUTE)
    assert not recovered(later, 208 * MINUTE, POLICY)
    assert recovered(run(later, "." * 90, start=209 * MINUTE), 298 * MINUTE, POLICY)


def test_nothing_recovers_without_a_suspicion() -> None:
    assert not recovered(fresh(), 10**9, POLICY)


def test_doubt_drops_a_suspicion_halves_the_strength_of_an_alarm_and_leaves_the_alarm() -> None:
    assert weaken(fresh()).suspicion is None
    assert weaken(run(fresh(), "FF")).suspicion is None
    assert evidence(weaken(alarmed("F" * 20)), POLICY.evidence) == FULL
    track = weaken(alarmed())
    assert 0 < evidence(track, POLICY.evidence) < FULL
    for _ in range(3):
        track = weaken(track)
    assert evidence(track, POLICY.evidence) == 0
    assert held(track).onsets == (0, 0, 0)
    assert held(track).alarmed


def test_technique_is_the_one_with_most_nats_and_the_newest_count_most() -> None:
    track = fresh()
    for n in range(200):
        name = "tls.reset.sni" if n < 180 else "tls.timeout.sni"
        track = fail(track, (n + 1) * MINUTE, failure(3_000_000, name, n=n), POLICY)
    assert technique_of(held(track)) == "tls.timeout.sni"
    assert technique_of(Suspicion([0], [0], [0], {"": 9})) == ""
    equal = Suspicion([0], [0], [0], {"dns.nxdomain": 9, "tls.reset.sni": 9, "tcp.reset": 9})
    assert technique_of(equal) == "tls.reset.sni"


def test_a_block_is_counted_from_when_it_began() -> None:
    """What a vantage failed and passed for days before says nothing of the share of its failures
    during the block."""
    noisy = run(Track(Baseline(total=2000, failed=70)), "F............." * 18)
    assert held(noisy).hits + held(noisy).misses > 100
    track = run(noisy, "FF.FF", start=253 * MINUTE)
    track = replace(track, suspicion=alarm(held(track), 257 * MINUTE, POLICY.evidence))
    assert block_counts(held(track)) == (4, 1)
    assert block_counts(held(run(track, "F.F..", start=258 * MINUTE))) == (6, 4)


def test_a_block_does_not_begin_at_a_failure_by_chance_long_before_it() -> None:
    """The slowest member has held the sum of some failures for days, and has the most evidence."""
    noisy = run(Track(Baseline(total=2000, failed=70)), ("F" + "." * 9) * 10)
    track = run(noisy, "FF", start=253 * MINUTE)
    assert leading_member(held(track)) == 0
    track = replace(track, suspicion=alarm(held(track), 255 * MINUTE, POLICY.evidence))
    assert block_counts(held(track)) == (2, 0)


def test_records_are_bounded() -> None:
    track = run(fresh(), "F" * 1000)
    assert len(held(track).witnesses) == WITNESSES
    assert held(track).rules == {"r": 1000}
    assert held(track).whole + held(track).part <= 9


def test_typed_by_two_signatures_unless_they_drown_in_bare_failures() -> None:
    signature = POLICY.evidence.signature_micronats
    twice = run(fresh(), "FF", weight=signature)
    assert has_signature(held(twice), POLICY.evidence)
    assert not has_signature(held(run(fresh(), "F", weight=signature)), POLICY.evidence)
    assert not has_signature(held(run(fresh(), "FFFF", weight=signature - 1)), POLICY.evidence)
    assert has_signature(held(run(twice, "F", start=10 * MINUTE)), POLICY.evidence)
    assert not has_signature(held(run(twice, "FF", start=10 * MINUTE)), POLICY.evidence)


@pytest.mark.parametrize(("by_name", "whatever", "signs"), [(3, 1, True), (2, 1, False)])
def test_a_name_matters_when_an_innocuous_one_passes_nearly_always(
    by_name: int, whatever: int, signs: bool
) -> None:
    """With nothing but the rule's id to tell them from failures that were not compared."""
    signature, track = POLICY.evidence.signature_micronats, fresh()
    for n in range(by_name):
        track = fail(track, n * MINUTE, failure(signature), POLICY)
    for n in range(whatever):
        beside = replace(failure(signature - 1), rule="tls.reset.other")
        track = fail(track, (by_name + n) * MINUTE, beside, POLICY)
    assert has_signature(held(track), POLICY.evidence) is signs
    assert has_signature(held(run(track, "F", start=10 * MINUTE)), POLICY.evidence) is signs


def test_failures_of_hours_ago_do_not_take_the_signature_from_a_block_that_begins_now() -> None:
    signature, track = POLICY.evidence.signature_micronats, fresh()
    # One in ten fails for half a day: the slowest member never returns to zero.
    for hour in range(12):
        track = run(track, "F" + 9 * ".", start=hour * 10 * MINUTE + MINUTE)
    assert held(track).hits >= 8
    assert held(track).sums[0] > held(track).sums[-1] == 0
    once = run(track, "F", start=200 * MINUTE, weight=signature)
    # One by chance, of a third owner, would complete the quorum of two that lie.
    assert not signature_share_reached(held(once), POLICY.evidence, lambda since: 0)
    twice = run(once, "F", start=210 * MINUTE, weight=signature)
    assert not has_signature(held(once), POLICY.evidence)
    assert has_signature(held(twice), POLICY.evidence)
    # Two signatures by chance among failures that go on are none.
    assert not has_signature(held(run(twice, "FFF", start=220 * MINUTE)), POLICY.evidence)


def test_old_failures_at_an_earlier_step_do_not_persist() -> None:
    assert persists(held(run(fresh(), "F")), POLICY.evidence)
    assert persists(held(run(fresh(), "F.")), POLICY.evidence), "one success may be chance"
    assert persists(held(run(fresh(), "FF..")), POLICY.evidence), "more than one failure adds"
    assert not persists(held(run(fresh(), "F...")), POLICY.evidence)


def test_two_typed_failures_are_enough_with_successes_between_them_and_one_never_is() -> None:
    signature = POLICY.evidence.signature_micronats + 2_000_000
    once = fail(fresh(), MINUTE, failure(signature), POLICY)
    assert evidence(once, POLICY.evidence) == POLICY.evidence.signature_clip_micronats < FULL
    for said, enough in (("FSF", True), ("FSSSSF", True), (f"F{13 * 'S'}F", False)):
        track = fresh()
        for n, what in enumerate(said):
            if what == "F":
                track = fail(track, n * MINUTE, failure(signature), POLICY)
            else:
                track = succeed(track, n * MINUTE, POLICY)
        assert (evidence(track, POLICY.evidence) == FULL) is enough, said


def test_every_technique_has_a_depth() -> None:
    assert all(depth(each) >= 0 for each in Technique)
    assert depth("") == -1


def test_no_track_is_changed_in_place() -> None:
    track = alarmed()
    before = repr(track)
    fail(track, 9 * MINUTE, failure(), POLICY)
    succeed(track, 9 * MINUTE, POLICY)
    weaken(track)
    assert repr(track) == before
