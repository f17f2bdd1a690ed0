# SPDX-License-Identifier: Apache-2.0
"""Which targets a round measures: all of them, or those of the lean profile. Pure.

The lean profile is for volunteers. In every round it measures the core functions of each service,
and every other function once in several rounds, each in a round of its own, so that all rounds cost
about the same. Vantages choose different rounds for the same function: together they measure it
more often than one of them does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from probes.wire.protocol import protocol
from probes.wire.target import Catalogue, Service, Target

REST_MS = 7_200_000
"""How often a function that is not core is measured, unless rounds are rare."""
REST_ROUNDS = 4
"""It is measured at most once in so many rounds, so that it never costs more than the core."""

_LEAN_SHARE = 0.5
"""Of `Protocol.usual_bytes`, which is for two addresses, when only one is dialled."""


def usual_bytes(protocols: Iterable[str]) -> int:
    """The expected traffic of measuring an endpoint of each of these protocols, in bytes."""
    return sum(protocol(name).usual_bytes for name in protocols)


def core_targets(service: Service) -> tuple[Target, ...]:
    """The targets that the catalogue marks as core; all of them when it marks none."""
    return tuple(target for target in service.targets if target.core) or service.targets


class Profile(msgspec.Struct, frozen=True):
    """What the rounds of one probe measure."""

    catalogue: Catalogue
    probe: str
    full: bool = False
    """Every target in every round, at every address."""

    def intervals(self, interval_ms: int) -> dict[str, int]:
        """The interval of each target by id, in milliseconds, when that of the rounds is this."""
        rounds = max(REST_ROUNDS, -(-REST_MS // interval_ms))
        return {
            target.id: interval_ms if core else rounds * interval_ms
            for target, core in self._targets()
        }

    def due(self, round_ms: int, interval_ms: int) -> tuple[Target, ...]:
        """The targets that the round starting at `round_ms` measures."""
        intervals = self.intervals(interval_ms)
        number = round_ms // interval_ms
        return tuple(
            target
            for target, _ in self._targets()
            if (number + self._offset(target)) % (intervals[target.id] // interval_ms) == 0
        )

    def guessed_bytes(self, interval_ms: int) -> int:
        """The expected traffic of a round in bytes, from the catalogue alone."""
        intervals = self.intervals(interval_ms)
        targets = sum(
            usual_bytes(e.protocol for e in target.endpoints) * interval_ms / intervals[target.id]
            for target in self.catalogue.targets
        )
        share = 1.0 if self.full else _LEAN_SHARE
        return int(share * (self.guessed_liveness_bytes() + targets))

    def guessed_liveness_bytes(self) -> int:
        """The expected traffic of measuring liveness in bytes."""
        return usual_bytes(host.protocol for host in self.catalogue.liveness)

    def _targets(self) -> Iterator[tuple[Target, bool]]:
        for service in self.catalogue.services:
            core = core_targets(service)
            for target in service.targets:
                yield target, self.full or target in core

    def _offset(self, target: Target) -> int:
        # Not a CRC: its last bits are a sum, so that few different orders would come out.
        digest = hashlib.sha256(f"{self.probe} {target.id}".encode()).digest()
        return int.from_bytes(digest[:4], "big")
