# SPDX-License-Identifier: Apache-2.0
"""Which targets a round measures: all of them, or those of the lean profile. Pure.

The lean profile is for volunteers. In every round it measures the core functions of each service,
and every other function once in several rounds, each in a round of its own, so that all rounds cost
about the same. The vantages of a network take turns with these: four of them measure each at least
every two hours together, while it costs each a quarter of that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator

import msgspec

from probes.wire.measurement import MOST_INTERVAL_MS, service_of
from probes.wire.protocol import protocol
from probes.wire.target import Catalogue, Service, Target

REST_MS, FAILED_REST_MS = 28_800_000, 7_200_000
"""How often a function that is not core is measured, unless rounds are rare; and one that failed
when it was last measured."""
REST_ROUNDS = 4
"""It is measured at most once in so many rounds, so that it never costs more than the core."""

_ALTERNATIVES = 2
_LEAN_SHARE = 0.5
"""Of `Protocol.usual_bytes`, which is for two addresses, when only one is dialled."""


def usual_bytes(protocols: Iterable[str]) -> int:
    """The expected traffic of measuring an endpoint of each of these protocols, in bytes."""
    return sum(protocol(name).usual_bytes for name in protocols)


def core_targets(service: Service) -> tuple[Target, ...]:
    """The targets that the catalogue marks as core; all of them when it marks none."""
    return tuple(target for target in service.targets if target.core) or service.targets


def lean_endpoints(target: Target) -> int:
    """How many endpoints of a quiet target a lean round measures: all, or where each would do for
    the app two, others in each round."""
    every = len(target.endpoints)
    return min(every, _ALTERNATIVES) if target.combine == "any_of" else every


class Profile(msgspec.Struct, frozen=True):
    """What the rounds of one probe measure."""

    catalogue: Catalogue
    probe: str
    full: bool = False
    """Every target in every round, at every address."""

    def intervals(self, interval_ms: int, *, failed: bool = False, thin: int = 1) -> dict[str, int]:
        """The interval of each target by id, in milliseconds, when that of the rounds is this; or
        its interval once it has failed. `thin`: as in `due`."""
        core_ms = interval_ms * (1 if failed else thin)
        rest_ms = _rest_rounds(interval_ms, failed=failed, thin=thin) * interval_ms
        return {target.id: core_ms if core else rest_ms for target, core in self._targets()}

    def due(
        self,
        round_ms: int,
        interval_ms: int,
        place: int | None = None,
        failed: Container[str] = (),
        *,
        thin: int = 1,
    ) -> tuple[Target, ...]:
        """The targets that the round starting at `round_ms` measures. `place`: as in
        `probes.rounds.scheduler.phase_ms`; `failed`: ids of targets that failed when they were last
        measured.

        Where the traffic budget is short, everything is measured once in `thin` times as many
        rounds, but the core functions of services that fail are in every round."""
        number = round_ms // interval_ms
        suspected = {service_of(target.id) for target, _ in self._targets() if target.id in failed}

        def rounds(target: Target, core: bool) -> int:
            if core:
                return 1 if service_of(target.id) in suspected else thin
            return _rest_rounds(interval_ms, failed=target.id in failed, thin=thin)

        return tuple(
            target
            for target, core in self._targets()
            if self._turn(target, number, rounds(target, core), place)
        )

    def rest_interval(self, interval_ms: int) -> int:
        """The interval in milliseconds of a target that is not core."""
        return _rest_rounds(interval_ms) * interval_ms

    def guessed_bytes(self, interval_ms: int) -> int:
        """The expected traffic of a round in bytes, from the catalogue alone."""
        if self.full:
            every = [each.protocol for t in self.catalogue.targets for each in t.endpoints]
            return self.guessed_liveness_bytes() + usual_bytes(every)
        rounds = _rest_rounds(interval_ms)
        targets = sum(
            usual_bytes(e.protocol for e in target.endpoints)
            * (lean_endpoints(target) / len(target.endpoints) / (1 if core else rounds))
            for target, core in self._targets()
            if target.endpoints
        )
        return int(self.guessed_liveness_bytes() + _LEAN_SHARE * targets)

    def guessed_liveness_bytes(self) -> int:
        """The expected traffic of measuring liveness in bytes."""
        every = usual_bytes(host.protocol for host in self.catalogue.liveness)
        return every if self.full else int(_LEAN_SHARE * every)

    def _targets(self) -> Iterator[tuple[Target, bool]]:
        for service in self.catalogue.services:
            core = core_targets(service)
            for target in service.targets:
                yield target, self.full or target in core

    def _turn(self, target: Target, number: int, rounds: int, place: int | None) -> bool:
        """Whether a target of which one round in so many is measured is in this one."""
        share = _number(self.probe) if place is None else place
        return (number + _number(target.id) + share % 1000 * rounds // 1000) % rounds == 0


def _rest_rounds(interval_ms: int, *, failed: bool = False, thin: int = 1) -> int:
    """A target that is not core is measured once in so many rounds: at least once a day, if there
    are so many."""
    usual = -(-(FAILED_REST_MS if failed and thin == 1 else REST_MS) // interval_ms)
    return max(REST_ROUNDS, min(thin * usual, MOST_INTERVAL_MS // interval_ms))


def _number(text: str) -> int:
    # Not a CRC: its last bits are a sum, so that few different orders would come out.
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
