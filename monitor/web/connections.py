# SPDX-License-Identifier: Apache-2.0
"""From which networks probes connect, beside those that they claim: a remark for the operator.

The address is forgotten as soon as its network was looked up. A probe asks over both address
families, of which one may lead through a tunnel: one that agrees with what it claims is enough.
"""

from __future__ import annotations

from collections.abc import Callable

from monitor.store.registry import Registry

TOGETHER_MS = 60_000
"""Connections over both families are made within this time."""
MOST_REMEMBERED = 10_000


class Connections:
    """Notes where probes connect from. `clock`: Unix milliseconds."""

    def __init__(self, registry: Registry, clock: Callable[[], int]) -> None:
        self._registry, self._clock = registry, clock
        self._agreed: dict[str, int] = {}
        """When a probe last connected from where it claims to be."""

    async def note(self, id: str, place: tuple[str, int]) -> None:
        """Note the country and network of an address that a probe has just connected from; ("", 0)
        where that is unknown. Raises StoreUnavailableError."""
        probe = await self._registry.probe(id)
        if probe is None or not place[0]:
            return
        now = self._clock()
        if place == (probe.country, probe.asn):
            while len(self._agreed) >= MOST_REMEMBERED:
                del self._agreed[next(iter(self._agreed))]
            self._agreed[id] = now
        elif now - self._agreed.get(id, -TOGETHER_MS) < TOGETHER_MS:
            return
        if place != (probe.connected_country, probe.connected_asn):
            await self._registry.note_connection(id, *place)
