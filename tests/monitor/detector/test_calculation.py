"""Calculations in threads of their own: their results and errors arrive, and nothing waits for one
that is not wanted any more.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from monitor.detector.calculation import calculated
from tests.world.waiting import HANG_SECONDS


async def test_the_result_arrives_while_others_have_their_turn() -> None:
    release = threading.Event()
    async with asyncio.TaskGroup() as group:
        calculation = group.create_task(calculated(lambda: release.wait(HANG_SECONDS)))
        await asyncio.sleep(0.01)
        assert not calculation.done()
        release.set()
    assert calculation.result() is True


async def test_an_error_is_raised_where_the_result_is_awaited() -> None:
    with pytest.raises(ZeroDivisionError):
        await calculated(lambda: 1 // 0)


async def test_one_that_is_cancelled_ends_unheard() -> None:
    release = threading.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await calculated(release.wait, HANG_SECONDS)
    release.set()
    await asyncio.sleep(0.05)


def test_the_process_ends_in_the_middle_of_one() -> None:
    program = (
        "import asyncio, time\n"
        "from monitor.detector.calculation import calculated\n"
        "async def main():\n"
        "    try:\n"
        "        async with asyncio.timeout(0.1):\n"
        f"            await calculated(time.sleep, {HANG_SECONDS})\n"
        "    except TimeoutError:\n"
        "        print('over')\n"
        "asyncio.run(main())\n"
    )
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=HANG_SECONDS
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "over\n", "")
    assert time.monotonic() - began < HANG_SECONDS / 2
