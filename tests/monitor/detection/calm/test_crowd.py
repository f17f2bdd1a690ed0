from __future__ import annotations

import random

import numpy as np
from msgspec.structs import replace

from monitor.detection.calm import crowd
from monitor.detection.calm.packing import packed
from monitor.detection.sequence import gates
from monitor.detection.sequence.state import Member, Network, ServiceState
from tests.monitor.detection import worlds
from tests.monitor.detection.worlds import POLICY, START, World, ok, vantages

TARGET = worlds.TARGET
WORDS = ("good", "bad", "down", "unsupported", "offline", "")


def world(seed: int) -> dict[str, Network]:
    """Networks of three countries whose vantages said anything, lately or long ago."""
    rng = random.Random(seed)
    people = [
        who
        for country in ("RU", "FR", "ZZ")
        for n in range(6)
        for who in vantages(rng.randrange(1, 6), country, 0 if n == 5 else 64500 + n)
    ]
    networks = World(people).quiet(2).state.networks
    likely = rng.choice(WORDS)
    for network in networks.values():
        for probe, member in network.members.items():
            network.members[probe] = replace(
                member,
                outcome=likely if rng.random() < 0.6 else rng.choice(WORDS),
                round=START - rng.choice([0, 0, 0, 300_000, 600_001, 3_600_000]),
                owner=rng.choice(["one", member.owner, member.owner]),
                enrolled=START - rng.choice([0, 21_599_999, 21_600_000, 10**10]),
            )
    return networks


def test_a_target_fares_the_same_in_columns() -> None:
    for seed in range(60):
        networks = world(seed)
        state = ServiceState(service="wechat", networks=networks)
        block = packed(TARGET, networks.items(), POLICY)
        assert crowd.fares(block, {}, START, POLICY) == gates.elsewhere(
            state, TARGET, START, POLICY
        )
        lost = crowd.unproven(block, START, POLICY)
        assert (len(lost) >= 2) == gates.stale(state, TARGET, START, POLICY)


def test_gates_shut_for_the_same_networks() -> None:
    shut = 0
    for seed in range(60):
        networks = world(seed)
        for network in networks.values():
            network.inhibited_until = random.Random(seed).choice([0, START - 1, START])
        state = ServiceState(service="wechat", networks=networks)
        block = packed(TARGET, networks.items(), POLICY)
        counts = gates.elsewhere(state, TARGET, START, POLICY)
        stale = gates.stale(state, TARGET, START, POLICY)
        rows = np.flatnonzero(block.net % 2 == 0)
        closed = crowd.shut(block, rows, {}, counts, stale, START, POLICY)
        heard = {key for n, key in enumerate(block.keys) if n % 2 == 0}
        reasons = gates.inhibitions(state, heard, START, POLICY)
        assert {block.keys[n] for n in np.flatnonzero(closed).tolist()} == reasons.keys()
        assert block.inhibited.tolist() == [networks[key].inhibited_until for key in block.keys]
        shut += len(reasons)
    assert shut > 100


def test_members_alone() -> None:
    networks = World(vantages(3)).run(2, lambda n, who: ok()).state.networks
    block = packed(TARGET, networks.items(), POLICY)
    (network,) = networks.values()
    found = crowd.members(block, 0)
    assert found.members == network.members
    assert (found.country, found.asn, found.layers) == (network.country, network.asn, {})
    assert isinstance(found.members[block.probes[0]], Member)
