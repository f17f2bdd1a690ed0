# SPDX-License-Identifier: Apache-2.0
"""The time of day."""

import time


def wall_clock() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000
