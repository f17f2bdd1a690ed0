"""What the plan of a round says of its targets."""

from __future__ import annotations

import pytest

from probes.rounds.round_plan import RoundPlan
from probes.wire.failure import Failure
from probes.wire.measurement import Measurement
from probes.wire.observation import TCPConnect
from probes.wire.target import Target

CORE, REST = Target(id="x/core", endpoints=()), Target(id="x/rest", endpoints=())


@pytest.mark.parametrize(
    ("target", "failed", "longest", "interval"),
    [
        pytest.param(CORE, False, None, 100, id="of the round"),
        pytest.param(REST, False, None, 800, id="of its own"),
        pytest.param(REST, False, 400, 800, id="longest is for failures alone"),
        pytest.param(REST, True, 400, 400, id="after a failure"),
        pytest.param(CORE, True, 400, 100, id="a failure lengthens nothing"),
        pytest.param(REST, True, None, 800, id="a failure without a longest interval"),
    ],
)
def test_the_interval_of_a_target(
    target: Target, failed: bool, longest: int | None, interval: int
) -> None:
    plan = RoundPlan(
        targets=(CORE, REST),
        round_ms=0,
        interval_ms=100,
        intervals={"x/rest": 800},
        intervals_after_failure={} if longest is None else {"x/rest": longest, "x/core": longest},
    )
    assert plan.interval_of(target, failed=failed) == interval


@pytest.mark.parametrize(
    ("failure", "history", "anew"),
    [
        (None, {}, False),
        (Failure.TIMEOUT, {}, True),
        (Failure.TIMEOUT, {"e": 0}, True),
        (Failure.TIMEOUT, {"e": 5}, False),
    ],
)
def test_a_failure_is_new_when_the_last_round_had_none(
    failure: Failure | None, history: dict[str, int], anew: bool
) -> None:
    plan = RoundPlan(targets=(CORE,), round_ms=0, interval_ms=100, history=history)
    seen = TCPConnect(endpoint="e", address="192.0.2.1", port=443, failure=failure)
    measurement = Measurement(
        v=1, id="0" * 32, probe="p", target="x/core", round=0, started=9, observations=(seen,)
    )
    assert plan.fails_anew(measurement) is anew
