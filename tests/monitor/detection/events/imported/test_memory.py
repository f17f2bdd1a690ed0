"""What is remembered of a network's runs: baseline in runs, versions, spans, hours."""

from __future__ import annotations

from monitor.detection.events.imported import memory
from monitor.detection.events.state import Baseline, ImportedRuns
from monitor.detection.model import Fact, State, Verdict
from monitor.detection.policy import Policy

POLICY = Policy()
HOUR = 3_600_000
LAG, WINDOW = POLICY.imported.imported_lag, POLICY.imported.imported_window


def fact(round: int = 0, method: str = "telegram 0.3.1") -> Fact:
    return Fact(
        id="x",
        probe="p",
        owner="ooni",
        country="KE",
        asn=64500,
        enrolled=0,
        round=round,
        started=round,
        interval=0,
        target="telegram/dc",
        verdict=Verdict(target="telegram/dc", state=State.OK, rule="r"),
        control=False,
        source="ooni",
        method=method,
    )


def test_the_baseline_counts_runs_and_leaves_out_the_latest() -> None:
    known = Baseline()
    for n in range(LAG + 10):
        known = memory.learn(known, n < 4, POLICY.imported)
    assert (known.total, known.failed) == (10, 4)
    assert (known.recent_total, known.recent_failed) == (LAG, 0)
    for _ in range(5 * WINDOW):
        known = memory.learn(known, True, POLICY.imported)
    assert WINDOW // 2 <= known.total <= WINDOW
    assert known.failed * 100 > known.total * 95


def test_a_test_that_a_gate_refused_must_work_again() -> None:
    runs = memory.note_method(ImportedRuns(), fact(HOUR), True)
    assert not memory.vetoed(runs, "telegram 0.3.1")
    runs = memory.veto(runs, "telegram 0.3.1", HOUR)
    assert memory.vetoed(runs, "telegram 0.3.1")
    assert not memory.vetoed(runs, "telegram 0.3.2")
    runs = memory.note_method(runs, fact(2 * HOUR, method="telegram 0.3.2"), False)
    assert memory.vetoed(runs, "telegram 0.3.1")
    runs = memory.note_method(runs, fact(2 * HOUR), False)
    assert not memory.vetoed(runs, "telegram 0.3.1")
    assert not memory.vetoed(None, "telegram 0.3.1")


def test_versions_without_end_are_not_all_remembered() -> None:
    runs = ImportedRuns()
    for n in range(3 * memory.MAX_METHODS):
        runs = memory.note_method(runs, fact(n + 1, method=f"telegram {n}"), True)
    assert len(runs.methods) == memory.MAX_METHODS
    assert f"telegram {3 * memory.MAX_METHODS - 1}" in runs.methods


def test_spans_end_with_two_successes() -> None:
    runs = memory.fails(memory.fails(ImportedRuns(), 1), 2)
    runs = memory.works(runs, 3, POLICY.ending)
    runs = memory.fails(runs, 4)
    assert runs.spans == ((1, 4, 0),)
    for round in (5, 6, 7):
        runs = memory.works(runs, round, POLICY.ending)
    assert runs.spans == ((1, 4, 5),)
    runs = memory.fails(runs, 8)
    assert runs.spans == ((1, 4, 5), (8, 8, 0))
    assert memory.forget(runs).spans == ()


def test_the_oldest_of_many_spans_are_joined() -> None:
    runs = ImportedRuns()
    for n in range(memory.MAX_SPANS + 5):
        runs = memory.fails(runs, 10 * n + 1)
        for after in (2, 3):
            runs = memory.works(runs, 10 * n + after, POLICY.ending)
    assert len(runs.spans) == memory.MAX_SPANS
    assert runs.spans[0][0] == 1


def test_failing_in_the_same_hours_is_more_than_chance() -> None:
    runs = ImportedRuns()
    for _ in range(3):
        runs = memory.note_together(runs, True)
    assert memory.fails_together(runs, POLICY.imported)
    for _ in range(3):
        runs = memory.note_together(runs, False)
    assert not memory.fails_together(runs, POLICY.imported)
    assert not memory.fails_together(None, POLICY.imported)
