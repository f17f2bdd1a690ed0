"""Rounds of one probe as its daemon measures them, each knowing what failed in the one before.

`python -m tests.lab.rounds CATALOGUE RESOLVER ROUNDS [TURN]` prints the last round as JSON Lines;
with TURN the last in which a target failed, if any did. It differs from `reachprobe run` in what is
waited between rounds, which stands here, and by which the residual time that the probe reckons with
is scaled.

With TURN the rounds are those of the lean profile, which is the default of the daemon: an endpoint
that did not fail in its last round is dialled at one address and the first kilobytes of a page are
read. TURN says which address the first of these rounds begins with.
"""

from __future__ import annotations

import asyncio
import random
import sys
from dataclasses import replace
from pathlib import Path

import msgspec

from probes.catalogue.load import load
from probes.cli.once import open_network, software
from probes.contrasts.throughput_schedule import EVERY_MS, LEAN_TURNS, ThroughputSchedule
from probes.endpoint.timeouts import Timeouts
from probes.net.resolvers import resolver_class
from probes.rounds.last_failures import failed_endpoints
from probes.rounds.round import measure_round
from probes.rounds.round_plan import RoundPlan, Setup
from probes.wire.codec import encode
from probes.wire.measurement import Measurement, Vantage, measurement_id
from tests.lab.starting_rounds import TURNS

RESIDUAL = 5.0
"""Seconds that the probe takes a censor to be at it, and between two rounds."""
LEAN_MS = 1000
"""Interval of lean rounds: the rounds of one case are within the judge's window."""
PROBE, EPOCH = "p-" + "5" * 16, "laboratory"


async def main(catalogue: Path, resolver: str, rounds: int, turn: int | None = None) -> None:
    """Measure, wait, measure."""
    network, system = open_network(None, resolver, True)
    setup = Setup(
        network=network,
        catalogue=load(catalogue),
        vantage=Vantage(country="RU", asn=64501, resolver_class=resolver_class(system[0].address)),
        software=software(),
        probe=PROBE,
        system=system,
        timeouts=Timeouts(residual=RESIDUAL),
    )
    history: dict[str, int] = {}
    shown: list[Measurement] = []
    failed = False
    for number in range(rounds):
        now = network.wall_ms()
        if turn is not None:
            now += LEAN_MS * (turn + number) - now % (LEAN_MS * TURNS)
            if number == rounds - 1:
                setup = replace(setup, throughput_schedule=_transfers_due(setup, now))
        taken: list[Measurement] = []
        await measure_round(
            setup,
            RoundPlan(
                targets=setup.catalogue.targets,
                round_ms=now,
                interval_ms=0 if turn is None else LEAN_MS,
                lean=turn is not None,
                history=history,
            ),
            emit=taken.append,
            rng=random.Random(),
        )
        for measurement in taken:
            history |= failed_endpoints(measurement)
        failing = any(any(failed_endpoints(m).values()) for m in taken if m.service != "liveness")
        if turn is None or failing or not failed:
            shown = taken
        failed |= failing
        if number < rounds - 1:
            await asyncio.sleep(RESIDUAL + 1)
    for sequence, measurement in enumerate(shown):
        id = measurement_id(PROBE, EPOCH, sequence)
        print(encode(msgspec.structs.replace(measurement, id=id)).decode(), flush=True)


def _transfers_due(setup: Setup, round_ms: int) -> ThroughputSchedule:
    """A schedule by which transfers are due in a round, as they are once a day."""
    schedule = ThroughputSchedule()
    for target in setup.catalogue.targets:
        for endpoint in target.endpoints:
            schedule.mode(endpoint.id, round_ms - LEAN_TURNS * EVERY_MS, LEAN_MS, lean=True)
    return schedule


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])))
