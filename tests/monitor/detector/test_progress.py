"""What is remembered of a service: the earliest late round, and what waits."""

from __future__ import annotations

from msgspec.structs import replace

from monitor.detection.events.fold import initial
from monitor.detector.progress import ServiceProgress
from monitor.store.records import StoredRound

STATE = initial("wechat")


def test_the_earliest_late_round_counts_and_later_rounds_are_not_late() -> None:
    progress = ServiceProgress(replace(STATE, round=10), has_arrivals=False)
    progress.note_arrival(11)
    assert (progress.late, progress.has_arrivals) == (None, True)
    for round in (9, 7, 10):
        progress.note_arrival(round)
    assert progress.late == 7


def test_a_check_is_brought_forward_and_never_put_off() -> None:
    progress = ServiceProgress(STATE, next_check=20)
    progress.check_again(30)
    assert progress.next_check == 20
    progress.check_again(10)
    assert progress.next_check == 10


def test_rounds_that_were_saved_wait_no_more() -> None:
    progress = ServiceProgress(STATE, waiting={n: StoredRound(n, 1, 1) for n in range(20)})
    state = replace(STATE, round=9)
    part = progress.states.part(progress.state, state)
    progress.saved(state, part, None)
    assert (progress.state.round, min(progress.waiting)) == (9, 10)
    assert progress.states.before(10) == [part.body]
