# SPDX-License-Identifier: Apache-2.0
"""What the collector remembers of each probe: its registry record and what it named today.

A revocation or a new probe is noticed within seconds. No judgement is here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from monitor.store.records import Probe, ProbeKey, Seen
from monitor.store.registry import Registry

KNOWN_SECONDS = 4.0
UNKNOWN_SECONDS = 1.0
SEEN_SECONDS = 10.0
"""How often `last_seen` is written for a probe; its status is written at once."""
DAY_SECONDS = 86_400.0
MAX_PROBES = 20_000


class _Entry:
    def __init__(self, now: float) -> None:
        self.probe: Probe | None = None
        self.keys: Sequence[ProbeKey] = ()
        self.asked: float | None = None
        self.seen: float | None = None
        self.targets: set[str] = set()
        self.networks: set[tuple[str, int]] = set()
        self.spools: set[str] = set()
        self.day_began = now


class ProbeCache:
    """Probes by id, as the registry had them a few seconds ago."""

    def __init__(self, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry, self._clock = registry, clock
        self._entries: dict[str, _Entry] = {}

    async def probe(self, id: str) -> Probe | None:
        """The registry's record, at most a few seconds old. Raises StoreUnavailableError."""
        await self._refresh(id)
        return self._entry(id).probe

    async def keys(self, id: str) -> Sequence[ProbeKey]:
        """The keys of a probe, as old as that. Raises StoreUnavailableError."""
        await self._refresh(id)
        return self._entry(id).keys

    async def _refresh(self, id: str) -> None:
        entry, now = self._entry(id), self._clock()
        lasts = UNKNOWN_SECONDS if entry.probe is None else KNOWN_SECONDS
        if entry.asked is None or now - entry.asked >= lasts:
            entry.probe = await self._registry.probe(id)
            entry.keys = await self._registry.keys(id) if entry.probe is not None else ()
            entry.asked = now

    def targets(self, id: str) -> set[str]:
        """Targets that this probe measured today; the caller adds to it."""
        return self._entry_today(id).targets

    def networks(self, id: str) -> set[tuple[str, int]]:
        """(country, ASN) that this probe was in today; the caller adds to it."""
        return self._entry_today(id).networks

    def spools(self, id: str) -> set[str]:
        """Names of the spools of which this probe sent today; the caller adds to it."""
        return self._entry_today(id).spools

    def _entry_today(self, id: str) -> _Entry:
        entry, now = self._entry(id), self._clock()
        if now - entry.day_began >= DAY_SECONDS:
            entry.targets, entry.networks, entry.spools = set(), set(), set()
            entry.day_began = now
        return entry

    async def record_seen(self, seen: Sequence[Seen]) -> None:
        """Write when probes last sent something: measurements of each at most once in SEEN_SECONDS,
        statuses always, and these do not count for that: they do not say where the probe is. Raises
        StoreUnavailableError."""
        now = self._clock()
        due = [one for one in seen if one.status is not None or self._is_due(one.probe, now)]
        await self._registry.record_seen(due)
        for one in due:
            if one.status is None:
                self._entry(one.probe).seen = now

    def _is_due(self, id: str, now: float) -> bool:
        written = self._entry(id).seen
        return written is None or now - written >= SEEN_SECONDS

    def _entry(self, id: str) -> _Entry:
        entry = self._entries.pop(id, None) or _Entry(self._clock())
        # Insertion order is that of last use.
        self._entries[id] = entry
        if len(self._entries) > MAX_PROBES:
            del self._entries[next(iter(self._entries))]
        return entry
