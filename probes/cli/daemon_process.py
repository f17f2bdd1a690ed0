# SPDX-License-Identifier: Apache-2.0
"""The process of a daemon: little garbage in memory, and an end that waits for nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def keep_memory_low() -> None:
    """Exempt modules and catalogue from garbage collection, and collect often. Python's own
    thresholds leave half a megabyte of garbage; these cost no measurable time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(500, 2, 2)


def run_daemon(work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run to the end without waiting for threads: a name lookup of the MQTT client cannot be
    interrupted, and everything that matters is on disk."""
    executor = ThreadPoolExecutor(4, thread_name_prefix="daemon")

    async def begin() -> None:
        asyncio.get_running_loop().set_default_executor(executor)
        keep_memory_low()
        await work()
        waiting = threading.Thread(target=executor.shutdown, daemon=True)
        waiting.start()
        await asyncio.sleep(0)
        waiting.join(0.3)
        if waiting.is_alive():
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
            os._exit(0)

    asyncio.run(begin())
    return 0
