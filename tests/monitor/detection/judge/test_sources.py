"""Which measurements are judged alone."""

from __future__ import annotations

import pytest

from monitor.detection.judge.round_facts import facts_of
from monitor.detection.judge.sources import judged_alone
from monitor.detection.model import OWN_SOURCE
from monitor.detection.policy import Policy
from tests.monitor.detection.imported_runs import dc, measurement, of_test, record, stored


def test_our_own_are_judged_beside_liveness_and_controls() -> None:
    assert judged_alone(OWN_SOURCE) is None


@pytest.mark.parametrize("source", ["ooni", "of a name that is not known"])
def test_every_other_source_is_judged_alone(source: str) -> None:
    alone = judged_alone(source)
    assert alone is not None
    run = measurement([*dc(6), record(9, **of_test("telegram", "0.3.1"))])
    (fact,) = facts_of([stored(run)], run.round, Policy())
    assert fact.verdict.rule == "imported.tcp_timeout"
    assert fact.method == alone.method(run.observations) == "telegram 0.3.1"
