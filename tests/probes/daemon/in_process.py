"""Parts of the daemon in this process, for what a test cannot do to a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from probes.catalogue.load import load
from probes.cli.once import open_network, software
from probes.config import AgentConfig
from probes.daemon.agent import Agent
from probes.daemon.period_counts import PeriodCounts
from probes.daemon.status_keeper import StatusKeeper
from probes.daemon.steady_spool import SteadySpool
from probes.delivery.outbox import DeliveryStats
from probes.delivery.spool import Spool
from probes.log import Log
from probes.rounds.round_plan import Setup
from probes.wire.measurement import Vantage
from tests.probes.delivery.test_spool import PROBE
from tests.probes.test_status import NOW, probe_status
from tests.world.ports import free_port
from tests.world.tiny import write_catalogue


def agent_here(
    state: Path,
    *,
    catalogue: Path | None = None,
    probe: str = PROBE,
    **more: object,
) -> Agent:
    """A daemon that has not begun; without a `catalogue` nothing that it measures is there."""
    if catalogue is None:
        catalogue = write_catalogue(state.with_suffix(".catalogue"), free_port(), free_port())
    network, system = open_network(None, "127.0.0.1:9", True)
    setup = Setup(
        network=network,
        catalogue=load(catalogue),
        vantage=Vantage(),
        software=software(),
        probe=probe,
        system=system,
    )
    state.mkdir()
    chosen = {"interval_ms": 1_800_000} | more
    config = AgentConfig(directory=state, **chosen)  # type: ignore[arg-type]
    return Agent(config, setup, log=Log(), report=lambda _: None)


class Desk:
    """A status keeper with a clock that stands still, and all that it copies from."""

    def __init__(self, directory: Path, **status: object) -> None:
        self.now = NOW
        self.log = Log(sys.stderr)
        self.stats = DeliveryStats()
        self.spool = SteadySpool(Spool(directory, PROBE), self.log)
        self.spent = 0
        self.keeper = StatusKeeper(
            probe_status(**status),
            PeriodCounts(None),
            directory=directory,
            spool=self.spool,
            stats=self.stats,
            spent=lambda: self.spent,
            now_ms=lambda: self.now,
            log=self.log,
        )
