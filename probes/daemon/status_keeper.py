# SPDX-License-Identifier: Apache-2.0
"""The one place that holds the daemon's status, saves it and tells it to others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from probes import metrics, status
from probes.config import AgentConfig
from probes.daemon.period_counts import PeriodCounts
from probes.daemon.steady_spool import SteadySpool
from probes.delivery.outbox import DeliveryStats
from probes.log import Log
from probes.remote_catalogue import TakenCatalogue
from probes.rounds.round_plan import Setup
from probes.state_directory import StateError
from probes.status import ProbeStatus
from probes.wire import codec

SAVE_SECONDS = 15.0


class StatusKeeper:
    """Holds the status. Parts of the daemon set their fields; the rest is copied from spool,
    delivery and budget."""

    def __init__(
        self,
        first: ProbeStatus,
        periods: PeriodCounts,
        *,
        directory: Path,
        spool: SteadySpool,
        stats: DeliveryStats,
        spent: Callable[[], int],
        now_ms: Callable[[], int],
        log: Log,
    ) -> None:
        """`spent` returns the bytes that crossed the wire since the start."""
        self.status = first
        self._periods, self._directory, self._spool = periods, directory, spool
        self._stats, self._spent, self._now_ms, self._log = stats, spent, now_ms, log

    def set(self, **fields: object) -> None:
        """Replace these fields of the status."""
        self.status = msgspec.structs.replace(self.status, **fields)

    def copy_delivery(self) -> None:
        """Copy the state of delivery into the status."""
        self.set(
            last_ack_ms=self._stats.last_ack_ms or self.status.last_ack_ms,
            **{name: getattr(self._stats, name) for name in status.OF_DELIVERY},
        )
        if self._stats.clock_offset_ms is not None:
            self.set(clock_offset_ms=self._stats.clock_offset_ms)

    async def save(self, *, stopped: bool = False) -> None:
        """Count what is stored and write the status file."""
        await self._spool.count()
        counts, now = self._spool.counts, self._now_ms()
        self.copy_delivery()
        periods = self._periods.update(
            self.status, self._stats, acked=counts.acked, spent=self._spent(), now_ms=now
        )
        self.set(
            updated_ms=now,
            stopped=stopped,
            spool_rows=counts.pending,
            spool_bytes=counts.pending_bytes,
            spool_oldest_ms=counts.oldest_ms or 0,
            taken=counts.taken,
            acked=counts.acked,
            dropped=counts.dropped + counts.refused,
            quarantined=counts.quarantined,
            untaken=self._spool.not_stored,
            trouble=self._spool.trouble,
            **msgspec.structs.asdict(periods),
        )
        try:
            await asyncio.to_thread(status.save, self._directory, self.status)
        except StateError as error:
            self._log("status not saved", every=600.0, reason=str(error))

    async def save_regularly(self) -> None:
        """Save until cancelled."""
        while True:
            await self.save()
            await asyncio.sleep(SAVE_SECONDS)

    def present(self) -> ProbeStatus:
        """The status as of now. Whoever is answered sees that the process runs, even if a full disk
        has no room for the file."""
        return msgspec.structs.replace(self.status, updated_ms=self._now_ms())

    def problem(self) -> str:
        """Why the probe does not work, in one line; empty when it does."""
        return status.problem(self.present(), self._now_ms())

    def message(self, state: str, boot: str, consent: str) -> codec.Status:
        """The status message to the monitor. The last one is kept for `reachprobe payload`; `lost`
        is sent by the broker, and says no more."""
        self.copy_delivery()
        message = status.message(
            self.status,
            self._spool.counts,
            state=state,
            boot=boot,
            consent=consent,
            oldest_seconds=self._oldest_seconds(),
            untaken=self._spool.not_stored,
            transport=self._stats.transport,
            clock_ms=0 if state == "lost" else self._now_ms(),  # the broker sends that one later
        )
        if state != "lost":
            self.set(sent_status=codec.encode_message(message).decode())
        return message

    def metrics(self, *, rounds: int, retests: int) -> dict[str, float]:
        """The values of the metrics; `rounds` and `retests` were measured since the start."""
        return metrics.values(
            self._spool.counts,
            self._stats,
            self.status,
            oldest_seconds=self._oldest_seconds(),
            rounds=rounds,
            retests=retests,
        )

    def _oldest_seconds(self) -> int:
        oldest = self._spool.counts.oldest_ms
        return 0 if oldest is None else max(0, self._now_ms() - oldest) // 1000


def keeper_of_last_run(
    config: AgentConfig,
    setup: Setup,
    taken: TakenCatalogue | None,
    spool: SteadySpool,
    stats: DeliveryStats,
    spent: Callable[[], int],
    log: Log,
) -> StatusKeeper:
    """A keeper that begins with what this probe's last run saved. `taken` is the monitor's
    catalogue if the setup has it."""
    now_ms = setup.network.wall_ms
    earlier = status.load(config.directory)
    if earlier is not None and earlier.probe != setup.probe:
        earlier = None
    return StatusKeeper(
        _first_status(config, setup, taken, earlier, now_ms()),
        PeriodCounts(earlier),
        directory=config.directory,
        spool=spool,
        stats=stats,
        spent=spent,
        now_ms=now_ms,
        log=log,
    )


def _first_status(
    config: AgentConfig,
    setup: Setup,
    taken: TakenCatalogue | None,
    earlier: ProbeStatus | None,
    now_ms: int,
) -> ProbeStatus:
    """The status at the start; `earlier` is that of this probe's last run."""
    return ProbeStatus(
        probe=setup.probe,
        version=setup.software.version,
        catalogue=setup.catalogue.version,
        targets=len(setup.catalogue.targets),
        catalogue_serial=taken.serial if taken else 0,
        new_services=taken.new_services if taken else (),
        country=setup.vantage.country,
        asn=setup.vantage.asn,
        role=setup.vantage.role,
        updated_ms=now_ms,
        started_ms=now_ms,
        interval_ms=config.interval_ms,
        budget_bytes=int(config.budget_bytes),
        **status.after_restart(earlier),
    )
