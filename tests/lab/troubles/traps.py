"""How the cases `trap.*` are made: censors whose traces mislead whoever measures carelessly."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from tests.lab.plan import Plan, Service
from tests.lab.trapping import TLS_PORT
from tests.lab.troubles import throttling
from tests.lab.troubles.partial import to
from tests.lab.world import MSS, World

RESIDUAL_SECONDS = 40
"""In place of 60 to 180: longer than a round here, shorter than what is waited between two."""
FLOW = "tcp flags & (syn | ack) == syn"
"""The packet that begins a connection."""


def disturb(world: World, plan: Plan, how: str, victim: Service) -> None:
    """Set a trap for the victim."""
    name = victim.host.name
    then = ("reset", "drop")[plan.seed % 2]
    residual = {"act": "residual", "name": name, "seconds": RESIDUAL_SECONDS, "then": then}
    match how:
        case "residual" | "near_residual":
            set_trap(world, residual)
        case "second_round":
            set_trap(world, residual | {"seconds": SHORT_SECONDS})
        case "near_name":  # by no proxy: resolvers answer by the address that asks
            world.interfere({"reassemble": {"name": name}})
        case "strict":
            world.interfere({"tls": {"act": "reset", "name": name}})
        case "race":
            set_trap(world, {"act": "race", "name": name, "late": False})
        case "late_reset":
            set_trap(world, {"act": "race", "name": name, "late": True})
        case "around":
            someone = next(h for h in plan.international if plan.forged in h.v4)
            order = {"name": name, "address": plan.forged, "address6": someone.v6[0]}
            world.interfere({"inject": order | {"after": True}})
        case "two_answers":
            lie = {"name": name, "upstream": plan.resolver, "whole_path": False}
            world.interfere({"dns": lie | {"address": plan.forged, "of": 2}})
        case "twice":
            echo = {"name": "", "upstream": plan.resolver, "whole_path": True, "copies": 2}
            world.interfere({"dns": echo})
        case "fin" | "alert" | "page" | "away":
            end = {"page": "away"}.get(how, how)
            port = victim.host.port
            set_trap(world, {"act": "race", "name": name, "end": end, "port": port})
        case "deaf":
            set_trap(world, {"act": "deaf", "name": name})
        case "swallow":
            world.nft(f"add rule inet c f tcp flags & syn == syn tcp option maxseg size set {MSS}")
            set_trap(world, {"act": "swallow", "name": name})
        case "burst":
            first, *others = (host.v4[0] for host in plan.international)
            order = {"name": name, "only": "A", "address": first, "several": others, "ttl": 0}
            world.interfere({"inject": order})
        case "stall":
            order = {"name": name, "only": "A", "address": plan.forged, "stall": "forged"}
            world.interfere({"inject": order})
        case "two_boxes":
            _two_boxes(world, plan, victim)
        case "denial":
            world.interfere({"inject": {"name": name, "rcode": "NXDOMAIN"}})
        case "failure":
            world.interfere({"inject": {"name": name, "rcode": "SERVFAIL"}})
        case "hangs_up":
            order = {"act": "drop", "name": name, "only_to": victim.host.addresses}
            world.interfere({"tls": order | {"hangs_up": True}})
        case "v6_name":
            world.interfere({"tls": {"act": "reset", "name": name, "only_to": victim.host.v6}})
        case "mid_reset":
            throttling.mark_name(world, name)
            throttling.count_bytes(world)
            world.run_both(
                "-A", "FORWARD", "-i", "pr1", "-p", "tcp", "-m", "connmark", "--mark",
                throttling.MARK, "-m", "connbytes", "--connbytes", f"{FIRST_BYTES}:",
                "--connbytes-dir", "reply", "--connbytes-mode", "bytes",
                "-j", "REJECT", "--reject-with", "tcp-reset",
            )  # fmt: skip
        case "slow_line":
            world.delay(SLOW_SECONDS)
            world.nft(*(f"add rule inet c f iifname pr1 {to(a)} drop" for a in victim.host.v4))
        case "late_data":
            # As in a long queue that fills once data flows: hellos are late, and sent again.
            data = ("-i", "pr1", "-p", "tcp", "--dport", "443", "-m", "length", "--length", "200:")
            world.run_both("-A", "FORWARD", *data, "-j", "NFQUEUE")
            world.interfere({"hold": LATE_SECONDS})
            for a in victim.host.addresses:
                world.nft(f"add rule inet c f iifname pr1 {to(a)} tcp dport != 53 drop")
        case "uneven":
            send_again(world, 8)
            for a in victim.host.addresses:
                world.nft(f"add rule inet c f iifname pr1 {to(a)} tcp dport != 53 drop")
        case "uneven_name":
            order = {"act": "drop", "name": name, "mute": victim.host.addresses}
            world.interfere({"tls": order})
            others = [s.host.v4[0] for s in plan.services if s != victim and s.host.port == 443]
            send_again(world, only=others[: 1 + plan.seed % 2])
        case "little_loss":
            begin_badly(world, (victim.host.addresses,), [plan.domestic.v4[0]])
        case _:
            raise ValueError(how)


def _two_boxes(world: World, plan: Plan, victim: Service) -> None:
    """One box knows the name and stands in the way of one address; another, in the way of IPv6,
    drops whatever is said there. As many addresses each, so a tie."""
    first, *others = victim.host.v4
    past, cut = "add rule inet c d iifname pr1", "add rule inet c f iifname pr1"
    world.nft(
        *(f"{past} {to(a)} tcp dport 443 accept" for a in (*others, *victim.host.v6)),
        *(f"{cut} {to(a)} tcp dport 443 drop" for a in others),
        *(f"{cut} {to(a)} tcp dport 443 tcp flags & psh == psh drop" for a in victim.host.v6),
    )
    world.interfere({"tls": {"act": "reset", "name": victim.host.name, "only_to": [first]}})


def begin_badly(
    world: World,
    always: Sequence[Sequence[str]],
    only: Sequence[str] | None = None,
    ports: int = 1,
) -> None:
    """At each address the first source ports are dead, as with a full table of connections; at some
    every one. `only`: at these addresses, not everywhere."""
    rules = []
    for kind, word in (("ipv4_addr", "ip"), ("ipv6_addr", "ip6")):
        dead = f"dead_{word}"
        here = "" if only is None else f"{word} daddr {{ {', '.join(only)} }} "
        if only is not None and (":" in only[0]) != (word == "ip6"):
            continue
        rules += [
            f"add set inet c {dead} {{ type {kind} . inet_service; flags dynamic; }}",
            f"add rule inet c f iifname pr1 {word} daddr . tcp sport @{dead} drop",
        ]
        for met in (f"met_{word}_{number}" for number in range(ports)):
            rules += [
                f"add set inet c {met} {{ type {kind}; flags dynamic; }}",
                f"add rule inet c f iifname pr1 {here}{FLOW} {word} daddr != @{met} "
                f"add @{met} {{ {word} daddr }} add @{dead} {{ {word} daddr . tcp sport }} drop",
            ]
    rules += [
        f"add rule inet c f iifname pr1 {to(a)} tcp dport != 53 drop"
        for each in always
        for a in each
    ]
    world.nft(*rules)


def send_again(world: World, ports: int = 1, only: Sequence[str] = ()) -> None:
    """The first packet of one connection in so many is lost, by its source port, and the second
    arrives; `only` at these addresses."""
    world.nft("add chain inet c again { type filter hook prerouting priority raw; }")
    for kind, word in (("ipv4_addr", "ip"), ("ipv6_addr", "ip6")):
        here = [a for a in only if (":" in a) == (word == "ip6")]
        if only and not here:
            continue
        where = f"{word} daddr {{ {', '.join(here)} }} " if only else ""
        begun = f"@begun_{word} {{ {word} daddr . tcp sport }}"
        world.nft(
            f"add set inet c begun_{word} {{ type {kind} . inet_service; flags dynamic; }}",
            f"add rule inet c again iifname pr1 {where}{FLOW} tcp sport & {ports - 1} == 0 "
            f"{word} daddr . tcp sport != @begun_{word} add {begun} drop",
        )


SLOW_SECONDS = 1.5
"""A round trip after which every SYN has been sent again, and none was lost."""
LATE_SECONDS = 0.6
"""The same for data, where the round trip of the SYN was short."""
FIRST_BYTES = 8192
"""Of the answer, before it is cut."""
SHORT_SECONDS = 4
"""Of residual blocking, where two rounds are played."""


def set_trap(world: World, order: dict[str, Any]) -> None:
    """Lead both directions of TLS, or of another port, through a packet queue."""
    port = str(order.get("port", TLS_PORT))
    for way in (
        ("-i", "pr1", "-p", "tcp", "--dport", port),
        ("-o", "pr1", "-p", "tcp", "--sport", port),
    ):
        for tables in ("iptables", "ip6tables"):
            world.run("isp", tables, "-A", "FORWARD", *way, "-j", "NFQUEUE")
    world.start(
        "isp",
        sys.executable,
        "-m",
        "tests.lab.trapping",
        stdin=json.dumps(order) + "\n",
        wait_for="ready",
    )
