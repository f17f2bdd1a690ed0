from __future__ import annotations

from probes.delivery.poll_rhythm import BURST, HOURLY, SUSPECT_SECONDS, PollRhythm


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_it_asks_early_while_something_is_suspected() -> None:
    clock = Clock()
    polls = PollRhythm(120.0, 20.0, clock)
    assert polls.seconds_left() == 120
    clock.now += 50
    polls.suspect()
    assert polls.seconds_left() == -30, "at once, in the middle of a long wait"
    polls.polled()
    assert polls.seconds_left() == 20
    clock.now += SUSPECT_SECONDS
    assert polls.seconds_left() == 120 - SUSPECT_SECONDS
    polls.polled()
    assert polls.seconds_left() == 120


def test_a_monitor_that_is_suspicious_for_ever_costs_the_volunteer_little() -> None:
    clock = Clock()
    polls = PollRhythm(120.0, 20.0, clock)
    asked = 0
    while clock.now < 1000.0 + 86_400:
        polls.suspect()
        clock.now += max(polls.seconds_left(), 0.001)
        polls.polled()
        asked += 1
    assert asked - 86_400 / 120 <= BURST + 24 * HOURLY, "early requests are added to the usual ones"
    clock.now += 86_400
    polls.suspect()
    polls.polled()
    assert polls.seconds_left() == 20, "after a quiet day there are early ones again"


def test_connecting_anew_uses_no_early_request_up() -> None:
    clock = Clock()
    polls = PollRhythm(120.0, 20.0, clock)
    for _ in range(2 * BURST):
        clock.now += 1
        polls.polled()
    polls.suspect()
    assert polls.seconds_left() == 20
