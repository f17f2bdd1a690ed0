"""One case the whole way, in namespaces of its own: `python -m tests.lab.whole SEED FOLDER`.

Quiet rounds, then a block by name in one network, until its event is confirmed on the page; then
the lift, until it closes. What was seen goes to `record.json`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.lab.fleet import Fleet
from tests.lab.plan import draw
from tests.lab.run import UNSHARE
from tests.lab.world import ROOT, World

LIMIT_SECONDS = 280
QUIET_ROUNDS = 3


def play_whole(seed: int, folder: Path) -> dict[str, Any]:
    """Play it in a child process; return the record."""
    folder.mkdir(parents=True)
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-m", "tests.lab.whole", str(seed), str(folder)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if done.returncode:
        log = (folder / "servers.log").read_text(errors="replace")[-4000:]
        raise RuntimeError(f"{folder}: {done.stdout}\n{done.stderr}\n{log}")
    record: dict[str, Any] = json.loads((folder / "record.json").read_text())
    return record


def main(seed: int, folder: Path) -> None:
    """Build, watch quietly, block, watch, lift, watch."""
    subprocess.run(["hostname", "laboratory"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    began = time.monotonic()
    plan = draw(seed)
    victim = plan.service(plan.victims["tls.reset"])
    world = World(plan, folder)
    fleet = Fleet(world, folder)
    record: dict[str, Any] = {"victim": victim.id}
    took: dict[str, float] = {}
    try:
        world.build()
        fleet.start()
        took["start"] = time.monotonic() - began
        took["quiet"] = fleet.wait(lambda: fleet.rounds() >= QUIET_ROUNDS, 90, "quiet rounds")
        record["quiet"] = fleet.events()
        world.interfere({"tls": {"name": victim.host.name, "act": "reset"}})
        took["confirmed"] = fleet.wait(
            lambda: any(e["tier"] == "confirmed" for e in fleet.events()), 100, "the event"
        )
        record["blocked"] = fleet.events()
        (event, *_) = record["blocked"]
        record["page"] = fleet.get(f"/e/{event['id']}")
        record["overview"] = fleet.get("/")
        record["metrics"] = fleet.get("/metrics")
        record["witness"] = fleet.get(f"/m/{event['witnesses'][0]}")
        world.run("isp", "nft", "flush", "ruleset")
        took["closed"] = fleet.wait(
            lambda: all(e["state"] == "closed" for e in fleet.events()), 100, "the end"
        )
        record["lifted"] = fleet.events()
    finally:
        world.close()
        record["seconds"] = {name: round(value, 1) for name, value in took.items()}
        (folder / "record.json").write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
