"""How the cases `lossy.*` are made: a share of the flows dies for good, whatever else happens, as
where one of several paths is broken."""

from __future__ import annotations

import random

from tests.lab.plan import Plan, Service
from tests.lab.troubles.partial import to
from tests.lab.world import World

PER_CENT = (10, 3, 6)
"""Of the flows, TCP and UDP alike, by the seed. That of the tests (1) has 3: from 6 on, chance
accuses somebody in one laboratory of four hundred (docs/evaluation/laboratory.md)."""


def disturb(world: World, plan: Plan, how: str, victim: Service) -> None:
    """Let some flows die, and block the victim."""
    rng = random.Random(f"{plan.seed} {how}")
    share, seed = PER_CENT[plan.seed % len(PER_CENT)], rng.randrange(1, 1 << 32)
    # What dies is what is sent, before anything reads it, or what is answered.
    chain, end, port, address = rng.choice(
        (
            ("prerouting priority raw", "iifname", "sport", "daddr"),
            ("postrouting priority 300", "oifname", "dport", "saddr"),
        )
    )
    world.nft(
        f"add chain inet c lossy {{ type filter hook {chain}; }}",
        *(
            f"add rule inet c lossy {end} pr1 meta l4proto {{ tcp, udp }} "
            f"jhash {word} {address} . th {port} mod 100 seed {seed:#x} < {share} drop"
            for word in ("ip", "ip6")
        ),
    )
    match how:
        case "drop" | "most":
            world.nft(
                *(
                    f"add rule inet c f iifname pr1 {to(a)} tcp dport {host.port} drop"
                    for host in victim.hosts
                    for a in host.addresses
                )
            )
        case "name":
            world.interfere({"tls": {"act": "reset", "name": victim.host.name}})
        case _:
            pass  # nobody is blocked
