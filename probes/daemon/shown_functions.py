# SPDX-License-Identifier: Apache-2.0
"""What the local page shows of each function that was measured."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path

from probes.delivery.spool import read_lines
from probes.delivery.sqlite_file import DiskError
from probes.summary import FunctionSummary, summarise
from probes.wire import codec
from probes.wire.measurement import LIVENESS_TARGETS, Measurement

SHOWN_AGAIN = 1000
"""Measurements of earlier runs that the page shows at the start: a few rounds."""


class ShownFunctions:
    """The newest summary of each function. It keeps none before `load`: there may be no page."""

    def __init__(self) -> None:
        self._by_target: dict[str, FunctionSummary] | None = None

    @property
    def summaries(self) -> Iterable[FunctionSummary]:
        """One of each function."""
        return (self._by_target or {}).values()

    async def load(self, directory: Path) -> None:
        """Begin with what the last measurements on disk showed."""
        self._by_target = await asyncio.to_thread(_on_disk, directory)

    def add(self, measurement: Measurement) -> None:
        """Show a new measurement in place of the last one of its target."""
        if self._by_target is not None and measurement.target not in LIVENESS_TARGETS:
            summary = summarise(measurement)
            if summary is not None:
                self._by_target[summary.target] = summary


def _on_disk(directory: Path) -> dict[str, FunctionSummary]:
    summaries: dict[str, FunctionSummary] = {}
    with contextlib.suppress(DiskError, codec.WireError):
        for _, line in read_lines(directory, last=SHOWN_AGAIN):
            summary = summarise(codec.decode(line))
            if summary is not None:
                summaries[summary.target] = summary
    return summaries
