"""The namespaces and real servers of one laboratory: made, changed, measured from.

Runs as root inside namespaces of its own (`unshare`), so that several laboratories with the same
names stand side by side, and everything dies with the process that made it.

    probe -- isp -- internet -- control
                       |
                     other          a second network, behind nobody who interferes
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
from tests.lab.interferer import DNS_PORT, HTTP_PORT, TLS_PORT
from tests.lab.plan import Host, Plan
from tests.lab.trust import Authority

ROOT = Path(__file__).resolve().parents[2]
SPACES = ("probe", "isp", "internet", "control", "other")
# (space, interface, IPv4, IPv6) at both ends of each cable.
LINKS = (
    (("probe", "up0", "10.1.0.2", "fd01::2"), ("isp", "pr1", "10.1.0.1", "fd01::1")),
    (("isp", "up0", "10.2.0.2", "fd02::2"), ("internet", "isp1", "10.2.0.1", "fd02::1")),
    (("control", "up0", "10.3.0.2", "fd03::2"), ("internet", "ct1", "10.3.0.1", "fd03::1")),
    (("other", "up0", "10.4.0.2", "fd04::2"), ("internet", "ot1", "10.4.0.1", "fd04::1")),
)
BACK = (("10.1.0.0/16", "10.2.0.2"), ("fd01::/64", "fd02::2"))
_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    # Without these the first ICMP errors come late or not at all.
    "net/ipv4/icmp_ratelimit": "0",
    "net/ipv6/icmp/ratelimit": "0",
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

    def build(self, unserved: str = "") -> None:
        """Lay the cables and start the servers; the service with id `unserved` gets none."""
        for space in SPACES:
            self.ip("netns", "add", space)
            self.ip("-n", space, "link", "set", "lo", "up")
        for here, there in LINKS:
            (a, a_if, _, _), (b, b_if, b4, b6) = here, there
            self.ip("link", "add", a_if, "netns", a, "type", "veth", "peer", b_if, "netns", b)
            for space, interface, v4, v6 in (here, there):
                self.ip("-n", space, "addr", "add", f"{v4}/16", "dev", interface)
                self.ip("-n", space, "addr", "add", f"{v6}/64", "dev", interface, "nodad")
                self.ip("-n", space, "link", "set", interface, "up")
            for via in (b4, b6):
                family = "-6" if ":" in via else "-4"
                self.ip("-n", a, family, "route", "add", "default", "via", via)
        for net, via in BACK:
            self.ip("-n", "internet", "route", "add", net, "via", via)
        for space in SPACES:
            script = "; ".join(f"echo {v} > /proc/sys/{k}" for k, v in _SYSCTLS.items())
            self.run(space, "sh", "-c", script)
        plan = self.plan
        every = {a for host in plan.hosts for a in host.addresses}
        for address in sorted(every | {plan.resolver, plan.silent, plan.reflector}):
            self.ip("-n", "internet", "addr", "add", address, "dev", "lo",
                    *(("nodad",) if ":" in address else ()))  # fmt: skip
        write_catalogue(plan, self.catalogue, self.ca.pem)
        self._serve_names()
        self._serve_pages(unserved)
        self._reflect()

    # -- the world --

    def _serve_names(self) -> None:
        """unbound twice: the vantage's resolver, and one for everybody else."""
        reference = self.plan.reference
        certificate, key = self._issue(self.ca, [reference.name], "resolver")
        encrypted = f"""
  interface: {reference.v4[0]}@853
  interface: {reference.v4[0]}@443
  https-port: 443
  tls-service-pem: "{certificate}"
  tls-service-key: "{key}"
"""
        for address, far, more in (
            (self.plan.resolver, False, ""),
            (reference.v4[0], True, encrypted),
        ):
            data = [f'local-data: "{h.name} 60 IN {kind} {a}"' for h in self.plan.hosts
                    for kind, a in _records(h, far)]  # fmt: skip
            path = self.folder / f"unbound-{'far' if far else 'near'}.conf"
            path.write_text(
                f"""server:
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{self.folder}"
  pidfile: ""
  use-syslog: no
  num-threads: 1
  module-config: "iterator"
  interface: {address}
  access-control: 0.0.0.0/0 allow
  local-zone: "." static
{more}  {chr(10).join("  " + line for line in data).strip()}
"""
            )
            server = self.start("internet", "unbound", "-c", str(path))
            self._wait(server, address, 53)

    def _serve_pages(self, unserved: str) -> None:
        """nginx for every name, each at its own addresses with its own certificate."""
        blocks = []
        hosts = [s.host for s in self.plan.services if s.id != unserved]
        for host in (*hosts, *self.plan.international, self.plan.domestic):
            secure = host.protocol != "http"
            listen = [f"[{a}]" if ":" in a else a for a in host.addresses]
            lines = [f"listen {a}:{host.port}{' ssl' if secure else ''};" for a in listen]
            if secure:
                certificate, key = self._issue(self.ca, [host.name], host.name)
                lines += [f"ssl_certificate {certificate};", f"ssl_certificate_key {key};"]
            answer = f'default_type text/html; return 200 "<title>{host.name}</title>";'
            lines += [f"server_name {host.name};", f"location / {{ {answer} }}"]
            blocks.append("server { " + " ".join(lines) + " }")
        path = self.folder / "nginx.conf"
        temporary = "".join(
            f"  {name}_temp_path {self.folder}/nginx-{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        path.write_text(
            f"daemon off;\nmaster_process off;\nworker_processes 1;\nuser root;\n"
            f"pid {self.folder}/nginx.pid;\nerror_log {self.folder}/nginx.log;\n"
            f"events {{ worker_connections 512; }}\n"
            f"http {{\n  access_log off;\n{temporary}  server_names_hash_bucket_size 128;\n  "
            + "\n  ".join(blocks)
            + "\n}\n"
        )
        log = f"{self.folder}/nginx.log"
        server = self.start("internet", "nginx", "-e", log, "-c", str(path))
        self._wait(server, self.plan.domestic.v4[0], 443)

    def _reflect(self) -> None:
        server = self.start(
            "internet",
            *command("reachprobe"),
            "reflector",
            "--listen",
            f"{self.plan.reflector}:443",
            "--state",
            str(self.folder / "reflector"),
            env=self.environment(),
        )
        self._wait(server, self.plan.reflector, 443)

    def _issue(self, by: Authority, names: Sequence[str], stem: str) -> tuple[Path, Path]:
        certificate, key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        by.issue(names, certificate, key)
        return certificate, key

    # -- what the ISP does --

    def nft(self, *rules: str) -> None:
        """Add rules at the ISP, in a table with a forward and a prerouting chain."""
        base = (
            "add table inet c",
            "add chain inet c f { type filter hook forward priority 0; }",
            "add chain inet c d { type nat hook prerouting priority -100; }",
        )
        subprocess.run(
            ["ip", "netns", "exec", "isp", "nft", "-f", "-"],
            input="\n".join((*base, *rules)) + "\n",
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
        if "http" in orders:
            rules.append(f"tcp dport 80 redirect to :{HTTP_PORT}")
        if "inject" in orders or "delay" in orders:
            udp = ("-i", "pr1", "-p", "udp", "--dport", "53") if "inject" in orders else ()
            self.run("isp", "iptables", "-A", "FORWARD", *udp, "-j", "NFQUEUE")
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

    def stranger_certificate(self, name: str) -> tuple[Path, Path]:
        """A certificate for a name by an authority that nobody trusts."""
        return self._issue(self.stranger, [name], "stranger")

    # -- measuring --

    def environment(self) -> dict[str, str]:
        """All that a command of ours gets to see."""
        return {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
        }

    def measure(self, space: str, role: str, resolver: str, into: Path) -> subprocess.Popen[str]:
        """Start `reachprobe once` in a namespace, writing JSON Lines to a file."""
        arguments = [
            *command("reachprobe"), "once", "--json", "--catalogue", str(self.catalogue),
            "--allow-private", "--resolver", f"{resolver}:53", "--role", role,
            "--country", "FR" if role == "control" else "RU",
            "--asn", "64503" if role == "control" else "64501",
        ]  # fmt: skip
        with into.open("w") as out, into.with_suffix(".log").open("w") as log:
            return subprocess.Popen(
                ["ip", "netns", "exec", space, *arguments],
                stdout=out,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self.environment(),
                cwd=self.folder,
                text=True,
            )

    # -- processes --

    def ip(self, *arguments: str) -> None:
        """Call ip(8)."""
        subprocess.run(["ip", *arguments], check=True)

    def run(self, space: str, *arguments: str) -> None:
        """Call a command in a namespace."""
        subprocess.run(["ip", "netns", "exec", space, *arguments], check=True)

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
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if listens(server.pid, address, port):
                return
            time.sleep(0.05)
        raise RuntimeError(f"nothing at {address}:{port}, see {self.folder}/servers.log")

    def close(self) -> None:
        """End every server, then the namespaces."""
        for process in reversed(self._running):
            process.send_signal(signal.SIGTERM)
        for process in self._running:
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        for space in SPACES:
            subprocess.run(["ip", "netns", "del", space], check=False)


def _records(host: Host, far: bool) -> list[tuple[str, str]]:
    v4 = host.far_v4 if far and host.far_v4 else host.v4
    v6 = host.far_v6 if far and host.far_v6 else host.v6
    return [*(("A", a) for a in v4), *(("AAAA", a) for a in v6)]


def command(name: str) -> list[str]:
    """An installed command, else the same from the source tree."""
    installed = Path(sys.executable).parent / name
    if installed.is_file():
        return [str(installed)]
    module = {"reachprobe": "probes", "reachwatch": "monitor.cli"}[name]
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
