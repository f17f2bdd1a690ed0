# SPDX-License-Identifier: Apache-2.0
"""Explanations for the web server. An event of a large fleet takes seconds or minutes of processor
time to fold again: that happens in a process of its own, and pages are answered meanwhile.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from monitor.commands.explain import (
    Explanation,
    NotExplainableError,
    TooManyMeasurementsError,
    explain,
)
from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.local.children import run_once
from monitor.store.database import Database

HERE_MEASUREMENTS = 5_000
"""What is folded in this process: some 0.2 ms of processor time each."""
COMMAND = (sys.executable, "-m", "monitor.commands.main", "explain", "--json")
_decoder = msgspec.json.Decoder(Explanation)


async def explain_apart(
    database: Database,
    id: str,
    *,
    url: str,
    fingerprints: Fingerprints = OWN,
    directory: Path | None = None,
    here: int = HERE_MEASUREMENTS,
) -> Explanation:
    """As `explain`, with another process when more than `here` measurements are folded. `url` is
    that of the database, `directory` where the fingerprints were loaded from."""
    try:
        return await explain(database, id, fingerprints, measurements=here)
    except TooManyMeasurementsError:
        pass
    known = () if directory is None else ("--fingerprints", str(directory))
    # The URL may have a password, which the command line would show.
    environment = {"REACHWATCH_DATABASE": url}
    status, errors, out = await run_once(
        (*COMMAND, *known, id), environment, output=asyncio.subprocess.PIPE, patient=True
    )
    if status != 0:
        raise NotExplainableError(f"{id}: {errors.rpartition(': ')[2] or 'it ended too early'}")
    return _decoder.decode(out)
