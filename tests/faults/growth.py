"""Whether a process grows: what it holds from time to time, and the slope of that."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MOST_MB_AN_HOUR = 1.0
"""Of memory, at the pace of a soak: with a round a second some hundred bytes a measurement."""
MOST_MORE = 2.0
"""File descriptors or threads: what is opened for a moment is there in some samples."""
BLOCK_SECONDS = 60.0
"""Neighbouring samples are alike: the means of such blocks count, each once."""
LEAST_BLOCKS = 12
_STUDENT = 2.2
"""Of a 95 % interval, for a dozen blocks: for more it is a little too wide."""


@dataclass(frozen=True)
class Sample:
    """What a process and its children hold at one moment."""

    seconds: float
    """Since the soak began."""
    pid: int
    mb: float
    """Resident memory, of 10^6 bytes."""
    descriptors: int
    threads: int


@dataclass(frozen=True)
class Growth:
    """The slope of a process's memory, with its uncertainty."""

    mb_an_hour: float
    within: float
    """Half of the 95 % interval."""

    def verdict(self, most: float = MOST_MB_AN_HOUR) -> str:
        """`flat`, `grows`, or `unknown` where a longer run would tell."""
        if self.mb_an_hour + self.within <= most:
            return "flat"
        return "grows" if self.mb_an_hour - self.within > most else "unknown"


def sample(pid: int, seconds: float) -> Sample | None:
    """A process as it is now; None when it is not there."""
    try:
        parts = [_own(number) for number in _with_children(pid)]
    except OSError:
        return None
    mb, descriptors, threads = map(sum, zip(*parts, strict=True))
    return Sample(seconds, pid, mb, int(descriptors), int(threads))


def growth(samples: Sequence[Sample]) -> Growth | None:
    """The slope by least squares; None for too short a time."""
    blocks: dict[int, list[Sample]] = {}
    for moment in samples:
        blocks.setdefault(int((moment.seconds - samples[0].seconds) / BLOCK_SECONDS), []).append(
            moment
        )
    if len(blocks) < LEAST_BLOCKS:
        return None
    hours = [statistics.fmean(each.seconds for each in block) / 3600 for block in blocks.values()]
    held = [statistics.fmean(each.mb for each in block) for block in blocks.values()]
    slope, start = statistics.linear_regression(hours, held)
    centre = statistics.fmean(hours)
    around = sum((x - centre) ** 2 for x in hours)
    left = sum((y - start - slope * x) ** 2 for x, y in zip(hours, held, strict=True))
    error = (left / (len(hours) - 2) / around) ** 0.5
    return Growth(slope, _STUDENT * error)


def more(counts: Sequence[int]) -> float:
    """By how much the middle of the last third lies above that of the first."""
    third = max(1, len(counts) // 3)
    return statistics.median(counts[-third:]) - statistics.median(counts[:third])


def _own(pid: int) -> tuple[float, int, int]:
    told = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line
    )
    resident = int(told.get("VmRSS", "0 kB").split()[0]) * 1024 / 1e6
    return resident, len(list(Path(f"/proc/{pid}/fd").iterdir())), int(told["Threads"])


def _with_children(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(grown for child in children for grown in _with_children(int(child)))]
