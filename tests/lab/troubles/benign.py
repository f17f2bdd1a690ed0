"""How the cases `benign.*` are made, where the world itself is not the case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.lab.cases.benign import HOUSE
from tests.lab.orders import DNS_PORT, EVERY
from tests.lab.plan import Plan, Service
from tests.lab.troubles.partial import to
from tests.lab.troubles.quic import few_requests
from tests.lab.troubles.throttling import single_segments
from tests.lab.troubles.traps import FLOW, begin_badly, send_again, set_trap
from tests.lab.world import World

BOX = "10.1.0.1"
"""Where a portal of the ISP is."""
HUSH_SECONDS = 20
"""Longer than a lookup and its second try on a busy machine as well."""
LARGE_BYTES = 1100
"""Packets to servers that are larger are dropped by somebody on the path."""


def _all(plan: Plan, name: str = EVERY) -> dict[str, Any]:
    """An order that concerns the ISP's own resolver."""
    return {"name": name, "upstream": plan.resolver, "whole_path": False}


def _nobody(plan: Plan) -> dict[str, Any]:
    return _all(plan, "")


def disturb(world: World, plan: Plan, how: str, victim: Service) -> None:
    """Make the trouble of one case."""
    match how:
        case "exempting" | "exempting_app":
            # An antivirus that leaves alone what it knows, and intercepts all else.
            certificate, key = world.stranger_certificate("any.invalid")
            order = {"name": EVERY, "act": "pretend", "spared": _known(plan)}
            world.interfere({"tls": order | {"certificate": str(certificate), "key": str(key)}})
        case "hotspot":
            order = {"name": EVERY, "spared": _known(plan)}
            page = ("page", "away", "known_host")[plan.seed % 3]
            world.interfere({"http": order | {"act": page}, "tls": order | {"act": "page"}})
        case "own_firewall":
            for address in victim.host.addresses:
                tables = "ip6tables" if ":" in address else "iptables"
                end = "icmp6-adm-prohibited" if ":" in address else "icmp-admin-prohibited"
                rule = ("-A", "OUTPUT", "-d", address, "-j", "REJECT", "--reject-with", end)
                world.run("probe", tables, *rule)
        case "office":
            _let_out(world, (53, 80, 443, 853), (53,), "drop")
        case "refusing_office":
            how = ("admin-prohibited", "port-unreachable", "host-unreachable")[plan.seed % 3]
            _let_out(world, (22, 53, 80, 443, 993), (53, 123, 443), f"reject with icmpx type {how}")
        case "resetting_office":
            _let_out(world, (22, 53, 80, 443, 993), (53, 123, 443), "reject")
            # By RST, as machines answer at a port that they do not serve.
            world.nft("insert rule inet c f iifname pr1 tcp dport 5222 reject with tcp reset")
        case "secure_only":
            _let_out(world, (53, 443), (53, 443), "drop")
        case "notice":
            act = ("known_host", "away", "page")[plan.seed % 3]
            world.interfere({"http": {"name": EVERY, "act": act}})
        case "limits":
            # What liveness asks is answered, for two families; then it is enough.
            alive = (*plan.international, plan.echo, plan.domestic)
            order = {"name": EVERY, "upstream": plan.resolver, "whole_path": False}
            world.interfere({"dns": order | {"rcode": "REFUSED", "patience": 2 * len(alive)}})
        case "hush":
            # Asked for the victim it says nothing, to anybody, until the second try is over.
            order = {"name": victim.host.name, "upstream": plan.resolver, "whole_path": False}
            world.interfere({"dns": order | {"hush": HUSH_SECONDS}})
        case "flows":
            # A full table: of four source ports one is not forwarded, whatever is sent from it.
            for over in ("udp", "tcp"):
                world.nft(f"add rule inet c f iifname pr1 {over} sport & 6 == 2 drop")
        case "outage":
            _outage(world, plan, victim)
        case "udp_limit":
            few_requests(world, plan)
        case "denials":
            how = ("NXDOMAIN", "NOERROR")[plan.seed % 2]
            world.interfere({"dns": _all(plan) | {"rcode": how, "percent": 30}})
        case "stale_resolver":
            # One of its servers does not know the name yet; another one answers the next question.
            once = {"rcode": "NXDOMAIN", "at_first": {"always": "", "never": []}}
            world.interfere({"dns": _all(plan, victim.host.name) | once})
        case "balancer":
            _balancer(world, victim)
        case "house_filter":
            order = {"name": victim.host.name, "upstream": plan.resolver, "whole_path": False}
            world.interfere({"dns": order | {"address": "0.0.0.0", "address6": "::"}})
            asked = f"iifname pr1 ip daddr {HOUSE} udp dport 53"
            world.nft(f"add rule inet c d {asked} redirect to :{DNS_PORT}")
        case "slow_resolver":
            world.interfere({"dns": _nobody(plan) | {"wait": 2.0}})
        case "slow_name":
            world.interfere({"dns": _all(plan, victim.host.name) | {"slow": 6 + plan.seed % 2}})
        case "truncated":
            world.interfere({"dns": _all(plan, victim.host.name) | {"truncated": True}})
        case "zone_faulty":
            # Its signatures have expired, or its servers cannot be reached from this resolver.
            why = {"rcode": "SERVFAIL", "reason": (7, 22)[plan.seed % 2]}
            world.interfere({"dns": _all(plan, victim.host.name) | why})
        case "no_aaaa":
            fails = ("NXDOMAIN", "SERVFAIL", "silent", "REFUSED", "NOTIMP", "NOERROR")
            how = fails[plan.seed % len(fails)]
            fault = {"silent": True} if how == "silent" else {"rcode": how}
            order = _all(plan) | {"only": "AAAA"} | fault
            world.interfere({"dns": order})
        case "search_page":
            world.interfere({"dns": _all(plan, victim.host.name) | {"address": plan.forged}})
        case "dns_portal":
            page = {"name": EVERY, "act": "page"}
            world.interfere({"dns": _all(plan) | {"address": BOX}, "http": page})
        case "guesses":
            order = {"name": victim.host.name, "address": plan.forged, "guesses": 20}
            world.interfere({"inject": order})
        case "stall":
            order = {"name": victim.host.name, "only": "A", "stall": "genuine"}
            world.interfere({"inject": order})
        case "radio":
            world.interfere({"wake": {"idle": 1.0, "seconds": 2.0}})
        case "slow_inspection":
            world.interfere({"tls": {"name": victim.host.name, "act": "wait", "seconds": 2.0}})
        case "syn_limit":
            world.nft(
                "add rule inet c f iifname pr1 tcp flags & (syn | ack) == syn "
                "limit rate over 5/second burst 5 packets drop"
            )
        case "lossy":
            world.nft("add rule inet c f numgen random mod 100 < 25 drop")
        case "resets":
            world.nft(
                "add rule inet c f iifname pr1 tcp flags & (syn | ack) == syn "
                "numgen random mod 100 < 30 ct mark set 9",
                "add rule inet c f iifname pr1 ct mark 9 tcp flags & psh == psh "
                "reject with tcp reset",
            )
        case "v6_lossy":
            world.nft("add rule inet c f meta nfproto ipv6 numgen random mod 100 < 40 drop")
        case "far":
            world.delay(2.0)
        case "flaky_resolver":
            order = _all(plan) | {"rcode": "SERVFAIL", "percent": 30}
            world.interfere({"dns": order})
        case "mtu_hole":
            single_segments(world)
            world.nft(
                *(
                    f"add rule inet c f oifname pr1 {to(a).replace('daddr', 'saddr')} "
                    f"meta length > {LARGE_BYTES} drop"
                    for a in victim.host.addresses
                )
            )
        case "accelerator":
            world.interfere({"tls": {"name": "nobody.invalid", "act": "reset"}})
        case "full_table":
            # Two, because three in a row are what accuses: few enough must be dead elsewhere too.
            begin_badly(world, (victim.host.addresses,), ports=2)
        case "swamped":
            # Packets wait for longer than their sender does, at the victim longer than it tries.
            send_again(world)
            for address in (a for host in victim.hosts for a in host.addresses):
                world.nft(f"add rule inet c f iifname pr1 {to(address)} tcp dport != 53 drop")
        case "overload":
            never = [plan.international[0].name]
            order = _all(plan) | ({"rcode": "REFUSED"}, {"silent": True})[plan.seed % 2]
            at_first = {"always": victim.host.name, "never": never}
            world.interfere({"dns": order | {"at_first": at_first}})
        case "handshakes":
            always = victim.host.addresses
            set_trap(world, {"act": "handshakes", "name": "", "always": always})
        case "closed_v6" | "broken_v6":
            world.run("control", "ip", "-6", "route", "del", "default")
            world.close_ports(victim.host.v6, after_connect=how == "broken_v6")
        case "near_closed":
            world.close_ports((*victim.host.v4, *victim.host.v6))
        case "near_broken":  # and our own host as well
            broken = (*victim.host.v4, *victim.host.v6, plan.reflector)
            world.close_ports(broken, after_connect=True)
        case "near_silent":
            world.mute((*victim.host.v4, *victim.host.v6))
        case "moved":
            # Where it was before nobody is; there was no IPv6, and no name below was ever asked.
            old = {"address": plan.silent, "exact": True, "zone": victim.host.name}
            world.interfere({"dns": _all(plan, victim.host.name) | old})
        case "closed_replica":
            extra = [*victim.host.v4, plan.silent]
            world.interfere({"dns": _all(plan, victim.host.name) | {"only": "A", "address": extra}})
        case "large_hello":
            large = f"tcp dport 443 meta length > {LARGE_BYTES} drop"
            for address in victim.host.addresses:
                world.nft(f"add rule inet c f iifname pr1 {to(address)} {large}")
        case _:
            pass  # the world itself is the case


def _let_out(world: World, tcp: Sequence[int], udp: Sequence[int], end: str) -> None:
    """An office that lets only these ports out; packets to others come to this end."""
    for over, ports in (("tcp", tcp), ("udp", udp)):
        open_ones = ", ".join(map(str, ports))
        world.nft(f"add rule inet c f iifname pr1 {over} dport != {{ {open_ones} }} {end}")


def _known(plan: Plan) -> list[str]:
    """Names that show whether a line works, as many know them."""
    return [host.name for host in (*plan.international, plan.domestic)]


def _outage(world: World, plan: Plan, victim: Service) -> None:
    """The vantage's line fails when the victim is dialled, for longer than it is tried again."""
    seconds, host = 16 + plan.seed % 9, victim.host
    world.nft(
        f"add set inet c off {{ type iface_index; flags dynamic, timeout; timeout {seconds}s; }}",
        *(
            f"add rule inet c f iifname pr1 {to(a)} tcp dport {host.port} {FLOW} "
            "add @off { meta iif }"
            for a in host.addresses
        ),
        "add rule inet c f meta iif @off drop",
        "add rule inet c f meta oif @off drop",
    )


def _balancer(world: World, victim: Service) -> None:
    """One of two servers behind each address is dead. The vantage meets it first, the control
    second."""
    world.run("control", "nft", "add table inet b")
    world.run("control", "nft", "add chain inet b o { type filter hook output priority 0; }")
    end = "reject with tcp reset"
    for address in victim.host.addresses:
        flow = f"{to(address)} tcp dport {victim.host.port} {FLOW} numgen inc mod 2"
        world.nft(f"add rule inet c f iifname pr1 {flow} == 0 {end}")
        world.run("control", "nft", f"add rule inet b o {flow} == 1 {end}")
