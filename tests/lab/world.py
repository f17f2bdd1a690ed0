"""The namespaces and real servers of one laboratory: made, changed, measured from.

Runs as root inside namespaces of its own (`unshare`), so that several laboratories with the same
names stand side by side, and everything dies with the process that made it.

    probe -- isp -- transit -- internet -- control
                                  |
                                other      a second network, behind nobody who interferes
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.lab.catalogue import write_catalogue
from tests.lab.orders import APP_PORT, DNS_PORT, HTTP_PORT, TLS_PORT
from tests.lab.plan import Host, Plan
from tests.lab.serving import STRAIGHT, Twist, nginx, quic_orders, speakers, unbound
from tests.lab.trust import Authority, self_sign
from tests.world.compiled import compiled
from tests.world.waiting import HANG_SECONDS

ROOT = Path(__file__).resolve().parents[2]
SPACES = ("probe", "isp", "transit", "internet", "control", "other")
# (space, interface, IPv4, IPv6) at both ends of each cable.
LINKS = (
    (("probe", "up0", "10.1.0.2", "fd01::2"), ("isp", "pr1", "10.1.0.1", "fd01::1")),
    (("isp", "up0", "10.2.0.2", "fd02::2"), ("transit", "isp1", "10.2.0.1", "fd02::1")),
    (("transit", "up0", "10.5.0.2", "fd05::2"), ("internet", "tr1", "10.5.0.1", "fd05::1")),
    (("control", "up0", "10.3.0.2", "fd03::2"), ("internet", "ct1", "10.3.0.1", "fd03::1")),
    (("other", "up0", "10.4.0.2", "fd04::2"), ("internet", "ot1", "10.4.0.1", "fd04::1")),
)
ROUTER = "100.64.9.1"
"""What the router between the ISP and the rest calls itself, in IPv4."""
BACK = {
    "internet": (
        "10.1.0.0/16 via 10.5.0.2",
        "10.2.0.0/16 via 10.5.0.2",
        "fd01::/64 via fd05::2",
        "fd02::/64 via fd05::2",
    ),
    "transit": (f"10.1.0.0/16 via 10.2.0.2 src {ROUTER}", "fd01::/64 via fd02::2"),
}
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), Path("libfaketime.so.1"))
MSS = 536
"""Bytes in a segment where a censor must reassemble; the least that everybody takes (RFC 9293)."""
_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    # Without these the first ICMP errors come late or not at all.
    "net/ipv4/icmp_ratelimit": "0",
    "net/ipv6/icmp/ratelimit": "0",
    # Else routers answer no neighbour solicitation for two seconds, and first packets are lost.
    "net/ipv6/conf/default/accept_dad": "0",
}


class World:
    """One laboratory, standing."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.folder = folder
        self.catalogue = folder / "catalogue"
        self._running: list[subprocess.Popen[str]] = []
        self.ca = Authority("Laboratory Root")
        self.stranger = Authority("Stranger Root")

    def build(self, twist: Twist = STRAIGHT) -> None:
        """Lay the cables and start the servers."""
        script = "; ".join(f"echo {v} > /proc/sys/{k}" for k, v in _SYSCTLS.items())
        for space in SPACES:
            self.ip("netns", "add", space)
            self.run(space, "sh", "-c", script)
        lines = [
            f"link add {a[1]} netns {a[0]} type veth peer {b[1]} netns {b[0]}" for a, b in LINKS
        ]
        self._batch("", lines)
        plan = self.plan
        every = {a for host in plan.hosts for a in host.addresses}
        every |= {plan.resolver, plan.silent, plan.reflector, plan.warner, plan.private}
        by_space: dict[str, list[str]] = {space: ["link set lo up"] for space in SPACES}
        for here, there in LINKS:
            for space, interface, v4, v6 in (here, there):
                by_space[space] += [
                    f"addr add {v4}/16 dev {interface}",
                    f"addr add {v6}/64 dev {interface} nodad",
                    f"link set {interface} up",
                ]
        for (space, *_), (_, _, v4, v6) in LINKS:
            by_space[space] += [f"route add default via {via}" for via in (v4, v6)]
        by_space["transit"].insert(0, f"addr add {ROUTER} dev lo")
        for space, routes in BACK.items():
            by_space[space] += [f"route add {route}" for route in routes]
        by_space["internet"] += [
            f"addr add {a} dev lo{' nodad' if ':' in a else ''}" for a in sorted(every)
        ]
        for space in reversed(SPACES):  # a route needs the far end to be up, or soon
            self._batch(space, by_space[space])
        write_catalogue(plan, self.catalogue, self.ca.pem)
        self._serve(twist)
        if twist.silent:
            self.mute(plan.service(twist.silent).host.addresses)
        if twist.dead:
            self.mute(plan.service(twist.dead).host.v4[:1])

    # -- the world --

    def mute(self, addresses: Sequence[str]) -> None:
        """Addresses of the internet that answer nobody."""
        mute = [
            f"add rule inet c i {'ip6' if ':' in a else 'ip'} daddr {a} drop" for a in addresses
        ]
        chain = "add chain inet c i { type filter hook input priority 0; }"
        self._nft("internet", "add table inet c", chain, *mute)

    def close_ports(self, addresses: Sequence[str], after_connect: bool = False) -> None:
        """Servers of the internet that are gone: an RST to everybody, at once or to the hello."""
        said = "tcp flags & psh == psh " if after_connect else ""
        shut = (
            f"add rule inet c i {'ip6' if ':' in a else 'ip'} daddr {a} tcp dport 443 "
            f"{said}reject with tcp reset"
            for a in addresses
        )
        chain = "add chain inet c i { type filter hook input priority 0; }"
        self._nft("internet", "add table inet c", chain, *shut)

    def _serve(self, twist: Twist) -> None:
        """unbound twice (the vantage's resolver, and one for everybody else), nginx for every
        name, and a reflector; started at once, then waited for."""
        plan, folder = self.plan, self.folder
        certified = self._issue(self.ca, [plan.reference.name], "resolver")
        near, far, web = (folder / name for name in ("near.conf", "far.conf", "nginx.conf"))
        near.write_text(unbound(plan, twist, folder, None))
        far.write_text(unbound(plan, twist, folder, certified))

        def issue(host: Host, expired: bool) -> tuple[Path, Path]:
            if expired and twist.new_authority:
                return self.stranger_certificate(host.name)
            stem = f"{host.name}-old" if expired and twist.expired_near else host.name
            return self._issue(self.ca, [host.name], stem, expired)

        web.write_text(
            nginx(plan, twist, folder, issue, self.stranger_certificate("warning.invalid"))
        )
        ports = {
            (plan.reflector, 443): (
                *command("reachprobe"), "reflector", "--listen", f"{plan.reflector}:443",
                "--state", str(folder / "reflector"),
            ),
            (plan.resolver, 53): ("unbound", "-c", str(near)),
            (plan.reference.v4[0], 53): ("unbound", "-c", str(far)),
            (plan.domestic.v4[0], 443): ("nginx", "-e", f"{folder}/nginx.log", "-c", str(web)),
        }  # fmt: skip
        env = self.environment()
        orders = {"quic": quic_orders(plan, twist, folder), "apps": speakers(plan, twist)}
        self.start(
            "internet",
            sys.executable,
            "-m",
            "tests.lab.speakers",
            stdin=json.dumps(orders) + "\n",
            wait_for="ready",
        )
        started = {at: self.start("internet", *line, env=env) for at, line in ports.items()}
        for (address, port), server in started.items():
            self._wait(server, address, port)

    def _issue(
        self, by: Authority, names: Sequence[str], stem: str, expired: bool = False
    ) -> tuple[Path, Path]:
        certificate, key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        by.issue(names, certificate, key, expired)
        return certificate, key

    # -- what the ISP does --

    def nft(self, *rules: str) -> None:
        """Add rules at the ISP, in a table with a forward and a prerouting chain."""
        base = (
            "add table inet c",
            "add chain inet c f { type filter hook forward priority 0; }",
            "add chain inet c d { type nat hook prerouting priority -100; }",
        )
        self._nft("isp", *base, *rules)

    def _nft(self, space: str, *lines: str) -> None:
        subprocess.run(
            ["ip", "netns", "exec", space, "nft", "-f", "-"],
            input="\n".join(lines) + "\n",
            text=True,
            check=True,
        )

    def interfere(self, orders: dict[str, Any]) -> None:
        """Start the interferer with orders and lead traffic to it."""
        rules = []
        if order := orders.get("dns"):
            only = "" if order["whole_path"] else f"ip daddr {self.plan.resolver} "
            rules.append(f"{only}udp dport 53 redirect to :{DNS_PORT}")
        if "tls" in orders:
            rules.append(f"tcp dport 443 redirect to :{TLS_PORT}")
        if order := orders.get("app"):
            rules.append(f"tcp dport {order['port']} redirect to :{APP_PORT}")
        if "http" in orders:
            rules.append(f"tcp dport 80 redirect to :{HTTP_PORT}")
        if "inject" in orders or "delay" in orders:
            udp = ("-i", "pr1", "-p", "udp", "--dport", "53") if "inject" in orders else ()
            self.run("isp", "iptables", "-A", "FORWARD", *udp, "-j", "NFQUEUE")
        if "wake" in orders:
            self.run_both("-A", "FORWARD", "-i", "pr1", "-j", "NFQUEUE")
        if "reassemble" in orders:
            # Small segments in both directions' SYN: no hello fits one packet.
            self.nft(f"add rule inet c f tcp flags & syn == syn tcp option maxseg size set {MSS}")
            port = ("-i", "pr1", "-p", "tcp", "--dport", "443")
            for tables in ("iptables", "ip6tables"):
                self.run("isp", tables, "-A", "FORWARD", *port, "-j", "NFQUEUE")
        if "quic" in orders:
            port = ("-i", "pr1", "-p", "udp", "--dport", "443")
            for tables in ("iptables", "ip6tables"):
                self.run("isp", tables, "-A", "FORWARD", *port, "-j", "NFQUEUE")
        started = self.start(
            "isp",
            sys.executable,
            "-m",
            "tests.lab.interferer",
            stdin=json.dumps(orders) + "\n",
            wait_for="ready",
        )
        assert started.poll() is None
        if rules:
            self.nft(*(f"add rule inet c d iifname pr1 {rule}" for rule in rules))

    def delay(self, round_trip: float) -> None:
        """Hold every IPv4 packet for half of a round trip (seconds); IPv6 is cut off."""
        self.interfere({"delay": round_trip / 2})
        self.nft("add rule inet c f meta nfproto ipv6 drop")

    def stranger_certificate(self, name: str, self_signed: bool = False) -> tuple[Path, Path]:
        """A certificate for a name by an authority that nobody trusts, or by itself."""
        if not self_signed:
            return self._issue(self.stranger, [name], f"stranger-{name}")
        certificate, key = self.folder / "self.pem", self.folder / "self.key"
        self_sign(name, certificate, key)
        return certificate, key

    # -- measuring --

    def environment(self) -> dict[str, str]:
        """All that a command of ours gets to see."""
        return {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            **compiled(),
        }

    def measure(
        self, space: str, role: str, resolver: str, into: Path, *more: str, clock: str = ""
    ) -> subprocess.Popen[str]:
        """Start `reachprobe once` in a namespace, writing JSON Lines to a file. `clock`: how wrong
        its clock is, as libfaketime takes it."""
        arguments = [
            *command("reachprobe"), "once", "--json", "--catalogue", str(self.catalogue),
            "--allow-private", "--resolver", f"{resolver}:53", "--role", role,
            "--country", "FR" if role == "control" else "RU",
            "--asn", "64503" if role == "control" else "64501", *more,
        ]  # fmt: skip
        return self.record(space, arguments, into, clock=clock)

    def record(
        self, space: str, arguments: Sequence[str], into: Path, *, clock: str = ""
    ) -> subprocess.Popen[str]:
        """Start a command in a namespace, writing what it prints to a file."""
        if clock and not FAKETIME.is_absolute():
            raise FileNotFoundError(f"{FAKETIME}: not installed (Debian package libfaketime)")
        wrong = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME": clock,
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        with into.open("w") as out, into.with_suffix(".log").open("w") as log:
            return subprocess.Popen(
                ["ip", "netns", "exec", space, *arguments],
                stdout=out,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self.environment() | (wrong if clock else {}),
                cwd=self.folder,
                text=True,
            )

    # -- processes --

    def ip(self, *arguments: str) -> None:
        """Call ip(8)."""
        subprocess.run(["ip", *arguments], check=True)

    def _batch(self, space: str, lines: Sequence[str]) -> None:
        """Many calls of ip(8) in one process."""
        where = ["-n", space] if space else []
        subprocess.run(
            ["ip", *where, "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True
        )

    def run(self, space: str, *arguments: str) -> None:
        """Call a command in a namespace."""
        subprocess.run(["ip", "netns", "exec", space, *arguments], check=True)

    def run_both(self, *arguments: str) -> None:
        """The same rule at the ISP for IPv4 and IPv6, in iptables' words."""
        for tables in ("iptables", "ip6tables"):
            self.run("isp", tables, *arguments)

    def start(
        self,
        space: str,
        *arguments: str,
        stdin: str = "",
        wait_for: str = "",
        env: dict[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a server in a namespace; it ends with `close`."""
        with (self.folder / "servers.log").open("a") as log:
            started = subprocess.Popen(
                ["ip", "netns", "exec", space, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if wait_for else log,
                stderr=log,
                text=True,
                env=env,
                cwd=ROOT,
            )
        self._running.append(started)
        assert started.stdin is not None
        started.stdin.write(stdin)
        started.stdin.close()
        if wait_for:
            assert started.stdout is not None
            said = started.stdout.readline().strip()
            if said != wait_for:
                raise RuntimeError(f"{arguments}: said {said!r}, see {self.folder}/servers.log")
        return started

    def _wait(self, server: subprocess.Popen[str], address: str, port: int) -> None:
        """Wait until a server listens."""
        until = time.monotonic() + HANG_SECONDS
        while time.monotonic() < until:
            if listens(server.pid, address, port):
                return
            if server.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"nothing at {address}:{port}, see {self.folder}/servers.log")

    def fallen(self) -> list[str]:
        """Servers and censors that ended by themselves, and with what."""
        return [f"{p.args!r}: ended with {p.returncode}" for p in self._running if p.poll()]

    def close(self) -> None:
        """End every server, then the namespaces."""
        for process in reversed(self._running):
            process.send_signal(signal.SIGTERM)
        for process in self._running:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        for space in SPACES:
            subprocess.run(["ip", "netns", "del", space], check=False)


def command(name: str) -> list[str]:
    """An installed command, else the same from the source tree."""
    installed = Path(sys.executable).parent / name
    if installed.is_file():
        return [str(installed)]
    module = {"reachprobe": "probes", "reachwatch": "monitor.commands.main"}[name]
    return [sys.executable, "-m", module]


def listens(pid: int, address: str, port: int) -> bool:
    """Something listens on an IPv4 address and port in the network namespace of a process."""
    word = int.from_bytes(socket.inet_aton(address), sys.byteorder)
    want = f"{word:08X}:{port:04X}"
    try:
        table = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    except OSError:
        return False
    return any(row.split()[1] == want and row.split()[3] == "0A" for row in table)
