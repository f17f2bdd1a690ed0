# SPDX-License-Identifier: Apache-2.0
"""The daemon itself on the shipped catalogue, in a network namespace of its own.

There every address is this machine (a `local` route for all of IPv4 and IPv6), nginx serves every
port of the catalogue, and a nameserver answers every name, as the system's resolver and in place
of the reference resolvers; the silent address is silent. So nothing fails, and no delay is added:
what is measured is what the processor does, not how long a round takes. No broker is there, so
that delivery is not measured; measurements are scrubbed, encoded and written to the outbox.

The daemon runs as `pip install .` installs it: packages of extras are hidden from it. It verifies
against certifi's roots with the stand-ins' authority added, so that memory is what it is at work.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.probing import catalogue as copies
from benchmarks.probing import standins
from benchmarks.probing.accounting import Spread, cpu_seconds, rss_mb
from probes.catalogue.load import load
from probes.cli import consent
from probes.cli.run import FULL_INTERVAL, LEAN_INTERVAL
from probes.rounds.scheduler import MONTH_MS
from probes.rounds.traffic_budget import CONNECTION_BYTES_PER_MONTH

ROOT = Path(__file__).resolve().parents[2]
RESOLVER = "127.0.0.53"
ANSWERS = 2
"""IPv4 addresses of each name, and one IPv6 address."""
INTERVAL, LEAN_SPEED = 30.0, 180
"""Seconds between the rounds here with `--full`; of the lean profile time passes faster, so that 48
rounds are a day."""
GOAL_SHARE_FULL, GOAL_SHARE_LEAN = 0.01, 0.001
GOAL_RSS, GOAL_RSS_QUIC, GOAL_MONTH = 50.0, 65.0, 1000.0
"""Part of a core; MB of memory; MB of traffic a month."""
_ROUND_SECONDS = 90.0


HIDDEN = "aioquic"
"""Packages of extras, which `pip install .` does not bring."""
START = """
import certifi, sys
bundle, hidden, speed, *words = sys.argv[1:]
certifi.where = lambda: bundle
for name in filter(None, hidden.split(",")):
    sys.modules[name] = None
speed = int(speed)
from probes.contrasts import throughput_schedule
from probes.rounds import profile, retests, scheduler, traffic_budget
from probes.wire import measurement
for module in (profile, retests, scheduler, throughput_schedule, traffic_budget, measurement):
    for name in ("HOUR_MS", "DAY_MS", "MONTH_MS", "REST_MS", "FAILED_REST_MS", "ROUND_GRID_MS",
                 "EVERY_MS", "AGAIN_MS"):
        if hasattr(module, name):
            setattr(module, name, getattr(module, name) // speed)
if speed > 1:
    scheduler.LIMIT_LEAST = scheduler.LIMIT_MOST
sys.argv = ["reachprobe", *words]
from probes.cli.main import main
sys.exit(main())
"""
"""Runs the daemon with these roots, without the hidden packages, and so many times faster."""


@dataclass(frozen=True)
class Daemon:
    """What some rounds of the daemon used."""

    targets: int
    endpoints: int
    failing: int
    """Targets of the last round in which something failed: should be none."""
    seconds: tuple[float, ...]
    """Processor time of each round, with everything until the next one."""
    traffic: tuple[int, ...]
    """Bytes of IP packets and their headers of each round, sent and received, the first included:
    in that one everything is measured."""
    rss: tuple[float, ...]
    """MB after each round."""


async def measure(rounds: int, hidden: str, python: str, full: bool) -> Daemon:
    """Run the daemon by `python` for so many rounds, the first not counted, without the `hidden`
    packages. Needs the namespace."""
    with tempfile.TemporaryDirectory() as name:
        folder, shipped = Path(name), load(None)
        async with (
            internet(folder, RESOLVER) as bundle,
            _daemon(folder, bundle, hidden, python, full) as (pid, lines),
        ):
            return await _watch(
                pid,
                lines,
                rounds,
                len(shipped.targets),
                sum(len(t.endpoints) for t in shipped.targets),
            )


@contextlib.asynccontextmanager
async def internet(folder: Path, resolver: str) -> AsyncIterator[Path]:
    """Serve a copy of the shipped catalogue, `catalogue` in the folder, and its names by `resolver`
    too; gives the file of roots to verify against. Needs the namespace."""
    shipped = load(None)
    trust = standins.make_trust(folder, copies.certificate_names(copies.names(shipped)))
    copies.write_copy(folder / "catalogue")
    plain, encrypted = copies.ports(shipped)
    listen = [[f"{host}:{p}" for p in sorted(ports) for host in ("0.0.0.0", "[::]")]
              for ports in (plain, encrypted)]  # fmt: skip
    config = standins.nginx_config(trust, *listen)
    speaking = copies.places(r.udp for r in shipped.resolvers if r.udp)
    silent = copies.places(one.address for one in shipped.silent)
    async with (
        standins.nginx(folder, config, ("127.0.0.1", min(encrypted))),
        standins.nameservers(
            [(resolver, 53), *speaking], silent, ANSWERS, copies.stun_hosts(shipped)
        ),
    ):
        yield standins.roots_with(folder, trust)


@contextlib.asynccontextmanager
async def _daemon(
    folder: Path, bundle: Path, hidden: str, python: str, full: bool
) -> AsyncIterator[tuple[int, asyncio.StreamReader]]:
    speed = 1 if full else LEAN_SPEED
    interval = INTERVAL if full else LEAN_INTERVAL / speed
    process = await asyncio.create_subprocess_exec(
        *(python, "-c", START, str(bundle), hidden, str(speed), "run"),
        *("--catalogue", str(folder / "catalogue"), "--state", str(folder / "state")),
        *("--resolver", f"{RESOLVER}:53", "--interval", f"{interval:g}", "--allow-private"),
        *("--broker", "mqtt://127.0.0.1:9", "--country", "FR", "--asn", "64501"),
        *("--accept-risks", consent.digest(), *(["--full"] if full else [])),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stderr is not None
    try:
        yield process.pid, process.stderr
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _watch(
    pid: int, lines: asyncio.StreamReader, rounds: int, targets: int, endpoints: int
) -> Daemon:
    """Read the daemon's log; take its use at the end of each round."""
    used: list[float] = []
    traffic = [_interface_bytes()]
    rss: list[float] = []
    failing = 0
    while len(used) <= rounds:
        async with asyncio.timeout(_ROUND_SECONDS):
            line = await lines.readline()
        if not line:
            raise RuntimeError("the daemon ended")
        said = _json(line)
        if said.get("event") != "round":
            continue
        used.append(cpu_seconds(pid))
        traffic.append(_interface_bytes())
        rss.append(rss_mb(pid))
        failing = int(str(said.get("failing", 0)))
    seconds = tuple(b - a for a, b in itertools.pairwise(used))
    counted = tuple(b - a for a, b in itertools.pairwise(traffic))
    return Daemon(targets, endpoints, failing, seconds, counted, tuple(rss))


def _interface_bytes() -> int:
    """What the loopback interface of this namespace has carried: each packet once. (/sys shows the
    interfaces of the namespace that it was mounted in.)"""
    lines = Path("/proc/self/net/dev").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.split()[0] == "lo:")


def _json(line: bytes) -> dict[str, object]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def month_bytes(found: Daemon, full: bool) -> int:
    """The traffic of a month at the shipped interval, the connection to the broker included."""
    rounds = MONTH_MS / 1000 / (FULL_INTERVAL if full else LEAN_INTERVAL)
    return int(rounds * statistics.mean(found.traffic[1:])) + CONNECTION_BYTES_PER_MONTH


def report(found: Daemon, full: bool, quic: bool = False) -> list[str]:
    """Lines with the figures and the goals."""
    goal_share = GOAL_SHARE_FULL if full else GOAL_SHARE_LEAN
    goal_rss = GOAL_RSS_QUIC if quic else GOAL_RSS
    spread = Spread(found.seconds)
    interval = FULL_INTERVAL if full else LEAN_INTERVAL
    share = spread.median / interval
    month = month_bytes(found, full) / 1e6
    limit = "" if full else f" (goal <= {GOAL_MONTH:.0f}: {_met(month <= GOAL_MONTH)})"
    usual, first = statistics.mean(found.traffic[1:]) / 1e6, found.traffic[0] / 1e6
    return [
        "Every target in every round, at every address:" if full else "The lean profile:",
        f"Traffic of a round: {usual:.2f} MB ({min(found.traffic[1:]) / 1e6:.2f}-"
        f"{max(found.traffic[1:]) / 1e6:.2f}), of the first, with every target, {first:.2f} MB; "
        f"every {interval:.0f} s, a month: {month:.0f} MB{limit}",
        f"{found.targets} targets, {found.endpoints} endpoints; failing in the last round: "
        f"{found.failing}",
        f"A round takes {spread} s of processor; every {interval:.0f} s: {share:.2%} of a core "
        f"(goal <= {goal_share:.1%}: {_met(share <= goal_share)})",
        f"Memory after {len(found.rss)} rounds: {found.rss[-1]:.1f} MB, after the first "
        f"{found.rss[0]:.1f}, most {max(found.rss):.1f} "
        f"(goal <= {goal_rss:.0f}: {_met(found.rss[-1] <= goal_rss)})",
    ]


def _met(reached: bool) -> str:
    return "met" if reached else "MISSED"


async def run(rounds: int, hidden: str, python: str, full: bool) -> int:
    """Make the namespace, measure in it, and print; its exit status."""
    script = (
        "ip link set lo up && ip route add local 0.0.0.0/0 dev lo && "
        'ip -6 route add local ::/0 dev lo && exec "$@"'
    )
    process = await asyncio.create_subprocess_exec(
        *("unshare", "-n", "sh", "-c", script, "sh"),
        *(sys.executable, __file__, str(rounds), hidden, python, "full" if full else "lean"),
    )
    return await process.wait()


def main(arguments: Sequence[str]) -> int:
    """Measure, inside the namespace."""
    rounds, hidden, python, profile = arguments
    full = profile == "full"
    found = asyncio.run(measure(int(rounds), hidden, python, full))
    print("\n".join(report(found, full, quic=not hidden)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
