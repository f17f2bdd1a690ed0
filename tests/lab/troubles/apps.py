"""How the cases `app.*` and `udp.*` are made."""

from __future__ import annotations

from tests.lab.plan import Host, Plan, Service
from tests.lab.troubles.partial import to
from tests.lab.world import World

_ACTS = {"reset": "reset", "timeout": "drop", "page": "page"}
DNS = 53


def disturb(world: World, plan: Plan, how: str, victim: Service) -> None:
    """Make the trouble of one case."""
    host = victim.host
    match how:
        case "reset" | "timeout" | "page":
            order = {"protocol": host.protocol, "port": host.port, "act": _ACTS[how]}
            world.interfere({"app": order})
        case "address":
            _cut(world, host, "tcp")
        case "drop":
            _cut(world, host, "udp")
        case "refused":
            _cut(
                world,
                host,
                "udp",
                "reject with icmp type admin-prohibited",
                "reject with icmpv6 type admin-prohibited",
            )
        case "dead":
            world.nft(f"add rule inet c f iifname pr1 udp dport != {DNS} drop")
        case _:
            pass  # the world itself is the case


def _cut(world: World, host: Host, over: str, end: str = "drop", end6: str = "drop") -> None:
    world.nft(
        *(
            f"add rule inet c f iifname pr1 {to(a)} {over} dport {host.port} "
            f"{end6 if ':' in a else end}"
            for a in host.addresses
        )
    )
