# SPDX-License-Identifier: Apache-2.0
"""The monitor's connections to its broker, from the URL of `--broker`."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from contextlib import AbstractAsyncContextManager, suppress

from probes.runtime.broker_url import parse_broker
from probes.runtime.mqtt import BrokerConnection, Message, connect
from probes.wire import topics


def connected(
    url: str,
    user: str,
    secret: str,
    *,
    purpose: str = "monitor",
    tls: ssl.SSLContext | None = None,
) -> AbstractAsyncContextManager[BrokerConnection]:
    """Connect as a client of its own, `purpose` and a random number. `tls` replaces the system's
    roots. Raises ValueError for a bad URL, and BrokerError on entering."""
    client_id = f"{purpose}-{secrets.token_hex(6)}"
    return connect(parse_broker(url), client_id=client_id, user=user, secret=secret, tls=tls)


async def read_retained(
    connection: BrokerConnection, topic_filter: str, seconds: float
) -> tuple[list[Message], bool]:
    """What a broker retains, and whether that is all of it: this waits at most `seconds`. The
    connection must be used for nothing else. Raises BrokerError."""
    found: list[Message] = []
    marker = topics.ack(f"retained-{secrets.token_hex(8)}")
    await connection.subscribe(topic_filter)
    await connection.subscribe(marker)
    await connection.publish(marker, b"end")  # follows what is retained
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            async for message in connection.messages():
                if message.topic == marker:
                    return found, True
                found.append(message)
    return found, False
