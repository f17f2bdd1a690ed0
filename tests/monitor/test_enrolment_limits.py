"""How many may enrol from one place, and what is remembered of them."""

from __future__ import annotations

import pytest

from monitor.enrolment_limits import (
    DAY_MS,
    OWNERS_A_DAY,
    PROBES_A_DAY,
    EnrolmentLimits,
)

HERE = "203.0.114.7"


class Clock:
    at = 1_790_000_000_000

    def __call__(self) -> int:
        return self.at


def enrol(limits: EnrolmentLimits, address: str, owner: str) -> bool:
    if limits.refusal(address, owner) is not None:
        return False
    limits.note(address, owner)
    return True


def test_one_prefix_enrols_a_few_owners_a_day() -> None:
    clock = Clock()
    limits = EnrolmentLimits(clock)
    enrolled = [enrol(limits, f"203.0.114.{n}", f"owner-{n}") for n in range(OWNERS_A_DAY + 3)]
    assert enrolled == [True] * OWNERS_A_DAY + [False] * 3
    assert limits.refused == 3
    assert enrol(limits, HERE, "owner-0"), "an owner who is known there has more probes"
    assert enrol(limits, "203.0.115.1", "owner-9"), "another prefix"
    clock.at += DAY_MS
    assert enrol(limits, HERE, "owner-9")


def test_one_prefix_enrols_a_bounded_number_of_probes_of_one_owner() -> None:
    limits = EnrolmentLimits(Clock())
    assert sum(enrol(limits, HERE, "ada") for _ in range(300)) == PROBES_A_DAY


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (HERE, "203.0.114.250", True),
        (HERE, f"::ffff:{HERE}", True),
        ("2a00:1:2:3::1", "2a00:1:2:ff::9", True),
        ("2a00:1:2:3::1", "2a00:1:3:3::1", False),
    ],
)
def test_what_one_place_is(one: str, other: str, same: bool) -> None:
    limits = EnrolmentLimits(Clock())
    for n in range(OWNERS_A_DAY):
        assert enrol(limits, one, f"owner-{n}")
    assert enrol(limits, other, "another") is not same


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "fd00::1", "::1", "", "nonsense"])
def test_addresses_of_ones_own_network_are_not_counted(address: str) -> None:
    limits = EnrolmentLimits(Clock())
    assert all(enrol(limits, address, f"owner-{n}") for n in range(PROBES_A_DAY + 1))
    assert not limits._lately


def test_no_address_is_kept_and_nothing_for_longer_than_a_day() -> None:
    clock = Clock()
    limits = EnrolmentLimits(clock)
    for n in range(50):
        enrol(limits, f"203.0.{n + 114}.7", "quinn")
    kept = repr(limits._lately)
    assert "203.0" not in kept
    assert "quinn" not in kept  # of letters that no byte is written with
    assert EnrolmentLimits(clock)._prefix(HERE) != limits._prefix(HERE), "another key"
    clock.at += DAY_MS
    enrol(limits, "198.51.99.1", "bo")
    assert len(limits._lately) == 1
