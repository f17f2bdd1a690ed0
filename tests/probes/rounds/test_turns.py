"""Retests run beside each other and beside a round; no round begins during a retest."""

from __future__ import annotations

import asyncio

from probes.rounds.turns import Turns


async def soon(*tasks: asyncio.Task[None]) -> list[bool]:
    """Whether these have ended once everything that can go on has."""
    for _ in range(5):
        await asyncio.sleep(0)
    return [task.done() for task in tasks]


async def begin_round(turns: Turns) -> None:
    async with turns.without_retests():
        pass


async def test_a_round_waits_for_the_retests_in_progress_and_new_ones_wait_for_the_round() -> None:
    turns = Turns()
    with turns.retest():
        with turns.retest():
            round = asyncio.create_task(begin_round(turns))
            assert await soon(round) == [False]
            retest = asyncio.create_task(turns.may_begin_retests())
            assert await soon(round, retest) == [False, False]
        assert await soon(round, retest) == [False, False]
        assert turns.busy
    assert await soon(round, retest) == [True, True]
    assert not turns.busy


async def test_a_retest_does_not_wait_for_the_end_of_a_round() -> None:
    turns = Turns()
    async with turns.without_retests():
        measuring = turns.round()
        measuring.__enter__()
    assert turns.busy
    assert await soon(asyncio.create_task(turns.may_begin_retests())) == [True]
    with turns.retest():
        assert await soon(asyncio.create_task(turns.may_begin_retests())) == [True]
    measuring.__exit__(None, None, None)
    assert not turns.busy
