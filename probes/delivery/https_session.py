# SPDX-License-Identifier: Apache-2.0
"""Delivery to the monitor's web server, where no broker is reached: a request for each batch, and
one now and then that carries the status and asks what the monitor wants."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable

import h11
import msgspec

from probes.delivery.batcher import REPEAT_LOG_SECONDS, OutgoingBatch
from probes.delivery.broker_session import DaemonSide, Finish, SessionEnd
from probes.delivery.connection_size import ConnectionSize
from probes.delivery.outbox import Outbox
from probes.delivery.way_failure import (
    FROZEN,
    NotStoredError,
    NotTheMonitorError,
    way_failure,
)
from probes.log import Log
from probes.runtime.broker_url import BrokerError, BrokerRefusedError
from probes.runtime.http_connection import HTTPConnection, MonitorAnswer
from probes.wire import codec, https_delivery
from probes.wire.retest import decode_retest

MOST_ACK_BYTES = 64 << 10
MOST_REMEMBERED = 256
REQUEST_BYTES = 1_200
"""What a request and its answer carry besides the body."""


class Told:
    """What the monitor has told this probe, which it repeats: it does not know who heard it."""

    def __init__(self) -> None:
        self.catalogue = ""
        """SHA-256 of the signed catalogue that came last."""
        self._retests: dict[bytes, None] = {}

    def is_new(self, retest: bytes) -> bool:
        """Whether a request comes for the first time."""
        if retest in self._retests:
            return False
        self._retests[retest] = None
        if len(self._retests) > MOST_REMEMBERED:
            del self._retests[next(iter(self._retests))]
        return True


class HTTPSSession:
    """Delivers by requests until one fails, or until delivery is to end."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[HTTPConnection]],
        authorization: str,
        outbox: Outbox,
        daemon: DaemonSide,
        finish: Finish,
        plenty: Callable[[], bool],
        told: Told,
        size: ConnectionSize,
        log: Log,
    ) -> None:
        """`plenty`: whether the monitor may send what is large and can wait."""
        self._connect, self._outbox, self._daemon = connect, outbox, daemon
        self._headers = {"Authorization": authorization}
        self._finish, self._plenty, self._told, self._log = finish, plenty, told, log
        self._size, self._carried = size, 0
        """The second is what the connection that was closed last had carried."""
        self._connection: HTTPConnection | None = None
        self.lost: BrokerError | None = None
        """Why the last request failed, if it did."""

    async def open(self) -> None:
        """Say hello. Raises BrokerError."""
        await self._poll("hello")

    async def run(self) -> None:
        """Raises nothing because of the network or the monitor."""
        try:
            moved = self._daemon.on_connect is not None and await self._daemon.on_connect()
            self._outbox.reconnected(spool_changed=moved)
            await self._send()
        except BrokerError as error:
            self.lost = error
            self._log("connection lost", every=REPEAT_LOG_SECONDS, reason=str(error))

    async def _send(self) -> None:
        outbox, finish, loop = self._outbox, self._finish, asyncio.get_running_loop()
        while (ending := finish.ending(is_empty=outbox.is_empty)) is SessionEnd.NOT_YET:
            outbox.changed.clear()
            polls = outbox.polls.seconds_left() <= 0
            try:
                is_idle = await self._send_what_is_due(polls)
            except BrokerError as error:
                if way_failure(error) != FROZEN or not self._size.froze(self._carried):
                    raise
                self._log("connections freeze: they carry less now", bytes=self._size.limit)
                outbox.bound(self._size.batch_bytes)
                outbox.reconnected(spool_changed=False)
                continue  # at once, in smaller parts
            if is_idle and finish.ending(is_empty=outbox.is_empty) is SessionEnd.NOT_YET:
                next_poll = loop.time() + outbox.polls.seconds_left()
                until = () if finish.wanted() else (next_poll, outbox.next_end())
                await outbox.wait(finish.next_end(), *until)
        if ending is SessionEnd.FINISH:
            with contextlib.suppress(TimeoutError, BrokerError):
                async with asyncio.timeout(1.0):
                    await self._poll("goodbye")

    async def _send_what_is_due(self, polls: bool) -> bool:
        """Send batches again, the status if it `polls`, and one new batch. Return whether there was
        none."""
        for batch in self._outbox.due():
            await self._deliver(batch)
        if polls:
            await self._poll("heartbeat")
        fresh = await self._outbox.next_batch(packet_limit=0)
        if fresh is not None:
            await self._deliver(fresh)
        return fresh is None

    async def _deliver(self, batch: OutgoingBatch) -> None:
        payload = self._outbox.attempt(batch)
        body = await self._post(https_delivery.BATCHES, payload, MOST_ACK_BYTES)
        try:
            ack = codec.decode_ack(body)
        except codec.WireError as error:
            raise NotTheMonitorError(f"no acknowledgement: {error}") from None
        await self._outbox.acknowledge(ack)

    async def _poll(self, state: str) -> None:
        """Send the status, and take what the monitor wants."""
        daemon = self._daemon
        country, asn = daemon.location()
        target = f"{https_delivery.POLL}?country={country}&asn={asn}"
        if daemon.on_catalogue is not None and self._plenty() and self._size.limit is None:
            target += f"&catalogue={self._told.catalogue}"
        status = codec.encode_message(daemon.status(state))
        body = await self._post(target, status, https_delivery.MOST_ANSWER_BYTES)
        self._outbox.polls.polled()
        try:
            answer = https_delivery.decode_answer(body)
        except codec.WireError as error:
            raise NotTheMonitorError(str(error)) from None
        if answer.catalogue and daemon.on_catalogue is not None:
            self._told.catalogue = hashlib.sha256(answer.catalogue).hexdigest()
            daemon.on_catalogue(answer.catalogue)
        if answer.asked_lately:
            self._outbox.polls.suspect()
        for raw in map(bytes, answer.retests):
            if not self._told.is_new(raw):
                continue
            try:
                daemon.on_retest(decode_retest(raw))
            except codec.WireError as error:
                self._log("invalid message", every=REPEAT_LOG_SECONDS, reason=str(error))

    async def _post(self, target: str, body: bytes, most: int) -> bytes:
        """Return the body of the answer. A connection that was kept open may have been closed by
        the other side meanwhile: then once more on a new one."""
        is_kept = self._connection is not None and self._connection.is_reusable
        if self._connection is not None and is_kept:
            carried = self._connection.wire_bytes()
            if self._size.is_full(carried, len(body) + REQUEST_BYTES):
                is_kept = False
                if self._size.passed(carried):
                    self._outbox.bound(self._size.batch_bytes)
        if not is_kept:
            self.close()
        try:
            try:
                answer = await self._ask(target, body, most)
            except (OSError, EOFError, h11.ProtocolError) as error:
                self.close()
                if not is_kept or isinstance(error, TimeoutError):
                    raise
                answer = await self._ask(target, body, most)
        except (OSError, EOFError, h11.ProtocolError) as error:
            self.close()
            raise BrokerError(str(error) or type(error).__name__) from error
        if answer.status == 200:
            return answer.body
        reason = _reason(answer.body)
        if answer.status == 401 and reason:
            raise BrokerRefusedError(reason)
        if answer.status in (429, 503) and reason:
            raise NotStoredError(reason)
        raise NotTheMonitorError(f"HTTP status {answer.status} {reason}".rstrip())

    async def _ask(self, target: str, body: bytes, most: int) -> MonitorAnswer:
        if self._connection is None:
            self._connection = await self._connect()
        return await self._connection.post(target, body, self._headers, most)

    def close(self) -> None:
        """Close the connection that is open."""
        if self._connection is not None:
            self._carried = self._connection.close()
            self._connection = None


def _reason(body: bytes) -> str:
    """What our web server gives as reason; empty for an answer that is not its own."""

    class Refusal(msgspec.Struct):
        error: str

    try:
        return msgspec.json.decode(body, type=Refusal).error[:200]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
