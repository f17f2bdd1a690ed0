"""How the cases `dns.*` are made that are more than one false answer to every question."""

from __future__ import annotations

from typing import Any

from tests.lab.orders import EVERY
from tests.lab.plan import Plan, Service
from tests.lab.troubles.partial import to
from tests.lab.world import World

HOWS = ("isp_zone", "alias", "family", "dead", "exact", "sinkhole", "truncated", "sealed", "pool")
POOL = ("192.88.98.1", "192.88.98.2", "192.88.98.3", "192.88.98.4")
"""Not among the addresses that are drawn."""
_CUT = "add rule inet c f iifname pr1"


def disturb(world: World, plan: Plan, how: str, victim: Service) -> None:
    """Make the trouble of one case."""
    order: dict[str, Any] = {
        "name": victim.host.name,
        "upstream": plan.resolver,
        "whole_path": plan.whole_path,
    }
    more: dict[str, Any] = {}
    match how:
        case "isp_zone":
            order |= {"rcode": "NXDOMAIN", "zone": "isp.invalid"}
        case "alias":
            order |= {"address": plan.warner, "alias": "blocked.isp.invalid", "ttl": 0}
        case "family":
            someone = next(h for h in plan.international if plan.forged in h.v4)
            order |= {"only": "AAAA", "address6": someone.v6[0]}
        case "dead":
            order |= {"address": plan.silent}
        case "exact":
            order |= {"address": plan.silent, "exact": True, "whole_path": False}
        case "sinkhole":
            sinks = [host.v4[0] for host in plan.international[:2]]
            order |= {"address": sinks, "whole_path": False}
            more = {"http": {"name": EVERY, "act": "drop", "only_to": sinks}}
        case "pool":
            # Each answer leads to another place where nobody answers.
            order |= {"address": POOL, "pool": True, "whole_path": True}
            world.nft(f"{_CUT} ip daddr {{ {', '.join(POOL)} }} drop")
        case "truncated":
            order |= {"truncated": True, "whole_path": False}
            world.nft(f"{_CUT} ip daddr {plan.resolver} tcp dport 53 drop")
        case "sealed":
            order |= {"rcode": "NXDOMAIN", "whole_path": True}
            world.nft(
                f"{_CUT} tcp dport {{ 53, 853 }} reject with tcp reset",
                f"{_CUT} {to(plan.reference.v4[0])} tcp dport 443 drop",
            )
        case _:
            raise ValueError(how)
    world.interfere({"dns": order} | more)
