from __future__ import annotations

from monitor.detection.calm.record import LONGEST, Record, kept, shortened, told
from monitor.detection.sequence import cusum
from monitor.detection.sequence.state import Suspicion
from tests.monitor.detection.worlds import POLICY


def link(before: Record, n: int) -> Record:
    rule = "tls.reset" if n % 3 else "tcp.timeout"
    return (before, n, n + 1, f"{n:032x}", rule, 3_000_000 * (n % 2), rule, n % 5 == 0, 1_000_000)


def direct(held: Suspicion, n: int) -> None:
    _, round, started, id, rule, weight, technique, part, nats = link(None, n)  # type: ignore[misc]
    failure = cusum.Failure(
        id=id, started=started, rule=rule, weight=weight, technique=technique, part=part
    )
    cusum.note(held, round, failure, nats, POLICY)
    held.hits += 1


def test_a_chain_tells_what_was_noted_one_by_one() -> None:
    record: Record = None
    held = Suspicion([], [], [])
    for n in range(60):
        (record,) = shortened([link(record, n)], POLICY)
        direct(held, n)
        assert told(record, POLICY) == held


def test_no_chain_grows_without_end() -> None:
    record: Record = None
    for n in range(100):
        (record,) = shortened([link(record, n)], POLICY)
        length, below = 0, record
        while isinstance(below, tuple):
            length, below = length + 1, below[0]
        assert length <= LONGEST


def test_a_packed_suspicion_is_told_without_its_sums_and_is_not_changed() -> None:
    before = Suspicion([5], [6], [7], {"a": 1}, {"r": 1}, [(1, 1, "x")], hits=1, misses=3)
    record = kept(before)
    assert told(record, POLICY) == Suspicion([], [], [], {"a": 1}, {"r": 1}, [(1, 1, "x")], hits=1)
    told(link(record, 4), POLICY)
    assert told(record, POLICY).hits == 1
    assert before.sums == [5]
