"""How the cases `benign.*` are made, where the world itself is not the case."""

from __future__ import annotations

from tests.lab.cases.benign import HOUSE
from tests.lab.interferer import DNS_PORT, EVERY
from tests.lab.plan import Plan, Service
from tests.lab.troubles.partial import to
from tests.lab.world import World

HUSH_SECONDS = 7
"""Longer than a lookup and its second try."""
LARGE_BYTES = 1100
"""Packets to servers that are larger are dropped by somebody on the path."""


def disturb(world: World, plan: Plan, how: str, victim: Service) -> None:
    """Make the trouble of one case."""
    match how:
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
        case "house_filter":
            order = {"name": victim.host.name, "upstream": plan.resolver, "whole_path": False}
            world.interfere({"dns": order | {"address": "0.0.0.0", "address6": "::"}})
            asked = f"iifname pr1 ip daddr {HOUSE} udp dport 53"
            world.nft(f"add rule inet c d {asked} redirect to :{DNS_PORT}")
        case "large_hello":
            large = f"tcp dport 443 meta length > {LARGE_BYTES} drop"
            for address in victim.host.addresses:
                world.nft(f"add rule inet c f iifname pr1 {to(address)} {large}")
        case _:
            pass  # the world itself is the case
