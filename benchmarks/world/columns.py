# SPDX-License-Identifier: Apache-2.0
"""What a round costs in which everything is judged and lies in columns: the detector's own step.

A few networks live through a week in the simulated world; then the calm ones are copied under
other names until there are as many as asked for, and the rounds that follow are folded for all
copies. Copies behave alike, which no figure here depends on: nothing is looked up by name.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from monitor.detection.calm import plane
from monitor.detection.calm.block import Block, Column
from monitor.detection.calm.evidence import Evidence, gathered
from monitor.detection.calm.merge import merged
from monitor.detection.calm.plane import Calm
from monitor.detection.model import Fact
from monitor.detection.policy import Policy
from monitor.detection.sequence import gates
from monitor.detection.sequence.state import ServiceState

SERVICES = 20


@dataclass(frozen=True)
class Rounds:
    """Times of whole rounds, CPU milliseconds."""

    networks: int
    facts: int
    """In a round."""
    failures: int
    median: float
    """Without waking."""
    slowest: float
    """Of those that begin an hour, in which all baselines move on."""
    waking: float
    """For networks that are calm no more, on average over the rounds: copies wake together."""
    woken: float
    """How many they were, in a round."""


def rounds(
    state: ServiceState,
    given: Sequence[tuple[int, list[Fact]]],
    networks: int,
    policy: Policy,
    services: int = SERVICES,
) -> Rounds:
    """Fold the given rounds for `networks` copies, divided among some services, of the calm
    networks of a state (of one target).

    Counted: newest outcomes, gates, sums, baselines, who may vote, and (apart) waking those that
    are calm no more. Not counted: judging, making the columns, and networks that are awake.
    """
    (target,) = state.calm.blocks
    block = merged(state.calm.blocks[target])
    times = max(1, round(networks / len(block.keys) / services))
    each = merged([_copied(block, n) for n in range(times)])
    calm = Calm(policy, {target: (each,)})
    folds = [ServiceState(service=f"{n}", calm=calm) for n in range(services)]
    spent, waking, woken = [], 0.0, 0
    for at, facts in given:
        mine = [fact for fact in facts if fact.probe in block.index]
        rows = np.array([block.index[fact.probe] for fact in mine], np.int64)
        said = {(target, 0): _repeated(gathered(rows, mine), times, len(block.probes))}
        began = time.process_time()
        folded = [_folded(state, said, at, policy) for state in folds]
        ended = time.process_time()
        spent.append(1000 * (ended - began))
        folds = []
        for state, risen in folded:
            state.calm, awake = plane.woken(state.calm, risen)
            folds.append(state)
            woken += len(awake)
        waking += 1000 * (time.process_time() - ended)
    evidence = said[target, 0]
    return Rounds(
        networks=len(each.keys) * services,
        facts=len(evidence.row) * services,
        failures=len(evidence.bad_row) * services,
        median=statistics.median(spent),
        slowest=max(spent),
        waking=waking / len(given),
        woken=woken / len(given),
    )


def _folded(
    state: ServiceState, said: plane.Said, round: int, policy: Policy
) -> tuple[ServiceState, dict[plane.Place, Column]]:
    """What `monitor.detection.sequence.fold.step` does with columns, and who is to wake."""
    new = ServiceState(service=state.service, calm=plane.met(state.calm, said, round))
    fares = cache(lambda target: gates.elsewhere(new, target, round, policy))
    shut = plane.shut(new, said, round, policy, fares)
    plane.heard(new.calm, said)
    return new, plane.taken(new.calm, said, round, shut)


def _copied(block: Block, n: int) -> Block:
    return replace(
        block,
        keys=[f"{key} {n}" for key in block.keys],
        probes=[f"{probe} {n}" for probe in block.probes],
    )


def _repeated(said: Evidence, times: int, wide: int) -> Evidence:
    """What all copies say."""

    def rows(column: Column) -> Column:
        return np.concatenate([column + n * wide for n in range(times)])

    return Evidence(
        row=rows(said.row),
        outcome=np.tile(said.outcome, times),
        accuses=np.tile(said.accuses, times),
        groundless=np.tile(said.groundless, times),
        shaken=np.tile(said.shaken, times),
        layers=np.tile(said.layers, times),
        fine_row=rows(said.fine_row),
        fine_layer=np.tile(said.fine_layer, times),
        bad_row=rows(said.bad_row),
        bad_layer=np.tile(said.bad_layer, times),
        bad_weight=np.tile(said.bad_weight, times),
        bad_started=np.tile(said.bad_started, times),
        id=said.id * times,
        rule=said.rule * times,
        technique=said.technique * times,
        part=said.part * times,
    )
