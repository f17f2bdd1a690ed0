# SPDX-License-Identifier: Apache-2.0
"""Processor time and memory of a process: what it used, not how long it took."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_CPUCLOCK_SCHED = 2
"""Kind of a process's clock: all it has run for (Linux include/linux/posix-timers_types.h)."""


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process so far, to the nanosecond: the kernel's
    clock of that process (clock_getcpuclockid(3)), for /proc/PID/stat counts hundredths. Raises
    OSError when there is no such process."""
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


def rss_mb(pid: int) -> float:
    """Resident memory in MB of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


@dataclass(frozen=True)
class Spread:
    """Repeats of one figure."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of the repeats."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        return f"{self.median:.3f} ({min(self.values):.3f}-{max(self.values):.3f})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Each repeat's own ratio: what slows the machine for a moment slows both."""
    return Spread(tuple(a / b for a, b in zip(ours, theirs, strict=True)))
