# SPDX-License-Identifier: Apache-2.0
"""Calculations of seconds, beside the event loop: it renews the lease and serves pages meanwhile.

They have no effect outside the process, so that nothing waits for one whose result nobody wants any
more: the end of the process does not, unlike with `asyncio.to_thread`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def calculated(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """The result of a function that only calculates, from a thread of its own."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(value: _T | None, error: BaseException | None) -> None:
        if future.done():
            return  # cancelled
        if error is None:
            future.set_result(value)  # type: ignore[arg-type]
        else:
            future.set_exception(error)

    def run() -> None:
        value, failure = None, None
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, value, failure)

    threading.Thread(target=run, name="calculation", daemon=True).start()
    return await future
