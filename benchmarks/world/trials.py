# SPDX-License-Identifier: Apache-2.0
"""One simulation run to many moments: a trial at each is discarded, because the fold is pure."""

from __future__ import annotations

import random
from collections.abc import Iterator

from benchmarks.world.alarms import WARM_DAYS
from benchmarks.world.scene import START, Scene
from monitor.detection.events.fold import initial, step
from monitor.detection.events.state import ServiceState
from monitor.detection.policy import Policy

BETWEEN_MS = 95 * 60_000
"""Mean time between two moments in one world."""


def days(tries: int, more_hours: float, between: int = BETWEEN_MS) -> float:
    """How long a world must be for so many moments, and for `more_hours` after the last."""
    return WARM_DAYS + tries * between * 2 / 86_400_000 + more_hours / 24 + 1


def moments(
    scene: Scene, tries: int, rng: random.Random, policy: Policy, between: int = BETWEEN_MS
) -> Iterator[tuple[int, int, ServiceState]]:
    """(moment in Unix ms, number of the round that it falls into, state before that round),
    uniform in time. Chance between them comes from the generator that the caller shares."""
    state, n = initial("service"), 0
    at = float(START + WARM_DAYS * 86_400_000)
    for _ in range(tries):
        at += rng.uniform(0.5, 1.5) * between
        while scene.round(n + 1) <= at:
            if facts := scene.facts(n, rng):
                state, _ = step(state, scene.round(n), facts, policy)
            n += 1
        yield int(at), n, state
