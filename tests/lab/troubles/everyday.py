"""How the cases `everyday.*` are made."""

from __future__ import annotations

from tests.lab.orders import EVERY
from tests.lab.plan import Plan, Service
from tests.lab.troubles.partial import to
from tests.lab.troubles.throttling import narrow, single_segments
from tests.lab.world import World

PER_CENT = (1, 4, 7, 12, 18, 24)
"""Of the packets in each direction, by the seed."""
CRAWL_KBIT = (24, 48, 96)
_NO_ROUTE = (
    "meta nfproto ipv4 reject with icmp type net-unreachable",
    "meta nfproto ipv6 reject with icmpv6 type no-route",
)
LARGE_BYTES = 1280
"""The least that IPv6 lets pass; what is larger gets lost."""


def disturb(world: World, plan: Plan, how: str, victim: Service) -> None:
    """Make the trouble of one case."""
    known = [host.name for host in (*plan.international, plan.domestic)]
    match how:
        case "hotspot_resets" | "hotspot_drops" | "hotspot_closes":
            act = {"hotspot_resets": "reset", "hotspot_drops": "drop"}.get(how, "eof")
            order = {"name": EVERY, "spared": known}
            clear = {"act": ("away", act if act != "eof" else "reset")[plan.seed // 3 % 2]}
            world.interfere({"http": order | clear, "tls": order | {"act": act}})
        case "no_tls13":
            # A middlebox that knows TLS 1.2 alone, as many did in 2018.
            world.interfere({"tls": {"name": EVERY, "act": "no_tls13"}})
        case "logs_out":
            # By the victim at the latest: what was measured before it is reachable, rightly.
            named = [host.name for host in victim.hosts]
            after = {"after_seconds": 2 + plan.seed % 4, "at_latest_with": named}
            page = {"name": EVERY, "act": "page"} | after
            world.interfere({"http": page, "tls": page})
        case "flaps":
            _at_times(world, 1.5, 4.0, *_NO_ROUTE)
        case "reset_spells":
            _at_times(world, 1.5, 4.0, "meta l4proto tcp reject with tcp reset")
        case "roams":
            _roam(world, 3 + plan.seed % 3)
        case "listed_only" | "listed_udp":
            listed = [
                a
                for host in (*plan.international, plan.echo, plan.domestic)
                for a in host.addresses
            ]
            no_udp = ["add rule inet c f iifname pr1 udp dport != 53 drop"]
            world.nft(
                *(no_udp if how == "listed_only" else ()),
                *(
                    f"add rule inet c f iifname pr1 {to(a)} accept"
                    for a in (*listed, plan.resolver)
                ),
                f"add rule inet c f iifname pr1 {('drop', 'reject')[plan.seed % 2]}",
            )
        case "dns_redirect":
            order = {"name": "", "upstream": plan.resolver, "whole_path": True}
            world.interfere({"dns": order})
        case "own_resolver_only":
            world.nft(
                f"add rule inet c f iifname pr1 ip daddr {plan.resolver} accept",
                "add rule inet c f iifname pr1 udp dport 53 drop",
                "add rule inet c f iifname pr1 tcp dport { 53, 853 } drop",
                f"add rule inet c f iifname pr1 ip daddr {plan.reference.v4[0]} drop",
            )
        case "upper_case" | "no_edns":
            order = {"name": "", "upstream": plan.resolver, "whole_path": False}
            world.interfere({"dns": order | {how: ("FORMERR", "drop")[plan.seed % 2]}})
        case "small_packets":
            single_segments(world)
            world.nft(f"add rule inet c f meta length > {LARGE_BYTES} drop")
        case "v6_small_packets":
            single_segments(world)
            world.nft(f"add rule inet c f meta nfproto ipv6 meta length > {LARGE_BYTES} drop")
        case "v6_only":
            end = ("drop", "reject with icmp type net-unreachable")[plan.seed % 2]
            world.nft(
                f"add rule inet c f iifname pr1 ip daddr {plan.resolver} accept",
                f"add rule inet c f iifname pr1 meta nfproto ipv4 {end}",
            )
        case "crawl":
            narrow(world, CRAWL_KBIT[plan.seed % 3], everything=True)
        case "shaped_plan":
            single_segments(world)
            bucket = "tbf rate 256kbit burst 256k latency 2s"
            world.run("isp", "tc", *f"qdisc add dev pr1 root {bucket}".split())
        case "satellite":
            world.nft("add rule inet c f numgen random mod 100 < 2 drop")
            world.delay(0.7)
        case "blackouts":
            _at_times(world, 1.5, 4.0, "drop")
        case "bursts":
            _at_times(world, 0.4, 1.6, "numgen random mod 100 < 70 drop")
        case "reorder":
            _reorder(world)
        case "connection_limit":
            world.nft(
                "add rule inet c f iifname pr1 tcp flags & (syn | ack) == syn ct count over 20 drop"
            )
        case "host_limit":
            world.nft(
                "add set inet c hosts { type ipv4_addr; flags dynamic; }",
                "add rule inet c f iifname pr1 tcp flags & (syn | ack) == syn "
                "add @hosts { ip daddr ct count over 2 } reject with tcp reset",
            )
        case "loss":
            share = PER_CENT[plan.seed % len(PER_CENT)]
            world.nft(f"add rule inet c f numgen random mod 100 < {share} drop")
        case _:
            pass  # the world itself is the case


def _roam(world: World, seconds: int) -> None:
    """Move to another network again and again: what was begun in the last one gets no answer."""
    world.nft("add chain inet c times", "add rule inet c f jump times")
    rules = "add rule inet c times ct state new ct mark set $n; "
    gone = "add rule inet c times ct mark != 0 ct mark != $n drop"
    script = (
        "n=1; while :; do nft flush chain inet c times; "
        f'nft "{rules}{gone}"; sleep {seconds}; n=$((n % 200 + 1)); done'
    )
    world.start("isp", "sh", "-c", script)


def _at_times(world: World, seconds: float, pause: float, *rules: str) -> None:
    """Have rules for so many seconds, again and again."""
    world.nft("add chain inet c times", "add rule inet c f jump times")
    script = (
        f"while :; do nft '{'; '.join(f'add rule inet c times {rule}' for rule in rules)}'; "
        f"sleep {seconds}; nft flush chain inet c times; sleep {pause}; done"
    )
    world.start("isp", "sh", "-c", script)


def _reorder(world: World) -> None:
    """Send every fourth packet, at random, by a way that takes longer."""
    single_segments(world)
    for line in (
        "qdisc add dev pr1 root handle 1: htb default 1",
        "class add dev pr1 parent 1: classid 1:1 htb rate 1gbit",
        "class add dev pr1 parent 1: classid 1:10 htb rate 1mbit burst 2k quantum 1514",
    ):
        world.run("isp", "tc", *line.split())
    world.run_both(
        "-t", "mangle", "-A", "FORWARD", "-o", "pr1", "-m", "statistic", "--mode", "random",
        "--probability", "0.25", "-j", "CLASSIFY", "--set-class", "1:10",
    )  # fmt: skip
