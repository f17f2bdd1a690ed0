# SPDX-License-Identifier: Apache-2.0
"""The daemon over a mobile link, to a monitor: what a month costs, all retries counted.

Two network namespaces and a cable between them, shaped at both ends (`tc tbf`). In the far one
every address is that machine, as in `whole`, and a monitor with its embedded broker receives the
measurements. Each packet is held there for half of the round-trip time, and some are lost
(NFQUEUE; this kernel may have no netem). Somebody asks the probe for retests as fast as the
detector may, without end, so that what the probe allows is what limits them.

Time is played at speed: the daemon's hour, day and month are so many times shorter, and its
interval with them; the link and all time limits of the measurements are as they are. What it says
about a month is counted at the probe's interface, in bytes of IP packets.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.probing import standins
from benchmarks.probing.whole import ROOT, START, internet
from monitor.broker.client import connected
from monitor.broker.mosquitto import MONITOR_USER
from monitor.paths import read_secret
from probes.catalogue.load import load
from probes.cli import consent
from probes.cli.run import FULL_INTERVAL, LEAN_BUDGET, LEAN_INTERVAL
from probes.delivery import enrolment
from probes.rounds.scheduler import MONTH_MS
from probes.rounds.traffic_budget import CONNECTION_BYTES_PER_MONTH
from probes.runtime.mqtt import BrokerError
from probes.status import load as load_status
from probes.wire import topics
from probes.wire.enrolment_token import parse_token
from probes.wire.retest import LEAST_INTERVAL_MS, Retest, encode_retest
from tests.lab.nfqueue import ACCEPT, DROP, Queue

KBIT, ROUND_TRIP, LOSS = 1000, 0.1, 0.02
"""Of the link, in each direction: rate in kbit/s; both ways together in seconds; share."""
COUNTRY, ASN = "FR", 64501
RESOLVER, MONITOR = "20.255.0.53", "20.255.0.1"
HTTP, MQTT = 18_080, 18_883
NEAR, FAR = ("10.77.0.2", "fd77::2"), ("10.77.0.1", "fd77::1")
_ETHERNET = 14
"""Bytes that the interface counts with each packet and that are not IP's."""
_RETEST_SECONDS = 300
_RETEST_TARGETS = 4
_SHAPE = f"root tbf rate {KBIT}kbit burst 5kb latency 500ms"
_WORLD = f"""
ip link set lo up
ip link add up0 type veth peer name down0
ip link set up0 gso_max_segs 1; ip link set down0 gso_max_segs 1
ip addr add {FAR[0]}/24 dev down0; ip -6 addr add {FAR[1]}/64 dev down0 nodad
ip link set down0 up
ip route add local 0.0.0.0/0 dev lo; ip -6 route add local ::/0 dev lo
ip route add {NEAR[0]}/32 dev down0 table local; ip -6 route add {NEAR[1]}/128 dev down0 table local
tc qdisc add dev down0 {_SHAPE}
# The embedded broker listens on loopback alone unless it has a certificate.
echo 1 > /proc/sys/net/ipv4/conf/down0/route_localnet
iptables -t nat -A PREROUTING -i down0 -p tcp --dport {MQTT} \\
    -j DNAT --to-destination 127.0.0.1:{MQTT}
for filter in iptables ip6tables; do
    $filter -t mangle -A PREROUTING -i down0 ! -p icmpv6 -j NFQUEUE --queue-num 0
    $filter -t mangle -A POSTROUTING -o down0 ! -p icmpv6 -j NFQUEUE --queue-num 0
done
"""
_PROBE = f"""
read -r _
ip link set lo up
ip addr add {NEAR[0]}/24 dev up0; ip -6 addr add {NEAR[1]}/64 dev up0 nodad
ip link set up0 up
ip route add default via {FAR[0]}; ip -6 route add default via {FAR[1]}
tc qdisc add dev up0 {_SHAPE}
exec "$@"
"""


@dataclass(frozen=True)
class Profile:
    """How a volunteer starts the probe, and how much faster its time passes."""

    name: str
    interval: float
    budget: float
    """MB a month; 0 for none."""
    speed: int
    words: tuple[str, ...] = ()


PROFILES = (
    Profile("default", LEAN_INTERVAL, LEAN_BUDGET, 60),
    Profile("budget-100", LEAN_INTERVAL, 100.0, 600),
    Profile("full", FULL_INTERVAL, 0.0, 4, ("--full",)),
)


@dataclass(frozen=True)
class Traffic:
    """What was counted while the daemon ran."""

    seconds: float
    """Wall time from its start to the last count."""
    counted: int
    """Bytes of IP packets at the probe's interface, both directions."""
    own: int
    """What the probe itself says it has spent."""
    rounds: int
    retests: int
    """Targets that were measured again."""
    stored: int
    """Measurements that the monitor acknowledged."""
    failing: int
    """Targets with a failure, all rounds together."""


def month_bytes(found: Traffic, speed: int) -> float:
    """The traffic of a month of the probe's time, the connection to the broker included: its
    heartbeats follow the real clock, so that they are hardly in what was counted."""
    played = found.seconds * speed
    return found.counted * (MONTH_MS / 1000) / played + CONNECTION_BYTES_PER_MONTH


def hold(delay: float, loss: float) -> None:
    """Hold every packet of the queue for so many seconds, and lose some; for ever."""
    queue, waiting = Queue(0, copy=False), deque[tuple[float, int]]()
    rng = random.Random(1)
    print("ready", flush=True)
    while True:
        if queue.waits(waiting[0][0] - time.monotonic() if waiting else None):
            now = time.monotonic()
            for identity, _ in queue.batch():
                if rng.random() < loss:
                    queue.verdict(identity, DROP)
                else:
                    waiting.append((now + delay, identity))
        while waiting and waiting[0][0] <= time.monotonic():
            queue.verdict(waiting.popleft()[1], ACCEPT)


async def measure(profile: Profile, seconds: float, hidden: str, python: str) -> Traffic:
    """Run the daemon for so long. Needs the far namespace."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            internet(folder, RESOLVER) as bundle,
            standins.running(
                sys.executable, __file__, "hold", stdout=asyncio.subprocess.PIPE
            ) as holder,
            _monitor(folder),
        ):
            assert holder.stdout is not None
            await holder.stdout.readline()
            return await _play(profile, seconds, folder, bundle, hidden, python)


@contextlib.asynccontextmanager
async def _monitor(folder: Path) -> AsyncIterator[None]:
    """A monitor with its broker; enrols the probe."""
    reachwatch = (sys.executable, "-m", "monitor.commands.main")
    data = ("--data", str(folder / "data"))
    url = f"http://{MONITOR}:{HTTP}"
    async with standins.running(
        *(*reachwatch, "up", *data, "--no-local-probe", "--no-retests"),
        *("--http", f"{MONITOR}:{HTTP}", "--mqtt", f"127.0.0.1:{MQTT}"),
        *("--catalogue", str(folder / "catalogue"), "--public-url", url),
        cwd=ROOT,
        stderr=asyncio.subprocess.DEVNULL,
    ):
        async with asyncio.timeout(300):  # for a hang alone
            while True:
                with contextlib.suppress(TimeoutError):
                    await standins.listening(MONITOR, HTTP)
                    break
        token = await asyncio.create_subprocess_exec(
            *(*reachwatch, "token", "new", *data, "--public-url", url),
            cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        out, _ = await token.communicate()
        text = next(word for word in out.decode().split() if word.startswith("rch1."))
        state = folder / "state"
        state.mkdir(mode=0o700)
        given = await asyncio.to_thread(enrolment.enrol, parse_token(text), "bench")
        enrolment.save(state, given)
        yield


async def _play(
    profile: Profile, seconds: float, folder: Path, bundle: Path, hidden: str, python: str
) -> Traffic:
    budget = ("--budget", f"{profile.budget:g}")
    async with standins.running(
        *("unshare", "-n", "sh", "-c", _PROBE, "sh"),
        *(python, "-c", START, str(bundle), hidden, str(profile.speed), "run"),
        *("--catalogue", str(folder / "catalogue"), "--state", str(folder / "state")),
        *("--resolver", f"{RESOLVER}:53", "--interval", f"{profile.interval / profile.speed:g}"),
        *("--allow-private", "--country", COUNTRY, "--asn", str(ASN), *budget, *profile.words),
        *("--broker", f"mqtt://{MONITOR}:{MQTT}"),
        *("--accept-risks", consent.digest()),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as probe:
        assert probe.stdin is not None
        while _network_of(probe.pid) == _network_of(os.getpid()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        move = await asyncio.create_subprocess_exec(
            *("ip", "link", "set", "up0", "netns", str(probe.pid))
        )
        assert await move.wait() == 0
        probe.stdin.write(b"\n")
        begun, before = time.monotonic(), 0
        asking = asyncio.create_task(_ask(profile, folder))
        rounds = failing = 0
        retested = 0
        try:
            async with asyncio.timeout(seconds):
                assert probe.stderr is not None
                async for line in probe.stderr:
                    said = _json(line)
                    if said.get("event") == "round":
                        rounds += 1
                        failing += int(str(said.get("failing", 0)))
                    elif said.get("event") == "retest":
                        retested += str(said.get("targets")).count(",") + 1
                raise RuntimeError("the daemon ended")
        except TimeoutError:
            pass
        finally:
            asking.cancel()
        counted, took = _interface_bytes(probe.pid) - before, time.monotonic() - begun
        await asyncio.sleep(16)  # the daemon saves its status every 15 s
        status = load_status(folder / "state")
        assert status is not None
        return Traffic(
            took, counted, status.month_spent_bytes, rounds, retested, status.acked, failing
        )


async def _ask(profile: Profile, folder: Path) -> None:
    """Ask for retests, of other targets each time, without end."""
    secret = read_secret(folder / "data" / "monitor.secret")
    length = max(LEAST_INTERVAL_MS, _RETEST_SECONDS * 1000 // profile.speed)
    ids = itertools.cycle(target.id for target in load(None).targets)
    while True:
        with contextlib.suppress(BrokerError):
            async with connected(
                f"mqtt://127.0.0.1:{MQTT}", MONITOR_USER, secret, purpose="retests"
            ) as connection:
                while True:
                    asked = tuple(itertools.islice(ids, _RETEST_TARGETS))
                    now = int(time.time() * 1000)
                    at = now // length * length
                    request = encode_retest(Retest(targets=asked, round=at, interval_ms=length))
                    await connection.publish(topics.retest(COUNTRY, ASN), request)
                    await asyncio.sleep(length / 1000)
        await asyncio.sleep(1)


def _network_of(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/net")


def _interface_bytes(pid: int) -> int:
    """What the probe's interface has carried, both ways, in bytes of IP packets."""
    lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()
    fields = next(line.split()[1:] for line in lines if line.split()[0] == "up0:")
    received, packets, sent, more = (int(fields[n]) for n in (0, 1, 8, 9))
    return received + sent - _ETHERNET * (packets + more)


def _json(line: bytes) -> dict[str, object]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def report(profile: Profile, found: Traffic) -> list[str]:
    """Lines with the figures, and the budget as the goal."""
    month, played = month_bytes(found, profile.speed) / 1e6, found.seconds * profile.speed / 86_400
    limit = ""
    if profile.budget:
        met = "met" if month <= profile.budget else "MISSED"
        limit = f" (goal <= {profile.budget:g}: {met})"
    return [
        f"{profile.name}: {found.counted / 1e6:.2f} MB in {played:.1f} days, {found.rounds} "
        f"rounds, {found.retests} targets again; a month: {month:.0f} MB{limit}",
        f"  the probe's own account: {found.own / 1e6:.2f} MB; {found.stored} measurements stored, "
        f"{found.failing} failing targets in all rounds",
    ]


async def run(names: Sequence[str], seconds: float, hidden: str, python: str) -> int:
    """Make the namespaces, one pair for each profile, measure in all of them, and print."""
    processes = [
        await asyncio.create_subprocess_exec(
            *("unshare", "-n", "-m", "sh", "-ec", f'{_WORLD}exec "$@"', "sh"),
            *(sys.executable, __file__, "play", name, str(seconds), hidden, python),
        )
        for name in names
    ]
    return max([await process.wait() for process in processes])


def main(arguments: Sequence[str]) -> int:
    """`hold`, or measure one profile inside the far namespace."""
    if arguments[0] == "hold":
        hold(ROUND_TRIP / 2, LOSS)
    _, name, seconds, hidden, python = arguments
    profile = next(each for each in PROFILES if each.name == name)
    found = asyncio.run(measure(profile, float(seconds), hidden, python))
    print("\n".join(report(profile, found)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
