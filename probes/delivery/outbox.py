# SPDX-License-Identifier: Apache-2.0
"""What is on its way to the monitor, by whichever connection: batches until they are acknowledged.

The spool is the only record: its rows are marked as sent only when the monitor's acknowledgement
names their batch; that a broker has received it proves nothing. Whatever goes wrong (no broker, no
collector, a full disk there) shows as a missing acknowledgement. The batch is then sent again after
growing delays, with jitter, so that a thousand probes do not all return at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Iterator

import msgspec

from probes.delivery.batch_signer import BatchSigner
from probes.delivery.batcher import REPEAT_LOG_SECONDS, Batcher, OutgoingBatch
from probes.delivery.clock_correction import ClockCorrection
from probes.delivery.poll_rhythm import PollRhythm
from probes.delivery.rounds_in_progress import RoundsInProgress
from probes.delivery.spool import Spool
from probes.delivery.sqlite_file import DiskError
from probes.log import Log
from probes.runtime.traffic_meter import TrafficMeter
from probes.wire import codec
from probes.wire.batch_signature import SignatureFault

WINDOW = 4
"""Batches that are sent before the first of them is acknowledged."""
UNANSWERED_ATTEMPTS = 3
"""After this many attempts without an acknowledgement only one batch at a time is sent again, in
turn: a collector that is down for days must not use up the volunteer's traffic."""


class DeliveryTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Delays of delivery, in seconds."""

    ack: float = 10.0
    """Wait for an acknowledgement before a batch is sent again for the first time."""
    ack_most: float = 300.0
    held: float = 1800.0
    """Wait before a batch is sent again that the monitor has twice been unable to store."""
    linger: float = 30.0
    """How long measurements of a round in progress wait for the rest of the round."""
    hurry: float = 2.0
    """The same once an endpoint fails that did not fail before."""
    heartbeat: float = 60.0
    poll: float = 120.0
    """The same without a broker, where each is a request."""
    poll_early: float = 20.0
    """The same while something is suspected."""
    backoff: float = 2.0
    """Longest first wait before connecting again."""
    backoff_early: float = 25.0
    """Longest wait as long as trying is cheap, or has not lasted."""
    backoff_most: float = 300.0


DEFAULT_TIMES = DeliveryTimes()


class DeliveryStats(msgspec.Struct, kw_only=True):
    """State and counts of delivery, for status and metrics, and what the monitor said last."""

    transport: str = ""
    """How it is connected (`mqtts+5`); empty when it is not."""
    away_ms: int = 0
    """Since when no broker is connected, Unix milliseconds; 0 while one is."""
    refused: int = 0
    """How often in a row a broker refused user or secret."""
    last_ack_ms: int = 0
    acknowledgements: int = 0
    """Since the start."""
    failing_ways: tuple[codec.FailingWay, ...] = ()
    """The ways to the monitor that do not work in this network."""
    flooded_ms: int = 0
    """When a broker last sent more than it may, Unix milliseconds; 0 for never."""
    unaccepted: int = 0
    """Measurements that the monitor did not accept when it last did not accept some."""
    unaccepted_ms: int = 0
    """When that was."""
    unaccepted_reason: str = ""
    key: str = ""
    """Id of the key that batches are signed with; empty if they are not."""
    unsigned: str = ""
    """Why they are not."""
    unverified: str = ""
    """Why the monitor stores nothing of this probe: a `SignatureFault`; empty when it does."""
    traffic: TrafficMeter = msgspec.field(default_factory=TrafficMeter)
    """Counts what connections to brokers carry."""
    clock_offset_ms: int | None = None
    """This machine's clock minus the monitor's, as the monitor said last; None if it did not."""
    published: int = 0
    published_bytes: int = 0
    resent: int = 0
    place: int | None = None
    """This probe's place in the interval, in thousandths, as the monitor gave it last."""
    vantages: int | None = None
    """How many vantages of this network take turns, as the monitor said last."""


class Outbox:
    """Says which batch is sent when, and forgets it when it is acknowledged."""

    def __init__(
        self,
        spool: Spool,
        boot: str,
        *,
        now_ms: Callable[[], int],
        rng: random.Random,
        log: Log,
        signer: BatchSigner,
        times: DeliveryTimes = DEFAULT_TIMES,
    ) -> None:
        self.boot, self.times, self.stats = boot, times, DeliveryStats()
        self.changed = asyncio.Event()
        """Set when there may be something to send."""
        self.polls = PollRhythm(times.poll, times.poll_early)
        self._spool, self._now_ms, self._rng, self._log = spool, now_ms, rng, log
        self._clock = ClockCorrection(now_ms)
        self._rounds_in_progress = RoundsInProgress(times.linger, times.hurry)
        self._signer = signer
        self._batcher = Batcher(spool, boot, self._rounds_in_progress, log, signer)
        self._tell_key()
        self._batches: dict[int, OutgoingBatch] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no batch waits for its acknowledgement."""
        return not self._batches

    def round_opened(self, round_ms: int) -> None:
        """Let measurements of this round wait for the rest of it (at most `times.linger`)."""
        self._rounds_in_progress.begin(round_ms)
        self.changed.set()

    def hurry(self) -> None:
        """Send soon what is stored of the round in progress: something that worked before fails,
        and other vantages may be asked to measure it as well."""
        self._rounds_in_progress.hurry()
        self.polls.suspect()
        self.changed.set()

    def round_closed(self, round_ms: int) -> None:
        """Send everything that is stored; other rounds may still be in progress."""
        self._rounds_in_progress.end(round_ms)
        self.changed.set()

    def rounds_closed(self) -> None:
        """Send everything that is stored, and what is still to come at once."""
        self._rounds_in_progress.end_all()
        self.changed.set()

    def bound(self, most: int | None) -> None:
        """Make batches of at most so many bytes, those in flight too; None for no bound."""
        self._batcher.bound(most)
        if most is not None and any(
            len(batch.payload) > most and len(batch.rows) > 1 for batch in self._batches.values()
        ):
            self._rebuild()

    def reconnected(self, *, spool_changed: bool) -> None:
        """Send batches in flight when the last connection was lost first, in order."""
        if spool_changed:
            self._rebuild()
        if self._batcher.shrink(self._batches.values()):
            self._rebuild()
        for batch in self._batches.values():
            batch.due = 0.0

    async def next_batch(self, packet_limit: int) -> OutgoingBatch | None:
        """Return a new batch to send, or None; see `Batcher.next`."""
        if sum(not batch.held for batch in self._batches.values()) >= WINDOW:
            return None
        batch = await self._batcher.next(packet_limit)
        if batch is not None:
            self._batches[batch.sequence] = batch
        return batch

    def due(self) -> Iterator[OutgoingBatch]:
        """The batches that are to be sent again now. Some may be acknowledged meanwhile."""
        if self.stats.unverified:
            self._sign_again()
        now = _now()
        unanswered = [
            batch
            for batch in self._batches.values()
            if batch.attempts >= UNANSWERED_ATTEMPTS and not batch.held
        ]
        next_unanswered = min(unanswered, key=lambda batch: batch.attempts, default=None)
        for number, batch in list(self._batches.items()):
            may_send = batch not in unanswered or batch is next_unanswered
            if batch.due <= now and may_send and number in self._batches:
                yield batch
        for batch in unanswered:
            if next_unanswered is not None and batch.attempts >= UNANSWERED_ATTEMPTS:
                batch.due = next_unanswered.due

    def next_due(self) -> float | None:
        """Loop time at which a batch is sent again."""
        return min((batch.due for batch in self._batches.values()), default=None)

    def next_end(self) -> float | None:
        """Loop time until which measurements of the round in progress wait; None without one."""
        return self._rounds_in_progress.next_end()

    async def wait(self, *until: float | None) -> None:
        """Wait until something changes, a batch is due, or until one of these loop times."""
        due = [at for at in (self.next_due(), *until) if at is not None]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(min(due, default=None)):
                await self.changed.wait()

    def is_unanswered(self) -> bool:
        """Whether a batch was sent several times and never acknowledged."""
        return any(
            batch.attempts >= UNANSWERED_ATTEMPTS and not batch.held
            for batch in self._batches.values()
        )

    def attempt(self, batch: OutgoingBatch) -> bytes:
        """Count one more attempt to send a batch, and return what is sent."""
        delay = min(self.times.ack * 1.6**batch.attempts, self.times.ack_most)
        batch.due = _now() + delay * self._rng.uniform(1.0, 1.3)
        self.stats.resent += batch.attempts > 0
        if batch.attempts >= UNANSWERED_ATTEMPTS:
            self._log(
                "no acknowledgement from the collector",
                every=REPEAT_LOG_SECONDS,
                attempts=batch.attempts,
            )
        self.stats.published += 1
        self.stats.published_bytes += len(batch.payload)
        batch.attempts += 1
        return batch.payload

    async def acknowledge(self, ack: codec.Ack) -> None:
        """Take an acknowledgement, and what the monitor says with it."""
        if ack.boot != self.boot:
            return
        if ack.place is not None:
            self.stats.place, self.stats.vantages = ack.place, ack.vantages
        if ack.quarantined:
            self.stats.unaccepted = ack.quarantined
            self.stats.unaccepted_ms = self._now_ms()
            self.stats.unaccepted_reason = ack.reason
        if ack.clock_offset_ms is not None:
            self.stats.clock_offset_ms = ack.clock_offset_ms
            self._clock.tell(ack.clock_offset_ms)
        if ack.held and ack.reason in list(SignatureFault):
            self._keep_unverified(ack.held, ack.reason)
        elif ack.held:
            await self._keep(ack.held, ack.reason)
        # A batch that was sent twice may be listed twice in one message.
        known = [number for number in dict.fromkeys(ack.sequences) if number in self._batches]
        if known:
            self.stats.unverified = ""
            await self._forget(known)

    async def _keep(self, numbers: tuple[int, ...], reason: str) -> None:
        """The monitor does not store these batches, because this machine's clock is wrong: correct
        what is in the spool where that is safe. The rest is kept, lets what can be stored pass, and
        is sent again later."""
        self._hold(numbers)
        self._log(
            "the monitor cannot store these times: check this machine's clock",
            every=REPEAT_LOG_SECONDS,
            reason=reason,
            clock_offset_ms=self.stats.clock_offset_ms,
        )
        if not self._clock.is_known:
            return
        corrected = self._clock.corrected
        done: int | None = 0
        try:
            while done is not None:
                done = await self._spool.rewrite(self._clock.correct, done)
        except DiskError as error:
            self._log("cannot use the spool", every=REPEAT_LOG_SECONDS, reason=str(error))
        if self._clock.corrected != corrected:
            self._rebuild()

    def _keep_unverified(self, numbers: tuple[int, ...], reason: str) -> None:
        """The monitor does not store these batches, because it cannot verify that they are this
        probe's. They are signed again if the key has been renewed, and else sent again later."""
        self._log(
            "the monitor cannot verify these batches", every=REPEAT_LOG_SECONDS, reason=reason
        )
        self.stats.unverified = reason
        self._hold(numbers)
        self._sign_again()

    def _sign_again(self) -> None:
        """Build the batches in flight again once the key has been renewed."""
        if self._signer.load():
            self._tell_key()
            self._rebuild()

    def _hold(self, numbers: Iterable[int]) -> None:
        """Let what can be stored pass these batches, and send them again later."""
        for number in numbers:
            if (batch := self._batches.get(number)) is not None:
                if batch.held:
                    batch.due = _now() + self.times.held
                batch.held = True
        self.changed.set()

    def _tell_key(self) -> None:
        self.stats.key, self.stats.unsigned = self._signer.key, self._signer.unsigned

    async def _forget(self, known: list[int]) -> None:
        try:
            await self._spool.acknowledge(
                row for number in known for row in self._batches[number].rows
            )
        except DiskError as error:
            # The rows stay: the batch is sent again and acknowledged again.
            self._log("cannot use the spool", every=REPEAT_LOG_SECONDS, reason=str(error))
            return
        for number in known:
            del self._batches[number]
        self.stats.last_ack_ms = self._now_ms()
        self.stats.acknowledgements += 1
        # The collector is back: shorten the long delays from the time when it was down.
        now = _now()
        for batch in self._batches.values():
            if batch.held:
                continue
            if batch.attempts >= UNANSWERED_ATTEMPTS:
                batch.due, batch.attempts = now, 1
            batch.due = min(batch.due, now + self.times.ack)
        self.changed.set()

    def _rebuild(self) -> None:
        """Build the batches in flight again from what is in the spool now."""
        self._batcher.take_back(self._batches.values())
        self._batches.clear()


def _now() -> float:
    return asyncio.get_running_loop().time()
