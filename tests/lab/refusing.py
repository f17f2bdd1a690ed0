"""A way of real routers, on which connections to a service are refused at one place or another:
what a probe's trace of the refusal shows.

`python -m tests.lab.refusing FOLDER`, in namespaces of its own, writes the traces as a record.

    probe -- r1 -- r2 -- ... -- r8 -- server
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from pathlib import Path

import msgspec

from probes.net.guard import Guard
from probes.net.socket_network import SocketNetwork
from probes.steps import refusal
from probes.steps.context import StepContext
from tests.lab.apart import settle

ROUTERS = 8
SPACES = ("probe", *(f"r{n}" for n in range(1, ROUTERS + 1)), "server")
SERVICE, HARMLESS = "203.0.113.5", "203.0.113.9"
PORT, OPEN_PORT = 5222, 443
_CHAIN = (
    "add table ip c; add chain ip c f { type filter hook forward priority 0; }; add rule ip c f "
)
_REJECT = f"{_CHAIN} ip daddr {SERVICE} tcp dport {PORT} reject with tcp reset"
_OFFICE = f"{_CHAIN} tcp dport {PORT} reject with tcp reset"
_PROXY = (
    "add table ip c; add chain ip c d { type nat hook prerouting priority -100; }; "
    "add rule ip c d meta l4proto tcp redirect to :9"
)
PLACES: dict[str, tuple[str, str]] = {
    "a device on the way": ("r2", _REJECT),
    "a firewall beside the server": ("r7", _REJECT),
    "an office that lets few ports out": ("r2", _OFFICE),
    "a proxy that answers for everybody": ("r2", _PROXY),
    "the server": ("server", ""),
}
"""Who refuses: the namespace, and its rules of nftables."""


def _run(space: str, *command: str, stdin: str | None = None) -> None:
    subprocess.run(["ip", "netns", "exec", space, *command], input=stdin, text=True, check=True)


def build() -> None:
    """Lay the cables, and the routes in both directions."""
    for space in SPACES:
        subprocess.run(["ip", "netns", "add", space], check=True)
        _run(space, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        _run(space, "sh", "-c", "echo 0 > /proc/sys/net/ipv4/icmp_ratelimit")
    batches: dict[str, list[str]] = {space: ["link set lo up"] for space in SPACES}
    for number, (near, far) in enumerate(itertools.pairwise(SPACES)):
        cable = (
            "link",
            "add",
            "ahead",
            "netns",
            near,
            "type",
            "veth",
            "peer",
            "back",
            "netns",
            far,
        )
        subprocess.run(["ip", *cable], check=True)
        for space, end, last in ((near, "ahead", 1), (far, "back", 2)):
            batches[space].insert(1, f"addr add 10.9.{number}.{last}/30 dev {end}")
            batches[space].insert(2, f"link set {end} up")
        batches[near].append(f"route add default via 10.9.{number}.2")
        if number:
            batches[far].append(f"route add 10.9.0.0/24 via 10.9.{number}.1")
    batches["server"] += [f"addr add {address}/32 dev lo" for address in (SERVICE, HARMLESS)]
    for space, lines in batches.items():
        _run(space, "ip", "-batch", "-", stdin="\n".join(lines) + "\n")


async def trace() -> None:
    """Print the trace of a refusal."""
    network = SocketNetwork(guard=Guard(allow_private=True))
    step = StepContext(network, "e", SERVICE, PORT, network.clock_us(), timeout=15.0)
    seen = await refusal.trace(step, innocuous=[(HARMLESS, OPEN_PORT)], hop=1.0)
    sys.stdout.write(msgspec.json.encode(seen).decode())


def main() -> None:
    """Build the way, and trace who refuses at each of the places."""
    settle()
    build()
    serve = (sys.executable, "-m", "http.server", str(OPEN_PORT), "--bind", HARMLESS)
    subprocess.Popen(["ip", "netns", "exec", "server", *serve])
    record = {}
    for name, (space, rules) in PLACES.items():
        _run(space, "nft", "flush", "ruleset")
        if rules:
            _run(space, "nft", "-f", "-", stdin=rules)
        said = subprocess.run(
            ["ip", "netns", "exec", "probe", sys.executable, "-m", "tests.lab.refusing"],
            capture_output=True,
            text=True,
            check=True,
        )
        record[name] = json.loads(said.stdout)
        _run(space, "nft", "flush", "ruleset")
    Path(sys.argv[1], "record.json").write_text(json.dumps(record))


if __name__ == "__main__":
    if sys.argv[1:]:
        main()
    else:
        asyncio.run(trace())
