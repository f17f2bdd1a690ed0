"""Several rounds of one probe, each knowing what failed in the one before, as the daemon's do.

`python -m tests.lab.rounds CATALOGUE RESOLVER ROUNDS` prints the last round as JSON Lines. It
differs from `reachprobe run` in what is waited between rounds, which stands here, and by which the
residual time that the probe reckons with is scaled.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import msgspec

from probes.catalogue.load import load
from probes.cli.once import open_network, software
from probes.endpoint.timeouts import Timeouts
from probes.rounds.last_failures import failed_endpoints
from probes.rounds.round import Setup, measure_round
from probes.wire.codec import encode
from probes.wire.measurement import Measurement, Vantage, measurement_id
from tests.lab.world import World

RESIDUAL = 5.0
"""Seconds that the probe takes a censor to be at it, and between two rounds."""
PROBE, EPOCH = "p-" + "5" * 16, "laboratory"


def measure_retest(world: World, into: Path, rounds: int) -> subprocess.Popen[str]:
    """Start the rounds in the vantage's namespace, writing the last one to a file."""
    arguments = [
        sys.executable, "-m", "tests.lab.rounds",
        str(world.catalogue), f"{world.plan.resolver}:53", str(rounds),
    ]  # fmt: skip
    with into.open("w") as out, into.with_suffix(".log").open("w") as log:
        return subprocess.Popen(
            ["ip", "netns", "exec", "probe", *arguments],
            stdout=out,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env=world.environment(),
            cwd=world.folder,
            text=True,
        )


async def main(catalogue: Path, resolver: str, rounds: int) -> None:
    """Measure, wait, measure."""
    network, system = open_network(None, resolver, True)
    setup = Setup(
        network=network,
        catalogue=load(catalogue),
        vantage=Vantage(country="RU", asn=64501),
        software=software(),
        probe=PROBE,
        system=system,
        timeouts=Timeouts(residual=RESIDUAL),
    )
    history: dict[str, int] = {}
    for number in range(rounds):
        taken: list[Measurement] = []
        await measure_round(
            setup,
            setup.catalogue.targets,
            round_ms=network.wall_ms(),
            interval_ms=0,
            emit=taken.append,
            rng=random.Random(),
            history=history,
        )
        for measurement in taken:
            history |= failed_endpoints(measurement)
        if number < rounds - 1:
            await asyncio.sleep(RESIDUAL + 1)
    for sequence, measurement in enumerate(taken):
        id = measurement_id(PROBE, EPOCH, sequence)
        print(encode(msgspec.structs.replace(measurement, id=id)).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
