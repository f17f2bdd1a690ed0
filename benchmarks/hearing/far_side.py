# SPDX-License-Identifier: Apache-2.0
"""The other end of the probe's line: a network namespace in which every address is this machine.

There are servers for the whole catalogue, a broker with a collector behind it, and a censor in the
form of packet filters. The probe is in a namespace of its own, and the line between is a pair of
virtual interfaces that send packets as they would be sent on a wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.hearing.resolvers import resolvers
from benchmarks.hearing.scenarios import ALL, How, Page, Scenario
from benchmarks.probing import catalogue as copies
from benchmarks.probing import standins
from probes.catalogue.load import load
from probes.wire.target import Catalogue, Endpoint

RESOLVER, BROKER_NAME, WEB_NAME = "20.255.0.53", "broker.example", "monitor.example"
WEB_PORT = 18_080
"""Where the monitor answers in clear, for the web server in front of it."""
NEAR, FAR = ("10.78.0.2", "fd78::2"), ("10.78.0.1", "fd78::1")
ANSWERS = 2
"""IPv4 addresses of each name, and one IPv6 address."""
HUGE_BYTES = 100_000_000
_BACK = (
    f"ip route replace {NEAR[0]}/32 dev down0 table local; "
    f"ip -6 route replace {NEAR[1]}/128 dev down0 table local"
)
MADE = f"""
ip link set lo up
ip link add up0 type veth peer name down0
ip link set up0 gso_max_segs 1; ip link set down0 gso_max_segs 1
ip addr add {FAR[0]}/24 dev down0; ip -6 addr add {FAR[1]}/64 dev down0 nodad
ip link set down0 up
ip route add local 0.0.0.0/0 dev lo; ip -6 route add local ::/0 dev lo
{_BACK}
exec "$@"
"""
"""Makes the far side, and runs there."""
JOINED = f"""
read -r _
ip link set lo up
servers=$(mktemp); echo "nameserver {RESOLVER}" >$servers; chmod 644 $servers
mount --bind $servers /etc/resolv.conf; rm $servers
ip addr add {NEAR[0]}/24 dev up0; ip -6 addr add {NEAR[1]}/64 dev up0 nodad
ip link set up0 up
ip route add default via {FAR[0]}; ip -6 route add default via {FAR[1]}
exec "$@"
"""
"""Runs the probe on the near side."""
_TABLE = """
table inet censor {{
  set addresses4 {{ type ipv4_addr; {four} }}
  set addresses6 {{ type ipv6_addr; {six} }}
  chain arriving {{
    type filter hook input priority 0;
    iifname != "down0" accept
    ip daddr @addresses4 goto blocked
    ip6 daddr @addresses6 goto blocked
  }}
  chain blocked {{
    {verdicts}
  }}
}}
"""
_VERDICTS = {
    How.REFUSED: "meta l4proto tcp reject with tcp reset; reject with icmpx port-unreachable",
    How.SILENT: "drop",
}


@contextlib.asynccontextmanager
async def internet(folder: Path, scenario: Scenario) -> AsyncIterator[Path]:
    """Serve a copy of the shipped catalogue, with what the scenario says; gives the file of roots
    to verify against. Needs the far namespace."""
    shipped = load(None)
    resolvers_names = [urlsplit(r.doh).hostname or "" for r in shipped.resolvers if r.doh]
    named = [*copies.names(shipped), *filter(str.islower, resolvers_names), BROKER_NAME, WEB_NAME]
    names = copies.certificate_names(named)
    trust = standins.make_trust(folder, names)
    copies.write_copy(folder / "catalogue")
    plain, encrypted = copies.ports(shipped)
    listen = [[f"{host}:{p}" for p in sorted(ports) for host in ("0.0.0.0", "[::]")]
              for ports in (plain, encrypted)]  # fmt: skip
    config = standins.nginx_config(trust, *listen)
    config = _with_monitor(_with_page(config, folder, scenario.page), trust.pair)
    speaking = copies.places(r.udp for r in shipped.resolvers if r.udp)
    silent = copies.places(one.address for one in shipped.silent)
    references = [address for address, _ in speaking if ":" not in address]
    async with (
        resolvers(references, trust.pair, ANSWERS),
        standins.nginx(folder, config, ("127.0.0.1", min(encrypted))),
        standins.nameservers(
            [(RESOLVER, 53), *speaking], silent, ANSWERS, copies.stun_hosts(shipped)
        ),
    ):
        block(shipped, scenario)
        yield standins.roots_with(folder, trust)


def _with_page(config: str, folder: Path, page: Page) -> str:
    usual = "location / { try_files /page.html =404; }"
    assert usual in config
    match page:
        case Page.USUAL:
            return config
        case Page.HUGE:
            with (folder / "pages" / "page.html").open("r+b") as file:
                file.truncate(HUGE_BYTES)
            # The flow control of HTTP/2 would let the client decide.
            return config.replace("http2 on", "http2 off")
        case Page.REDIRECT:
            pad = "x" * 900
            return config.replace(
                usual, f"location / {{ return 302 https://$host/{pad}$request_uri; }}"
            )
        case Page.DRIP:
            return config.replace(usual, f"{usual}\n    limit_rate 64;")


def _with_monitor(config: str, pair: Path) -> str:
    """Let the web server pass on what is for the monitor's name."""
    head, brace, _ = config.rpartition("}")
    return f"""{head}
  server {{
    listen 0.0.0.0:443 ssl; listen [::]:443 ssl;
    server_name {WEB_NAME};
    ssl_certificate {pair}; ssl_certificate_key {pair};
    client_max_body_size 2m;
    location / {{
      proxy_pass http://127.0.0.1:{WEB_PORT};
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto https;
    }}
  }}
{brace}
"""


def block(shipped: Catalogue, scenario: Scenario) -> None:
    """Let the services of the scenario fail from now on."""
    endpoints = [
        endpoint
        for service in shipped.services
        if service.id in scenario.services or scenario.services == ALL
        for target in service.targets
        for endpoint in target.endpoints
    ]
    if not endpoints:
        return
    if scenario.how is How.RESET:
        _reset_names({endpoint.server_name for endpoint in endpoints if endpoint.server_name})
        endpoints = [endpoint for endpoint in endpoints if not endpoint.server_name]
        verdicts = "meta length > 100 meta l4proto tcp reject with tcp reset"
    else:
        verdicts = _VERDICTS[scenario.how]
    addresses = set(_addresses(endpoints)) - set(_addresses(shipped.liveness))
    table = _TABLE.format(
        four=_elements(a for a in addresses if ":" not in a),
        six=_elements(a for a in addresses if ":" in a),
        verdicts="\n    ".join(verdicts.split("; ")),
    )
    subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True)


def _addresses(dialled: Iterable[Endpoint]) -> list[str]:
    found: list[str] = []
    for endpoint in dialled:
        if getattr(endpoint, "address", ""):
            found.append(endpoint.address)
        if endpoint.host:
            found += standins.addresses(endpoint.host, ANSWERS)
    return found


def _elements(addresses: Iterable[str]) -> str:
    listed = ", ".join(sorted(addresses))
    return f"elements = {{ {listed} }}" if listed else ""


def _reset_names(names: Iterable[str]) -> None:
    """Reset each connection in whose first packets one of these names is, as TLS and HTTP show it:
    the answer goes to the client alone, as from a box on the path."""
    for filter in ("iptables", "ip6tables"):
        rules = [
            f"-A INPUT -i down0 -p tcp -m string --algo bm --to 1400 --string {name} "
            "-j REJECT --reject-with tcp-reset"
            for name in sorted(names)
        ]
        text = "\n".join(("*filter", *rules, "COMMIT", ""))
        subprocess.run([f"{filter}-restore", "-n"], input=text, text=True, check=True)


@contextlib.asynccontextmanager
async def mosquitto(folder: Path) -> AsyncIterator[int]:
    """Run a broker with TLS for the probe, and one listener without for the collector, whose port
    it gives."""
    port = 18_831
    pair = next((folder / "pair").iterdir())
    path = folder / "mosquitto.conf"
    path.write_text(
        "user root\npersistence false\nlog_dest none\nmax_packet_size 1000000\n"
        f"listener {port} 127.0.0.1\nallow_anonymous true\n"
        f"listener 8883\nallow_anonymous true\ncertfile {pair}\nkeyfile {pair}\n"
    )
    async with standins.running(standins.program("mosquitto") or "mosquitto", "-c", str(path)):
        await standins.listening("127.0.0.1", port)
        yield port


async def restore_routes() -> None:
    """Lead to the probe again, after the line was down."""
    process = await asyncio.create_subprocess_exec("sh", "-c", _BACK)
    await process.wait()


async def join(process: asyncio.subprocess.Process) -> None:
    """Give a process that runs `JOINED` its end of the line, once it has its own namespace."""
    while _network_of(process.pid) == _network_of(os.getpid()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    move = await asyncio.create_subprocess_exec(
        *("ip", "link", "set", "up0", "netns", str(process.pid))
    )
    assert await move.wait() == 0
    assert process.stdin is not None
    process.stdin.write(b"\n")


def _network_of(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/net")
