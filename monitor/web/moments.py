"""Times in URLs: RFC 3339, a date, or how long ago (`24h`)."""

from __future__ import annotations

import argparse
import time

from monitor.options import OptionError, duration, moment


def parse(text: str) -> int:
    """Unix milliseconds. Raises OptionError."""
    try:
        # A plus sign in a query string arrives as a blank.
        return moment(text.replace(" ", "+"))
    except argparse.ArgumentTypeError as error:
        try:
            return int(time.time() * 1000) - 1000 * duration(text)
        except argparse.ArgumentTypeError:
            raise OptionError(str(error)) from None
