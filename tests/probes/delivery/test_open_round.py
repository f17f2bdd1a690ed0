"""How long measurements wait for the rest of their round."""

from __future__ import annotations

import asyncio

from probes.delivery.open_round import OpenRound


async def test_only_measurements_of_the_open_round_wait() -> None:
    open_round = OpenRound(linger_seconds=100.0, hurry_seconds=0.0)
    assert not open_round.holds(7)
    assert open_round.next_end() is None
    open_round.begin(7)
    assert (open_round.holds(7), open_round.holds(6)) == (True, False)
    end = open_round.next_end()
    assert end is not None
    assert 99 < end - asyncio.get_running_loop().time() <= 100
    open_round.end()
    assert not open_round.holds(7)
    assert open_round.next_end() is None


async def test_after_a_hurry_they_are_sent_and_later_ones_wait_again() -> None:
    open_round = OpenRound(linger_seconds=100.0, hurry_seconds=0.0)
    open_round.begin(7)
    open_round.hurry()
    assert not open_round.holds(7)
    assert open_round.next_end() is not None
    assert open_round.holds(7)
