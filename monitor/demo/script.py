# SPDX-License-Identifier: Apache-2.0
"""What happens in the demonstration: which blocks begin and end, and after what."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from monitor.demo.block import DEFAULT, SECOND, DemoBlock
from monitor.demo.story import Story, tell

REACH_SECONDS = 900.0
"""Longest wait for a stage of an event: real seconds on a slow machine."""
SHOWN_SECONDS = 60.0
"""Least time from the confirmation of a block to what happens next: real seconds in which it is
seen. On a slow machine it is shown for as long as its confirmation took: there everything takes
longer, the pages too."""
LAST_AFTER_SECONDS = 1200
"""Least length of a block that is alone, divided by the pace: two minutes, four times what its
confirmation takes."""


class Provider(Protocol):
    """What begins and ends blocks."""

    def block(self, block: DemoBlock) -> None:
        """Begin a block."""

    def lift(self, block: DemoBlock) -> None:
        """End a block."""


@dataclass(frozen=True)
class Act:
    """A block begins or ends, and the next act waits for what the monitor says of it."""

    block: DemoBlock
    begins: bool
    until: str = ""
    """The stage of the service's newest event (`monitor.demo.story.stage`) that the next act waits
    for; empty for none."""
    least_seconds: float = 0.0
    """Least time to the next act, divided by the pace."""
    shown: bool = True
    """Whether the stage is shown for a while before the next act."""

    def __str__(self) -> str:
        return f"{self.block.place}: the simulated block {'begins' if self.begins else 'is lifted'}"


def single(block: DemoBlock) -> Sequence[Act]:
    """One block."""
    return (Act(block, True, "confirmed", LAST_AFTER_SECONDS), Act(block, False, shown=False))


OVERLAP = (
    Act(DEFAULT, True, "confirmed"),
    Act(SECOND, True, "confirmed"),
    Act(DEFAULT, False, "closed"),
    Act(SECOND, False, shown=False),
)
"""Two blocks, in two countries: the second begins while the first lasts, and outlasts it."""


async def play(world: Provider, acts: Sequence[Act], pace: int, story: Story) -> None:
    """Perform the acts, and say so; every block ends when this does."""
    loop = asyncio.get_running_loop()
    lasting: list[DemoBlock] = []
    try:
        for act in acts:
            tell(f"{act}.")
            if act.begins:
                world.block(act.block)
                lasting.append(act.block)
            else:
                world.lift(act.block)
                lasting.remove(act.block)
            began = loop.time()
            if act.until:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(act.least_seconds / pace + REACH_SECONDS):
                        await story.wait_for(act.block.service, act.until)
            reached = loop.time()
            end = began + act.least_seconds / pace
            if act.begins and act.shown:
                end = max(end, reached + max(SHOWN_SECONDS, reached - began))
            await asyncio.sleep(max(0.0, end - reached))
    finally:
        for block in lasting:
            world.lift(block)
