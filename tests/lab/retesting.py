"""What a retest on suspicion saves, from the wire to the event, in namespaces of its own:
`python -m tests.lab.retesting SEED FOLDER with|without likely|confirmed`.

Quiet rounds; then one network begins to reset one service by its name in TLS, late in a round of
five minutes (divided by the pace); then it is waited until the event is likely, or confirmed.
What was seen goes to `record.json`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.lab.apart import record_of, settle
from tests.lab.fleet import MONITOR_PORT, NETWORKS, Fleet
from tests.lab.plan import Plan, Service, draw
from tests.lab.world import World
from tests.world.priority import go_first

LIMIT_SECONDS = 560
PACE = 10
"""Not more: what a measurement takes (three seconds for second answers alone) is not divided."""
INTERVAL = 300 // PACE
LATE = 0.8
"""Part of a round after which the block begins: whoever measures in that round has done so."""
WITH, WITHOUT = "with", "without"
LIKELY, CONFIRMED = "likely", "confirmed"


def victim(plan: Plan) -> Service:
    """The service that is hit."""
    return next(s for s in plan.services if s.host.protocol == "tls" and not s.several)


def play_retesting(
    seed: int, folder: Path, how: str = WITH, last: str = CONFIRMED
) -> dict[str, Any]:
    """Play it in a child process until a tier is reached; return the record."""
    words = (str(seed), str(folder), how, last)
    return record_of("tests.lab.retesting", folder, *words, seconds=LIMIT_SECONDS)


def play_both(seed: int, folder: Path) -> dict[str, dict[str, Any]]:
    """With and without retests, side by side: both mostly wait."""
    with ThreadPoolExecutor(2) as pool:
        jobs = {
            how: pool.submit(play_retesting, seed, folder / how, how) for how in (WITH, WITHOUT)
        }
        return {how: job.result() for how, job in jobs.items()}


def minutes(record: dict[str, Any], tier: str) -> float:
    """From the beginning of the first round that could see the block to the event's tier, at
    pace 1."""
    return float(record[tier] - record["first"]) * PACE / 60


def main(seed: int, folder: Path, how: str, last: str) -> None:
    """Build, watch quietly, block, watch."""
    settle()
    go_first()
    plan = draw(seed)
    hit, world = victim(plan), World(plan, folder)
    options = ("--no-retests",) if how == WITHOUT else ()
    fleet = Fleet(world, folder, pace=PACE, interval=INTERVAL, detecting=options)
    heard = folder / "retests"
    record: dict[str, Any] = {"victim": hit.target, "networks": NETWORKS}

    def seen(*tiers: str) -> Callable[[], bool]:
        return lambda: any(e["service"] == hit.id and e["tier"] in tiers for e in fleet.events())

    began = time.monotonic()
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
        time.sleep((LATE - time.time() / INTERVAL) % 1 * INTERVAL)
        # Before: to begin may take longer than the rest of the round.
        record["first"] = (time.time() // INTERVAL + 1) * INTERVAL
        world.interfere({"tls": {"name": hit.host.name, "act": "reset"}})
        record["blocked"] = time.time()
        fleet.wait(seen(LIKELY, CONFIRMED), 5 * INTERVAL, "a likely event")
        record[LIKELY] = time.time()
        if last == CONFIRMED:
            fleet.wait(seen(CONFIRMED), 5 * INTERVAL, "a confirmed event")
            record[CONFIRMED] = time.time()
        record["events"] = fleet.events()
    finally:
        world.close()
        lines = heard.read_text().splitlines() if heard.exists() else []
        asked = [line.split(" ", 1) for line in lines]
        record["asked"] = [(place, json.loads(said)) for place, said in asked]
        record["seconds"] = round(time.monotonic() - began, 1)
        (folder / "record.json").write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
