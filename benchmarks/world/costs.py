# SPDX-License-Identifier: Apache-2.0
"""What the detector costs: time for a fact from object to event, time for a round in columns,
size of its state, and what a restart changes (nothing)."""

from __future__ import annotations

import random
import time
import tracemalloc
from dataclasses import dataclass, replace

from benchmarks.world import columns
from benchmarks.world.blocks import FULL
from benchmarks.world.columns import Rounds
from benchmarks.world.people import Settlement
from benchmarks.world.rates import RATES
from benchmarks.world.scene import Scene
from monitor.detection.model import Event
from monitor.detection.policy import Policy
from monitor.detection.sequence.fold import CALM_FROM, initial, step
from monitor.detection.sequence.state import decode, encode

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
    """CPU time for one fact, from the object to the events."""
    awake: float
    """Share of the networks that were no columns at the end: something is the matter there."""
    encoded: float
    """Bytes of the stored state, for a series (one target in one network, all its layers)."""
    resident: float
    """Bytes that the state takes in memory, for a series."""
    saving: float
    """CPU microseconds to make the stored state, for a series."""
    columns: Rounds | None = None
    """Rounds of the goal's size, when asked for."""

    @property
    def goal_round_ms(self) -> float:
        """What a round of the goal's size would take from objects to events."""
        return GOAL_SERIES * VANTAGES * self.microseconds / 1000


def measured(
    series: int,
    days: float,
    rounds: int,
    policy: Policy,
    seed: int = 1,
    calm_from: int = CALM_FROM,
    goal: int = 0,
) -> Cost:
    """Fold `days` of history, then time `rounds`. `calm_from`: with so many networks the calm
    ones are kept as columns; `goal`: so many networks are then folded in columns alone."""
    networks = [
        Settlement(f"{chr(65 + n % COUNTRIES)}{chr(65 + n % COUNTRIES)}", 64512 + n, VANTAGES)
        for n in range(series)
    ]
    scene = Scene(networks, seed=seed, interval=300_000, days=days + 1, rates=_CALM)
    rng = random.Random(f"cost {seed}")
    warm = int(days * 288)
    state = initial("service")
    for n in range(warm):
        state, _ = step(state, scene.round(n), scene.facts(n, rng), policy, calm_from=calm_from)
    before = state
    given = [(scene.round(n), scene.facts(n, rng)) for n in range(warm, warm + rounds)]
    began = time.process_time()
    for at, facts in given:
        state, _ = step(state, at, facts, policy, calm_from=calm_from)
    spent = time.process_time() - began
    began = time.process_time()
    raw = encode(state)
    saving = time.process_time() - began
    awake = len(state.networks) / series
    del state
    tracemalloc.start()
    kept = decode(raw)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept.networks or kept.calm
    return Cost(
        series,
        1e6 * spent / sum(len(facts) for _, facts in given),
        awake,
        len(raw) / series,
        taken / series,
        1e6 * saving / series,
        columns.rounds(before, given, goal, policy) if goal else None,
    )


def same_after_restarts(policy: Policy, seed: int = 1) -> tuple[int, bool]:
    """Fold a block and its end plainly, with a restart after every round, and so in columns;
    return how many events came of it, and whether all said the same."""
    networks = [Settlement("AA", 64501, 3), Settlement("BB", 64601, 3), Settlement("CC", 64701, 3)]
    scene = Scene(networks, seed=seed, interval=300_000, days=2, rates=_CALM)
    block = FULL.block(64501, scene.round(300))
    said: list[list[Event]] = []
    for restarted, calm_from in ((False, CALM_FROM), (True, CALM_FROM), (True, 0)):
        state, rng, events = initial("service"), random.Random(f"restart {seed}"), list[Event]()
        for n in range(400):
            facts = scene.facts(n, rng, (block,) if n < 340 else ())
            if restarted:
                state = decode(encode(state))
            state, changed = step(state, scene.round(n), facts, policy, calm_from=calm_from)
            events += changed
        said.append(events)
    return len({event.id for event in said[0]}), said[0] == said[1] == said[2]
