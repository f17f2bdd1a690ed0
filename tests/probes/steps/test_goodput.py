"""How fast bytes arrive, told from made-up arrivals: narrow places, distance, losses, stalls."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from probes.steps.goodput import FASTEST, MOST_POINTS, Flow

SEGMENT = 1448
RTT = 100_000


def flowing(arrivals: Iterable[tuple[int, int]], round_trip_us: int = RTT) -> tuple[Flow, int]:
    """One request at 0, then (gap, bytes) one after the other. Returns the flow and its end."""
    flow, now = Flow(0, round_trip_us), 0
    flow.asked()
    for gap, size in arrivals:
        now += gap
        flow.arrived(now, size)
    flow.ended(now)
    return flow, now


def bursts(segments: int, first: int, gap: int = RTT) -> Iterable[tuple[int, int]]:
    """What a far server sends: a burst, a round trip, twice as much, and so on."""
    while segments > 0:
        now = min(segments, first)
        yield (gap, SEGMENT)
        yield from itertools.repeat((20, SEGMENT), now - 1)
        segments, first = segments - now, 2 * first


def test_nothing_came():
    flow, _ = flowing([])
    assert (flow.received_bytes, flow.rate(5), flow.pace, flow.progress) == (0, 0, 0, ())
    assert (flow.first_us, flow.silence_us) == (0, 0)


@pytest.mark.parametrize("round_trip_us", [200, RTT, 2 * RTT])
@pytest.mark.parametrize("kbit", [160, 500, 2000])
def test_a_narrow_place_shows_however_far_it_is(kbit: int, round_trip_us: int):
    gap = SEGMENT * 8000 // kbit
    arrivals = [(round_trip_us + gap, SEGMENT), *itertools.repeat((gap, SEGMENT), 45)]
    flow, end = flowing(arrivals, round_trip_us)
    rate = kbit * 125
    assert 0.85 * rate <= flow.pace <= 1.1 * rate
    assert 0.9 * rate <= flow.rate(end) <= 1.6 * rate


def test_distance_is_no_narrow_place():
    flow, end = flowing(bursts(46, 10))
    assert flow.rate(end) > 10_000_000
    assert flow.pace > 10_000_000


def test_losses_cost_time_and_leave_the_pace():
    stalls = [*bursts(10, 10), (300_000, SEGMENT), *bursts(35, 5), (250_000, SEGMENT)]
    flow, end = flowing(stalls)
    assert flow.rate(end) < 500_000
    assert flow.pace > 10_000_000


def test_a_policer_lets_bursts_through_and_shows_in_the_time():
    arrivals = [(2_000, SEGMENT)]
    for _ in range(9):
        arrivals += [(20, SEGMENT)] * 4 + [(350_000, SEGMENT)]
    flow, end = flowing(arrivals, 2_000)
    assert flow.rate(end) < 30_000


def test_small_answers_wait_a_round_trip_each():
    flow, now = Flow(0, RTT), 0
    for _ in range(16):
        flow.asked()
        now += RTT
        flow.arrived(now, 1000)
    assert flow.rate(now) >= 1_000_000
    assert flow.received_bytes == 16_000


def test_a_stall_counts_in_full():
    flow, end = flowing([*bursts(11, 10, 10_000)], 10_000)
    flow.ended(end + 4_000_000)
    assert flow.silence_us == 4_000_000
    assert flow.rate(end + 4_000_000) < 4_000


def test_progress_is_thinned_and_ends_exactly():
    flow, end = flowing([(1_000, 100)] * 5_000)
    points = flow.progress
    assert 8 <= len(points) <= MOST_POINTS
    assert points[-1] == type(points[-1])(end, 500_000)
    assert list(points) == sorted(points, key=lambda p: p.at_us)
    assert len({p.at_us for p in points}) == len(points)
    few, _ = flowing([(1_000, 100)] * 3)
    assert [p.received_bytes for p in few.progress] == [100, 200, 300]


def test_bytes_at_the_same_microsecond():
    flow, end = flowing([(0, 10), (0, 70_000)])
    assert flow.rate(end) == FASTEST
    assert flow.pace > 0
