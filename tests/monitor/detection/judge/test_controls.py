"""Which measurements of controls are valid for a measurement."""

from __future__ import annotations

import pytest

from monitor.detection.judge.controls import SharedEvidence, is_valid, nearest_controls
from monitor.detection.model import Stored
from monitor.detection.policy import Policy
from probes.wire.failure import Failure
from probes.wire.measurement import Role
from tests.monitor.detection.scenes import A1, ROUND, alive, control, dns, measured, tcp

POLICY = Policy()
MINUTE = 60_000
BLOCKED = (dns(A1), tcp(A1, Failure.TIMEOUT))


@pytest.mark.parametrize(
    ("ago", "interval", "is_retest", "for_retest", "valid"),
    [
        pytest.param(0, 5, False, False, True, id="same round"),
        pytest.param(-1, 5, False, False, False, id="later"),
        pytest.param(4, 5, False, False, True, id="next not due"),
        pytest.param(5, 5, False, False, False, id="next due"),
        pytest.param(6, 60, False, False, False, id="older than the window"),
        pytest.param(1, 5, True, False, False, id="retest for a scheduled one"),
        pytest.param(1, 5, True, True, True, id="retest before it could be asked again"),
        pytest.param(2, 5, True, True, False, id="retest when it could be asked again"),
    ],
)
def test_a_control_is_valid_until_it_is_due_again(
    ago: int, interval: int, is_retest: bool, for_retest: bool, valid: bool
) -> None:
    there, _ = control(round=ROUND - ago * MINUTE, interval_ms=interval * MINUTE, retest=is_retest)
    assert is_valid(there, measured(*BLOCKED, retest=for_retest), POLICY) is valid


def test_a_control_that_is_offline_is_none_and_one_that_sees_the_same_is_the_same() -> None:
    def around(round: int, international: bool) -> SharedEvidence:
        there, _ = control(round=round)
        liveness = alive(round=round, probe=there.probe, international=[international] * 3)
        group = (there, *liveness)
        stored = (Stored(measurement=m, owner="o", role=Role.CONTROL, enrolled=0) for m in group)
        return SharedEvidence(stored, POLICY)

    here = around(ROUND, True).controls(measured(*BLOCKED))
    later = around(ROUND + MINUTE, True).controls(measured(*BLOCKED, round=ROUND + MINUTE))
    assert here
    assert len(here.views) == 1
    assert here.key == later.key
    offline = around(ROUND, False).controls(measured(*BLOCKED))
    assert not offline
    assert offline.key != here.key


def test_nearest_first_with_later_rounds_only_when_asked() -> None:
    subject = measured(*BLOCKED)
    beyond = [control(round=ROUND + n * MINUTE)[0] for n in (2, -3, 0, 9)]
    near = nearest_controls(subject, beyond, {}, 5 * MINUTE, later=True)
    assert [(c.round - ROUND) // MINUTE for c, _ in near] == [0, 2, -3]
    back = nearest_controls(subject, beyond, {}, 5 * MINUTE)
    assert [(c.round - ROUND) // MINUTE for c, _ in back] == [0, -3]
