# SPDX-License-Identifier: Apache-2.0
"""The daemon: rounds -> scrub -> spool -> broker, in one TaskGroup.

Each measurement of a round is scrubbed and stored, and only then reported as taken; the client of
the broker delivers it. After errors of disk, broker or network the probe logs them and goes on; a
bug of ours ends the process with a traceback.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import random
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import msgspec

from probes import local_http, local_page, metered, metrics, state_directory, status
from probes.config import AgentConfig
from probes.delivery import enrolment
from probes.delivery.broker_client import BrokerClient
from probes.delivery.spool import Spool, SpoolCounts, read_lines
from probes.delivery.sqlite_file import DiskError
from probes.log import Log
from probes.net.resolvers import resolver_class
from probes.privacy.location import LocationTracker
from probes.privacy.scrub import scrub
from probes.remote_catalogue import RemoteCatalogue, TakenCatalogue
from probes.rounds import scheduler
from probes.rounds.last_failures import failed_endpoints, failing_targets
from probes.rounds.liveness import certificates_valid, reached_hosts
from probes.rounds.profile import Profile
from probes.rounds.retests import PlannedRetest, RetestLimits, RetestRunner, pause_ms
from probes.rounds.round import measure_retest, measure_round
from probes.rounds.round_plan import RoundPlan, Setup
from probes.rounds.traffic_budget import CONNECTION_BYTES_PER_MONTH, TrafficBudget
from probes.state_directory import StateError
from probes.summary import FunctionSummary, summarise
from probes.wire import codec
from probes.wire.measurement import LIVENESS_TARGETS, Measurement, Vantage
from probes.wire.retest import Retest

MAX_HURRIED = 3
"""Failures in a round that are sent before the rest of it: each may be a batch of its own."""
STOP_SECONDS = 4.0
"""On SIGTERM, for deliveries in progress. Stopping takes less than five seconds in all."""
SAVE_SECONDS = 15.0
PAUSED_SECONDS = 2.0
"""How often a paused probe looks whether it may go on."""
_SHOWN_AGAIN = 1000
"""Measurements of earlier runs that the local page shows at the start: a few rounds."""


class Agent:
    """One probe, from its first round to SIGTERM."""

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
        self._config, self._setup, self._log, self._report = config, setup, log, report
        self._rng = random.Random()
        self._boot = secrets.token_hex(8)
        self._profile = Profile(setup.catalogue, setup.probe, config.full)
        self._targets = targets = setup.catalogue.targets
        self._spool = Spool(config.directory, setup.probe, limit_bytes=config.spool_bytes)
        nameserver = setup.system[0].address if setup.system else ""
        self._location = LocationTracker(
            config,
            log,
            ask=enrolment.whoami,
            on_change=self._location_changed,
            nameserver=nameserver,
            resolver_class=resolver_class(nameserver) if nameserver else "unknown",
        )
        self._client = BrokerClient(
            self._spool,
            setup.probe,
            config.brokers,
            user=config.user,
            secret=config.secret,
            boot=self._boot,
            status=self._status,
            log=log,
            now_ms=setup.network.wall_ms,
            rng=self._rng,
            location=lambda: (self._setup.vantage.country, self._setup.vantage.asn),
            on_retest=self._on_retest,
            on_connect=self._location.reconnected,
            on_catalogue=None if remote is None else remote.offer,
        )
        self._remote = remote
        self._measuring = asyncio.Lock()
        pause = pause_ms(config.interval_ms, setup.timeouts.residual)
        self._retest_limits = RetestLimits({target.id: target for target in targets}, pause)
        self._retests = RetestRunner(
            self._retest_limits,
            self._measure_retest,
            measuring=self._measuring,
            now_ms=setup.network.wall_ms,
            rng=self._rng,
            log=log,
        )
        self._stop = asyncio.Event()
        self._counts = SpoolCounts()
        self._failures: dict[str, int] = {}
        self._budget = TrafficBudget(config.budget_bytes, self._profile, config.interval_ms)
        self._interval_ms = config.interval_ms
        self._not_stored = self._rounds = self._published_bytes = 0
        self._trouble, self._metered = "", False
        self._day, self._day_base = "", (0, 0)
        self._shown: dict[str, FunctionSummary] | None = None
        """What the local page shows, by target; None without one."""
        now = setup.network.wall_ms()
        earlier = status.load(config.directory)
        if earlier is None or earlier.probe != setup.probe:
            earlier = None
        if earlier is not None:
            before = max(0, earlier.acked - earlier.sent_today)
            self._day, self._day_base = earlier.day, (before, -earlier.sent_bytes_today)
        self._spent_base, self._charged_ms = 0.0, now
        self._probe_status = status.ProbeStatus(
            probe=setup.probe,
            version=setup.software.version,
            catalogue=setup.catalogue.version,
            targets=len(targets),
            catalogue_serial=taken.serial if taken else 0,
            new_services=taken.new_services if taken else (),
            country=setup.vantage.country,
            asn=setup.vantage.asn,
            role=setup.vantage.role,
            updated_ms=now,
            started_ms=now,
            interval_ms=config.interval_ms,
            budget_bytes=int(config.budget_bytes),
            **status.after_restart(earlier),
        )

    def stop(self) -> None:
        """End `run` in an orderly way; for SIGTERM."""
        self._stop.set()

    async def run(self) -> None:
        """Work until `stop`. Raises AddressError when metrics or page cannot be served."""
        async with AsyncExitStack() as stack:
            if self._config.metrics:
                port = await stack.enter_async_context(
                    metrics.serving(self._config.metrics, self._metrics, self._problem)
                )
                self._log("serving metrics", port=port)
            if self._config.local_page:
                self._shown = await asyncio.to_thread(self._seen_earlier)
                port = await stack.enter_async_context(
                    local_http.serving(self._config.local_page, self._page)
                )
                self._log("local page", url=f"http://{self._config.local_page[0]}:{port}/")
            self._location.update()
            await self._update_counts()
            async with asyncio.TaskGroup() as group:
                delivery = group.create_task(self._deliver())
                others = [
                    group.create_task(self._measure()),
                    group.create_task(self._retests.run()),
                    group.create_task(self._save_regularly()),
                    group.create_task(self._location.run(self._scrub_stored)),
                    group.create_task(self._watch_metered()),
                ]
                await self._stop.wait()
                for task in others:
                    task.cancel()
                self._client.finish(STOP_SECONDS - 0.5)
                connected = bool(self._client.stats.transport)
                await asyncio.wait([delivery], timeout=STOP_SECONDS if connected else 1.0)
                delivery.cancel()
        await self._update_counts()
        await self._save(stopped=True)
        await self._spool.close()
        self._log("stopped", waiting=self._counts.pending)

    # Measuring ---------------------------------------------------------------------------

    async def _measure(self) -> None:
        clock = self._setup.network.wall_ms
        last = await self._last_round()
        if last is not None:
            self._budget.charge_earlier_round(clock() - last)
        self._plan_interval()
        await self._location.first_answer()
        while True:
            await self._wait_while_held()
            plan = self._plan_round(last)
            self._set(next_round_ms=plan.start_ms)
            self._retests.own_rounds = last or 0, plan.round_ms
            if not self._rounds:
                self._log("next round", seconds=round((plan.start_ms - clock()) / 1000, 1))
            while (left := plan.start_ms - clock()) > 0:
                if left > 2 * self._interval_ms:
                    # The clock went back meanwhile.
                    plan = self._plan_round(None)
                await asyncio.sleep(min(left / 1000, 30.0))
            if self._held():
                continue
            await self._take_catalogue()
            last = plan.round_ms
            if self._budget.overdrawn():
                self._log("round skipped: the traffic budget is used up", every=3600.0)
                continue
            async with self._measuring:
                self._retests.own_rounds = plan.round_ms, plan.round_ms + plan.interval_ms
                await self._run_round(plan)
            self._plan_interval()

    def _plan_round(self, last: int | None) -> scheduler.Plan:
        now, interval = self._setup.network.wall_ms(), self._interval_ms
        phase = scheduler.phase_ms(self._setup.probe, interval, self._client.place)
        return scheduler.next_round(now, interval, last, self._rng, phase)

    def _held(self) -> bool:
        """Whether nothing may be measured now."""
        on_metered = self._metered and self._config.metered == "pause"
        return on_metered or state_directory.paused(self._config.directory) or self._is_revoked()

    def _is_revoked(self) -> bool:
        """Whether the operator has revoked this probe, and no broker has accepted it since."""
        self._take_delivery()
        revoked = status.is_revoked(self._probe_status, self._setup.network.wall_ms())
        self._set(revoked=revoked)
        return revoked

    async def _wait_while_held(self) -> None:
        if not self._held():
            return
        if self._is_revoked():
            self._log("measuring has stopped", reason=status.REVOKED)
        else:
            volunteer = state_directory.paused(self._config.directory)
            self._log("paused", by="the volunteer" if volunteer else "the metered connection")
        self._set(next_round_ms=0)
        while self._held():
            self._set(paused=state_directory.paused(self._config.directory))
            await asyncio.sleep(PAUSED_SECONDS)
        self._set(paused=False, resumed_ms=self._setup.network.wall_ms())
        self._log("resumed")

    async def _watch_metered(self) -> None:
        while self._config.metered != "ignore" and metered.available():
            found = await metered.is_metered()
            if found != self._metered:
                self._metered = found
                self._log("metered connection" if found else "connection no longer metered")
                self._set(metered=found)
                self._plan_interval()
            await asyncio.sleep(metered.ASK_SECONDS)

    async def _deliver(self) -> None:
        await self._location.first_answer()
        await self._client.run()

    async def _last_round(self) -> int | None:
        """The last round in the spool, so that a restart does not measure it again."""
        try:
            return await self._spool.last_round()
        except DiskError as error:
            self._disk_failed(error)
            return None

    async def _run_round(self, plan: scheduler.Plan) -> None:
        began = time.monotonic()
        profile = self._profile
        # The first round shows everything, so that somebody who starts a probe need not wait.
        everything = profile.full or not self._rounds
        due = self._targets
        if not everything:
            place, failing = self._client.place, failing_targets(due, self._failures)
            due = profile.due(plan.round_ms, plan.interval_ms, place, failing)
        failed: dict[str, int] = {}
        broken: set[str] = set()
        certificates: set[bool] = set()
        spent = lines = hurried = 0
        # Without liveness hosts nothing shows that the machine is offline.
        online = not self._setup.catalogue.liveness

        async def emit(draft: Measurement) -> None:
            nonlocal spent, lines, hurried, online
            self._show(draft)
            if draft.target in LIVENESS_TARGETS:
                online = online or bool(reached_hosts(draft))
                certificates.update(certificates_valid(draft))
                self._set(clock_offset_ms=draft.clock_offset_ms or 0)
            self._retests.unfinished.discard(draft.target)
            here = failed_endpoints(draft)
            failed.update(here)
            if any(here.values()) and draft.target not in LIVENESS_TARGETS:
                broken.add(draft.target)
            clean = scrub(draft, self._location.own)
            size = len(codec.encode(clean))
            lines += size
            spent += scheduler.spent_bytes(clean, size)
            await self._store(clean)
            new = any(when and not self._failures.get(id) for id, when in here.items())
            if new and hurried < MAX_HURRIED:
                hurried += 1
                self._client.hurry()

        self._client.round_opened(plan.round_ms)
        self._retests.unfinished = {target.id for target in due}
        try:
            await measure_round(
                self._setup,
                RoundPlan(
                    targets=due,
                    round_ms=plan.round_ms,
                    interval_ms=plan.interval_ms,
                    intervals=profile.intervals(plan.interval_ms),
                    longest_after_failure_ms=profile.longest_after_failure(plan.interval_ms),
                    lean=not profile.full,
                    reserve=[target for target in self._targets if target not in due],
                    history=self._failures,
                    limit_seconds=scheduler.limit_seconds(plan.interval_ms),
                ),
                emit=emit,
                rng=self._rng,
            )
        finally:
            self._retests.unfinished.clear()
            self._client.round_closed()
        took = time.monotonic() - began
        self._failures.update(failed)
        self._rounds += 1
        # Batches that were sent again count as well.
        before, self._published_bytes = self._published_bytes, self._client.stats.published_bytes
        spent += max(0, self._published_bytes - before - scheduler.sent_bytes(lines))
        # The rounds after one that shows everything cost less.
        spend = self._budget.spend if everything and not profile.full else self._budget.spend_round
        spend(spent)
        self._set(
            last_round_ms=plan.round_ms,
            measured_ms=self._setup.network.wall_ms(),
            last_round_took_ms=int(took * 1000),
            last_round_failed=len(broken),
            offline=not online,
            no_certificates=certificates == {False},
        )
        self._log("round", seconds=round(took, 1), targets=len(due), failing=len(broken))
        await self._update_counts()
        await self._save()

    async def _take_catalogue(self) -> None:
        """Between two rounds: measure the monitor's newest catalogue, if it may be taken."""
        taken = None if self._remote is None else await self._remote.newest(self._log)
        if taken is None:
            return
        catalogue = taken.catalogue
        async with self._measuring:
            self._setup = replace(self._setup, catalogue=catalogue)
            self._profile = Profile(catalogue, self._setup.probe, self._config.full)
            self._targets = catalogue.targets
            self._retest_limits.targets = {target.id: target for target in catalogue.targets}
            self._budget.expect(self._profile, self._interval_ms)
        self._set(
            catalogue=catalogue.version,
            targets=len(catalogue.targets),
            catalogue_serial=taken.serial,
            new_services=taken.new_services,
        )

    # Measuring again ---------------------------------------------------------------------

    def _on_retest(self, request: Retest) -> None:
        if self._metered or self._held() or not request.concerns(self._setup.probe):
            return
        affordable = self._budget.affordable_retests() - self._retests.waiting
        self._retests.submit(request, affordable, failing_targets(self._targets, self._failures))

    async def _measure_retest(self, planned: PlannedRetest) -> None:
        async def emit(draft: Measurement) -> None:
            self._show(draft)
            self._failures.update(failed_endpoints(draft))
            clean = scrub(draft, self._location.own)
            size = len(codec.encode(clean))
            self._budget.spend(scheduler.spent_bytes(clean, size))
            # Already paid here: the next round must not pay for sending it again.
            self._published_bytes += scheduler.sent_bytes(size)
            await self._store(clean)

        self._client.round_opened(planned.round_ms)
        try:
            await measure_retest(
                self._setup,
                RoundPlan(
                    targets=planned.targets,
                    round_ms=planned.round_ms,
                    interval_ms=planned.interval_ms,
                    history=self._failures,
                    throughput=planned.throughput,
                ),
                emit=emit,
                rng=self._rng,
            )
        finally:
            self._client.round_closed()

    async def _store(self, draft: Measurement) -> None:
        """Store one measurement, then report it as taken."""
        try:
            stored = await self._spool.put(draft)
        except DiskError as error:
            self._not_stored += 1
            self._disk_failed(error)
            return
        self._disk_works()
        if stored is not None:
            self._report(stored)

    def _plan_interval(self) -> None:
        config, usual = self._config, self._config.interval_ms
        vantages = self._client.vantages if config.shared and not self._metered else None
        if self._metered:
            usual = max(usual, min(metered.THIN * usual, scheduler.DAY_MS))
        wanted = scheduler.shared_interval(usual, vantages)
        interval = self._budget.interval_ms(wanted, usual)
        month = self._budget.month_bytes(interval)
        if interval != self._interval_ms or self._rounds <= 1:
            self._log(
                "expected traffic",
                measured=self._rounds > 0,
                megabytes_a_month=round(month / 1e6, 1),
                interval_seconds=interval / 1000,
            )
        if 0 < config.budget_bytes < month:
            self._log("the traffic budget is too small for one round a day", every=86_400.0)
        self._interval_ms = interval
        self._set(interval_ms=interval, wanted_ms=wanted, vantages=vantages or 0, month_bytes=month)

    # Location ------------------------------------------------------------------------------

    async def _scrub_stored(self) -> None:
        """Remove our public address from measurements that were stored before it was known."""
        own, done = self._location.own, 0
        try:
            while (last := await self._spool.rewrite(lambda m: scrub(m, own), done)) is not None:
                done = last
        except DiskError as error:
            self._disk_failed(error)

    def _location_changed(self, vantage: Vantage) -> None:
        self._setup = replace(self._setup, vantage=vantage)
        self._set(country=vantage.country, asn=vantage.asn)

    # The local page --------------------------------------------------------------------------

    def _show(self, draft: Measurement) -> None:
        if self._shown is not None and draft.target not in LIVENESS_TARGETS:
            found = summarise(draft)
            if found is not None:
                self._shown[found.target] = found

    def _seen_earlier(self) -> dict[str, FunctionSummary]:
        """What the last measurements on disk showed."""
        found: dict[str, FunctionSummary] = {}
        with contextlib.suppress(DiskError, codec.WireError):
            for _, line in read_lines(self._config.directory, last=_SHOWN_AGAIN):
                seen = summarise(codec.decode(line))
                if seen is not None:
                    found[seen.target] = seen
        return found

    def _page(self, request: local_http.PageRequest) -> local_http.PageReply:
        now = self._setup.network.wall_ms()
        shown = msgspec.structs.replace(self._probe_status, updated_ms=now)
        return local_page.reply(
            request,
            status=shown,
            problem=status.problem(shown, now),
            catalogue=self._setup.catalogue,
            found=(self._shown or {}).values(),
        )

    # Status --------------------------------------------------------------------------------

    async def _save_regularly(self) -> None:
        while True:
            await self._update_counts()
            await self._save()
            await asyncio.sleep(SAVE_SECONDS)

    async def _update_counts(self) -> None:
        try:
            self._counts = await self._spool.counts()
        except DiskError as error:
            self._disk_failed(error)
        else:
            self._disk_works()
        messages, self._spool.messages[:] = list(self._spool.messages), []
        for message in messages:
            self._log(message)

    def _disk_failed(self, error: DiskError) -> None:
        self._trouble = str(error)
        self._log(
            "disk error: measuring continues, measurements may be lost",
            every=60.0,
            reason=str(error),
        )

    def _disk_works(self) -> None:
        if self._trouble:
            self._trouble = ""
            self._log("the disk works again", not_stored=self._not_stored)

    def _set(self, **fields: object) -> None:
        self._probe_status = msgspec.structs.replace(self._probe_status, **fields)

    async def _save(self, *, stopped: bool = False) -> None:
        counts, stats, now = self._counts, self._client.stats, self._setup.network.wall_ms()
        self._take_delivery()
        today = dt.datetime.fromtimestamp(now / 1000, dt.UTC).date().isoformat()
        if today != self._day:
            self._day, self._day_base = today, (counts.acked, stats.published_bytes)
        self._charge_month(now, today[:7])
        self._set(
            updated_ms=now,
            stopped=stopped,
            spool_rows=counts.pending,
            spool_bytes=counts.pending_bytes,
            spool_oldest_ms=counts.oldest_ms or 0,
            taken=counts.taken,
            acked=counts.acked,
            dropped=counts.dropped + counts.refused,
            quarantined=counts.quarantined,
            untaken=self._not_stored,
            trouble=self._trouble,
            refused_catalogue=self._remote.refused if self._remote else "",
            day=today,
            sent_today=max(0, counts.acked - self._day_base[0]),
            sent_bytes_today=stats.published_bytes - self._day_base[1],
        )
        try:
            await asyncio.to_thread(status.save, self._config.directory, self._probe_status)
        except StateError as error:
            self._log("status not saved", every=600.0, reason=str(error))

    def _take_delivery(self) -> None:
        """Copy the state of delivery into the status."""
        stats = self._client.stats
        self._set(
            last_ack_ms=stats.last_ack_ms or self._probe_status.last_ack_ms,
            **{name: getattr(stats, name) for name in status.OF_DELIVERY},
        )

    def _charge_month(self, now: int, month: str) -> None:
        """Add what was spent since the last time to this month's traffic."""
        shown = self._probe_status
        passed = max(0, now - self._charged_ms) if self._client.stats.transport else 0
        spent = self._budget.spent - self._spent_base
        spent += CONNECTION_BYTES_PER_MONTH * min(passed / scheduler.MONTH_MS, 1.0)
        self._spent_base, self._charged_ms = self._budget.spent, now
        before = shown.month_spent_bytes if shown.month == month else 0
        self._set(month=month, month_spent_bytes=before + int(spent))

    def _oldest_seconds(self) -> int:
        oldest = self._counts.oldest_ms
        return 0 if oldest is None else max(0, self._setup.network.wall_ms() - oldest) // 1000

    def _status(self, state: str) -> codec.Status:
        return status.message(
            self._probe_status,
            self._counts,
            state=state,
            boot=self._boot,
            consent=self._config.consent,
            oldest_seconds=self._oldest_seconds(),
            untaken=self._not_stored,
            transport=self._client.stats.transport,
        )

    def _problem(self) -> str:
        now = self._setup.network.wall_ms()
        # Answering proves that the process runs, even if a full disk has no room for the file.
        return status.problem(msgspec.structs.replace(self._probe_status, updated_ms=now), now)

    def _metrics(self) -> dict[str, float]:
        return metrics.values(
            self._counts,
            self._client.stats,
            self._probe_status,
            oldest_seconds=self._oldest_seconds(),
            rounds=self._rounds,
            retests=self._retests.measured,
        )
