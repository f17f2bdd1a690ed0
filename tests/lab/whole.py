"""From the wire to the webhook and back, in namespaces of its own:
`python -m tests.lab.whole SEED FOLDER`.

Quiet rounds; then one network blocks three services at once, one by its name in DNS, one by its
addresses, one by its name in TLS, until each event is confirmed and paged; then the lift, until
each is closed and that is told. What was seen goes to `record.json`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.lab.apart import record_of, settle
from tests.lab.fleet import OWNERS, Fleet
from tests.lab.plan import Plan, Service, draw
from tests.lab.world import World
from tests.world.priority import go_first

LIMIT_SECONDS = 1500
HANG_SECONDS = 300
"""For a hang alone, as the limit of the whole."""
QUIET_ROUNDS = 3


def play_whole(seed: int, folder: Path) -> dict[str, Any]:
    """Play it in a child process; return the record."""
    return record_of("tests.lab.whole", folder, str(seed), str(folder), seconds=LIMIT_SECONDS)


def victims(plan: Plan) -> dict[str, Service]:
    """Technique -> the service that is hit. Nothing happens to the geographic one."""
    by = {s.host.protocol: s for s in plan.services if not (s.host.far_v4 or s.several)}
    return {"dns.nxdomain": by["https"], "tcp.reset": by["http"], "tls.reset.sni": by["tls"]}


def block(world: World, plan: Plan) -> None:
    """What the ISP of one network does."""
    by = victims(plan)
    lie = {"upstream": plan.resolver, "whole_path": plan.whole_path, "rcode": "NXDOMAIN"}
    world.interfere(
        {
            "dns": lie | {"name": by["dns.nxdomain"].host.name},
            "tls": {"name": by["tls.reset.sni"].host.name, "act": "reset"},
        }
    )
    host = by["tcp.reset"].host
    world.nft(
        *(
            f"add rule inet c f iifname pr1 {'ip6' if ':' in a else 'ip'} daddr {a} "
            f"tcp dport {host.port} reject with tcp reset"
            for a in host.addresses
        )
    )


def told(record: dict[str, Any], service: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What whoever is paged heard of a service: (pages, closings), of all messages."""
    heard = [
        alert
        for message in record.get("inbox", ())
        for alert in message["alerts"]
        if alert["labels"].get("service") == service and alert["status"] == "firing"
    ]
    by = {
        name: [alert for alert in heard if alert["labels"]["alertname"] == name]
        for name in ("ServiceBlockConfirmed", "ServiceUnblocked")
    }
    return by["ServiceBlockConfirmed"], by["ServiceUnblocked"]


def main(seed: int, folder: Path) -> None:
    """Build, watch quietly, block, watch, lift, watch."""
    settle()
    go_first()
    began = time.monotonic()
    plan = draw(seed)
    hit = {technique: service.id for technique, service in victims(plan).items()}
    world = World(plan, folder)
    fleet = Fleet(world, folder)
    record: dict[str, Any] = {"victims": hit}
    took: dict[str, float] = {}

    def heard() -> list[tuple[int, int]]:
        record["inbox"] = fleet.inbox()
        return [tuple(map(len, told(record, service))) for service in hit.values()]  # type: ignore[misc]

    def confirmed() -> bool:
        """By all: on a busy machine some may be late in the round in which the others suffice."""
        record["blocked"] = events = fleet.events()
        everybody = {"agreeing": len(OWNERS), "total": len(OWNERS)}
        found = {
            e["service"] for e in events if e["tier"] == "confirmed" and e["vantages"] == everybody
        }
        return found >= set(hit.values())

    try:
        world.build()
        fleet.start()
        fleet.start_alerting()
        took["start"] = time.monotonic() - began
        took["quiet"] = fleet.wait(
            lambda: fleet.rounds() >= QUIET_ROUNDS, HANG_SECONDS, "quiet rounds"
        )
        record["quiet"] = fleet.events()
        block(world, plan)
        took["confirmed"] = fleet.wait(confirmed, HANG_SECONDS, "the events")
        took["paged"] = fleet.wait(lambda: any(p for p, _ in heard()), HANG_SECONDS, "a page")
        record["pages"] = {e["id"]: fleet.get(f"/e/{e['id']}") for e in record["blocked"]}
        record["overview"] = fleet.get("/")
        record["metrics"] = fleet.get("/metrics")
        record["witnesses"] = {
            e["id"]: fleet.get(f"/m/{e['witnesses'][0]}") for e in record["blocked"]
        }
        world.run("isp", "nft", "flush", "ruleset")
        took["closed"] = fleet.wait(
            lambda: all(e["state"] == "closed" for e in fleet.events()), HANG_SECONDS, "the end"
        )
        took["told"] = fleet.wait(
            lambda: all(ends or not p for p, ends in heard()), HANG_SECONDS, "the closings"
        )
        record["lifted"] = fleet.events()
    finally:
        world.close()
        record["seconds"] = {name: round(value, 1) for name, value in took.items()}
        (folder / "record.json").write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
