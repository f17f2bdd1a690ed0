# SPDX-License-Identifier: Apache-2.0
"""Times of measurements that were taken while this machine's clock was wrong.

The monitor says how far the clock is ahead. A measurement is corrected only where that is safe: the
monitor has said the same twice, and the clock has gone evenly since before the measurement, in this
run. What was measured earlier stays as it is, and is sent again until its time can be true.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from probes.wire.measurement import Measurement, round_grid_ms

STEADY_MS = 5_000
"""Most that two offsets may differ, and the clock may jump. An acknowledgement may take seconds."""
LEAST_MS = 5 * 60_000
"""The monitor stores what is less wrong."""
SINGLE_ROUND_MS = 1000
"""Rounds of a measurement without an interval begin on whole seconds."""


class ClockCorrection:
    """The offset of this machine's clock, and whether it is known well enough to correct by it."""

    def __init__(
        self,
        wall_ms: Callable[[], int],
        monotonic_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
    ) -> None:
        self._wall_ms, self._monotonic_ms = wall_ms, monotonic_ms
        self._told: int | None = None
        self._offset: int | None = None
        self._since, self._pace = wall_ms(), wall_ms() - monotonic_ms()
        self.corrected = 0
        """Measurements that were corrected since the start."""

    @property
    def is_known(self) -> bool:
        """Whether measurements can be corrected now."""
        return self._offset is not None

    def tell(self, offset_ms: int) -> None:
        """Take what the monitor says: by how much this clock is ahead of its own."""
        now = self._wall_ms()
        pace = now - self._monotonic_ms()
        if abs(pace - self._pace) > STEADY_MS:  # somebody has set the clock
            self._told, self._since, self._pace = None, now, pace
        steady = self._told is not None and abs(offset_ms - self._told) <= STEADY_MS
        self._offset = offset_ms if steady and abs(offset_ms) > LEAST_MS else None
        self._told = offset_ms

    def correct(self, measurement: Measurement) -> Measurement:
        """The measurement with true times, marked; itself where that is not safe."""
        offset = self._offset
        if offset is None or measurement.clock_corrected_ms:
            return measurement
        if not self._since <= measurement.started <= self._wall_ms():
            return measurement  # by a clock that went otherwise
        interval = measurement.interval_ms
        grid = round_grid_ms(interval) if interval else SINGLE_ROUND_MS
        self.corrected += 1
        return msgspec.structs.replace(
            measurement,
            started=measurement.started - offset,
            round=(measurement.round - offset) // grid * grid,
            clock_corrected_ms=offset,
        )
