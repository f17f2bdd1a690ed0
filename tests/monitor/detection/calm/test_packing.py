from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.calm.block import shape
from monitor.detection.calm.packing import calm, fits, packed
from monitor.detection.calm.waking import unpacked
from monitor.detection.policy import Policy
from monitor.detection.sequence.state import Baseline, Bucket, Network, Series, Suspicion, Track
from tests.monitor.detection.worlds import POLICY, World, blocked, by_probe, ok, vantages

HOUR = 3_600_000


def lived(rounds: int = 40, last: str = "p-ru64501-1") -> dict[str, Network]:
    """Networks after some quiet hours and one failure of one vantage."""
    world = World([*vantages(3), *vantages(2, asn=64502)]).quiet(rounds)
    return world.run(1, by_probe({last: blocked()})).state.networks


def with_track(track: Track) -> Network:
    (network, *_) = lived(1).values()
    return replace(network, layers={"tls": Series({next(iter(network.members)): track})})


def test_what_is_packed_comes_back() -> None:
    networks = lived()
    block = packed("wechat/messaging", networks.items(), POLICY)
    assert len(block.at) == 1
    for n, key in enumerate(block.keys):
        assert unpacked(block, n, POLICY) == networks[key]


def test_what_is_an_event_is_not_calm() -> None:
    (network, *_) = lived().values()
    assert calm(network, POLICY)
    world = World(vantages(3)).quiet().run(3, by_probe({"p-ru64501-0": blocked()}))
    assert not calm(next(iter(world.state.networks.values())), POLICY)
    assert not calm(replace(network, source="ooni"), POLICY)
    held = replace(network.layers["tls"], likely_since=1)
    assert not calm(replace(network, layers={"tls": held}), POLICY)
    strong = Suspicion([POLICY.threshold_micronats, 0, 0], [1, 0, 0], [0, 0, 0])
    assert not calm(with_track(Track(Baseline(), suspicion=strong)), POLICY)


@pytest.mark.parametrize(
    "baseline",
    [
        Baseline([Bucket(HOUR, 1, 0), Bucket(HOUR + 1, 1, 0)]),
        Baseline([Bucket(HOUR, 0, 0)]),
        Baseline([Bucket(HOUR, 70_000, 0)]),
        Baseline([Bucket(HOUR, 1, 2)]),
        Baseline([Bucket(HOUR, 1, 0), Bucket(50 * HOUR, 1, 0)]),
        Baseline([Bucket(240 * HOUR, 1, 0)], [Bucket(0, 1, 0)], 1, 0),
        Baseline([Bucket(240 * HOUR, 1, 0)], [Bucket(234 * HOUR, 1, 0)], 2, 0),
        Baseline([], [], 1, 0),
    ],
)
def test_a_baseline_that_no_learning_makes_stays_an_object(baseline: Baseline) -> None:
    assert not fits(with_track(Track(baseline)), POLICY)


def test_what_columns_have_no_room_for_stays_an_object() -> None:
    (network, *_) = lived().values()
    assert fits(network, POLICY)
    probe, member = next(iter(network.members.items()))
    busy = {**network.members, probe: replace(member, interval=500)}
    assert not fits(replace(network, members=busy), POLICY)
    assert not fits(replace(network, layers={"other": Series({})}), POLICY)
    recovering = Suspicion([1, 0, 0], [1, 0, 0], [0, 0, 0], recovery=1)
    assert not fits(with_track(Track(Baseline(), suspicion=recovering)), POLICY)
    assert not fits(with_track(Track(Baseline(), suspicion=Suspicion([1], [1], [0]))), POLICY)


@pytest.mark.parametrize("pace", [1, 7, 60, 3600])
def test_every_baseline_that_is_learnt_fits(pace: int) -> None:
    policy = Policy(pace=pace)
    form = shape(policy)
    world = World(vantages(1), policy=policy, interval=form.width // 3, start=0)
    for _ in range(3):
        world.run(40, lambda n, who: ok())
        world.number += 2 * 29 * form.coarse // world.interval
        (network,) = world.run(1, lambda n, who: ok()).state.networks.values()
        assert fits(network, policy)
