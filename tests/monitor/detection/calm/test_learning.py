from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detection.calm import learning
from monitor.detection.calm.packing import packed
from monitor.detection.calm.waking import unpacked
from monitor.detection.policy import Policy
from monitor.detection.sequence import baseline
from monitor.detection.sequence.state import Baseline, Network, Series, Track
from tests.monitor.detection.worlds import World, ok, vantages

POLICY = Policy(pace=12)
WIDTH = 300_000
SAID = st.lists(st.sampled_from("gfn"), min_size=3, max_size=3)


def three() -> Network:
    """A network of three vantages, each with one track that has learnt nothing."""
    (network,) = World(vantages(3)).run(1, lambda n, who: ok()).state.networks.values()
    network.layers = {"tls": Series({probe: Track(Baseline()) for probe in network.members})}
    return network


@given(st.lists(st.tuples(SAID, st.sampled_from([100_000, 300_000, 1_500_000, 30_000_000]))))
@settings(max_examples=60, deadline=None)
def test_counts_are_those_of_the_objects(rounds: list[tuple[list[str], int]]) -> None:
    """Good, failed or nothing at each of three vantages, after pauses that are short or long."""
    network = three()
    block = packed("wechat/messaging", [("k", network)], POLICY)
    plain = [Baseline()] * 3
    at = 1_800_000_000_000
    for said, pause in [*rounds, *[(["f", "g", "f"], 100_000)] * 40]:
        at += pause
        for n, word in enumerate(said):
            if word != "n":
                plain[n] = baseline.learn(plain[n], at, word == "f", POLICY)
        sampled = np.array([[word != "n" for word in said]])
        learning.learn(block, at, sampled, np.array([[word == "f" for word in said]]), POLICY)
    tracks = unpacked(block, 0, POLICY).layers["tls"].tracks
    assert [tracks[probe].baseline for probe in block.probes] == plain
    assert block.chronic[0].tolist() == [baseline.chronic(each, POLICY) for each in plain]
    above, below = learning.rates(block, np.arange(3), POLICY)
    rates = [baseline.rate(each, POLICY) for each in plain]
    assert list(zip(above.tolist(), below.tolist(), strict=True)) == rates


def test_columns_of_before_are_left_alone() -> None:
    network = three()
    block = packed("wechat/messaging", [("k", network)], POLICY)
    kept = list(block.hours_total)
    before = [column.copy() for column in kept]
    everybody = np.ones((1, 3), np.bool_)
    for n in range(400):
        learning.learn(block, n * WIDTH, everybody, everybody, POLICY)
    assert all((a == b).all() for a, b in zip(kept, before, strict=True))


def test_counts_beyond_a_byte() -> None:
    policy = Policy()
    network = three()
    block = packed("wechat/messaging", [("k", network)], policy)
    plain, at = Baseline(), 1_800_000_000_000
    one = np.array([[True, False, False]])
    for n in range(1500):
        at += 30_000
        plain = baseline.learn(plain, at, n % 2 == 0, policy)
        learning.learn(block, at, one, one & (n % 2 == 0), policy)
    track = unpacked(block, 0, policy).layers["tls"].tracks[block.probes[0]]
    assert track.baseline == plain
    assert max(bucket.total for bucket in plain.old) > 255
    assert {column.dtype.itemsize for column in block.old_total} == {1, 2}
