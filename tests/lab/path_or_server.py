"""The servers for one region do not answer it: is it the network, or the servers? From the wire to
the verdict, in namespaces of its own:
`python -m tests.lab.path_or_server SEED FOLDER network|server`.

Quiet rounds; then the addresses that the vantages' resolvers give for one name, and the control's
do not, go silent: dropped by the network, or at the servers for everybody. Then it is waited until
the control has tried these addresses and the vantages have been judged beside it. What was seen
goes to `record.json`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.lab.apart import record_of, settle
from tests.lab.fleet import MONITOR_PORT, Fleet
from tests.lab.plan import Plan, Service, draw
from tests.lab.retesting import INTERVAL, PACE
from tests.lab.world import World
from tests.world.priority import go_first

LIMIT_SECONDS = 560
NETWORK, SERVER = "network", "server"


def victim(plan: Plan) -> Service:
    """The service that has servers for the region."""
    return next(s for s in plan.services if s.host.far_v4 and s.host.protocol != "http")


def play(seed: int, folder: Path, where: str) -> dict[str, Any]:
    """Play it in a child process; return the record."""
    words = (str(seed), str(folder), where)
    return record_of("tests.lab.path_or_server", folder, *words, seconds=LIMIT_SECONDS)


def main(seed: int, folder: Path, where: str) -> None:
    """Build, watch quietly, silence, watch."""
    settle()
    go_first()
    plan = draw(seed)
    hit, world = victim(plan), World(plan, folder)
    near = (*hit.host.v4, *hit.host.v6)
    fleet = Fleet(world, folder, pace=PACE, interval=INTERVAL)
    heard = folder / "retests"
    record: dict[str, Any] = {"victim": hit.target, "near": near}

    def judged() -> list[dict[str, Any]]:
        body = fleet.get(f"/api/v1/measurements?service={hit.id}&limit=200")
        rows: list[dict[str, Any]] = json.loads(body)["measurements"] if body else []
        return rows

    def asked() -> bool:
        return heard.exists() and any(near_one in heard.read_text() for near_one in near)

    try:
        world.build()
        fleet.start()
        world.start(
            "control", sys.executable, "-m", "tests.lab.listening",
            f"mqtt://127.0.0.1:{MONITOR_PORT}", "monitor", str(folder / "secret"), str(heard),
            wait_for="ready",
        )  # fmt: skip
        fleet.wait(lambda: fleet.rounds() >= 1, 300, "a quiet round")
        record["quiet"] = fleet.events()
        if where == SERVER:
            world.mute(near)
        else:
            world.nft(
                *(
                    f"add rule inet c f iifname pr1 {'ip6' if ':' in a else 'ip'} daddr {a} drop"
                    for a in near
                )
            )
        record["silent"] = time.time()
        fleet.wait(asked, 8 * INTERVAL, "addresses for the control")
        record["asked"] = time.time()
        time.sleep(5 * INTERVAL)
        record["read"] = time.time()
        record["events"], record["judged"] = fleet.events(), judged()
    finally:
        record["retests"] = heard.read_text().splitlines() if heard.exists() else []
        (folder / "record.json").write_text(json.dumps(record, indent=1))
        world.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
