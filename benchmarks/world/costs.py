"""What the detector costs: time for a fact and a series, size of its state, and what a restart
changes (nothing)."""

from __future__ import annotations

import random
import time
import tracemalloc
from dataclasses import dataclass, replace

from benchmarks.world.blocks import FULL
from benchmarks.world.people import Settlement
from benchmarks.world.rates import RATES
from benchmarks.world.scene import Scene
from monitor.detection.fold import initial, step
from monitor.detection.model import Event
from monitor.detection.policy import Policy
from monitor.detection.state import decode, encode

VANTAGES = 5
COUNTRIES = 20
GOAL_SERIES = 100_000
GOAL_MS = 250.0
GOAL_BYTES = 1024
_CALM = replace(RATES, online_day=1.0, online_night=1.0)


@dataclass(frozen=True)
class Cost:
    """Of one service with `series` networks of five vantages."""

    series: int
    microseconds: float
    """CPU time for one fact."""
    encoded: float
    """Bytes of the stored state, for a series (one target in one network, all its layers)."""
    resident: float
    """Bytes that the state takes in memory, for a series."""

    @property
    def goal_round_ms(self) -> float:
        """What a round of the goal's size would take."""
        return GOAL_SERIES * VANTAGES * self.microseconds / 1000


def measured(series: int, days: float, rounds: int, policy: Policy, seed: int = 1) -> Cost:
    """Fold `days` of history, then time `rounds`."""
    networks = [
        Settlement(f"{chr(65 + n % COUNTRIES)}{chr(65 + n % COUNTRIES)}", 64512 + n, VANTAGES)
        for n in range(series)
    ]
    scene = Scene(networks, seed=seed, interval=300_000, days=days + 1, rates=_CALM)
    rng = random.Random(f"cost {seed}")
    warm = int(days * 288)
    state = initial("service")
    spent, facts = 0.0, 0
    for n in range(warm + rounds):
        given = scene.facts(n, rng)
        began = time.process_time()
        state, _ = step(state, scene.round(n), given, policy)
        if n >= warm:
            spent += time.process_time() - began
            facts += len(given)
    raw = encode(state)
    del state
    tracemalloc.start()
    kept = decode(raw)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept.networks
    return Cost(series, 1e6 * spent / facts, len(raw) / series, taken / series)


def same_after_restarts(policy: Policy, seed: int = 1) -> tuple[int, bool]:
    """Fold a block and its end with and without a restart after every round; return how many
    events came of it, and whether both said the same."""
    networks = [Settlement("AA", 64501, 3), Settlement("BB", 64601, 3), Settlement("CC", 64701, 3)]
    scene = Scene(networks, seed=seed, interval=300_000, days=2, rates=_CALM)
    block = FULL.block(64501, scene.round(300))
    said: list[list[Event]] = []
    for restarted in (False, True):
        state, rng, events = initial("service"), random.Random(f"restart {seed}"), list[Event]()
        for n in range(400):
            facts = scene.facts(n, rng, (block,) if n < 340 else ())
            if restarted:
                state = decode(encode(state))
            state, changed = step(state, scene.round(n), facts, policy)
            events += changed
        said.append(events)
    return len({event.id for event in said[0]}), said[0] == said[1]
