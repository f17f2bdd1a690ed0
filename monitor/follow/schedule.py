# SPDX-License-Identifier: Apache-2.0
"""Which hours are listed when. Files of an hour may appear days later; the longer ago it was, the
more rarely it is looked at again."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.follow.layout import DAY_MS, HOUR_MS

LOOKS_SECONDS = 600.0
"""Between two looks at the newest hours: OONI's uploader runs once an hour."""
AGAIN = ((6 * HOUR_MS, 0), (2 * DAY_MS, HOUR_MS), (7 * DAY_MS, 6 * HOUR_MS))
"""(age, time between two listings): hours up to that age are listed again after that time."""
FAILING_AGAIN_MS = HOUR_MS
"""After that a file that failed alone is asked for again."""
LATE_MS = AGAIN[-1][0]
"""Files that appear later than this are read after a restart with `--since`, or imported."""


def hour_of(at: int) -> int:
    """The hour that a time is in."""
    return at - at % HOUR_MS


def due(first: int, now: int, listed: Mapping[int, int]) -> list[int]:
    """The hours from `first` on to list now, ascending. `listed`: when each was listed last."""
    return [
        hour
        for hour in range(hour_of(first), now + 1, HOUR_MS)
        if hour not in listed or now - listed[hour] >= _again_after(now - hour)
    ]


def _again_after(age: int) -> float:
    return next((after for limit, after in AGAIN if age <= limit), float("inf"))


def first_hour(since: int, selection: str, saved: tuple[int, int, str] | None) -> int:
    """Where to begin: at `since`, or where late files may still appear, if everything from `since`
    to there is stored. `saved` is (since, through, selection) of the last time."""
    if saved is not None:
        began, through, chosen = saved
        if chosen == selection and began <= since:
            return max(hour_of(since), hour_of(through - LATE_MS))
    return hour_of(since)
