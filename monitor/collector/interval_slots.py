# SPDX-License-Identifier: Apache-2.0
"""The place of each vantage in the interval, sent with its acknowledgements.

The vantages of a network take turns, so that one of them measures soon after a block begins. Each
network begins elsewhere, so that not all of a fleet measure at once. Places stay as long as the
same vantages are there. While few are awake, as at night, they take turns among themselves: the
places of all others would leave a gap. Each vantage learns how many there are by day too, because
few of them measure more often. A probe without a place takes one by chance
(`probes.rounds.scheduler`).

A vantage that is heard but shows nothing, as behind an intercepting proxy, keeps its place. Of
three, the two others would be spread evenly without it, yet for a third of the time the next
measurement would be more than a third of the interval away, as now: only the longest wait would be
shorter, by a quarter. More rounds would help, which the default traffic budget does not pay for.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from monitor.store.records import Probe, StoreUnavailableError
from monitor.store.registry import Registry
from probes.wire.measurement import Role

PER_MILLE = 1000
ACTIVE_MS = 86_400_000
"""A probe not heard for this long gives its place to others."""
AWAKE_MS = 9_000_000
"""A probe not heard for this long is off for now. On a metered connection one measures every two
hours."""
FEW = 4
"""So many who are awake take turns among themselves. Among more the gaps are short, and a place
that moves when another comes or goes costs half a round."""
Member = TypeVar("Member")
REFRESH_MS = 300_000


class Slot(NamedTuple):
    """When a vantage measures among those of its network."""

    place: int
    """In thousandths of the interval."""
    vantages: int
    """How many take turns."""


def slots(probes: Iterable[Probe], now: int) -> dict[str, Slot]:
    """The slots of active vantages, evenly spread in each network. `now` is Unix milliseconds."""
    networks: defaultdict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
    awake: set[str] = set()
    for probe in probes:
        heard = probe.last_seen is not None and now - probe.last_seen <= ACTIVE_MS
        if heard and probe.revoked is None and probe.asn and probe.role == Role.VANTAGE:
            networks[probe.country, probe.asn].append((probe.enrolled, probe.id))
        if probe.last_seen is not None and now - probe.last_seen <= AWAKE_MS:
            awake.add(probe.id)
    return {
        id: Slot(place, len(members))
        for network, members in networks.items()
        for id, place in places(network, [id for _, id in sorted(members)], awake).items()
    }


def places(
    network: tuple[str, int], members: Sequence[Member], awake: Collection[Member]
) -> dict[Member, int]:
    """The places of a network's vantages, in thousandths of the interval. Who is off keeps the one
    of the day."""
    found = {member: place(network, number, len(members)) for number, member in enumerate(members)}
    here = [member for member in members if member in awake]
    if len(here) <= FEW:
        found |= {member: place(network, number, len(here)) for number, member in enumerate(here)}
    return found


def place(network: tuple[str, int], number: int, vantages: int) -> int:
    """The place of one of a network's vantages, in thousandths of the interval."""
    country, asn = network
    first = zlib.crc32(f"{country} {asn}".encode())
    return (first + PER_MILLE * number // vantages) % PER_MILLE


class IntervalSlots:
    """The slots of all vantages, read from the registry from time to time."""

    def __init__(self, registry: Registry, clock: Callable[[], int]) -> None:
        """`clock` returns Unix milliseconds."""
        self._registry, self._clock = registry, clock
        self._slots: Mapping[str, Slot] = {}
        self._read = -REFRESH_MS

    async def present(self) -> Mapping[str, Slot]:
        """The present slots by probe; the last ones while the store is unavailable."""
        now = self._clock()
        if not 0 <= now - self._read < REFRESH_MS:
            self._read = now
            try:
                self._slots = slots(await self._registry.probes(), now)
            except StoreUnavailableError:
                pass  # nothing depends on it
        return self._slots
