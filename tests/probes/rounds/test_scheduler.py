import math
import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from probes.rounds.scheduler import (
    MONTH_MS,
    SPREAD,
    SPREAD_MOST_MS,
    limit_seconds,
    month_bytes,
    next_round,
    phase_ms,
    shared_interval,
    within_budget,
)
from probes.wire.measurement import round_grid_ms

INTERVAL = 300_000
START = 1_795_500_000_000


def test_the_first_round_begins_at_once() -> None:
    plan = next_round(START + 200_000, INTERVAL, None, random.Random(1))
    assert (plan.round_ms, plan.start_ms) == (START, START + 200_000)


@given(
    now=st.integers(10**9, 4 * 10**12),
    interval=st.integers(100, 10**8),
    late=st.integers(0, 5 * 10**8),
    seed=st.integers(0, 99),
)
def test_rounds_are_aligned_new_and_jittered(now: int, interval: int, late: int, seed: int) -> None:
    last = now // interval * interval - late // interval * interval
    plan = next_round(now, interval, last, random.Random(seed))
    assert plan.round_ms % interval == 0
    assert plan.round_ms > last
    assert plan.start_ms >= now
    assert plan.start_ms - max(now, plan.round_ms) <= SPREAD * interval
    assert plan.round_ms <= now + interval


@given(
    now=st.integers(10**9, 4 * 10**12),
    interval=st.sampled_from([100, 6_000, 60_000, 200_000, 300_000, 1_800_000, 86_400_000]),
    number=st.integers(0, 999),
)
def test_each_probe_has_its_own_place_in_the_interval(now: int, interval: int, number: int) -> None:
    phase = phase_ms(f"p-{number:016x}", interval)
    first = next_round(now, interval, None, random.Random(1), phase)
    second = next_round(now, interval, first.round_ms, random.Random(1), phase)
    assert first.round_ms <= now < first.round_ms + interval
    assert second.round_ms == first.round_ms + interval
    grid = round_grid_ms(interval)
    assert first.round_ms % interval == phase // grid * grid
    assert 0 <= second.start_ms - second.round_ms - phase % grid <= SPREAD_MOST_MS


def test_places_are_spread_over_the_interval() -> None:
    places = [phase_ms(f"p-{number:016x}", 1_800_000) for number in range(500)]
    assert {place // 60_000 for place in places} == set(range(30))
    assert {phase_ms(f"p-{number:016x}", 60_000) for number in range(50)} == {0}
    assert [phase_ms("p", 1_800_000, place) for place in (0, 333, 999)] == [0, 599_400, 1_798_200]


def test_three_vantages_are_equally_far_apart_to_the_second() -> None:
    """Rounded to whole minutes they were 60, 120 and 120 seconds apart."""
    starts = list[int]()
    for place in (0, 333, 666):
        phase = phase_ms("p", INTERVAL, place)
        last = next_round(START, INTERVAL, None, random.Random(1), phase)
        plan = next_round(START, INTERVAL, last.round_ms, random.Random(1), phase)
        starts.append(plan.start_ms)
    assert [(after - before) % INTERVAL for before, after in pairwise(starts)] == [99_900] * 2


def test_an_overrun_skips_and_never_overlaps() -> None:
    rng = random.Random(1)
    # The round of START ended a little after the next one should have begun: late is fine.
    plan = next_round(START + INTERVAL + 80_000, INTERVAL, START, rng)
    assert plan.round_ms == START + INTERVAL
    # It ended near the end of the next one: that one is skipped.
    plan = next_round(START + 2 * INTERVAL - 10_000, INTERVAL, START, rng)
    assert plan.round_ms == START + 2 * INTERVAL


def test_a_clock_that_went_back_a_month_starts_again_and_one_second_changes_nothing() -> None:
    rng = random.Random(1)
    plan = next_round(START - MONTH_MS, INTERVAL, START, rng)
    assert plan.round_ms <= START - MONTH_MS + INTERVAL
    assert next_round(START - 1, INTERVAL, START, rng).round_ms == START + INTERVAL


def test_a_fleet_is_spread() -> None:
    starts = {
        next_round(START + 1, INTERVAL, START, random.Random(seed)).start_ms for seed in range(200)
    }
    assert len(starts) > 190
    assert max(starts) - min(starts) > 10_000


def test_a_round_has_a_limit() -> None:
    assert [limit_seconds(ms) for ms in (1000, INTERVAL, 86_400_000)] == [10.0, 240.0, 600.0]


def test_the_budget_lengthens_the_interval_by_few_steps() -> None:
    assert within_budget(INTERVAL, 1e6, math.inf) == INTERVAL
    assert within_budget(INTERVAL, 1e6, 1e6 / INTERVAL) == INTERVAL
    needed = [INTERVAL * n / 10 for n in range(10, 2880)]
    found = [within_budget(INTERVAL, 1e6, 1e6 / each) for each in needed]
    assert found == sorted(found)
    assert all(a <= b <= 1.35 * a for a, b in zip(needed, found, strict=True))
    assert len(set(found)) < 40
    assert all(each % 60_000 == 0 for each in found)
    assert within_budget(INTERVAL, 1e9, 1e-9) == within_budget(INTERVAL, 1.0, 0) == 86_400_000
    assert within_budget(86_400_000, 1e9, 1e-9) == 86_400_000
    assert month_bytes(1e6, INTERVAL) == 8_640_000_000


def test_few_vantages_take_turns_in_a_shorter_interval() -> None:
    usual = 1_800_000
    minutes = {n: shared_interval(usual, n) // 60_000 for n in (1, 2, 3, 4, 5, 900)}
    assert minutes == {1: 6, 2: 12, 3: 18, 4: 24, 5: 30, 900: 30}
    assert shared_interval(usual, None) == usual
    assert shared_interval(600_000, 1) == 300_000
    assert shared_interval(60_000, 1) == 60_000, "shorter already"
