# SPDX-License-Identifier: Apache-2.0
"""The comparison: the same work by both processes in turns, on the same servers, in one run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.probing import peer, standins
from benchmarks.probing.accounting import Spread, cpu_seconds, ratios, rss_mb
from benchmarks.probing.worker import PER_ROUND, QUESTIONS
from tests.world.ports import free_port

WORKS = ("tcp", "dns", "tls")
COUNTS = {"tcp": 800, "dns": 800, "tls": 400}
"""Probes of one turn. Turns are short, and many, so that what else the machine does meets both."""
GOALS = {"tcp": 0.5, "dns": 1.0, "tls": 0.9}
CURVE = "X25519"
CONCURRENCY = 8
"""As the probe's rounds have it."""
WORKER = Path(__file__).with_name("worker.py")


@dataclass
class Costs:
    """Milliseconds of processor for one probe, each repeat's."""

    ours: dict[str, list[float]] = field(default_factory=dict)
    theirs: dict[str, list[float]] = field(default_factory=dict)
    requests: list[float] = field(default_factory=list)
    """What a request that probes nothing costs the peer."""
    rss: tuple[float, float] = (0.0, 0.0)

    def ratio(self, work: str) -> Spread:
        """Ours in parts of the peer's whole cost."""
        return ratios(self.ours[work], self.theirs[work])

    def net_ratio(self, work: str) -> Spread:
        """Ours in parts of the peer's cost without what HTTP alone costs it."""
        net = [a - b for a, b in zip(self.theirs[work], self.requests, strict=True)]
        return ratios(self.ours[work], net)


class Ours:
    """The worker process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def probe(self, work: str, count: int) -> int:
        """Have so many endpoints measured; the number of observations. Raises RuntimeError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{work} {count}\n".encode())
        answer = (await self._process.stdout.readline()).split()
        if len(answer) != 2 or answer[1] != b"0":
            raise RuntimeError(f"our {work}: {answer!r}: observations, failed ones")
        return int(answer[0])


@contextlib.asynccontextmanager
async def _ours(python: str, arguments: list[str], core: int | None) -> AsyncIterator[Ours]:
    process = await asyncio.create_subprocess_exec(
        python,
        str(WORKER),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
    )
    try:
        yield Ours(process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


async def compare(
    repeats: int, part: float = 1.0, python: str = sys.executable, *, held: bool = False
) -> Costs:
    """Measure both; `part` of the usual counts, our side run by this interpreter.

    Both run as anybody starts them. `held`: both are pinned to the first core that we may use, and
    everything else to the others; the peer's runtime, which otherwise uses all cores, then wakes
    and hands over less.
    """
    cores = sorted(os.sched_getaffinity(0))
    if held:
        os.sched_setaffinity(0, set(cores[1:]) or set(cores))
    try:
        with tempfile.TemporaryDirectory() as name:
            return await _compare(Path(name), repeats, part, python, cores[0] if held else None)
    finally:
        os.sched_setaffinity(0, cores)


async def _compare(folder: Path, repeats: int, part: float, python: str, core: int | None) -> Costs:
    trust = standins.make_trust(folder, [peer.NAME])
    tcp, tls = free_port(), free_port()
    config = standins.nginx_config(trust, [str(tcp)], [str(tls)], curve=CURVE)
    async with (
        standins.nginx(folder, config, ("127.0.0.1", tls)),
        standins.nameservers([("127.0.0.1", 0)]) as (dns, *_),
        peer.running(folder, trust, core) as theirs,
        _ours(python, [*map(str, (tcp, tls, dns)), peer.NAME, str(trust.ca), CURVE], core) as ours,
    ):
        ports = {"tcp": tcp, "dns": dns, "tls": tls}
        costs = Costs()
        counts = {work: max(PER_ROUND, int(n * part)) for work, n in COUNTS.items()}
        for work in WORKS:  # once unmeasured: imports, contexts, first allocations
            await ours.probe(work, PER_ROUND)
            await theirs.probe(work, [_target(work, ports, 0)] * PER_ROUND, CONCURRENCY)
        for repeat in range(repeats):
            costs.requests.append(await _requests(theirs, counts["tcp"]))
            for work in WORKS:
                sides = [_ours_once, _theirs_once]
                for once in sides if repeat % 2 else sides[::-1]:
                    await once(costs, work, counts[work], ours, theirs, ports)
        costs.rss = rss_mb(ours.pid), rss_mb(theirs.pid)
        return costs


def _target(work: str, ports: dict[str, int], number: int) -> str:
    if work == "dns":
        return f"127.0.0.1:{ports[work]}"
    return f"127.0.{1 + number // 250}.{1 + number % 250}:{ports[work]}"


async def _requests(theirs: peer.Peer, count: int) -> float:
    before = cpu_seconds(theirs.pid)
    await theirs.idle_requests(count, CONCURRENCY)
    return 1000 * (cpu_seconds(theirs.pid) - before) / count


async def _ours_once(
    costs: Costs, work: str, count: int, ours: Ours, theirs: peer.Peer, ports: dict[str, int]
) -> None:
    before = cpu_seconds(ours.pid)
    # An endpoint of protocol dns is two questions; the peer's probe is one.
    endpoints = count // QUESTIONS if work == "dns" else count
    seen = await ours.probe(work, endpoints)
    wanted = endpoints * (2 if work in ("dns", "tls") else 1)
    if seen != wanted:
        raise RuntimeError(f"our {work}: {seen} observations, not {wanted}")
    cost = 1000 * (cpu_seconds(ours.pid) - before) / count
    costs.ours.setdefault(work, []).append(cost)


async def _theirs_once(
    costs: Costs, work: str, count: int, ours: Ours, theirs: peer.Peer, ports: dict[str, int]
) -> None:
    before = cpu_seconds(theirs.pid)
    targets = [_target(work, ports, i % PER_ROUND) for i in range(count)]
    await theirs.probe(work, targets, CONCURRENCY)
    cost = 1000 * (cpu_seconds(theirs.pid) - before) / count
    costs.theirs.setdefault(work, []).append(cost)


def report(costs: Costs) -> list[str]:
    """Lines of the comparison's table; median (least-most) of the repeats."""
    lines = [
        "| work | ours, ms CPU | blackbox_exporter, ms CPU | ours / whole | goal | "
        "ours / without HTTP |",
        "|---|---|---|---|---|---|",
    ]
    for work in WORKS:
        ours, theirs = Spread(tuple(costs.ours[work])), Spread(tuple(costs.theirs[work]))
        ratio = costs.ratio(work)
        met = "met" if ratio.median <= GOALS[work] else "MISSED"
        lines.append(
            f"| {work} | {ours} | {theirs} | {ratio} | <= {GOALS[work]}: {met} | "
            f"{costs.net_ratio(work)} |"
        )
    lines.append("")
    lines.append(
        f"A request that probes nothing costs the peer {Spread(tuple(costs.requests))} ms."
    )
    lines.append(f"Memory at the end: ours {costs.rss[0]:.1f} MB, theirs {costs.rss[1]:.1f} MB.")
    return lines
