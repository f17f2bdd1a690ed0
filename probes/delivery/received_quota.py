# SPDX-License-Identifier: Apache-2.0
"""How much a broker may send to this probe: the volunteer pays for it, and who runs the broker, or
has taken it over, decides on it. Pure: the clock is an argument."""

from __future__ import annotations

import time
from collections.abc import Callable

BURST_BYTES = 1_000_000
"""What a broker may send at once: a catalogue is up to a quarter of that."""
HOUR_BYTES = 100_000
"""What it may send in each hour beyond that, 72 MB a month: acknowledgements and retests take less
than half of it."""
AGAIN_BYTES = 50_000
"""After it sent too much, the probe connects again when it may send so much."""
_READ_BYTES = 44
"""Packet headers and TLS, for each read: a packet takes two or more."""


class ReceivedQuota:
    """What one broker may still send."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        self._clock, self._at = clock, clock()
        self._left = float(BURST_BYTES)
        self._exceeded = False

    def count_read(self, count: int) -> bool:
        """Note that so many bytes were read; False when the connection is to end."""
        self._earn()
        self._left -= count + _READ_BYTES
        self._exceeded = self._exceeded or self._left < 0
        return not self._exceeded

    def exceeded(self) -> bool:
        """Return whether the broker has sent too much, and must wait."""
        self._earn()
        self._exceeded = self._exceeded and self._left < AGAIN_BYTES
        return self._exceeded

    def plenty(self) -> bool:
        """Return whether there is room for what is large and can wait, as a catalogue."""
        self._earn()
        return self._left > BURST_BYTES / 2

    def _earn(self) -> None:
        now = self._clock()
        passed, self._at = max(0.0, now - self._at), now
        self._left = min(self._left + passed * HOUR_BYTES / 3600, BURST_BYTES)
