"""Whose word on this machine's clock counts, and for how long."""

from __future__ import annotations

from monitor.collector import clock_witnesses
from monitor.collector.clock_witnesses import HEARD_SECONDS, ClockWitnesses


def test_one_owner_is_not_enough_however_often() -> None:
    heard = ClockWitnesses()
    for _ in range(100):
        heard.hear("me", behind=True)
    assert not heard.say_behind
    heard.hear("you", behind=True)
    assert heard.say_behind


def test_as_many_who_say_that_it_is_right_are_enough_against_it() -> None:
    heard = ClockWitnesses()
    for owner in "abcd":
        heard.hear(owner, behind=owner in "ab")
    assert not heard.say_behind
    heard.hear("c", behind=True)
    assert heard.say_behind


def test_what_was_said_long_ago_does_not_count() -> None:
    now = [0.0]
    heard = ClockWitnesses(lambda: now[0])
    for owner in "ab":
        heard.hear(owner, behind=True)
    now[0] = HEARD_SECONDS
    assert heard.say_behind
    now[0] += 1
    assert not heard.say_behind


def test_it_remembers_so_many_owners() -> None:
    heard = ClockWitnesses()
    for number in range(clock_witnesses.MOST_OWNERS + 50):
        heard.hear(str(number), behind=True)
    assert len(heard._said) == clock_witnesses.MOST_OWNERS
