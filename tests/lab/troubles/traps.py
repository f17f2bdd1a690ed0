"""How the cases `trap.*` are made: censors whose traces mislead whoever measures carelessly."""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.lab.plan import Plan, Service
from tests.lab.world import World

RESIDUAL_SECONDS = 40
"""In place of 60 to 180: longer than a round here, shorter than what is waited between two."""
PORT = "443"


def disturb(world: World, plan: Plan, how: str, victim: Service) -> None:
    """Set a trap for the victim."""
    name = victim.host.name
    then = ("reset", "drop")[plan.seed % 2]
    residual = {"act": "residual", "name": name, "seconds": RESIDUAL_SECONDS, "then": then}
    match how:
        case "residual":
            _set(world, residual)
        case "second_round":
            _set(world, residual | {"seconds": SHORT_SECONDS})
        case "strict":
            world.interfere({"tls": {"act": "reset", "name": name}})
        case "race":
            _set(world, {"act": "race", "name": name, "late": False})
        case "late_reset":
            _set(world, {"act": "race", "name": name, "late": True})
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
        case _:
            raise ValueError(how)


SHORT_SECONDS = 4
"""Of residual blocking, where two rounds are played."""


def _set(world: World, order: dict[str, Any]) -> None:
    """Lead both directions of TLS through a packet queue."""
    for way in (
        ("-i", "pr1", "-p", "tcp", "--dport", PORT),
        ("-o", "pr1", "-p", "tcp", "--sport", PORT),
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
