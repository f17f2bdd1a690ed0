# SPDX-License-Identifier: Apache-2.0
"""At which hours of the day a vantage usually measures: many a volunteer's machine is off at night.

For each hour of the day two bits count the latest days on which it was heard then, from 3 (a new
vantage is expected at every hour) down to 0. All of them are one integer, so that a state of many
vantages stays small. Hours are those of UTC: only the difference between one and another matters.
"""

from __future__ import annotations

from monitor.detection.events.state import Member
from monitor.detection.policy import Policy

HOURS = 24
ALWAYS = (1 << 2 * HOURS) - 1
"""Of a vantage of which nothing is known yet."""
MOST = 3


def after_report(hours: int, last: int, interval: int, round: int, policy: Policy) -> int:
    """The hours of a vantage that reports in a round, and whose last report was in round `last`.
    Between two reports that are no further apart than its interval allows, it was there."""
    hour = max(1, policy.ms(3600))
    first, now = last // hour, round // hour
    if now <= first:
        return hours
    was_there = round - last <= max(policy.ms(policy.confirmation.sleep_seconds), 3 * interval)
    for number in range(max(first + 1, now - HOURS * (MOST + 1)), now):
        hours = _counted(hours, number % HOURS, was_there)
    return _counted(hours, now % HOURS, True)


def _counted(hours: int, hour: int, heard: bool) -> int:
    count = _count(hours, hour)
    new = min(MOST, count + 1) if heard else max(0, count - 1)
    return hours + ((new - count) << 2 * hour)


def _count(hours: int, hour: int) -> int:
    return hours >> 2 * hour & MOST


def is_usual(hours: int, round: int, policy: Policy) -> bool:
    """Whether a vantage is expected at this hour of the day: it was heard then on one of the latest
    days."""
    return _count(hours, round // max(1, policy.ms(3600)) % HOURS) > 0


def is_asleep(member: Member, round: int, policy: Policy, began: int = 0) -> bool:
    """Whether a vantage, at an hour at which it is usually off, has missed its turn, or has said
    nothing since others began to fail (0: none do), whereupon it was asked."""
    silent = member.round < began or round - member.round > member.interval
    return silent and not is_usual(member.hours, round, policy)
