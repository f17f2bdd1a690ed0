"""How the cases `quic.*` are made."""

from __future__ import annotations

from tests.lab.plan import Plan, Service
from tests.lab.troubles.partial import to
from tests.lab.world import World

_FROM = "add rule inet c f iifname pr1"


def few_requests(world: World, plan: Plan) -> None:
    """Let one STUN request through to each address of liveness, and no other."""
    stun = f"udp dport {plan.echo.port}"
    for kind, word, here in (("ipv4_addr", "ip", plan.echo.v4), ("ipv6_addr", "ip6", plan.echo.v6)):
        met = f"met_{word}"
        world.nft(
            f"add set inet c {met} {{ type {kind}; flags dynamic; }}",
            f"{_FROM} {stun} {word} daddr {here[0]} {word} daddr != @{met} "
            f"add @{met} {{ {word} daddr }} accept",
        )
    world.nft(f"{_FROM} {stun} drop")


def disturb(world: World, plan: Plan, how: str, victim: Service) -> None:
    """Interfere with QUIC to the victim, or with all of it."""
    host = victim.host
    match how:
        case "sni_drop" | "sni_late":
            world.interfere({"quic": {"name": host.name, "late": how == "sni_late"}})
        case "residual":
            order = {"name": host.name, "late": False, "residual": (20, 60, 180)[plan.seed % 3]}
            world.interfere({"quic": order})
        case "drop":
            world.nft(*(f"{_FROM} {to(a)} udp dport 443 drop" for a in host.addresses))
        case "family":
            world.nft(*(f"{_FROM} {to(a)} udp dport 443 drop" for a in host.v6))
        case "nowhere":
            world.nft(f"{_FROM} udp dport 443 drop")
        case "refused":
            world.nft(f"{_FROM} udp dport 443 reject with icmpx port-unreachable")
        case "few":
            # The line lets few datagrams through: those of liveness, and enough to our own host.
            few_requests(world, plan)
            world.nft(*(f"{_FROM} {to(a)} udp dport 443 drop" for a in host.addresses))
        case "loss":
            world.nft("add rule inet c f udp dport 443 numgen random mod 100 < 10 drop")
            world.nft("add rule inet c f udp sport 443 numgen random mod 100 < 10 drop")
        case _:
            pass  # the world itself is the case
