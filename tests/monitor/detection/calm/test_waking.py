from __future__ import annotations

import numpy as np

from monitor.detection.calm.packing import packed
from monitor.detection.calm.waking import awake, unpacked
from tests.monitor.detection.calm.test_merge import lived
from tests.monitor.detection.worlds import OFFLINE, POLICY, TARGET, World, vantages


def test_many_wake_at_once_and_in_their_order() -> None:
    networks = lived()
    block = packed(TARGET, networks.items(), POLICY)
    assert block.at.size == 3
    for chosen in ([0, 1, 2], [2, 0], [1]):
        found = awake(block, np.array(chosen), POLICY)
        assert found == [networks[block.keys[n]] for n in chosen]


def test_who_wakes_shares_nothing_with_the_columns_or_with_another() -> None:
    block = packed(TARGET, lived().items(), POLICY)
    one, other = unpacked(block, 0, POLICY), unpacked(block, 0, POLICY)
    for series in one.layers.values():
        for track in series.tracks.values():
            track.baseline.fresh.clear()
            if track.suspicion is not None:
                track.suspicion.sums[0] += 1
    one.members.clear()
    assert other == unpacked(block, 0, POLICY) != one


def test_a_network_that_never_spoke_of_a_layer() -> None:
    networks = World(vantages(2)).run(2, lambda n, who: OFFLINE).state.networks
    block = packed(TARGET, networks.items(), POLICY)
    assert [unpacked(block, 0, POLICY)] == list(networks.values())
