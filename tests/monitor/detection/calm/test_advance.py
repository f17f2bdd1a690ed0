from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.detection.calm import advance
from monitor.detection.calm.block import GOOD, Block, Column
from monitor.detection.calm.evidence import gathered
from monitor.detection.calm.packing import packed
from monitor.detection.calm.waking import unpacked
from monitor.detection.model import Verdict
from monitor.detection.sequence.series import fork, meet, take
from monitor.detection.sequence.state import Network
from tests.monitor.detection import worlds
from tests.monitor.detection.worlds import INTERVAL, POLICY, START, World, blocked, fact, ok

PEOPLE = worlds.vantages(4)
OPEN = np.zeros(1, np.bool_)
ROUND = START + 10 * INTERVAL


def quiet() -> Network:
    (network,) = World(PEOPLE).quiet(4).state.networks.values()
    return network


def round_of(
    block: Block, said: Sequence[Verdict], at: int, shut: Column = OPEN
) -> tuple[Block, Column]:
    facts = [fact(who, at, verdict) for who, verdict in zip(PEOPLE, said, strict=True)]
    evidence = gathered(np.arange(len(facts)), facts)
    new = advance.meet(block, evidence, at)
    return new, advance.take(new, evidence, at, shut, POLICY)


def plainly(network: Network, said: Sequence[Verdict], at: int, inhibited: bool = False) -> Network:
    new = fork(network)
    facts = [fact(who, at, verdict) for who, verdict in zip(PEOPLE, said, strict=True)]
    for one in facts:
        meet(new, one)
    for one in facts:
        take(new, one, inhibited, POLICY)
    return new


def test_a_round_is_that_of_the_objects_and_leaves_the_old_block_as_it_was() -> None:
    network = quiet()
    block = packed(worlds.TARGET, [("k", network)], POLICY)
    said = [ok(), blocked(), worlds.BLACKHOLE, worlds.DOWN]
    new, hot = round_of(block, said, ROUND)
    assert unpacked(block, 0, POLICY) == network
    assert unpacked(new, 0, POLICY) == plainly(network, said, ROUND)
    assert hot.size == 0
    assert new.outcome[0] == GOOD


def test_an_echo_of_a_deeper_failure_does_not_count() -> None:
    network = quiet()
    block = packed(worlds.TARGET, [("k", network)], POLICY)
    for n, deep in enumerate((blocked(), worlds.BLACKHOLE)):
        said, at = [deep, ok(), ok(), ok()], ROUND + n * 60_000
        block, _ = round_of(block, said, at)
        network = plainly(network, said, at)
    assert unpacked(block, 0, POLICY) == network
    (tcp,) = [n for n, layer in enumerate(block.layers) if layer == "tcp"]
    assert block.bad[tcp, 0] == 0


def test_behind_a_shut_gate_failures_take_the_ground_away() -> None:
    network = quiet()
    block = packed(worlds.TARGET, [("k", network)], POLICY)
    said = [blocked(), ok(), ok(), ok()]
    block, _ = round_of(block, said, ROUND)
    network = plainly(network, said, ROUND)
    assert block.at.size == 1
    later = ROUND + INTERVAL
    block, _ = round_of(block, said, later, ~OPEN)
    assert unpacked(block, 0, POLICY) == plainly(network, said, later, inhibited=True)
    assert block.at.size == 0


def test_who_reaches_the_threshold_is_calm_no_more() -> None:
    block = packed(worlds.TARGET, [("k", quiet())], POLICY)
    hot = np.zeros(0, np.int64)
    for n in range(3):
        if not hot.size:
            block, hot = round_of(block, [blocked(), ok(), ok(), ok()], ROUND + n * INTERVAL)
    assert hot.tolist() == [0]
