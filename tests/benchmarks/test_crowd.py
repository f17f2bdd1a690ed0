"""Sleepers and fleets of the simulation, in worlds that are small enough for a test."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.world.crowd import Outcomes, fleet, line, sleepers, table
from benchmarks.world.rates import RATES
from monitor.detection.policy import ConfirmationPolicy, Policy

STEADY = replace(RATES, online_day=1.0, online_night=1.0)


def test_two_sleepers_of_five_confirm_nothing_and_three_do() -> None:
    two = sleepers(5, 2, "accuse", seed=3, tries=2, policy=Policy(), rates=STEADY)
    three = sleepers(5, 3, "accuse", seed=3, tries=2, policy=Policy(), rates=STEADY)
    assert (two.tries, two.reached[3]) == (2, 0)
    assert three.reached[3] == 2


def test_three_sleepers_of_ten_do_not_confirm_while_others_are_off() -> None:
    found = sleepers(10, 3, "accuse", seed=1001, tries=3, policy=Policy(), rates=RATES)
    assert found.reached == [0, 3, 3, 0]
    before = Policy(confirmation=ConfirmationPolicy(confirm_most_owners=3))
    found = sleepers(10, 3, "accuse", seed=1001, tries=3, policy=before, rates=RATES)
    assert found.reached[3] > 0


def test_all_of_a_network_who_say_that_a_block_is_over_end_its_event() -> None:
    found = sleepers(2, 2, "end", seed=3, tries=1, policy=Policy(), rates=STEADY)
    assert (found.reached[3], found.ended) == (1, 1)


def test_fleets_of_every_size_find_the_block() -> None:
    for size, countries in ((10, 3), (60, 6)):
        found = fleet(size, countries, tries=2, seed=1, policy=Policy())
        assert found.reached[3] == found.tries == 2
        assert max(found.minutes) < 30


def test_rows_of_the_same_name_are_added() -> None:
    some = Outcomes(2, [0, 2, 1, 1], [10.0, float("inf")], 1, 2)
    said = table("title", [("a", some), ("a", some), ("b", some)])
    assert len(said) == 4
    assert said[2] == line("a", Outcomes(4, [0, 4, 2, 2], [10.0, float("inf")] * 2, 2, 4))
