from __future__ import annotations

import pytest

from benchmarks.world.independent import compared, run_length
from monitor.detection.policy import Policy


@pytest.mark.parametrize("p", [0.02, 0.3])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_run_of_failures_has_its_closed_form(p: float, n: int) -> None:
    # A success takes everything: the threshold is reached by n failures in a row.
    assert run_length(p, 1, n, n) == pytest.approx((p**-n - 1) / (1 - p))


def test_a_coin_that_steps_either_way() -> None:
    # Up one or down one with equal chance, reflected at zero: h * (h + 1) steps to h.
    assert run_length(0.5, 1, 1, 4) == pytest.approx(20)


def test_steps_must_go_both_ways() -> None:
    with pytest.raises(ValueError, match="positive"):
        run_length(0.1, 1, 0, 3)


def test_the_detector_keeps_to_the_exact_run_length() -> None:
    found = compared(100, 800, 60, Policy(), seed=5)
    assert found.agrees
    assert 4000 < found.exact < 8000
