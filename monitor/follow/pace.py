# SPDX-License-Identifier: Apache-2.0
"""How fast a source is asked: a limit on bytes a second, and rests when it asks for one."""

from __future__ import annotations

import email.utils
import random
from collections.abc import Callable
from datetime import UTC, datetime

FIRST_REST_SECONDS = 1.0
LONGEST_REST_SECONDS = 300.0
LONGEST_ASKED_SECONDS = 3600.0
"""A server may ask for more than our longest rest, but not for days."""


class RateLimit:
    """A limit on bytes a second: what is over it is waited for afterwards."""

    def __init__(self, bytes_a_second: float, clock: Callable[[], float]) -> None:
        self._rate, self._clock = bytes_a_second, clock
        self._free_at = 0.0

    def spend(self, count: int) -> float:
        """Count bytes that have arrived; return how many seconds to wait before the next."""
        now = self._clock()
        # A second may be saved up, no more: a pause is no credit.
        self._free_at = max(self._free_at, now - 1.0) + count / self._rate
        return max(0.0, self._free_at - now)


def rest_seconds(attempt: int, asked: float | None, chance: Callable[[], float]) -> float:
    """How long to rest after so many failures in a row (from 1): what the server asked for, or
    twice as long each time. `chance` gives 0 to 1, so that many followers do not return at once."""
    if asked is not None:
        return min(max(asked, FIRST_REST_SECONDS), LONGEST_ASKED_SECONDS)
    longest = min(FIRST_REST_SECONDS * 2.0 ** min(attempt - 1, 30), LONGEST_REST_SECONDS)
    return longest * (0.5 + chance() / 2)


def asked_seconds(retry_after: str, now: datetime) -> float | None:
    """What a header Retry-After asks for: seconds, or until a date. None for neither."""
    words = retry_after.strip()
    if words.isascii() and words.isdigit():
        return float(words[:9])
    try:
        until = email.utils.parsedate_to_datetime(words)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds())


uniform = random.SystemRandom().random
"""The usual `chance`."""
