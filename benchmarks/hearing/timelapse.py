# SPDX-License-Identifier: Apache-2.0
"""Runs the daemon so that a day takes minutes: while it waits, its time jumps to the next timer.

A script, by the probe's own interpreter: `timelapse.py ROOTS HIDDEN HOURS run OPTIONS...`. Nothing
of the probe is replaced but the clocks and the selector of its event loop. While it measures, while
a thread works and for a moment after each byte, time passes as it does; so all time limits, all
retransmissions of the kernel and all packets are real, heartbeats and keep-alives included. After
so many hours of its time it is stopped. After each hour and each round a line of stderr says what
was counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import signal
import sys
import time
from concurrent.futures import Executor, Future
from typing import Any

GRACE_SECONDS = 0.002
"""Real time for which every wait lasts at least: what is on its way arrives meanwhile."""
CALM_SECONDS, THREAD_SECONDS = 1.0, 0.1
"""So long after the last byte, and after the end of a job in another thread, time goes on as it
does for whoever waits for an answer."""


class Jumps:
    """How far ahead the daemon's clocks are, and whether they may go on."""

    def __init__(self) -> None:
        self.ahead = 0.0
        """Seconds."""
        self.threads = 0
        """Jobs in other threads."""
        self.runners: list[Any] = []
        self.outboxes: list[Any] = []
        self.accounts: list[Any] = []
        self._real = time.monotonic
        self._begun = self._real()
        self.reported_rounds = 0
        self._calm_at = self._begun

    def patch_clocks(self) -> None:
        """Put this in place of the clocks, before anything takes them from `time`."""
        wall, monotonic = time.time, time.monotonic
        wall_ns, monotonic_ns = time.time_ns, time.monotonic_ns
        time.time = lambda: wall() + self.ahead
        time.monotonic = lambda: monotonic() + self.ahead
        time.time_ns = lambda: wall_ns() + int(self.ahead * 1e9)
        time.monotonic_ns = lambda: monotonic_ns() + int(self.ahead * 1e9)

    def played(self) -> float:
        """Seconds of the daemon's time."""
        return self._real() - self._begun + self.ahead

    def report(self) -> None:
        """Say what was counted so far."""
        own = sum(account.wire_bytes() for account in self.accounts)
        self.reported_rounds = self.rounds()
        counts = {
            "event": "played",
            "seconds": self.played(),
            "rounds": self.reported_rounds,
            "own": own,
            "saved": sum(account.saved() for account in self.accounts),
            "counted": carried(),
        }
        print(json.dumps(counts), file=sys.stderr, flush=True)

    def rounds(self) -> int:
        """Rounds that have ended."""
        return sum(runner.rounds for runner in self.runners)

    def is_measuring(self) -> bool:
        """Whether a round or a retest is in progress, which nobody has paid for yet."""
        return any(runner.turns.busy for runner in self.runners)

    def stay(self, seconds: float) -> None:
        """Let time go on as it does for so long."""
        self._calm_at = max(self._calm_at, self._real() + seconds)

    def may_jump(self) -> bool:
        """Whether the daemon only waits for its clock."""
        if self.threads or self.is_measuring():
            return False
        if not self.accounts:
            return False
        waits = any(not box.is_empty or not box.stats.transport for box in self.outboxes)
        return not waits or self._real() > self._calm_at


class JumpingSelector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Waits in real time, or lets time jump by the rest of the wait."""

    def __init__(self, jumps: Jumps, hours: float) -> None:
        super().__init__()
        self.waker = -1
        """The descriptor by which threads wake the loop."""
        self._jumps, self._seconds, self._next = jumps, hours * 3600, 3600.0

    def select(self, timeout: float | None = None) -> Any:
        """As that of selectors."""
        jumps = self._jumps
        if jumps.rounds() > jumps.reported_rounds and not jumps.is_measuring():
            jumps.report()
        if jumps.played() >= self._next:
            self._next += 3600.0
            jumps.report()
        if jumps.played() >= self._seconds:
            self._seconds = float("inf")
            os.kill(os.getpid(), signal.SIGTERM)
        if timeout is not None and timeout <= 0:
            return super().select(timeout)
        first = GRACE_SECONDS if timeout is None else min(timeout, GRACE_SECONDS)
        ready = super().select(first)
        while not ready:
            rest = None if timeout is None else timeout - first
            if rest is not None and rest <= 0:
                return ready
            if rest is not None and jumps.may_jump():
                jumps.ahead += rest
                return ready
            step = 0.05 if rest is None else min(rest, 0.05)
            ready = super().select(step)
            first += step
        if any(key.fd != self.waker for key, _ in ready):
            jumps.stay(CALM_SECONDS)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that knows which jobs run in threads."""

    def __init__(self, jumps: Jumps, hours: float) -> None:
        selector = JumpingSelector(jumps, hours)
        super().__init__(selector)
        selector.waker = self._ssock.fileno()
        self._jumps = jumps

    def run_in_executor(self, executor: Executor | None, func: Any, *args: Any) -> Any:
        """As that of asyncio."""
        jumps = self._jumps
        jumps.threads += 1
        future = super().run_in_executor(executor, func, *args)

        def ended(_: Future[Any]) -> None:
            jumps.threads -= 1
            jumps.stay(THREAD_SECONDS)

        future.add_done_callback(ended)
        return future


def carried() -> int:
    """Bytes that the probe's interface has carried both ways, with their Ethernet headers."""
    with open("/proc/self/net/dev") as file:
        counts = next(line.split(":")[1].split() for line in file if "up0:" in line)
    return int(counts[0]) + int(counts[8])


def _register(kind: type, into: list[Any]) -> None:
    """Let every object of a class be added to the list when it is made."""
    make = kind.__init__

    def made(self: Any, *args: Any, **options: Any) -> None:
        make(self, *args, **options)
        into.append(self)

    kind.__init__ = made  # type: ignore[method-assign, misc]


def main(roots: str, hidden: str, hours: str, *words: str) -> int:
    """Run the daemon with these roots, without the hidden packages, for so many hours."""
    jumps = Jumps()
    jumps.patch_clocks()
    import certifi

    certifi.where = lambda: roots
    for name in filter(None, hidden.split(",")):
        sys.modules[name] = None  # type: ignore[assignment]
    from probes.cli.main import main as reachprobe
    from probes.daemon.round_runner import RoundRunner
    from probes.daemon.traffic_account import TrafficAccount
    from probes.delivery.outbox import Outbox

    _register(RoundRunner, jumps.runners)
    _register(Outbox, jumps.outboxes)
    _register(TrafficAccount, jumps.accounts)

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return JumpingLoop(jumps, float(hours))

    asyncio.set_event_loop_policy(Policy())
    sys.argv = ["reachprobe", *words]
    try:
        status = reachprobe()
    finally:
        jumps.report()
    return int(status or 0)


if __name__ == "__main__":
    sys.path.insert(0, os.environ["PYTHONPATH"])
    sys.exit(main(*sys.argv[1:]))
