# SPDX-License-Identifier: Apache-2.0
"""Keeping a cancellation that asyncio before Python 3.13 would lose."""

from __future__ import annotations

import asyncio


def raise_if_cancelled() -> None:
    """Raise CancelledError when the running task has been cancelled. To be called where `except*`
    has handled the errors of a TaskGroup: the group raises them instead of a cancellation that
    arrived at the same time, and a loop around it would never end."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
