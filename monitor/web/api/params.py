# SPDX-License-Identifier: Apache-2.0
"""Times in URLs: RFC 3339, a date, or how long ago (`24h`)."""

from __future__ import annotations

from probes.runtime.options import OptionError, duration, moment

YEAR_9999_MS = 253_402_300_800_000
"""Databases and calendars end somewhere; nothing was measured before 1970."""


def parse(text: str, now: int) -> int:
    """Unix milliseconds; `now` too. Raises OptionError."""
    try:
        # A plus sign in a query string arrives as a blank.
        at = moment(text.replace(" ", "+"))
    except (ValueError, OverflowError) as error:
        try:
            at = now - 1000 * duration(text)
        except ValueError:
            raise OptionError(str(error)) from None
    return max(0, min(at, YEAR_9999_MS))
