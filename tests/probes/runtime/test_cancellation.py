import asyncio
import sys

import pytest

from probes.runtime.cancellation import raise_if_cancelled


async def test_a_cancellation_outlives_an_error_of_the_group() -> None:
    async def fails_when_cancelled() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("the connection died meanwhile")

    async def loop(*, keeping: bool) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails_when_cancelled())
        except* OSError:
            pass
        if keeping:
            raise_if_cancelled()

    for keeping in (False, True):
        task = asyncio.create_task(loop(keeping=keeping))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        if keeping or sys.version_info >= (3, 13):
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task  # asyncio loses it
