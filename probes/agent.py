# SPDX-License-Identifier: Apache-2.0
"""The daemon: rounds -> scrub -> spool -> publisher, in one TaskGroup. The only stateful class.

A round measures, each measurement is scrubbed and stored, and only then printed as taken; what
delivery does is the publisher's. Full disks, absent brokers and slow rounds are lived with and
said; a bug of ours ends the process loudly.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import msgspec

from probes import metrics, status
from probes.config import Wish
from probes.delivery.publisher import DEFAULT_PACE, Pace, Publisher
from probes.delivery.spool import Counts, Spool
from probes.delivery.sqlite_file import DiskError
from probes.log import Log
from probes.privacy.location import Whereabouts
from probes.privacy.scrub import scrub
from probes.rounds import scheduler
from probes.rounds.retest_runner import Obeying
from probes.rounds.retests import Order, Retests, pause_ms
from probes.rounds.round import Setup, failed_endpoints, measure_again, measure_round
from probes.rounds.traffic_budget import Purse
from probes.state_directory import StateError
from probes.wire import codec
from probes.wire.measurement import LIVENESS_TARGETS, Measurement, Vantage
from probes.wire.retest import Retest

FLUSH_SECONDS = 4.0
"""On SIGTERM: for what is under way. The whole end takes less than five seconds."""
BEAT_SECONDS = 15.0


class Agent:
    """One probe, from its first round to SIGTERM."""

    def __init__(
        self,
        wish: Wish,
        setup: Setup,
        *,
        log: Log,
        taken: Callable[[Measurement], None],
        pace: Pace = DEFAULT_PACE,
        rng: random.Random | None = None,
    ) -> None:
        self._wish, self._setup, self._log, self._print = wish, setup, log, taken
        self._rng = rng or random.Random()
        self._boot = secrets.token_hex(8)
        self._targets = setup.catalogue.targets
        self._spool = Spool(wish.directory, setup.probe, limit_bytes=wish.spool_bytes)
        nameservers = [route.address for route in setup.system]
        self._where = Whereabouts(wish, nameservers, log, self._moved)
        self._publisher = Publisher(
            self._spool,
            setup.probe,
            wish.brokers,
            user=wish.user,
            secret=wish.secret,
            boot=self._boot,
            status=self._status,
            log=log,
            now_ms=setup.network.wall_ms,
            rng=self._rng,
            pace=pace,
            place=lambda: (self._setup.vantage.country, self._setup.vantage.asn),
            on_retest=self._asked,
            anew=self._where.connected_anew,
        )
        self._one_at_a_time = asyncio.Lock()
        pause = pause_ms(wish.interval_ms, setup.timeouts.residual)
        self._again = Obeying(
            Retests({target.id: target for target in self._targets}, pause),
            self._measure_again,
            turn=self._one_at_a_time,
            now_ms=setup.network.wall_ms,
            rng=self._rng,
            log=log,
        )
        self._stop = asyncio.Event()
        self._counts = Counts()
        self._history: dict[str, int] = {}
        self._purse = Purse(wish.budget_bytes, setup.catalogue)
        self._interval_ms = wish.interval_ms
        self._untaken = self._rounds = self._published = 0
        self._trouble = ""
        self._day, self._day_base = "", (0, 0)
        now = setup.network.wall_ms()
        self._standing = status.Standing(
            probe=setup.probe,
            version=setup.software.version,
            catalogue=setup.catalogue.version,
            targets=len(self._targets),
            country=setup.vantage.country,
            asn=setup.vantage.asn,
            updated_ms=now,
            started_ms=now,
            interval_ms=wish.interval_ms,
        )

    def stop(self) -> None:
        """Finish what is under way, say goodbye, end; for SIGTERM."""
        self._stop.set()

    async def run(self) -> None:
        """Work until `stop`. Raises OSError when the metrics address cannot be had."""
        async with AsyncExitStack() as stack:
            if self._wish.metrics:
                port = await stack.enter_async_context(
                    metrics.serving(self._wish.metrics, self._numbers, self._illness)
                )
                self._log("metrics", port=port)
            self._where.look()
            await self._look()
            async with asyncio.TaskGroup() as group:
                delivery = group.create_task(self._deliver())
                others = [
                    group.create_task(self._measure()),
                    group.create_task(self._again.run()),
                    group.create_task(self._beat()),
                    group.create_task(self._where.find_out(self._clean_what_waits)),
                ]
                await self._stop.wait()
                for task in others:
                    task.cancel()
                self._publisher.finish(FLUSH_SECONDS - 0.5)
                connected = bool(self._publisher.sight.transport)
                await asyncio.wait([delivery], timeout=FLUSH_SECONDS if connected else 1.0)
                delivery.cancel()
        await self._look()
        await self._save(stopped=True)
        await self._spool.close()
        self._log("stopped", waiting=self._counts.pending)

    # Measuring ---------------------------------------------------------------------------

    async def _measure(self) -> None:
        clock = self._setup.network.wall_ms
        last = await self._last_round()
        if last is not None:
            self._purse.recall_round(clock() - last)
        self._estimate()
        await self._where.known()
        while True:
            plan = scheduler.next_round(clock(), self._interval_ms, last, self._rng)
            self._note(next_round_ms=plan.start_ms)
            self._again.between = last or 0, plan.round_ms
            if not self._rounds:
                self._log("next", seconds=round((plan.start_ms - clock()) / 1000, 1))
            while (left := plan.start_ms - clock()) > 0:
                if left > 2 * self._interval_ms:
                    # The clock went back while we waited.
                    plan = scheduler.next_round(clock(), self._interval_ms, None, self._rng)
                await asyncio.sleep(min(left / 1000, 30.0))
            last = plan.round_ms
            if self._purse.owes():  # rounds, or retests, were dearer than thought
                self._log("round left out, the budget is spent", every=3600.0)
                continue
            async with self._one_at_a_time:
                self._again.between = plan.round_ms, plan.round_ms + plan.interval_ms
                await self._one_round(plan)
            self._estimate()

    async def _deliver(self) -> None:
        await self._where.known()
        await self._publisher.run()

    async def _last_round(self) -> int | None:
        """The last round that this spool knows, so that a restart does not measure it twice."""
        try:
            return await self._spool.last_round()
        except DiskError as error:
            self._said(error)
            return None

    async def _one_round(self, plan: scheduler.Plan) -> None:
        began = time.monotonic()
        failed: dict[str, int] = {}
        broken: set[str] = set()
        spent = lines = 0

        async def emit(draft: Measurement) -> None:
            nonlocal spent, lines
            self._again.busy.discard(draft.target)
            here = failed_endpoints(draft)
            failed.update(here)
            if any(here.values()) and draft.target not in LIVENESS_TARGETS:
                broken.add(draft.target)
            clean = scrub(draft, self._where.own)
            size = len(codec.encode(clean))
            lines += size
            spent += scheduler.spent_bytes(clean, size)
            await self._take(clean)

        self._publisher.round_opened(plan.round_ms)
        self._again.busy = {target.id for target in self._targets}
        try:
            await measure_round(
                self._setup,
                self._targets,
                round_ms=plan.round_ms,
                interval_ms=plan.interval_ms,
                emit=emit,
                rng=self._rng,
                history=self._history,
                limit_seconds=scheduler.limit_seconds(plan.interval_ms),
            )
        finally:
            self._again.busy.clear()
            self._publisher.round_closed()
        took = time.monotonic() - began
        self._history = failed
        self._rounds += 1
        # What was sent again and again counts as well.
        published = self._publisher.sight.published_bytes
        spent += max(0, published - self._published - scheduler.sent_bytes(lines))
        self._published = published
        self._purse.spend_round(spent)
        self._note(
            last_round_ms=plan.round_ms,
            last_round_took_ms=int(took * 1000),
            last_round_failed=len(broken),
        )
        self._log("round", seconds=round(took, 1), targets=len(self._targets), failing=len(broken))
        await self._look()
        await self._save()

    # Measuring again ---------------------------------------------------------------------

    def _asked(self, asked: Retest) -> None:
        """What the detector asks of this network; obeyed within our own bounds."""
        self._again.ask(asked, self._purse.room() - self._again.waiting)

    async def _measure_again(self, order: Order) -> None:
        async def emit(draft: Measurement) -> None:
            self._history.update(failed_endpoints(draft))
            clean = scrub(draft, self._where.own)
            size = len(codec.encode(clean))
            self._purse.spend(scheduler.spent_bytes(clean, size))
            # Sending it is no cost of the round that comes.
            self._published += scheduler.sent_bytes(size)
            await self._take(clean)

        self._publisher.round_opened(order.round_ms)
        try:
            await measure_again(
                self._setup,
                order.targets,
                round_ms=order.round_ms,
                interval_ms=order.interval_ms,
                emit=emit,
                rng=self._rng,
            )
        finally:
            self._publisher.round_closed()

    async def _take(self, draft: Measurement) -> None:
        """Store one measurement; only then is it taken."""
        try:
            taken = await self._spool.put(draft)
        except DiskError as error:
            self._untaken += 1
            self._said(error)
            return
        self._well()
        if taken is not None:
            self._print(taken)

    def _estimate(self) -> None:
        wish, interval = self._wish, self._purse.interval_ms(self._wish.interval_ms)
        month = self._purse.month_bytes(interval)
        if interval != self._interval_ms or self._rounds <= 1:
            self._log(
                "traffic",
                measured=self._rounds > 0,
                megabytes_a_month=round(month / 1e6, 1),
                interval_seconds=interval / 1000,
            )
        if 0 < wish.budget_bytes < month:
            self._log("the budget is too small for a round a day", every=86_400.0)
        self._interval_ms = interval
        self._note(interval_ms=interval, month_bytes=month)

    # Where ---------------------------------------------------------------------------------

    async def _clean_what_waits(self) -> None:
        """Measurements that were stored before our address was known may hold it."""
        own, done = self._where.own, 0
        try:
            while (last := await self._spool.rewrite(lambda m: scrub(m, own), done)) is not None:
                done = last
        except DiskError as error:
            self._said(error)

    def _moved(self, vantage: Vantage) -> None:
        self._setup = replace(self._setup, vantage=vantage)
        self._note(country=vantage.country, asn=vantage.asn)

    # Telling -------------------------------------------------------------------------------

    async def _beat(self) -> None:
        while True:
            await self._look()
            await self._save()
            await asyncio.sleep(BEAT_SECONDS)

    async def _look(self) -> None:
        try:
            self._counts = await self._spool.counts()
        except DiskError as error:
            self._said(error)
        else:
            self._well()
        remarks, self._spool.remarks[:] = list(self._spool.remarks), []
        for remark in remarks:
            self._log(remark)

    def _said(self, error: DiskError) -> None:
        self._trouble = str(error)
        self._log("disk trouble, measuring goes on", every=60.0, reason=str(error))

    def _well(self) -> None:
        if self._trouble:
            self._trouble = ""
            self._log("the disk is well again", untaken=self._untaken)

    def _note(self, **fields: object) -> None:
        self._standing = msgspec.structs.replace(self._standing, **fields)

    async def _save(self, *, stopped: bool = False) -> None:
        counts, sight, now = self._counts, self._publisher.sight, self._setup.network.wall_ms()
        today = dt.datetime.fromtimestamp(now / 1000, dt.UTC).date().isoformat()
        if today != self._day:
            self._day, self._day_base = today, (counts.acked, sight.published_bytes)
        self._note(
            updated_ms=now,
            stopped=stopped,
            transport=sight.transport,
            last_ack_ms=sight.last_ack_ms,
            spool_rows=counts.pending,
            spool_bytes=counts.pending_bytes,
            spool_oldest_ms=counts.oldest_ms or 0,
            taken=counts.taken,
            acked=counts.acked,
            dropped=counts.dropped + counts.refused,
            quarantined=counts.quarantined,
            untaken=self._untaken,
            trouble=self._trouble,
            day=today,
            sent_today=counts.acked - self._day_base[0],
            sent_bytes_today=sight.published_bytes - self._day_base[1],
        )
        try:
            await asyncio.to_thread(status.save, self._wish.directory, self._standing)
        except StateError as error:
            self._log("status not written", every=600.0, reason=str(error))

    def _oldest_seconds(self) -> int:
        oldest = self._counts.oldest_ms
        return 0 if oldest is None else max(0, self._setup.network.wall_ms() - oldest) // 1000

    def _status(self, state: str) -> codec.Status:
        return status.message(
            self._standing,
            self._counts,
            state=state,
            boot=self._boot,
            consent=self._wish.consent,
            oldest_seconds=self._oldest_seconds(),
            untaken=self._untaken,
            transport=self._publisher.sight.transport,
        )

    def _illness(self) -> str:
        now = self._setup.network.wall_ms()
        # Answering proves that the process lives; the file may be unwritable on a full disk.
        return status.illness(msgspec.structs.replace(self._standing, updated_ms=now), now)

    def _numbers(self) -> dict[str, float]:
        return metrics.numbers(
            self._counts,
            self._publisher.sight,
            self._standing,
            oldest_seconds=self._oldest_seconds(),
            rounds=self._rounds,
            retests=self._again.measured,
        )
