# SPDX-License-Identifier: Apache-2.0
"""Addresses that showed a valid certificate for a name in earlier rounds: they are the service's.
Where one is dead now, the answer of DNS that leads there is not forged: the server is down, or the
service has moved. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeGuard

import msgspec

from probes.wire.observation import (
    PROVEN_BEFORE,
    AnyObservation,
    Contrast,
    Purpose,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
)

KEPT_MS = 6 * 3_600_000
"""Resolvers that ignore the lifetime of a record give it for some hours more."""
MOST = 64
"""Addresses of one name that are remembered."""


@dataclass
class ProvenAddresses:
    """When each address last proved itself, by name; lost at a restart."""

    _last: dict[str, dict[str, int]] = field(default_factory=dict)

    def remarked(
        self, name: str, seen: Iterable[AnyObservation], now_ms: int
    ) -> list[AnyObservation]:
        """Return the observations of an endpoint, those with PROVEN_BEFORE that failed at an
        address which proved itself before; and remember which do now. `now_ms`: Unix time."""
        if not name:
            return list(seen)
        since = now_ms - KEPT_MS
        before = {a: when for a, when in self._last.get(name, {}).items() if when > since}
        found = [_remarked(each) if _died_at(each, before) else each for each in seen]
        for each in found:
            if _proves(each):
                before[each.address] = now_ms
        self._last[name] = dict(sorted(before.items(), key=lambda item: item[1])[-MOST:])
        return found


def _died_at(seen: AnyObservation, before: dict[str, int]) -> bool:
    return (
        isinstance(seen, TCPConnect | QUICHandshake)
        and seen.failure is not None
        and seen.purpose is Purpose.SUBJECT
        and seen.address in before
    )


def _remarked(seen: AnyObservation) -> AnyObservation:
    assert isinstance(seen, TCPConnect | QUICHandshake)
    return msgspec.structs.replace(seen, evidence=(*seen.evidence, PROVEN_BEFORE))


def _proves(seen: AnyObservation) -> TypeGuard[TLSHandshake | QUICHandshake]:
    return (
        isinstance(seen, TLSHandshake | QUICHandshake)
        and seen.failure is None
        and seen.contrast in (None, Contrast.REPEAT)
    )
