# SPDX-License-Identifier: Apache-2.0
"""Child processes that `reachwatch up` keeps running: its probes.

A child that ends is restarted, after a pause that grows each time. When the parent ends for any
reason, the kernel ends its children (prctl PR_SET_PDEATHSIG), so no probe keeps measuring.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

log = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_STEADY_SECONDS = 60.0
"""A child that ran this long is restarted after the shortest pause."""
_GRACE_SECONDS = 3.0
"""How long a child may take to end after SIGTERM. A probe that is killed then loses nothing: its
spool is on disk."""


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def run_once(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a command to its end; return its exit status and stderr."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
        preexec_fn=_die_with_parent,
    )
    try:
        _, errors = await process.communicate()
    except asyncio.CancelledError:
        await _end(process)
        raise
    return process.returncode or 0, errors.decode(errors="replace").strip()


async def keep_running(
    name: str,
    command: Sequence[str],
    log_file: Path,
) -> None:
    """Keep a command running until cancelled; its output goes to a file."""
    pause = _FIRST_PAUSE_SECONDS
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        with log_file.open("ab") as out:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=_die_with_parent,
            )
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise
        pause = _FIRST_PAUSE_SECONDS if clock() - began > _STEADY_SECONDS else pause
        log.warning("%s ended with status %d, see %s; restarting", name, status, log_file)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    try:
        process.terminate()
        async with asyncio.timeout(_GRACE_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    except ProcessLookupError:
        pass  # it ended by itself
