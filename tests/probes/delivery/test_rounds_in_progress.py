"""How long measurements wait for the rest of their round."""

from __future__ import annotations

import asyncio

from probes.delivery.rounds_in_progress import RoundsInProgress


async def test_only_measurements_of_an_open_round_wait() -> None:
    in_progress = RoundsInProgress(linger_seconds=100.0, hurry_seconds=0.0)
    assert not in_progress.holds(7)
    assert in_progress.next_end() is None
    in_progress.begin(7)
    assert (in_progress.holds(7), in_progress.holds(6)) == (True, False)
    end = in_progress.next_end()
    assert end is not None
    assert 99 < end - asyncio.get_running_loop().time() <= 100
    in_progress.end(7)
    assert not in_progress.holds(7)
    assert in_progress.next_end() is None


async def test_after_a_hurry_they_are_sent_and_later_ones_wait_again() -> None:
    in_progress = RoundsInProgress(linger_seconds=100.0, hurry_seconds=0.0)
    in_progress.begin(7)
    in_progress.hurry()
    assert not in_progress.holds(7)
    assert in_progress.next_end() is not None
    assert in_progress.holds(7)


async def test_what_is_stored_when_a_retest_ends_is_sent_and_the_round_beside_it_goes_on() -> None:
    in_progress = RoundsInProgress(linger_seconds=100.0, hurry_seconds=0.0)
    for round_ms in (7, 8, 8):
        in_progress.begin(round_ms)
    in_progress.end(8)
    assert not in_progress.holds(7), "what the retest has stored lies behind it"
    assert in_progress.next_end() is not None
    assert (in_progress.holds(7), in_progress.holds(8)) == (True, True)
    in_progress.end(9)
    assert in_progress.holds(7), "it was not open"
    in_progress.end_all()
    assert in_progress.next_end() is None
