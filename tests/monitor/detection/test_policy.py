from __future__ import annotations

from monitor.detection.policy import Policy


def test_pace_divides_every_duration() -> None:
    slow, fast = Policy(), Policy(pace=10)
    for name in Policy.__struct_fields__:
        if name.endswith("_seconds"):
            seconds = getattr(slow, name)
            assert slow.ms(seconds) == 1000 * seconds
            assert fast.ms(seconds) == 100 * seconds


def test_integers_only() -> None:
    values = [getattr(Policy(), name) for name in Policy.__struct_fields__ if name != "name"]
    flat = [each for value in values for each in (value if isinstance(value, tuple) else (value,))]
    assert all(type(each) is int for each in flat)


def test_one_measurement_and_one_vantage_are_never_enough() -> None:
    policy = Policy()
    assert policy.sample_clip_micronats < policy.threshold_micronats
    assert policy.quorum_min_vantages * policy.threshold_micronats > policy.clip_micronats
    assert policy.confirm_min_owners >= 2


def test_who_has_failed_can_be_asked_again_within_the_hold_time() -> None:
    policy = Policy()
    shortest = min(policy.confirm_signature_seconds, policy.confirm_plain_seconds)
    assert shortest - policy.retest_round_seconds >= policy.residual_seconds
