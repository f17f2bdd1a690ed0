from __future__ import annotations

from dataclasses import replace

import numpy as np

from monitor.detection.calm.merge import merged
from monitor.detection.calm.packing import packed
from monitor.detection.calm.waking import unpacked
from monitor.detection.sequence.state import Network
from tests.monitor.detection.worlds import (
    INJECTED,
    POLICY,
    TARGET,
    World,
    blocked,
    by_probe,
    vantages,
)


def lived() -> dict[str, Network]:
    """Networks with failures in different layers; one country has a layer of its own."""
    people = [*vantages(3), *vantages(2, asn=64502), *vantages(2, "FR", 64503)]
    said = {"p-ru64501-1": blocked(), "p-ru64502-0": blocked(), "p-fr64503-1": INJECTED}
    return World(people).quiet(30).run(1, by_probe(said)).state.networks


def test_merged_blocks_hold_what_their_parts_held() -> None:
    networks = lived()
    parts = [packed(TARGET, [each], POLICY) for each in sorted(networks.items(), reverse=True)]
    for ordered in (False, True):
        block = merged(parts, ordered=ordered)
        found = {key: unpacked(block, n, POLICY) for n, key in enumerate(block.keys)}
        assert found == networks
        assert (list(found) == sorted(found)) is ordered
        assert block.at.tolist() == sorted(block.at.tolist())
        assert [block.index[probe] for probe in block.probes] == list(range(len(block.probes)))


def test_what_woke_is_left_out() -> None:
    networks = lived()
    block = packed(TARGET, sorted(networks.items()), POLICY)
    block = replace(block, live=np.array([key != "x" for key in block.keys]))
    block.live[1] = False
    less = merged([block])
    assert less.keys == [block.keys[0], block.keys[2]]
    assert unpacked(less, 1, POLICY) == networks[block.keys[2]]
    assert len(less.at) == len(block.at) - 1
    assert less.countries == tuple(sorted({networks[key].country for key in less.keys}))
