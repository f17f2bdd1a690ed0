from __future__ import annotations

from msgspec import Struct
from msgspec.structs import astuple, replace

from monitor.detection.policy import Policy


def test_pace_divides_every_duration() -> None:
    slow, fast = Policy(), Policy(pace=10)
    for name, seconds in slow.values().items():
        if name.endswith("_seconds"):
            assert slow.ms(seconds) == 1000 * seconds
            assert fast.ms(seconds) == 100 * seconds


def test_no_name_occurs_in_two_groups() -> None:
    # They are published without their groups: the second would hide the first.
    groups = [value for value in astuple(Policy()) if isinstance(value, Struct)]
    names = [name for group in groups for name in group.__struct_fields__]
    assert len(names) == len(set(names)) == len(Policy().values()) - len(("name", "pace"))


def test_policies_of_equal_values_are_equal_and_hash_alike() -> None:
    longer = replace(Policy().rounds, late_seconds=Policy().rounds.late_seconds + 1)
    assert Policy(rounds=longer) != Policy()
    assert Policy(rounds=longer) == Policy(rounds=replace(longer))
    assert hash(Policy(rounds=longer)) == hash(Policy(rounds=replace(longer)))


def test_no_value_is_a_float() -> None:
    values = [value for name, value in Policy().values().items() if name != "name"]
    flat = [each for value in values for each in (value if isinstance(value, tuple) else (value,))]
    assert all(type(each) in (int, bool) for each in flat)


def test_one_measurement_and_one_vantage_are_never_enough() -> None:
    policy = Policy()
    assert policy.evidence.sample_clip_micronats < policy.evidence.threshold_micronats
    assert (
        policy.quorum.quorum_min_vantages * policy.evidence.threshold_micronats
        > policy.evidence.clip_micronats
    )
    assert policy.confirmation.confirm_min_owners >= 2


def test_who_has_failed_can_be_asked_again_within_the_hold_time() -> None:
    policy = Policy()
    shortest = min(
        policy.confirmation.confirm_signature_seconds, policy.confirmation.confirm_plain_seconds
    )
    assert shortest - policy.retests.retest_round_seconds >= policy.rounds.residual_seconds
