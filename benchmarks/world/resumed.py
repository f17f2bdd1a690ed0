# SPDX-License-Identifier: Apache-2.0
"""What parts of worlds said, kept in a file as they are played, so that a run which is broken off
goes on where it ended. The file belongs to one version of the code."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from benchmarks.world.statements import Story
from benchmarks.world.worlds import Job

Work = Callable[[Job], list[Story]]
Every = Callable[[Work, Sequence[Job]], Iterable[list[Story]]]
_decoder = msgspec.json.Decoder(tuple[Job, list[Story]])


def resumed(every: Every, into: Path | None) -> Every:
    """The same as `every`, with progress; what the file has is taken from there, and what it lacks
    is added as it comes."""

    def played(work: Work, jobs: Sequence[Job]) -> Iterable[list[Story]]:
        lines = into.read_bytes().splitlines() if into is not None and into.exists() else []
        known = dict(map(_decoder.decode, lines))
        left, began = [job for job in jobs if job not in known], time.monotonic()
        for number, (job, stories) in enumerate(zip(left, every(work, left), strict=True), 1):
            known[job] = stories
            if into is not None:
                with into.open("ab") as file:
                    file.write(msgspec.json.encode((job, stories)) + b"\n")
            name, seed, part, _ = job
            print(
                f"{number} of {len(left)}: {name}, {part}, seed {seed}, after "
                f"{time.monotonic() - began:.0f} s",
                file=sys.stderr,
                flush=True,
            )
        return [known[job] for job in jobs]

    return played
