"""Processor time and memory of a process, from /proc: what it used, not how long it took."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_UTIME, _STIME = 11, 12
"""Places after the command's name in /proc/PID/stat (proc(5))."""


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process so far."""
    text = Path(f"/proc/{pid}/stat").read_text()
    fields = text.rpartition(")")[2].split()
    return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS


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
