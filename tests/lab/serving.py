"""Configuration of the laboratory's name servers and web server, and what of it a case changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.lab.answers import PAGE
from tests.lab.plan import APPS, Host, Plan

Pair = tuple[Path, Path]
"""A certificate and its key."""


@dataclass(frozen=True)
class Twist:
    """What is different about the world for everybody: ids of services."""

    unserved: str = ""
    """Its ports are closed."""
    silent: str = ""
    """Its addresses answer nothing."""
    expired: str = ""
    """Its certificate is out of date."""
    expired_near: str = ""
    """The certificate is out of date at the addresses that the vantage's resolver gives."""
    gone: str = ""
    """Its name does not exist."""
    law: str = ""
    """It answers 451."""
    private: str = ""
    """Its name leads to a private address, where it is served."""
    dead: str = ""
    """The first of its addresses answers nothing."""
    strict: str = ""
    """Its servers refuse a handshake for any name but their own."""
    law_there: str = ""
    """It answers 451 to whoever comes from the vantage's network."""
    forbidden_there: str = ""
    """It answers 403 to whoever comes from the vantage's network."""
    edition: str = ""
    """Whoever comes from the vantage's network gets the page in another language."""
    country_domain: str = ""
    """It leads whoever comes from the vantage's network to its domain for that country."""
    hangs_up: str = ""
    """It closes each connection after the request."""
    hangs_up_there: str = ""
    """It does so to whoever comes from the vantage's network."""
    refused_there: str = ""
    """Its name's servers refuse whoever asks from the vantage's network."""
    regional: str = ""
    """Whoever asks from the vantage's network is given servers of its own, by every resolver."""
    edge: str = ""
    """As `regional`, and the servers there have no certificate for its name."""
    new_authority: str = ""
    """As `regional`, and their certificates are of an authority that nobody trusts."""
    retired: str = ""
    """The last of its endpoints is closed."""
    no_quic: str = ""
    """Its UDP port is closed, for TCP it is open."""
    mute_quic: str = ""
    """Its UDP port answers nothing."""
    sluggish: str = ""
    """It gives 20 kB a second, whoever asks."""
    thinks_there: str = ""
    """Its page is small, and whoever comes from the vantage's network waits for each answer but the
    first."""
    modern: str = ""
    """Its servers speak TLS 1.3 alone, and all others at most 1.2."""
    foreign: str = ""
    """It answers everybody with a page, in place of the app's own protocol."""


STRAIGHT = Twist()
_EDITION = (
    "<html><title>%s</title><div class=main><nav id=menu><a href=/help>%s</a><a href=/login>%s</a>"
    "</nav></div></html>"
)
_HANG_UP = 444
"""nginx closes the connection without an answer."""
FROM_THERE = '"~^(10[.]1[.]|fd01:)"'
"""Addresses of the vantage's network, as a regular expression of nginx."""
PAGE_BYTES = 400_000
"""What an https service gives: more than a transfer wants."""


def hosts(plan: Plan, id: str) -> list[Host]:
    """The hosts of a service; none for an empty id."""
    return [host for s in plan.services if s.id == id for host in s.hosts]


def unbound(plan: Plan, twist: Twist, folder: Path, far: Pair | None) -> str:
    """The vantage's resolver or, with a certificate, the one for everybody else."""
    address, encrypted = plan.resolver, ""
    if far is not None:
        address = plan.reference.v4[0]
        encrypted = (
            f"  interface: {address}@853\n  interface: {address}@443\n  https-port: 443\n"
            f'  tls-service-pem: "{far[0]}"\n  tls-service-key: "{far[1]}"\n'
        )
    refused = {h.name for h in hosts(plan, twist.refused_there)}
    refusals = "".join(f'  local-zone: "{name}" always_refuse\n' for name in sorted(refused))
    ids = (twist.regional, twist.edge, twist.new_authority)
    near = [host for id in ids for host in hosts(plan, id)]
    regional = _local_data(near, lambda host: _records(host, False))
    view = there = ""
    if (refused or regional) and far is not None:  # as who serves the name would, to one network
        view = "  access-control-view: 10.1.0.0/16 there\n"
        there = "view:\n  name: there\n  view-first: yes\n" + refusals + regional
    elif refused:
        view = refusals
    known = [
        h
        for h in plan.hosts
        if h not in hosts(plan, twist.gone) and (far is not None or h.name not in refused)
    ]
    moved = hosts(plan, twist.private)
    records = _local_data(
        known, lambda h: [("A", plan.private)] if h in moved else _records(h, far is not None)
    )
    return f"""server:
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  num-threads: 1
  module-config: "iterator"
  interface: {address}
  access-control: 0.0.0.0/0 allow
  local-zone: "." static
  local-data: ". 60 IN SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 60"
{encrypted}{view}{records}{there}"""


def _local_data(known: Iterable[Host], records: Callable[[Host], list[tuple[str, str]]]) -> str:
    return "".join(
        dict.fromkeys(
            f'  local-data: "{h.name} 60 IN {kind} {a}"\n' for h in known for kind, a in records(h)
        )
    )


def _records(host: Host, far: bool) -> list[tuple[str, str]]:
    v4 = host.far_v4 if far and host.far_v4 else host.v4
    v6 = host.far_v6 if far and host.far_v6 else host.v6
    return [*(("A", a) for a in v4), *(("AAAA", a) for a in v6)]


def nginx(
    plan: Plan, twist: Twist, folder: Path, issue: Callable[[Host, bool], Pair], stranger: Pair
) -> str:
    """Every name at its own addresses, each with its own certificate, from `issue(host,
    expired)`; and the block page."""
    expired, law, moved = (hosts(plan, id) for id in (twist.expired, twist.law, twist.private))
    sluggish = hosts(plan, twist.sluggish)
    served = [
        host
        for s in plan.services
        if s.id != twist.unserved
        for host in (s.hosts[:-1] if s.id == twist.retired else s.hosts)
        if host.protocol not in APPS
    ]
    blocks = []
    edge = hosts(plan, twist.edge)
    near = [*edge, *hosts(plan, twist.expired_near), *hosts(plan, twist.new_authority)]
    for host in near:
        shown = issue(plan.domestic, False) if host in edge else issue(host, True)
        listen = [f"[{a}]" if ":" in a else a for a in (*host.v4, *host.v6)]
        blocks.append([*(f"listen {a}:{host.port} ssl;" for a in listen), *_shown(shown)])
    everybody = (*served, *plan.international, plan.domestic)
    for host in (replace(h, v4=(), v6=()) if h in near else h for h in everybody):
        secure = host.protocol != "http"
        listen = [f"[{a}]" if ":" in a else a for a in host.addresses]
        listen += [plan.private] if host in moved else []
        lines = [f"listen {a}:{host.port}{' ssl' if secure else ''};" for a in listen]
        lines += _shown(issue(host, host in expired)) if secure else []
        lines += [f"server_name {host.name};", "limit_rate 20k;" if host in sluggish else ""]
        lines += [f"if ($there) {{ return {status}; }}" for status in away(plan, twist, host)]
        if host in hosts(plan, twist.strict):
            refuse = [f"listen {a}:{host.port} ssl default_server;" for a in listen]
            blocks.append([*refuse, "ssl_reject_handshake on;"])
        lines += [f"return {_HANG_UP};"] if host in hosts(plan, twist.hangs_up) else []
        if host in hosts(plan, twist.country_domain):
            lines += [f"if ($there) {{ return 302 http://{host.country_domain}/; }}"]
        if host in hosts(plan, twist.edition):
            there = _EDITION % ("Willkommen", "Hilfe", "Anmelden")
            lines += [f"if ($there) {{ return 200 '{there}'; }}"]
            lines += [f"return 200 '{_EDITION % ('Welcome', 'Help', 'Sign in')}';"]
        if host in hosts(plan, twist.thinks_there):
            lines += ["limit_req zone=thinks burst=200;", _small_page(folder, host.name, plan.seed)]
        elif host.protocol == "https" and host not in law:
            lines += [_long_page(folder, host.name)]
        else:
            lines += [_page(451 if host in law else 200, f"<title>{host.name}</title>")]
        blocks.append(lines)
    listen = [f"listen {plan.warner}:80;", f"listen {plan.warner}:443 ssl;"]
    page = _page((200, 403)[plan.seed % 2], PAGE.decode())
    blocks.append([*listen, *_shown(stranger), page])
    temporary = "".join(
        f"  {name}_temp_path {folder}/nginx-{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    if twist.modern:
        alone = {host.name for host in hosts(plan, twist.modern)}
        blocks = [
            [f"ssl_protocols TLSv1.{2 + any(f'server_name {n};' in b for n in alone)};", *b]
            for b in blocks
        ]
    servers = "".join(f"  server {{ {' '.join(lines)} }}\n" for lines in blocks)
    return (
        f"daemon off;\nmaster_process off;\nworker_processes 1;\nuser root;\n"
        f"pid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\n"
        f"events {{ worker_connections 512; }}\n"
        f"http {{\n  access_log off;\n{temporary}  server_names_hash_bucket_size 128;\n"
        f"  map $remote_addr $there {{ {FROM_THERE} 1; }}\n"
        f"  limit_req_zone $there zone=thinks:32k rate={4 + plan.seed % 5}r/s;\n"
        f"{servers}}}\n"
    )


def away(plan: Plan, twist: Twist, host: Host) -> list[int]:
    """The status with which a host turns away who comes from the vantage's network."""
    statuses = {
        451: twist.law_there,
        403: twist.forbidden_there,
        _HANG_UP: twist.hangs_up_there,
    }
    return [status for status, id in statuses.items() if host in hosts(plan, id)]


def speakers(plan: Plan, twist: Twist) -> list[tuple[str, str, int]]:
    """What of the apps' own protocols is served: protocol, address and port of each."""
    served = [s for s in plan.services if s.id != twist.unserved]
    spoken = [
        ("web" if s.id == twist.foreign else host.protocol, host)
        for s in served
        for host in s.hosts
        if host.protocol in APPS
    ]
    return [
        (protocol, address, host.port)
        for protocol, host in (*spoken, (plan.echo.protocol, plan.echo))
        for address in host.addresses
    ]


def quic_orders(plan: Plan, twist: Twist, folder: Path) -> list[dict[str, Any]]:
    """The QUIC services, with the certificates that `nginx` has issued."""
    missing = (twist.unserved, twist.no_quic)
    return [
        {
            "addresses": host.addresses,
            "port": host.port,
            "certificate": str(folder / f"{host.name}.pem"),
            "key": str(folder / f"{host.name}.key"),
            "mute": service.id == twist.mute_quic,
        }
        for service in plan.services
        for host in service.hosts
        if host.protocol == "quic" and service.id not in missing
    ]


def _shown(pair: Sequence[Path]) -> list[str]:
    return [f"ssl_certificate {pair[0]};", f"ssl_certificate_key {pair[1]};"]


def _small_page(folder: Path, name: str, seed: int) -> str:
    """A page that sixteen requests together bring to more than a server sends at once."""
    return _long_page(folder, name, 1200 + seed % 2000)


def _long_page(folder: Path, name: str, size: int = PAGE_BYTES) -> str:
    """A page large enough to tell a speed from, of a file: strings of nginx are short."""
    (folder / f"page-{name}").write_text(f"<title>{name}</title>".ljust(size))
    return f"root {folder}; location / {{ default_type text/html; try_files /page-{name} =404; }}"


def _page(status: int, text: str) -> str:
    return f'location / {{ default_type text/html; return {status} "{text}"; }}'
