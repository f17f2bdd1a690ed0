"""The sweep's grid and its figures; the laboratories themselves are played by the benchmark."""

from __future__ import annotations

from tests.lab.sweep import BENIGN, KBIT, LINES, PROMISED, figures, grid, named


def test_every_kind_meets_every_line() -> None:
    cells = grid(1000)
    kinds = {*PROMISED, *BENIGN}
    assert {(c.kind, c.loss, c.delay) for c in cells} == {
        (k, *line) for k in kinds for line in LINES
    }
    for kind in ("name", "address", "congestion"):
        assert {c.kbit for c in cells if c.kind == kind} == set(KBIT)
    assert len({c.seed for c in cells}) == len(cells)
    assert grid(1000) == cells != grid(2000)
    assert {c.promised for c in cells} == {"", *PROMISED.values()}


def test_figures() -> None:
    pairs = [("throttle.sni", "throttle.sni")] * 3 + [("throttle.sni", ""), ("", "")]
    pairs += [("throttle.address", "throttle.sni"), ("", "throttle.address")]
    assert figures(pairs) == [
        "throttling at all  precision 0.800 (4 of 5)  recall 0.800 (4 of 5)",
        "throttle.address   precision 0.000 (0 of 1)  recall 0.000 (0 of 1)",
        "throttle.freeze    precision -  recall -",
        "throttle.sni       precision 0.750 (3 of 4)  recall 0.750 (3 of 4)",
    ]


def test_only_an_accusation_is_named() -> None:
    assert named({"state": "throttled", "technique": "throttle.sni"}) == "throttle.sni"
    assert named({"state": "inconclusive", "technique": "throttle.sni"}) == ""
    assert named({"state": "ok", "technique": None}) == ""
