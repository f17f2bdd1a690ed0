# SPDX-License-Identifier: Apache-2.0
"""The same work on parts of the services in several processes, and a progress bar.

The processes end with the one that started them, however it ends: each looks for it between two
parts of its work.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TextIO, TypeVar

from probes.runtime.progress import ProgressLine

Observe = Callable[[int, int], None]
"""Gets how much is done and how much there is."""
_T = TypeVar("_T")
SHOW_SECONDS = 0.2
WIDTH = 30


class ProgressBar:
    """A bar for measurements, and at the end their rate, on a terminal; nothing elsewhere."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._line = out, ProgressLine(out, SHOW_SECONDS)
        self._began = time.monotonic()
        self._done = 0

    def show(self, done: int, total: int) -> None:
        """Show how far the work is, a few times a second."""
        self._done = done
        if not total:
            return
        filled, took = WIDTH * done // total, time.monotonic() - self._began
        left = f", {took * (total - done) / done:.0f} s left" if done else ""
        self._line.show(
            f"[{'#' * filled}{'.' * (WIDTH - filled)}] {100 * done // total} % of {total:,} "
            f"measurements{left}"
        )

    def end(self) -> None:
        """Replace the bar by a line with the rate."""
        if self._line.shown:
            self._line.clear()
            took = max(time.monotonic() - self._began, 1e-9)
            rate = f"{self._done / took:,.0f} a second"
            print(f"{self._done:,} measurements in {took:.1f} s, {rate}", file=self._out)


def shares(sizes: Mapping[str, int], count: int) -> list[list[str]]:
    """Divide names into at most `count` parts of about the same size, none of them empty."""
    parts: list[list[str]] = [[] for _ in range(count)]
    load = [0] * count
    for name in sorted(sizes, key=lambda each: (-sizes[each], each)):
        smallest = load.index(min(load))
        parts[smallest].append(name)
        load[smallest] += sizes[name]
    return [sorted(part) for part in parts if part]


async def in_processes(
    work: Callable[[Sequence[str], Observe], _T], parts: Sequence[Sequence[str]], observe: Observe
) -> list[_T]:
    """Call `work(part, observe)` for each part in a process of its own; return what they return,
    in the order of the parts. An exception in one of them is raised here."""
    context = multiprocessing.get_context("spawn")
    processes = []
    ends: dict[Connection, int] = {}
    try:
        for number, part in enumerate(parts):
            mine, its = context.Pipe(duplex=False)
            process = context.Process(target=_run, args=(work, part, its), daemon=True)
            process.start()
            its.close()
            processes.append(process)
            ends[mine] = number
        return await asyncio.to_thread(_results, ends, observe)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _results(ends: Mapping[Connection, int], observe: Observe) -> list[Any]:
    """Wait until every process has sent its result."""
    progress = [(0, 0)] * len(ends)
    results: dict[int, Any] = {}
    while len(results) < len(ends):
        for end in wait([end for end, number in ends.items() if number not in results]):
            assert isinstance(end, Connection)
            try:
                said = end.recv()
            except EOFError:
                raise RuntimeError("a process of the replay ended by itself") from None
            if isinstance(said, Exception):
                raise said
            if len(said) == 1:
                results[ends[end]] = said[0]
            else:
                progress[ends[end]] = said
                observe(sum(done for done, _ in progress), sum(total for _, total in progress))
    return [results[number] for number in sorted(results)]


def _run(
    work: Callable[[Sequence[str], Observe], object], part: Sequence[str], end: Connection
) -> None:
    """What a process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started it ends it
    parent = multiprocessing.parent_process()
    said = 0.0

    def observe(done: int, total: int) -> None:
        nonlocal said
        if parent is not None and not parent.is_alive():
            raise SystemExit
        if (now := time.monotonic()) - said >= SHOW_SECONDS or done == total:
            said = now
            end.send((done, total))

    try:
        end.send((work(part, observe),))
    except Exception as error:
        end.send(error)
