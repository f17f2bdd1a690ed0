# SPDX-License-Identifier: Apache-2.0
"""Whether the clock of this machine is behind: several owners' probes, with the hosts that they
measured, say so, and more than say that it is right. What one owner says is of its own clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LEAST_OWNERS = 2
HEARD_SECONDS = 3600.0
"""How long counts what an owner said last."""
MOST_OWNERS = 10_000


class ClockWitnesses:
    """What each owner said last of the clock of this machine."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, tuple[float, bool]] = {}
        """When, and whether it is behind. Insertion order is that of when."""

    def hear(self, owner: str, behind: bool) -> None:
        """Take what a probe of this owner says."""
        self._said.pop(owner, None)
        self._said[owner] = (self._clock(), behind)
        if len(self._said) > MOST_OWNERS:
            del self._said[next(iter(self._said))]

    @property
    def say_behind(self) -> bool:
        """Whether enough of them say so."""
        since = self._clock() - HEARD_SECONDS
        lately = [behind for at, behind in self._said.values() if at >= since]
        return sum(lately) >= LEAST_OWNERS and 2 * sum(lately) > len(lately)
