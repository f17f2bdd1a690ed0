# SPDX-License-Identifier: Apache-2.0
"""Learns from the published events of this country which of them this probe's measurements
support."""

from __future__ import annotations

from collections.abc import Callable

from probes import contributions
from probes.daemon.status_keeper import StatusKeeper
from probes.daemon.steady_spool import SteadySpool

AGAIN_MS = 12 * 3_600_000
"""The events of a country are asked for as often. Half a dozen of 4 kB, and what changes in
between, are 2 MB a month."""


class ContributionKeeper:
    """Keeps the contributions in the status."""

    def __init__(
        self, probe: str, spool: SteadySpool, keeper: StatusKeeper, now_ms: Callable[[], int]
    ) -> None:
        self._probe, self._spool, self._keeper, self._now_ms = probe, spool, keeper, now_ms
        self._asked_ms: int | None = None

    def wanted(self) -> bool:
        """Whether the events are to be asked for, which is noted."""
        now = self._now_ms()
        # A clock that was set back must not postpone it.
        if self._asked_ms is not None and abs(now - self._asked_ms) < AGAIN_MS:
            return False
        self._asked_ms = now
        return True

    def offer(self, published: bytes) -> None:
        """Look at an event as it was published."""
        kept = self._keeper.status.contributions
        learnt = contributions.learn(kept, published, self._own)
        if learnt != kept:
            self._keeper.set(contributions=learnt)

    def _own(self) -> frozenset[str]:
        counts = self._spool.counts
        return contributions.own_names(self._probe, counts.epoch, counts.sequence)
