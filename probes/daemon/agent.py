# SPDX-License-Identifier: Apache-2.0
"""The daemon: its parts put together, and run in one TaskGroup from the first round to SIGTERM.

Each measurement of a round is scrubbed and stored, and only then reported as taken; the client of
the broker delivers it. After errors of disk, broker or network the probe logs them and goes on; a
bug of ours ends the process with a traceback.
"""

from __future__ import annotations

import asyncio
import functools
import random
import secrets
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from probes.config import AgentConfig
from probes.daemon.contribution_keeper import ContributionKeeper
from probes.daemon.hold import Hold
from probes.daemon.interval_planner import IntervalPlanner
from probes.daemon.recorder import Recorder
from probes.daemon.round_loop import RoundLoop
from probes.daemon.round_runner import RoundRunner
from probes.daemon.serving import Serving
from probes.daemon.shown_functions import ShownFunctions
from probes.daemon.status_keeper import keeper_of_last_run
from probes.daemon.steady_spool import SteadySpool
from probes.daemon.traffic_account import TrafficAccount
from probes.delivery import enrolment
from probes.delivery.batch_signer import BatchSigner
from probes.delivery.broker_client import Access, BrokerClient
from probes.delivery.broker_session import DaemonSide
from probes.delivery.monitor_ways import MonitorWays
from probes.delivery.outbox import Outbox
from probes.delivery.spool import Spool
from probes.log import Log
from probes.net.resolvers import resolver_class
from probes.privacy.location import LocationTracker
from probes.remote_catalogue import RemoteCatalogue, TakenCatalogue
from probes.rounds.profile import Profile
from probes.rounds.retests import RetestLimits, RetestRunner, pause_ms
from probes.rounds.round_plan import Setup
from probes.rounds.traffic_budget import TrafficBudget
from probes.wire.https_delivery import authorization
from probes.wire.measurement import Measurement, Vantage

STOP_SECONDS = 4.0
"""On SIGTERM, for deliveries in progress. Stopping takes less than five seconds in all."""


class Agent:
    """One probe."""

    def __init__(
        self,
        config: AgentConfig,
        setup: Setup,
        *,
        log: Log,
        report: Callable[[Measurement], None],
        remote: RemoteCatalogue | None = None,
        taken: TakenCatalogue | None = None,
    ) -> None:
        """`report` receives each measurement that is on disk; `remote` decides on the catalogues of
        the monitor, None to take none; `taken` is the one that `setup` has."""
        self._log, self._stop, rng = log, asyncio.Event(), random.Random()
        shown, boot, now_ms = ShownFunctions(), secrets.token_hex(8), setup.network.wall_ms
        spool = Spool(config.directory, setup.probe, limit_bytes=config.spool_bytes)
        self._spool, signer = SteadySpool(spool, log), BatchSigner(config.directory, log)
        self._location = _location_tracker(config, setup, log, lambda v: self._runner.locate(v))
        profile = Profile(setup.catalogue, setup.probe, config.full)
        budget = TrafficBudget(config.budget_bytes, profile, config.interval_ms)
        outbox = Outbox(spool, boot, now_ms=now_ms, rng=rng, log=log, signer=signer)
        self._stats = outbox.stats
        account = TrafficAccount(budget, setup.network.meter, outbox.stats.traffic)
        self._keeper = keeper_of_last_run(
            config, setup, taken, self._spool, outbox.stats, account.wire_bytes, log
        )
        self._contributions = ContributionKeeper(setup.probe, self._spool, self._keeper, now_ms)
        self._hold = Hold(config, self._keeper, log, now_ms)
        self._recorder = Recorder(config, self._spool, self._location, shown, report)
        self._runner = RoundRunner(
            setup,
            profile,
            recorder=self._recorder,
            account=account,
            outbox=outbox,
            keeper=self._keeper,
            rng=rng,
            log=log,
        )
        self._rounds = RoundLoop(
            self._runner,
            IntervalPlanner(config, budget, outbox.stats, self._keeper, log),
            self._hold,
            _retest_runner(config, setup, self._runner, rng, log),
            budget=budget,
            keeper=self._keeper,
            remote=remote,
            rng=rng,
            log=log,
        )
        self._ways = _monitor_ways(config, setup, remote, log)
        self._client = BrokerClient(
            _access(config, setup.probe, self._ways),
            outbox,
            self._daemon_side(config, remote, boot),
            now_ms=now_ms,
            rng=rng,
            log=log,
        )
        self._let_catalogues_name_ways(remote, taken)
        self._serving = Serving(config, self._keeper, shown, self._runner, self._rounds, log)

    def _let_catalogues_name_ways(
        self, remote: RemoteCatalogue | None, taken: TakenCatalogue | None
    ) -> None:
        self._client.chooser.on_acknowledged = self._on_acknowledged
        if remote is not None:
            remote.on_taken = self._announce
        if taken is not None:
            self._announce(taken)
        self._keeper.set(announced_ways=self._ways.announced)

    def _announce(self, taken: TakenCatalogue) -> None:
        """Try the ways to the monitor that a catalogue names."""
        if self._ways.announce(taken.serial, taken.ways):
            self._use_ways()

    def _on_acknowledged(self, way: str, failures: Mapping[str, int]) -> None:
        if self._ways.acknowledged(way, failures):
            self._use_ways()

    def _use_ways(self) -> None:
        self._client.use(self._ways.ways)
        self._keeper.set(announced_ways=self._ways.announced)

    def _daemon_side(
        self, config: AgentConfig, remote: RemoteCatalogue | None, boot: str
    ) -> DaemonSide:
        return DaemonSide(
            status=lambda state: self._keeper.message(state, boot, config.consent),
            location=lambda: self._runner.place,
            on_retest=self._rounds.offer_retest,
            on_event=self._contributions.offer,
            wants_events=self._contributions.wanted,
            on_connect=self._location.reconnected,
            on_catalogue=None if remote is None else remote.offer,
        )

    def stop(self) -> None:
        """End `run` in an orderly way; for SIGTERM."""
        self._stop.set()

    async def run(self) -> None:
        """Work until `stop`. Raises AddressError when metrics or page cannot be served."""
        async with AsyncExitStack() as stack:
            await self._serving.open(stack)
            self._location.update()
            await self._spool.count()
            await self._recorder.keep_choice()
            async with asyncio.TaskGroup() as group:
                delivery = group.create_task(self._deliver())
                others = [
                    group.create_task(self._measure()),
                    group.create_task(self._rounds.retests.run()),
                    group.create_task(self._keeper.save_regularly()),
                    group.create_task(self._recorder.watch_choice()),
                    group.create_task(self._location.run(self._recorder.scrub_stored)),
                    group.create_task(self._hold.watch_metered(self._rounds.plan_interval)),
                ]
                await self._stop.wait()
                for task in others:
                    task.cancel()
                self._client.finish(STOP_SECONDS - 0.5)
                connected = bool(self._stats.transport)
                await asyncio.wait([delivery], timeout=STOP_SECONDS if connected else 1.0)
                delivery.cancel()
        await self._keeper.save(stopped=True)
        await self._spool.close()
        self._log("stopped", waiting=self._spool.counts.pending)

    async def _measure(self) -> None:
        last = await self._spool.last_round()
        self._rounds.resume_after(last)
        await self._location.first_answer()
        await self._rounds.run(last)

    async def _deliver(self) -> None:
        await self._location.first_answer()
        await self._client.run()


def _monitor_ways(
    config: AgentConfig, setup: Setup, remote: RemoteCatalogue | None, log: Log
) -> MonitorWays:
    replaceable = config.ways_replaceable and remote is not None
    return MonitorWays(
        config.brokers,
        config.proxy,
        config.directory if replaceable else None,
        now_ms=setup.network.wall_ms,
        log=log,
    )


def _access(config: AgentConfig, probe: str, ways: MonitorWays) -> Access:
    return Access(
        probe=probe,
        brokers=ways.ways,
        user=config.user,
        secret=config.secret,
        memory=config.directory,
    )


def _location_tracker(
    config: AgentConfig, setup: Setup, log: Log, on_change: Callable[[Vantage], None]
) -> LocationTracker:
    nameserver = setup.system[0].address if setup.system else ""
    proof = authorization(config.user, config.secret) if config.user else ""
    return LocationTracker(
        config,
        log,
        ask=functools.partial(enrolment.whoami, authorization=proof),
        on_change=on_change,
        nameserver=nameserver,
        resolver_class=resolver_class(nameserver) if nameserver else "unknown",
    )


def _retest_runner(
    config: AgentConfig, setup: Setup, runner: RoundRunner, rng: random.Random, log: Log
) -> RetestRunner:
    targets = {target.id: target for target in setup.catalogue.targets}
    return RetestRunner(
        RetestLimits(targets, pause_ms(config.interval_ms, setup.timeouts.residual)),
        runner.run_retest,
        turns=runner.turns,
        unfinished=runner.unfinished,
        now_ms=setup.network.wall_ms,
        rng=rng,
        log=log,
    )
