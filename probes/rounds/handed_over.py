# SPDX-License-Identifier: Apache-2.0
"""Addresses that a control is asked to try, because they failed at vantages elsewhere. Pure: time
is an argument.

A control connects to them as it does to the addresses of its own resolvers: at the catalogue's
port, with the service's name. It does so beside its usual measurements of the target, for a while,
so that what vantages see in the next rounds can be compared as well. Whoever has taken over the
broker can have it dial few addresses in an hour, and those of the catalogue's services alone prove
anything there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from probes.wire.measurement import Role
from probes.wire.retest import FailedAddresses
from probes.wire.target import Target

HOUR_MS = 3_600_000
KEPT_MS = 7_200_000
"""So long an address is tried after it was handed over; a suspicion that stands names it again."""
MAX_NEW_PER_HOUR = 60
"""Addresses that were not known, of all endpoints together."""
MAX_PER_ENDPOINT = 8
"""Addresses of one endpoint that are tried at a time: those that were named last."""
EndpointKey = tuple[str, str]
"""The ids of a target and of its endpoint."""


@dataclass
class HandedOver:
    """The addresses that a control tries at present. A probe with another role accepts none."""

    _until: dict[EndpointKey, dict[str, int]] = field(default_factory=dict)
    """Until when each address is tried, Unix milliseconds."""
    _recent: deque[int] = field(default_factory=deque)
    """When new ones were accepted, oldest first."""

    def accept(
        self, failed: Iterable[FailedAddresses], role: Role, targets: Iterable[Target], now_ms: int
    ) -> int:
        """Accept the addresses that may be tried, and return how many of them are new."""
        if role is not Role.CONTROL:
            return 0
        named = {(t.id, endpoint.id) for t in targets for endpoint in t.endpoints if endpoint.host}
        self._forget(now_ms)
        new = 0
        for of_endpoint in failed:
            key = of_endpoint.target, of_endpoint.endpoint
            if key not in named:  # an address of the catalogue itself is tried anyway
                continue
            kept = self._until.setdefault(key, {})
            for address in of_endpoint.addresses:
                if address not in kept:
                    if len(self._recent) >= MAX_NEW_PER_HOUR:
                        continue
                    self._recent.append(now_ms)
                    new += 1
                kept[address] = now_ms + KEPT_MS
            while len(kept) > MAX_PER_ENDPOINT:
                del kept[min(kept, key=lambda address: kept[address])]
        return new

    def addresses(self, now_ms: int) -> Mapping[EndpointKey, Sequence[str]]:
        """The addresses to try now, by endpoint."""
        self._forget(now_ms)
        return {key: tuple(kept) for key, kept in self._until.items()}

    def _forget(self, now_ms: int) -> None:
        # A clock that was set back must not keep them for longer.
        later = now_ms, now_ms + KEPT_MS
        left = {
            key: {a: until for a, until in kept.items() if later[0] < until <= later[1]}
            for key, kept in self._until.items()
        }
        self._until = {key: kept for key, kept in left.items() if kept}
        while self._recent and not now_ms - HOUR_MS < self._recent[0] <= now_ms:
            self._recent.popleft()
