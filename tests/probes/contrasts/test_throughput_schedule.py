"""When speed is looked at, and what a look is remembered as."""

from __future__ import annotations

import itertools

import pytest

from probes.contrasts.throughput_schedule import (
    AGAIN_MS,
    EVERY_MS,
    EVERY_ROUNDS,
    ThroughputMode,
    ThroughputOutcome,
    ThroughputSchedule,
    outcome,
    unexpectedly_slow,
)
from probes.wire.failure import Failure
from probes.wire.observation import Contrast, HTTPExchange, Purpose, Transfer

NAME = "a:443/https"
NOW, MINUTES = 1_800_000_000_000, 300_000


def seen(rate: int, contrast: Contrast | None = None, **other: object) -> Transfer:
    values: dict[str, object] = {
        "endpoint": NAME,
        "address": "192.0.2.1",
        "port": 443,
        "sni": "a",
        "purpose": Purpose.SUBJECT if contrast is None else Purpose.CONTRAST,
        "contrast": contrast,
        "wanted_bytes": 65_536,
        "received_bytes": 65_536,
        "rate": rate,
    }
    return Transfer(**(values | other))


INNOCUOUS, OURS = Contrast.INNOCUOUS_NAME, Contrast.REFLECTOR
FINE = [seen(5_000_000)]
SUSPECT = [seen(20_000), seen(5_000_000, INNOCUOUS)]
SLOW = [seen(20_000), seen(25_000, INNOCUOUS), seen(20_000, OURS)]


def test_a_single_run_always_measures():
    assert ThroughputSchedule().mode(NAME, NOW, 0) is ThroughputMode.ON


@pytest.mark.parametrize("interval", [60_000, MINUTES, 6 * 3_600_000])
def test_all_daemons_measure_in_the_same_round(interval: int):
    """Once in six hours, or in twelve rounds, and at whatever time the probe was started."""
    every = max(EVERY_MS, EVERY_ROUNDS * interval)
    start = NOW // interval * interval
    looked: list[set[int]] = []
    for late in (0, 5, 11):
        looks, rounds = ThroughputSchedule(), set()
        for number in range(late, 3 * every // interval):
            round_ms = start + number * interval
            if looks.mode(NAME, round_ms, interval) is ThroughputMode.ON:
                rounds.add(round_ms)
                looks.record(NAME, round_ms, FINE)
        looked.append(rounds)
    assert 2 <= len(looked[0]) <= 3
    assert looked[2] <= looked[1] <= looked[0]
    assert len(looked[0] - looked[2]) <= 1


def measured(start: int, interval: int, *, lean: bool) -> list[int]:
    """The rounds of two days, from `start` on, in which throughput is measured."""
    looks, rounds = ThroughputSchedule(), []
    for round_ms in range(start, start + 8 * EVERY_MS, interval):
        if looks.mode(NAME, round_ms, interval, lean=lean) is ThroughputMode.ON:
            looks.record(NAME, round_ms, FINE)
            rounds.append(round_ms)
    return rounds


def test_four_lean_vantages_share_the_times_of_one():
    """Each measures once a day, soon after a control, and another time than the others."""
    interval = 1_800_000
    control = measured(NOW - interval, MINUTES, lean=False)
    taken: list[int] = []
    for turn in range(4):
        mine = measured(NOW - interval + turn * interval // 4, interval, lean=True)
        assert [b - a for a, b in itertools.pairwise(mine)] == [4 * EVERY_MS] * (len(mine) - 1)
        assert all(min(abs(each - at) for at in control) <= interval for each in mine)
        taken += mine
    assert len({each // EVERY_MS for each in taken}) == len(taken) >= 7


def test_a_retest_measures_throughput_where_that_is_the_suspicion():
    looks = ThroughputSchedule()
    assert looks.mode(NAME, NOW, MINUTES, retest=True, wanted=True) is ThroughputMode.ON
    looks.record(NAME, NOW, FINE)
    assert looks.mode(NAME, NOW + 1, MINUTES, retest=True, wanted=True) is ThroughputMode.ON
    assert looks.mode(NAME, NOW + 2, MINUTES, retest=True) is ThroughputMode.OFF
    looks.record(NAME, NOW + 2, SLOW)
    assert looks.mode(NAME, NOW + 3, MINUTES, retest=True, wanted=True) is ThroughputMode.OFF


def test_on_a_slow_line_the_lean_profile_looks_at_no_other_endpoint_for_being_slow():
    looks, other = ThroughputSchedule(), "b:443/https"
    assert looks.mode(other, NOW, MINUTES, lean=True) is ThroughputMode.IF_SLOW
    looks.record(NAME, NOW, SLOW)
    assert looks.mode(other, NOW, MINUTES, lean=True) is ThroughputMode.OFF
    assert looks.mode(other, NOW, MINUTES) is ThroughputMode.IF_SLOW
    looks.record("c:443/https", NOW, FINE)
    assert looks.mode(other, NOW, MINUTES, lean=True) is ThroughputMode.IF_SLOW


def test_endpoints_take_turns():
    rounds = [NOW + n * MINUTES for n in range(80)]
    first = []
    for number in range(40):
        looks, name = ThroughputSchedule(), f"host{number}:443/https"
        due = [r for r in rounds if looks.mode(name, r, MINUTES) is ThroughputMode.ON]
        first += due[:1]
    assert len(set(first)) > 15


def test_a_suspect_is_measured_every_round_and_in_retests():
    looks = ThroughputSchedule()
    looks.mode(NAME, NOW, MINUTES)
    looks.record(NAME, NOW, SUSPECT)
    assert looks.mode(NAME, NOW + 1, MINUTES) is ThroughputMode.ON
    assert looks.mode(NAME, NOW + 1, MINUTES, retest=True) is ThroughputMode.ON
    looks.record(NAME, NOW + 1, FINE)
    assert looks.mode(NAME, NOW + 2, MINUTES, retest=True) is ThroughputMode.OFF


def test_a_slow_line_is_left_alone_until_the_next_time():
    looks = ThroughputSchedule()
    assert looks.mode(NAME, NOW, MINUTES) is ThroughputMode.IF_SLOW
    looks.record(NAME, NOW, SLOW)
    assert looks.mode(NAME, NOW + 2 * AGAIN_MS, EVERY_MS) in (ThroughputMode.OFF, ThroughputMode.ON)


def test_an_odd_exchange_is_a_reason_once_an_hour():
    looks = ThroughputSchedule()
    looks.record(NAME, NOW, FINE)
    assert looks.mode(NAME, NOW + AGAIN_MS - 1, MINUTES) in (ThroughputMode.OFF, ThroughputMode.ON)
    wishes = {looks.mode(NAME, NOW + AGAIN_MS + n, EVERY_MS) for n in range(3)}
    assert wishes <= {ThroughputMode.IF_SLOW, ThroughputMode.ON}


def test_without_a_transfer_nothing_changes():
    looks = ThroughputSchedule()
    looks.record(NAME, NOW, SUSPECT)
    looks.record(NAME, NOW + 1, [])
    assert looks.mode(NAME, NOW + 2, MINUTES) is ThroughputMode.ON


@pytest.mark.parametrize(
    ("transfers", "amounts_to"),
    [
        ([], ThroughputOutcome.FINE),
        (FINE, ThroughputOutcome.FINE),
        (SUSPECT, ThroughputOutcome.SUSPECT),
        (SLOW, ThroughputOutcome.SLOW),
        ([seen(20_000), seen(5_000_000)], ThroughputOutcome.FINE),
        ([seen(20_000), seen(20_000, INNOCUOUS), seen(5_000_000, OURS)], ThroughputOutcome.SUSPECT),
    ],
)
def test_sight(transfers: list[Transfer], amounts_to: ThroughputOutcome):
    assert outcome(transfers) is amounts_to


@pytest.mark.parametrize(
    ("changes", "odd"),
    [
        ({"received_bytes": 60_000, "took_us": 300_000}, False),
        ({"received_bytes": 60_000, "took_us": 3_000_000}, True),
        ({"received_bytes": 500, "took_us": 500_000}, False),
        ({"received_bytes": 500, "took_us": 1_400_000}, True),
        ({"received_bytes": 16_000, "failure": Failure.TIMEOUT}, True),
        ({"received_bytes": 0, "failure": Failure.TIMEOUT}, True),
        ({"took_us": 3_000_000, "contrast": Contrast.NO_VERIFY}, False),
    ],
)
def test_oddly_slow(changes: dict[str, object], odd: bool):
    values: dict[str, object] = {"endpoint": NAME, "address": "192.0.2.1", "port": 443, "host": "a"}
    assert unexpectedly_slow(HTTPExchange(**(values | changes)), 50_000) is odd
    assert not unexpectedly_slow(None, 50_000)
