"""What is remembered of a service: the earliest late round, and the last saved states."""

from __future__ import annotations

from msgspec.structs import replace

from monitor.detection.events.fold import initial
from monitor.detector.progress import RECENT_STATES, ServiceProgress
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


def test_the_last_states_are_kept_and_those_after_a_refold_are_not() -> None:
    progress = ServiceProgress(STATE, waiting={n: StoredRound(n, 1, 1) for n in range(20)})
    for round in range(10):
        progress.saved(replace(STATE, round=round), b"%d" % round, None)
    assert (progress.state.round, min(progress.waiting)) == (9, 10)
    assert progress.state_before(9) == b"8"
    assert progress.state_before(10 - RECENT_STATES) is None
    # Folded again after round 5: what was said of 6 to 9 is no more true.
    progress.saved(replace(STATE, round=9), b"again", refolded_after=5)
    assert progress.state_before(9) == b"5"
    assert progress.state_before(10) == b"again"
