# SPDX-License-Identifier: Apache-2.0
"""What the detector costs: time for a fact from object to event, time and memory of a round of a
large fleet, size of its state, and what a restart changes (nothing)."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec.structs import replace as changed

from benchmarks.world.blocks import FULL
from benchmarks.world.rates import RATES
from benchmarks.world.scene import Scene
from benchmarks.world.vantages import Settlement
from monitor.detection.events.fold import initial, step
from monitor.detection.events.state import ServiceState, TargetNetwork, decode, encode
from monitor.detection.model import Event, Fact
from monitor.detection.policy import Policy

VANTAGES = 5
COUNTRIES = 20
SERVICES = 20
GOAL_SERIES = 100_000
GOAL_SECONDS = 30.0
"""A tenth of a round of 300 s."""
GOAL_RESIDENT = 1.5e9
GOAL_BYTES = 1024
_ALWAYS_ON = replace(RATES, online_day=1.0, online_night=1.0)


@dataclass(frozen=True)
class Cost:
    """Of one service with some networks of five vantages."""

    networks: int
    microseconds: float
    """CPU time for one fact, from the object to the events."""
    encoded: float
    """Bytes of the stored state for a network (one target in one network, all its layers)."""
    saving: float
    """CPU microseconds to make the stored state, for a network."""


@dataclass(frozen=True)
class Fleet:
    """One round of many services, folded one after another."""

    series: int
    """One layer of one target in one network."""
    facts: int
    seconds: float
    """CPU time of an ordinary round."""
    on_the_hour: float
    """The same when an hour begins and all baselines move on."""
    resident: float
    """Bytes of the process that the states take, for a series."""


def _lived(
    networks: int, days: float, rounds: int, policy: Policy, seed: int
) -> tuple[ServiceState, list[tuple[int, list[Fact]]]]:
    """The state after `days`, and the facts of the `rounds` that follow."""
    scene = Scene(
        [
            Settlement(f"{chr(65 + n % COUNTRIES)}{chr(65 + n % COUNTRIES)}", 64512 + n, VANTAGES)
            for n in range(networks)
        ],
        seed=seed,
        interval=300_000,
        days=days + 1,
        rates=_ALWAYS_ON,
    )
    rng = random.Random(f"cost {seed}")
    past = int(days * 288)
    state = initial("service")
    for n in range(past):
        state, _ = step(state, scene.round(n), scene.facts(n, rng), policy)
    return state, [(scene.round(n), scene.facts(n, rng)) for n in range(past, past + rounds)]


def measured(networks: int, days: float, rounds: int, policy: Policy, seed: int = 1) -> Cost:
    """Fold `days` of history, then time `rounds`."""
    state, given = _lived(networks, days, rounds, policy, seed)
    began = time.process_time()
    for at, facts in given:
        state, _ = step(state, at, facts, policy)
    spent = time.process_time() - began
    began = time.process_time()
    raw = encode(state)
    saving = time.process_time() - began
    return Cost(
        networks,
        1e6 * spent / sum(len(facts) for _, facts in given),
        len(raw) / networks,
        1e6 * saving / networks,
    )


def fleet(
    policy: Policy,
    series: int = GOAL_SERIES,
    services: int = SERVICES,
    networks: int = 20,
    days: float = 7.4,
    seed: int = 1,
) -> Fleet:
    """Copy the networks of one service under other names until all `services` together have
    `series` series, and fold a round of all of them: every fact from the object to the events."""
    state, given = _lived(networks, days, 13, policy, seed)
    layers = sum(len(network.layers) for network in state.networks.values())
    copies = max(1, round(series / services / layers))
    raw = encode(_copied(state, copies))
    before = _resident()
    states = [decode(raw) for _ in range(services)]
    resident = _resident() - before
    facts = 0
    seconds: dict[bool, float] = {}
    for at, some in given:
        hourly = at % 3_600_000 == 0
        if hourly in seconds:
            continue
        every = [
            changed(fact, asn=fact.asn + n * networks, probe=f"{fact.probe} {n}")
            for fact in some
            for n in range(copies)
        ]
        facts = len(every) * services
        began = time.process_time()
        states = [step(state, at, every, policy)[0] for state in states]
        seconds[hourly] = time.process_time() - began
    size = layers * copies * services
    return Fleet(size, facts, seconds[False], seconds[True], resident / size)


def _copied(state: ServiceState, copies: int) -> ServiceState:
    """The state with every network `copies` times, under other numbers and with other vantages."""
    new = initial(state.service)
    new.round, new.swept = state.round, state.swept
    for network in state.networks.values():
        for n in range(copies):
            asn = network.asn + n * len(state.networks)
            new.networks[f"{network.target} {network.country} {asn} {network.source}"] = (
                TargetNetwork(
                    network.target,
                    network.country,
                    asn,
                    network.source,
                    {f"{probe} {n}": member for probe, member in network.members.items()},
                    {
                        layer: changed(
                            each,
                            tracks={f"{probe} {n}": track for probe, track in each.tracks.items()},
                        )
                        for layer, each in network.layers.items()
                    },
                    network.inhibited_until,
                )
            )
    return new


def _resident() -> int:
    """Bytes of memory of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def same_after_restarts(policy: Policy, seed: int = 1) -> tuple[int, bool]:
    """Fold a block and its end with and without a restart after every round; return how many
    events came of it, and whether both said the same."""
    networks = [Settlement("AA", 64501, 3), Settlement("BB", 64601, 3), Settlement("CC", 64701, 3)]
    scene = Scene(networks, seed=seed, interval=300_000, days=2, rates=_ALWAYS_ON)
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
