"""How the cases `partial.*` are made."""

from __future__ import annotations

from tests.lab.plan import Host, Plan, Service
from tests.lab.world import World


def disturb(world: World, plan: Plan, how: str, victim: Service) -> None:
    """Block a part of the victim."""
    host = victim.host
    match how:
        case "v4":
            _cut(world, host, host.v4, "reject with tcp reset")
        case "address":
            _cut(world, host, host.v4[:1], "drop")
        case "endpoint":
            world.interfere({"tls": {"act": "reset", "name": victim.others[0].name}})
        case "protocol":
            _cut(world, victim.hosts[2], host.addresses, "drop")
        case "needed":
            world.interfere({"tls": {"act": "drop", "name": host.name}})
        case "most":
            for each in victim.hosts:
                _cut(world, each, each.addresses, "reject with tcp reset")
        case "flows":
            # At each address the first connection of two dies.
            world.interfere({"tls": {"act": "reset", "name": host.name, "of": 2}})
        case "connections":
            ways = (
                f"add rule inet c f iifname pr1 {to(a)} tcp dport {host.port} "
                "tcp flags & (syn | ack) == syn numgen inc mod 2 == 0 reject with tcp reset"
                for a in host.addresses
            )
            world.nft(*ways)
        case "stray":
            world.interfere({"tls": {"act": "reset", "name": host.name, "of": 1000}})
        case _:
            pass  # the world itself is the case


def to(address: str) -> str:
    """An nftables match of a destination."""
    return f"{'ip6' if ':' in address else 'ip'} daddr {address}"


def _cut(world: World, host: Host, addresses: tuple[str, ...], end: str) -> None:
    world.nft(
        *(f"add rule inet c f iifname pr1 {to(a)} tcp dport {host.port} {end}" for a in addresses)
    )
