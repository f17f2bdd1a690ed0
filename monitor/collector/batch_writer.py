# SPDX-License-Identifier: Apache-2.0
"""Decoded messages into the store: one commit for many batches, which are acknowledged afterwards.

An unavailable store is retried with backoff; meanwhile the queue drops what does not fit. A crash
between commit and acknowledgement costs a duplicate.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Container
from typing import Protocol, TypeVar

from monitor.collector import admission
from monitor.collector.acknowledge import Acknowledger
from monitor.collector.admission import (
    QuarantineReason,
    Rejection,
    is_ahead_of_this_clock,
    is_of_wrong_clock,
)
from monitor.collector.clock_witnesses import ClockWitnesses
from monitor.collector.interval_slots import IntervalSlots
from monitor.collector.message_queue import MessageQueue, Received
from monitor.collector.probe_cache import ProbeCache
from monitor.collector.rates import DailyQuota, RateLimits
from monitor.collector.unpack import UnpackedBatch, unpack
from monitor.metrics.counters import Counters
from monitor.seldom_log import SeldomLog
from monitor.signatures import fault_of_batch
from monitor.store.facts import FactStore
from monitor.store.records import AdmittedBatch, Quarantined, Seen, StoreUnavailableError
from monitor.store.registry import Registry
from probes.wire.batch_signature import line_hashes
from probes.wire.codec import Envelope, TooNewError, WireError, decode_status

LOG = logging.getLogger("reachwatch.collector")
GROUP_MEASUREMENTS = 4000
"""Of one commit. A dozen statements and a wait for the disk are shared by as many."""
GROUP_BYTES = 16 << 20
GROUP_SECONDS = 0.25
READ_PASSES, QUIET_PASSES = 500, 3
"""Of the event loop, between two batches; a packet becomes a message within three of them."""
FINISH_SECONDS = 2.0
"""How long messages are stored, and an unavailable store is waited for, once the collector was
asked to stop: it ends within five seconds, with the end of its connections."""
MAX_STATUS_BYTES = 4096
MAX_WARNED = 10_000
MAX_CLOCKS = 100_000
_T = TypeVar("_T")


class CollectorStore(Protocol):
    """The parts of the store that a collector needs; a `Database` has them."""

    @property
    def facts(self) -> FactStore:
        """Measurements and quarantine."""

    @property
    def registry(self) -> Registry:
        """Tokens and probes."""


class _Group:
    """One commit and what follows from it."""

    def __init__(self) -> None:
        self.admitted: list[AdmittedBatch] = []
        self.measurements = 0
        self.quarantined: list[Quarantined] = []
        self.acks: list[tuple[str, str, int, float, int, str]] = []
        """Arguments of `Acknowledger.add`."""
        self.bytes = 0
        self.statuses: dict[str, Received] = {}
        self.seen: dict[str, Seen] = {}
        """The last measurement of each probe."""

    @property
    def full(self) -> bool:
        size = self.measurements + len(self.quarantined)
        return size >= GROUP_MEASUREMENTS or self.bytes >= GROUP_BYTES

    def admit(self, arrived: Received, batch: AdmittedBatch) -> None:
        self.admitted.append(batch)
        self.measurements += len(batch.entries)
        self.bytes += len(batch.payload)
        place = batch.entries[-1][1].vantage
        self.seen[arrived.probe] = Seen(
            probe=arrived.probe, at=arrived.received, country=place.country, asn=place.asn
        )

    def quarantine(
        self,
        arrived: Received,
        rejection: Rejection,
        payload: bytes,
        envelope: Envelope | None = None,
    ) -> None:
        self.quarantined.append(
            Quarantined(
                probe=arrived.probe,
                reason=rejection.reason,
                detail=rejection.detail,
                payload=payload,
                received=arrived.received,
                envelope=envelope,
            )
        )


class BatchWriter:
    """Stores messages from the queue until it is closed and empty."""

    def __init__(
        self,
        queue: MessageQueue,
        store: CollectorStore,
        acknowledger: Acknowledger,
        counters: Counters,
        stop: asyncio.Event,
        clock: Callable[[], int],
        known_targets: Container[str] | None = None,
    ) -> None:
        self._queue, self._store, self._acknowledger = queue, store, acknowledger
        self._counters, self._stop, self._clock = counters, stop, clock
        self._probes = ProbeCache(store.registry)
        self._slots = IntervalSlots(store.registry, clock)
        self.rate_limits, self.quota = RateLimits(), DailyQuota()
        self._known_targets = known_targets
        self._clock_offsets: dict[str, int] = {}
        self._clock_witnesses = ClockWitnesses()
        acknowledger.clock_offsets = self._clock_offsets
        self._warned_too_new: set[str] = set()
        self._log = SeldomLog(LOG)

    async def run(self) -> None:
        """Store and acknowledge. What the store has not taken within FINISH_SECONDS after `stop`
        stays unacknowledged."""
        try:
            async with asyncio.TaskGroup() as tasks:
                committing: asyncio.Task[None] | None = None
                while (first := await self._queue.get()) is not None:
                    # The next group is unpacked while the one before it is committed.
                    group = await self._gather(first)
                    if committing is not None:
                        await committing
                    committing = tasks.create_task(self._commit(group))
        except* StoreUnavailableError as errors:
            LOG.warning(
                "stopped before all messages were acknowledged; probes send them again: %s",
                errors.exceptions[0],
            )

    async def _gather(self, first: Received) -> _Group:
        group = _Group()
        await self._add_message(group, first)
        # A timeout around _add_message could cancel a query half way; around get it loses nothing.
        until = time.monotonic() + GROUP_SECONDS
        while not group.full and (left := until - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    arrived = await self._queue.get()
            except TimeoutError:
                break
            if arrived is None:
                break
            await self._add_message(group, arrived)
            await self._let_messages_arrive()
        return group

    async def _let_messages_arrive(self) -> None:
        """Let the connection be read up to here. Decoding is all CPU, and the client reads one
        packet in each pass of the event loop: behind batches that take long to decode, the
        messages of other probes would wait unread, where the queue cannot prefer them."""
        quiet = 0
        for _ in range(READ_PASSES):
            before = self._queue.arrived
            await asyncio.sleep(0)
            quiet = 0 if self._queue.arrived != before else quiet + 1
            if quiet == QUIET_PASSES:
                return

    async def _add_message(self, group: _Group, arrived: Received) -> None:
        if arrived.status:
            self._take_status(group, arrived)
            return
        now = time.monotonic()
        if self.rate_limits.is_blocked(arrived.probe, now):
            self._counters.dropped += 1
            return
        if self.quota.is_exhausted(arrived.probe, now):
            self._counters.over_quota += 1
            self.quota.report_once(arrived.probe, lambda: self._refuse(group, arrived), now)
            return
        try:
            unpacked = unpack(arrived.payload)
        except TooNewError as error:
            self._counters.too_new += 1
            if arrived.probe not in self._warned_too_new and len(self._warned_too_new) < MAX_WARNED:
                self._warned_too_new.add(arrived.probe)
                LOG.warning(
                    "%s sends batches in a newer version of the format: %s", arrived.probe, error
                )
            return
        header = unpacked.header
        if header and self._acknowledger.pending(arrived.probe, header.boot, header.sequence):
            return
        delay = self.rate_limits.charge(arrived.probe, unpacked.cost, now)
        if await self._is_unverified(arrived, unpacked, delay):
            return
        if any(is_ahead_of_this_clock(each, arrived.received) for _, each in unpacked.entries):
            await self._leave_future(arrived)
            if header is not None:
                self._acknowledger.leave(arrived.probe, header.boot, header.sequence)
            return
        before = len(group.quarantined)
        wrong_clock = await self._admit(group, arrived, unpacked)
        if wrong_clock is not None:
            self._counters.clock_wrong += 1
            self._log.warning(
                "the clock of %s is wrong (%s): it keeps what it measured",
                arrived.probe,
                wrong_clock.detail,
            )
            if header is not None:
                place = (arrived.probe, header.boot, header.sequence)
                self._acknowledger.add(*place, delay, reason=wrong_clock.reason, held=True)
            return
        self.quota.charge(arrived.probe, unpacked.bytes, now)
        if header is not None:
            bad = group.quarantined[before:]
            reason = bad[-1].reason if bad else ""
            group.acks.append(
                (arrived.probe, header.boot, header.sequence, delay, len(bad), reason)
            )

    async def _leave_future(self, arrived: Received) -> None:
        """Leave to its probe a batch of the future, by the probe's clock and its hosts': quarantine
        would lose it, because probes delete what is acknowledged, and a probe that is told to keep
        it would correct it by the clock of this machine."""
        probe = await self._retry(lambda: self._probes.probe(arrived.probe))
        if probe is not None:
            self._clock_witnesses.hear(probe.owner, behind=True)
        if self._clock_witnesses.say_behind:
            self._counters.clock_behind += 1
            self._log.warning(
                "the clock of this machine is behind the clocks of several owners' probes, as of "
                "%s, and of the hosts that they measured: their batches are not acknowledged until "
                "this clock is correct",
                arrived.probe,
            )
            return
        self._counters.clock_wrong += 1
        self._log.warning(
            "%s and the hosts that it measured are ahead of this machine's clock, and too few "
            "other owners say so to tell which clock is wrong: its batches are not acknowledged",
            arrived.probe,
        )

    async def _is_unverified(
        self, arrived: Received, unpacked: UnpackedBatch, delay: float
    ) -> bool:
        """Whether a batch is left to its probe, because it may be somebody else's."""
        keys = await self._retry(lambda: self._probes.keys(arrived.probe))
        header = unpacked.header
        if not keys or header is None:
            return False
        fault = fault_of_batch(header, line_hashes(unpacked.lines), keys)
        if fault is None:
            return False
        self._counters.unverified[fault] += 1
        self._log.warning("a batch of %s is not stored: %s", arrived.probe, fault)
        place = (arrived.probe, header.boot, header.sequence)
        self._acknowledger.add(*place, delay, reason=fault, held=True)
        return True

    def _refuse(self, group: _Group, arrived: Received) -> None:
        """Report a probe whose quota of the day is used up: one row and one line a day."""
        reason = f"more than {self.quota.most >> 20} MiB in a day"
        LOG.warning("%s sent %s: its batches are refused until the day ends", arrived.probe, reason)
        group.quarantine(arrived, Rejection(QuarantineReason.OVER_QUOTA, reason), b"")

    async def _admit(
        self, group: _Group, arrived: Received, unpacked: UnpackedBatch
    ) -> Rejection | None:
        """Take what is admitted, and quarantine the rest. Takes nothing of a batch with a
        measurement whose time is wrong because its probe's clock is, and returns why."""
        probe = await self._retry(lambda: self._probes.probe(arrived.probe))
        offset = self._clock_offsets.get(arrived.probe)
        rejections = [
            admission.admit(envelope, probe, arrived.probe, arrived.received, self._known_targets)
            for _, envelope in unpacked.entries
        ]
        for rejection in rejections:
            if is_of_wrong_clock(rejection, offset):
                return rejection
        if probe is not None and any(
            envelope.clock_offset_ms is not None for _, envelope in unpacked.entries
        ):
            self._clock_witnesses.hear(probe.owner, behind=False)
        for bad in unpacked.bad:
            group.quarantine(arrived, Rejection(bad.reason, bad.detail), bad.payload)
        entries: list[tuple[int, Envelope]] = []
        named = self._probes.targets(arrived.probe)
        networks = self._probes.networks(arrived.probe)
        spools = self._probes.spools(arrived.probe)
        for (place, envelope), rejected in zip(unpacked.entries, rejections, strict=True):
            rejection = (
                rejected
                or admission.within_targets(named, envelope.target)
                or admission.within_networks(networks, envelope.vantage)
                or admission.within_spools(spools, envelope.epoch)
            )
            if rejection is None:
                entries.append((place, envelope))
            else:
                known = envelope if probe is not None else None
                group.quarantine(arrived, rejection, unpacked.lines[place], known)
        if entries and probe is not None:
            group.admit(
                arrived,
                AdmittedBatch(
                    payload=arrived.payload,
                    lines=len(unpacked.lines),
                    entries=tuple(entries),
                    owner=probe.owner,
                    role=probe.role,
                    enrolled=admission.votes_from(probe, (each for _, each in entries)),
                    received=arrived.received,
                ),
            )
        return None

    def _take_status(self, group: _Group, arrived: Received) -> None:
        try:
            if len(arrived.payload) > MAX_STATUS_BYTES:
                raise WireError(f"{len(arrived.payload)} bytes, at most {MAX_STATUS_BYTES}")
            status = decode_status(arrived.payload)
            if status.clock_ms:
                if len(self._clock_offsets) >= MAX_CLOCKS:
                    self._clock_offsets.clear()
                self._clock_offsets[arrived.probe] = status.clock_ms - arrived.received
            group.statuses[arrived.probe] = arrived
        except WireError as error:
            rejection = Rejection(QuarantineReason.MALFORMED_STATUS, str(error))
            group.quarantine(arrived, rejection, arrived.payload)

    async def _commit(self, group: _Group) -> None:
        if group.admitted or group.quarantined:
            added = await self._retry(
                lambda: self._store.facts.add_batches(group.admitted, group.quarantined)
            )
            counters = self._counters
            counters.ingested += added.new
            counters.duplicate += added.duplicate
            counters.conflicting += added.conflicting
            if added.conflicting:
                counters.quarantined[QuarantineReason.CONFLICTING_ID] += added.conflicting
            counters.quarantined.update(one.reason for one in group.quarantined)
            now = self._clock()
            for batch in group.admitted:
                for _, measured in batch.entries:
                    ended = measured.started + measured.took_us // 1000
                    counters.lag.observe((now - ended) / 1000)
        self._acknowledger.slots = await self._slots.present()
        for ack in group.acks:
            self._acknowledger.add(*ack)
        await self._record_seen(group)

    async def _record_seen(self, group: _Group) -> None:
        statuses = [
            Seen(probe=probe, at=arrived.received, status=arrived.payload)
            for probe, arrived in group.statuses.items()
        ]
        try:
            await self._probes.record_seen([*statuses, *group.seen.values()])
        except StoreUnavailableError as error:
            # The next heartbeat writes it.
            LOG.debug("time of last contact not stored: %s", error)

    async def _retry(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Call the store until it is available. Raises StoreUnavailableError only FINISH_SECONDS
        after `stop`."""
        wait, give_up = 0.1, None
        while True:
            try:
                answer = await ask()
            except StoreUnavailableError as error:
                if not self._counters.store:
                    LOG.warning("the store is unavailable, nothing is acknowledged: %s", error)
                self._counters.store = str(error)
                if self._stop.is_set():
                    give_up = give_up or time.monotonic() + FINISH_SECONDS
                    if time.monotonic() >= give_up:
                        raise
                    await asyncio.sleep(min(wait, 0.5))
                else:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(wait * random.uniform(0.5, 1.0)):
                            await self._stop.wait()
                wait = min(wait * 2, 5.0)
                continue
            if self._counters.store:
                LOG.info("the store is available again")
                self._counters.store = ""
            return answer
