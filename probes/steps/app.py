# SPDX-License-Identifier: Apache-2.0
"""The step that makes the first exchange of an app's own protocol: one message, one answer.

Over an open connection, in clear or within TLS, or over UDP from a fresh port. What is said and
how the answer is read comes as an `Opening`; here bytes are moved, counted and timed. At most
MAX_ANSWER bytes are read, and of an answer that is not the app's the first 256 are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from probes.apps.opening import MAX_ANSWER, Opening, Reading, Spoken, Unspoken
from probes.net import tls
from probes.net.classify import failure, kernel_errno
from probes.net.network import ConnectError, Datagrams, DestinationRefusedError, Network, Stream
from probes.wire.observation import AppExchange, Contrast, Purpose

_MAX_EXCERPT = 256
MAX_PIECES = 64
"""Pieces of one answer, or datagrams: reading what has come so far costs up to twenty milliseconds,
and a far side that drips single bytes, or floods, would hold up all other measurements."""


@dataclass
class _Heard:
    """What has come back so far; kept also when the exchange dies half-way."""

    sent_bytes: int = 0
    received_bytes: int = 0
    head: bytes = b""
    reading: Reading = Unspoken.MORE


async def over_stream(
    network: Network,
    stream: Stream,
    opening: Opening,
    *,
    client: tls.TLSClient | None = None,
    endpoint: str,
    address: str,
    port: int,
    protocol: str,
    started_us: int,
    purpose: Purpose = Purpose.SUBJECT,
    contrast: Contrast | None = None,
    timeout: float = 10.0,
) -> AppExchange:
    """Return what happened. `client` is a finished TLS handshake over the stream, or None for
    clear text. `timeout` is in seconds and covers the whole exchange; the stream stays the
    caller's to close. Bytes are counted as the socket saw them, after the handshake."""
    heard = _Heard()
    base = (client.sent_bytes, client.received_bytes) if client else (0, 0)
    failed: BaseException | None = None
    begin = network.clock_us()
    try:
        async with asyncio.timeout(timeout):
            await _say(stream, client, opening.hello)
            heard.sent_bytes = len(opening.hello)
            await _listen(stream, client, opening, heard)
    except (OSError, EOFError) as error:
        failed = error
    if client is not None:
        heard.sent_bytes = client.sent_bytes - base[0]
        heard.received_bytes = client.received_bytes - base[1]
    seen = AppExchange(
        endpoint=endpoint,
        purpose=purpose,
        contrast=contrast,
        at_us=begin - started_us,
        took_us=network.clock_us() - begin,
        address=address,
        port=port,
        protocol=protocol,
        transport="tcp" if client is None else "tls",
    )
    return _filled(seen, heard, failed, opening)


async def _say(stream: Stream, client: tls.TLSClient | None, plain: bytes) -> None:
    if client is not None:
        await tls.send(stream, client, plain)
    else:
        await stream.send(plain)


async def _listen(
    stream: Stream, client: tls.TLSClient | None, opening: Opening, heard: _Heard
) -> None:
    received, pieces = b"", 0
    while heard.reading is Unspoken.MORE:
        if client is not None:
            chunk = await tls.receive(stream, client)
        else:
            chunk = await stream.receive(MAX_ANSWER)
        if not chunk:
            raise EOFError
        received, pieces = received + chunk, pieces + 1
        heard.received_bytes, heard.head = len(received), received[:_MAX_EXCERPT]
        heard.reading = opening.read(received)
        enough = len(received) >= MAX_ANSWER or pieces >= MAX_PIECES
        if enough and heard.reading is Unspoken.MORE:
            heard.reading = Unspoken.FOREIGN


async def over_datagrams(
    network: Network,
    opening: Opening,
    *,
    endpoint: str,
    address: str,
    port: int,
    protocol: str,
    started_us: int,
    pauses: Sequence[float] = (),
    purpose: Purpose = Purpose.SUBJECT,
    contrast: Contrast | None = None,
    timeout: float = 10.0,
) -> AppExchange:
    """Return what happened over UDP. The hello is sent again after each of the `pauses` (seconds)
    without an answer; datagrams that are none are passed over while there is time."""
    heard = _Heard()
    failed: BaseException | None = None
    begin = network.clock_us()
    try:
        async with asyncio.timeout(timeout):
            datagrams = await network.datagrams(address, port, icmp=True)
            try:
                await _ask(datagrams, opening, heard, pauses)
            finally:
                datagrams.close()
    except (OSError, DestinationRefusedError) as error:
        failed = error
    if isinstance(failed, TimeoutError) and heard.reading is Unspoken.FOREIGN:
        failed = None
    icmp = failed if isinstance(failed, ConnectError) else None
    seen = AppExchange(
        endpoint=endpoint,
        purpose=purpose,
        contrast=contrast,
        at_us=begin - started_us,
        took_us=network.clock_us() - begin,
        evidence=("not_dialled",) if isinstance(failed, DestinationRefusedError) else (),
        address=address,
        port=port,
        protocol=protocol,
        transport="udp",
        icmp_type=icmp.icmp_type if icmp else None,
        icmp_code=icmp.icmp_code if icmp else None,
        icmp_from=icmp.icmp_from if icmp else None,
    )
    return _filled(seen, heard, failed, opening)


async def _ask(
    datagrams: Datagrams, opening: Opening, heard: _Heard, pauses: Sequence[float]
) -> None:
    loop, datagrams_heard = asyncio.get_running_loop(), 0
    for pause in (*pauses, None):
        await datagrams.send(opening.hello)
        heard.sent_bytes += len(opening.hello)
        until = None if pause is None else loop.time() + pause
        try:
            async with asyncio.timeout_at(until):
                while not isinstance(heard.reading, Spoken):
                    if datagrams_heard >= MAX_PIECES:
                        return
                    received = await datagrams.receive()
                    datagrams_heard += 1
                    heard.received_bytes += len(received)
                    heard.head = heard.head or received[:_MAX_EXCERPT]
                    heard.reading = opening.read(received)
            return
        except TimeoutError as error:
            if error.errno is not None:  # the kernel's word, not our pause's end
                raise


def _filled(
    seen: AppExchange, heard: _Heard, failed: BaseException | None, opening: Opening
) -> AppExchange:
    """Add what came back to what was asked."""
    reading = heard.reading
    spoken = reading if isinstance(reading, Spoken) else None
    return msgspec.structs.replace(
        seen,
        failure=None if failed is None else failure(failed),
        errno=None if failed is None else kernel_errno(failed),
        evidence=(*seen.evidence, *(spoken.evidence if spoken else ())),
        spoke=spoken is not None,
        reply=spoken.reply if spoken else None,
        sent_bytes=heard.sent_bytes,
        received_bytes=heard.received_bytes,
        excerpt=heard.head if spoken is None and opening.excerpt else b"",
    )
