"""The trouble of each case: what the ISP does once the world stands.

What the world itself does differently (a server that is gone, a certificate that has expired) is
`Twist`, because it must be known when the world is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.lab import troubles
from tests.lab.cases import BY_NAME, DRAWN
from tests.lab.orders import EVERY
from tests.lab.plan import Plan, Service
from tests.lab.serving import STRAIGHT, Twist
from tests.lab.troubles import names
from tests.lab.troubles.partial import to
from tests.lab.world import World

_LIES: dict[str, dict[str, Any]] = {
    "nxdomain": {"rcode": "NXDOMAIN"},
    "refused": {"rcode": "REFUSED"},
    "servfail": {"rcode": "SERVFAIL"},
    "empty": {"empty": True},
    "drop": {"silent": True},
}
_TWISTS = {
    "service_down": "unserved",
    "service_silent": "silent",
    "certificate_expired": "expired",
    "name_gone": "gone",
    "benign.search_page": "gone",
    "benign.accelerator": "silent",
    "benign.old_replica": "expired_near",
    "law_everywhere": "law",
    "private_everywhere": "private",
    "app.foreign_everywhere": "foreign",
    "app.closed_everywhere": "unserved",
    "udp.closed_everywhere": "unserved",
    "pace.sluggish": "sluggish",
    "benign.dead_address": "dead",
    "benign.forbidden_there": "forbidden_there",
    "benign.authority": "refused_there",
    "benign.edition": "edition",
    "benign.country_domain": "country_domain",
    "benign.hangs_up": "hangs_up",
    "benign.hangs_up_there": "hangs_up_there",
    "benign.law_there": "law_there",
    "benign.strict": "strict",
    "trap.strict": "strict",
    "pace.thinks": "thinks_there",
    "benign.near_closed": "regional",
    "benign.near_silent": "regional",
    "benign.near_broken": "regional",
    "benign.near_default": "edge",
    "benign.near_authority": "new_authority",
    "trap.near_name": "regional",
    "trap.near_residual": "regional",
    "partial.retired": "retired",
    "everyday.no_tls13": "modern",
    "quic.closed": "no_quic",
    "quic.silent": "mute_quic",
    "quic.expired": "expired",
    "partial.retired_needed": "retired",
}


@dataclass(frozen=True)
class _End:
    """How connections to an address end, by family."""

    v4: str = "drop"
    v6: str = "drop"

    @classmethod
    def icmp(cls, v4: str, v6: str) -> _End:
        return cls(f"reject with icmp type {v4}", f"reject with icmpv6 type {v6}")


_ENDS = {
    "drop": _End(),
    "host": _End(),
    "near_and_far": _End(),
    "family": _End(),
    "one_address": _End(),
    "reset": _End("reject with tcp reset", "reject with tcp reset"),
    "admin_prohibited": _End.icmp("admin-prohibited", "admin-prohibited"),
    "host_prohibited": _End.icmp("host-prohibited", "policy-fail"),
    "port_unreachable": _End.icmp("port-unreachable", "port-unreachable"),
    "host_unreachable": _End.icmp("host-unreachable", "addr-unreachable"),
    "net_unreachable": _End.icmp("net-unreachable", "no-route"),
}
_HTTP = {
    "block_page": ("page", "page_as_if_well"),
    "block_host": ("known_host", "known_host"),
    "unknown_page": ("notice", "notice"),
    "451": ("law", "law"),
    "redirect": ("away", "away"),
    "reset": ("reset", "reset"),
    "drop": ("drop", "drop"),
}


def twist(case: str, victim: Service) -> Twist:
    """What is different about the world itself."""
    return Twist(**{_TWISTS[case]: victim.id}) if case in _TWISTS else STRAIGHT


def origin(plan: Plan, case: str) -> str:
    """Where forged answers of a case come from in this seed."""
    said = BY_NAME[case].origin
    if said != DRAWN:
        return said
    return "on_path" if plan.whole_path else "lying_resolver"


def disturb(world: World, plan: Plan, case: str, victim: Service) -> None:
    """Make the trouble of one case."""
    host, name = victim.host, victim.host.name
    match case.split("."):
        case ["dns", "injected_first"]:
            someone = next(h for h in plan.international if plan.forged in h.v4)
            order = {"name": name, "address": plan.forged, "address6": someone.v6[0]}
            world.interfere({"inject": order})
        case ["dns", how] if how not in names.HOWS:
            points_at = {"bogon": plan.bogon, "blockpage": plan.warner}
            lie = _LIES.get(how) or {"address": points_at.get(how, plan.forged)}
            come_from = origin(plan, case)
            whole = come_from == "on_path" if come_from else plan.whole_path
            order = {"name": name, "upstream": plan.resolver, "whole_path": whole}
            world.interfere({"dns": order | lie})
        case ["tcp", how]:
            cut = host.addresses
            if how == "family":
                cut = host.v6
            elif how == "one_address":
                cut = host.v4[:1]
            end = _ENDS[how]
            port = "" if how == "host" else f"tcp dport {host.port} "
            world.nft(
                *(
                    f"add rule inet c f iifname pr1 {to(a)} {port}{end.v6 if ':' in a else end.v4}"
                    for a in cut
                )
            )
        case ["tls", "foreign_certificate" | "self_signed" as how]:
            world.interfere({"tls": _pretend(world, name, how == "self_signed")})
        case ["tls", "reassembled"]:
            world.interfere({"reassemble": {"name": name}})
        case ["tls", "address"]:
            # Connections come about; nothing with a payload passes, whatever the name.
            world.nft(
                *(
                    f"add rule inet c f iifname pr1 {to(a)} tcp dport 443 "
                    "tcp flags & psh == psh drop"
                    for a in host.addresses
                )
            )
        case ["tls", how]:
            act = how.removeprefix("address_")
            only = {"only_to": host.addresses, "name": EVERY} if act != how else {"name": name}
            world.interfere({"tls": {"act": act} | only})
        case ["http", how]:
            world.interfere({"http": {"name": name, "act": _HTTP[how][plan.seed % 2]}})
        case [area, how] if area in troubles.AREAS:
            troubles.AREAS[area](world, plan, how, victim)
        case _:
            _trouble(world, plan, case)


def _pretend(world: World, name: str, self_signed: bool = False) -> dict[str, str]:
    shown = "any.invalid" if name == EVERY else name
    certificate, key = world.stranger_certificate(shown, self_signed)
    return {"name": name, "act": "pretend", "certificate": str(certificate), "key": str(key)}


def _trouble(world: World, plan: Plan, case: str) -> None:
    """Harmless trouble that concerns everybody."""
    match case:
        case "vantage_offline":
            world.ip("-n", "isp", "link", "set", "up0", "down")
        case "uplink_dead":
            world.nft("add rule inet c f drop")
        case "resolver_dead":
            lie = _LIES["drop" if plan.whole_path else "servfail"]
            order = {"name": EVERY, "upstream": plan.resolver, "whole_path": False}
            world.interfere({"dns": order | lie})
        case "v6_broken":
            world.nft("add rule inet c f meta nfproto ipv6 drop")
        case "loss":
            world.nft("add rule inet c f numgen random mod 100 < 10 drop")
        case "slow":
            world.delay(0.3)
        case "portal":
            act = {"name": EVERY, "act": "page"}
            world.interfere({"http": act, "tls": act})
        case "interception":
            world.interfere({"tls": _pretend(world, EVERY)})
        case "allow_list":
            kept = [*plan.domestic.addresses, plan.resolver, plan.reference.v4[0]]
            world.nft(
                *(f"add rule inet c f iifname pr1 {to(a)} accept" for a in kept),
                "add rule inet c f iifname pr1 drop",
            )
        case _:
            pass  # the world itself is the case
