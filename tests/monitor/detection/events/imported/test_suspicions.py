"""Since when an imported network fails."""

from __future__ import annotations

from monitor.detection.events.imported.suspicions import dense, densest
from monitor.detection.events.state import Suspicion


def test_the_largest_share_that_explains_nearly_as_much() -> None:
    def held(*sums: int) -> Suspicion:
        return Suspicion(list(sums), [0] * 3, [0] * 3)

    assert densest(held(14, 14, 11)) == 2
    assert densest(held(14, 14, 10)) == 1
    assert dense(held(8, 8, 8))
    assert not dense(held(14, 0, 0))
