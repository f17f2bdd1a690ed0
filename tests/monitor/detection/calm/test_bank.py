from __future__ import annotations

import random

import numpy as np

from monitor.detection.calm import bank
from monitor.detection.calm.bank import Failures
from monitor.detection.calm.packing import packed
from monitor.detection.calm.waking import unpacked
from monitor.detection.sequence import cusum
from monitor.detection.sequence.state import Baseline, Bucket, Series, Track
from tests.monitor.detection.worlds import POLICY, World, ok, vantages

MINUTE = 60_000


def test_logarithms_are_rounded_as_the_objects_round_them() -> None:
    rng = random.Random(1)
    above = np.array([rng.randrange(1, 10**9) for _ in range(20_000)], np.int64)
    below = np.array([rng.randrange(1, 10**9) for _ in range(20_000)], np.int64)
    expected = [
        cusum.log(up, down) for up, down in zip(above.tolist(), below.tolist(), strict=True)
    ]
    assert bank.logs(above, below).tolist() == expected


def test_near_a_half_the_exact_way_decides(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """With everything called near, all are taken again; and the answer is the same."""
    above, below = np.arange(1, 200), np.arange(7, 206)
    before = bank.logs(above, below).tolist()
    monkeypatch.setattr(bank, "_NEAR", 1.0)
    assert bank.logs(above, below).tolist() == before


def test_sums_are_those_of_the_objects() -> None:
    """Random failures and successes at tracks with many baselines."""
    rng = random.Random(2)
    (network,) = World(vantages(40)).run(1, lambda n, who: ok()).state.networks.values()
    tracks = {}
    for probe in network.members:
        failed = rng.choice([0, 0, 5, 40, 400])
        learnt = Baseline([Bucket(0, 1, 0)], [Bucket(-21_600_000, 1000, failed)], 1000, failed)
        tracks[probe] = Track(learnt)
    network.layers = {"tls": Series(tracks)}
    block = packed("wechat/messaging", [("k", network)], POLICY)
    plain = [tracks[probe] for probe in block.probes]
    wide = len(plain)
    for n in range(1, 120):
        said = [rng.choice("fggggn" if row % 2 else "ffgn") for row in range(wide)]
        chosen = [row for row, word in enumerate(said) if word == "f"]
        failures = [
            cusum.Failure(
                id=f"{n} {row}",
                started=n * MINUTE + row,
                rule="r",
                weight=rng.choice([0, 500_000, 3_000_000]),
                technique=rng.choice(["tls.reset.sni", ""]),
                part=rng.random() < 0.3,
            )
            for row in chosen
        ]
        lost = [rng.random() < 0.01 and word == "n" for word in said]
        good = np.array([[word == "g" for word in said]])
        bank.succeed(block, good, np.array([lost]), POLICY)
        columns = Failures(
            at=np.array(chosen, np.int64),
            weight=np.array([each.weight for each in failures], np.int64),
            started=[each.started for each in failures],
            id=[each.id for each in failures],
            rule=[each.rule for each in failures],
            technique=[each.technique for each in failures],
            part=[each.part for each in failures],
        )
        most = bank.fail(block, n * MINUTE, columns, POLICY)
        block.good = np.where(good, n * MINUTE, block.good)
        for row, word in enumerate(said):
            if word == "g":
                plain[row] = cusum.succeed(plain[row], n * MINUTE, POLICY)
            if lost[row]:
                plain[row] = cusum.doubt(plain[row])
        for row, failure in zip(chosen, failures, strict=True):
            plain[row] = cusum.fail(plain[row], n * MINUTE, failure, POLICY)
        sums = [max(held.sums) if (held := plain[row].suspicion) else 0 for row in chosen]
        assert most.tolist() == sums
        now = unpacked(block, 0, POLICY).layers["tls"].tracks
        assert [now[probe].suspicion for probe in block.probes] == [
            track.suspicion for track in plain
        ]
    assert any(track.suspicion for track in plain)
    bank.drop(block, np.arange(wide))
    assert block.at.size == 0
