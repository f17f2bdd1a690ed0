# SPDX-License-Identifier: Apache-2.0
"""A client's connection that is joined to a broker elsewhere, byte for byte.

Whichever side reads too slowly, the other is not read. The broker judges what is sent; what it
cannot know is decided here: a client that sends nothing for too long is disconnected.
"""

from __future__ import annotations

import asyncio
import logging

from monitor.broker.connection import MAX_KEEPALIVE_SECONDS
from monitor.broker.embedded import CONNECT_SECONDS
from monitor.seldom_log import SeldomLog
from probes.runtime.broker_url import Broker
from probes.runtime.monitor_tls import monitor_tls

SILENCE_SECONDS = MAX_KEEPALIVE_SECONDS * 1.5
"""Without a byte from a client that the broker has answered."""
_log = SeldomLog(logging.getLogger("reachwatch.broker"))


def relay(broker: Broker) -> asyncio.Protocol:
    """Return what serves one client's connection."""
    return _ClientSide(broker)


class _ClientSide(asyncio.Protocol):
    """The client's connection, which is not read before the broker can be reached."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._client: asyncio.Transport
        self._far: _BrokerSide
        self._task: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._client, self._far = transport, _BrokerSide(transport)
        transport.pause_reading()
        self._task = self._loop.create_task(self._connect())
        self._wait()

    async def _connect(self) -> None:
        broker = self._broker
        tls = await asyncio.to_thread(monitor_tls) if broker.encrypted else None
        try:
            await self._loop.create_connection(
                lambda: self._far,
                broker.address or broker.host,
                broker.port,
                ssl=tls,
                server_hostname=broker.host if tls else None,
            )
        except OSError as error:
            _log.warning("%s cannot be reached for a client: %s", broker.name, error)
            self._client.close()
            return
        self._wait()
        self._client.resume_reading()

    def _wait(self) -> None:
        """Give the client time to send something."""
        if self._deadline is not None:
            self._deadline.cancel()
        seconds = SILENCE_SECONDS if self._far.answered else CONNECT_SECONDS
        self._deadline = self._loop.call_later(seconds, self._client.abort)

    def data_received(self, data: bytes) -> None:
        self._wait()
        self._far.transport.write(data)

    def pause_writing(self) -> None:
        self._far.transport.pause_reading()

    def resume_writing(self) -> None:
        self._far.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._deadline is not None:
            self._deadline.cancel()
        self._far.end()


class _BrokerSide(asyncio.Protocol):
    """The connection to the broker."""

    def __init__(self, client: asyncio.Transport) -> None:
        self._client = client
        self.transport: asyncio.Transport
        self._made = False
        self.answered = False
        """The broker has said something, so it has read a CONNECT."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self._made = transport, True
        if self._client.is_closing():
            transport.abort()

    def data_received(self, data: bytes) -> None:
        self.answered = True
        self._client.write(data)

    def pause_writing(self) -> None:
        self._client.pause_reading()

    def resume_writing(self) -> None:
        self._client.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._client.close()

    def end(self) -> None:
        """Close once everything is written."""
        if self._made:
            self.transport.close()
