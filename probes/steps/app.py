# SPDX-License-Identifier: Apache-2.0
"""The app step: the first exchange of an app's own protocol, one request and one reply.

It runs over an open connection, in clear or within TLS, or over UDP from a new port. An
`AppRequest` holds what to send and how to parse the reply; here bytes are moved, counted and timed.
At most MAX_REPLY_BYTES are read. Of a reply that is not the app's the first 256 bytes are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Final

import msgspec

from probes.net import tls
from probes.net.limits import within
from probes.net.network import LATE, SENT_AGAIN, Datagrams, DestinationRefusedError, Stream
from probes.steps.context import StepContext, failure_fields, icmp_fields, late_evidence
from probes.wire.observation import AppExchange
from probes.wire.page_facts import page_head

_MAX_EXCERPT = 256
MAX_REPLY_BYTES: Final = 16384
"""Bytes of a reply that are read at most; replies of every protocol here are far shorter."""
LATE_SECONDS = 2.0
"""How long to wait at most for the replies to requests that were sent again."""
MAX_PIECES = 64
"""Pieces of one reply, or datagrams. Parsing costs up to twenty milliseconds each time, so a server
that drips single bytes, or floods, would delay all other measurements."""
_HTTP_HEADS = (b"HTTP/", b"<!DOC", b"<!doc", b"<HTML", b"<html")


@dataclass(frozen=True)
class Reply:
    """A reply of this protocol, as far as can be told without an account."""

    kind: str
    """In one word."""
    evidence: tuple[str, ...] = ()


class NoReply(Enum):
    """The bytes received so far are no complete reply of this protocol."""

    INCOMPLETE = "incomplete"
    """They may become one."""
    FOREIGN = "foreign"
    """They cannot: something else answers."""


Parsed = Reply | NoReply


@dataclass(frozen=True)
class AppRequest:
    """A first exchange, to be made once: it holds fresh random numbers."""

    payload: bytes
    """What the app sends first."""
    parse: Callable[[bytes], Parsed]
    """Parses everything received so far, or one datagram. Never raises."""
    quotable: bool = True
    """A foreign reply may be quoted: replies hold nothing about the probe."""


def is_http(received: bytes) -> bool:
    """Whether somebody answers in clear-text HTTP, or with a bare HTML page."""
    return received.startswith(_HTTP_HEADS)


@dataclass
class _Received:
    """What has arrived so far; kept when the exchange fails half-way as well."""

    sent_bytes: int = 0
    received_bytes: int = 0
    head: bytes = b""
    parsed: Parsed = NoReply.INCOMPLETE
    sent: int = 0
    """Requests, and how many of them were answered."""
    answered: int = 0
    answered_us: int = 0
    """By the network's clock; 0 as long as there is no reply."""


async def over_stream(
    step: StepContext,
    stream: Stream,
    request: AppRequest,
    *,
    client: tls.TLSClient | None = None,
    protocol: str,
) -> AppExchange:
    """Return the observation. `client` is a finished TLS handshake over the stream, or None for
    clear text. The stream stays the caller's to close. Bytes are counted as the socket saw them,
    after the handshake."""
    network = step.network
    state = _Received()
    base = (client.sent_bytes, client.received_bytes) if client else (0, 0)
    failed: BaseException | None = None
    begin = network.clock_us()
    try:
        with within(step.timeout):
            await _send(stream, client, request.payload)
            state.sent_bytes = len(request.payload)
            await _receive_reply(stream, client, request, state)
    except (OSError, EOFError) as error:
        failed = error
    if client is not None:
        state.sent_bytes = client.sent_bytes - base[0]
        state.received_bytes = client.received_bytes - base[1]
    seen = AppExchange(
        **step.fields(begin, network.clock_us() - begin),
        protocol=protocol,
        transport="tcp" if client is None else "tls",
    )
    return _completed(seen, state, failed, request)


async def _send(stream: Stream, client: tls.TLSClient | None, plain: bytes) -> None:
    if client is not None:
        await tls.send(stream, client, plain)
    else:
        await stream.send(plain)


async def _receive_reply(
    stream: Stream, client: tls.TLSClient | None, request: AppRequest, state: _Received
) -> None:
    received, pieces = b"", 0
    while state.parsed is NoReply.INCOMPLETE:
        if client is not None:
            chunk = await tls.receive(stream, client)
        else:
            chunk = await stream.receive(MAX_REPLY_BYTES)
        if not chunk:
            raise EOFError
        received, pieces = received + chunk, pieces + 1
        state.received_bytes, state.head = len(received), received[:_MAX_EXCERPT]
        state.parsed = request.parse(received)
        enough = len(received) >= MAX_REPLY_BYTES or pieces >= MAX_PIECES
        if enough and state.parsed is NoReply.INCOMPLETE:
            state.parsed = NoReply.FOREIGN


async def over_datagrams(
    step: StepContext, request: AppRequest, *, protocol: str, pauses: Sequence[float] = ()
) -> AppExchange:
    """Return the observation over UDP. The request is sent again after each of the
    `pauses` (seconds) without a reply; foreign datagrams are skipped while there is time."""
    network = step.network
    state = _Received()
    failed: BaseException | None = None
    begin = network.clock_us()
    try:
        with within(step.timeout):
            datagrams = await network.datagrams(step.address, step.port, icmp=True)
            try:
                await _exchange_datagrams(datagrams, request, state, pauses)
                state.answered_us = network.clock_us()
                await _late_replies(datagrams, request, state, pauses)
            finally:
                datagrams.close()
    except (OSError, DestinationRefusedError) as error:
        failed = error
    if isinstance(failed, TimeoutError) and state.parsed is not NoReply.INCOMPLETE:
        failed = None
    seen = AppExchange(
        **step.fields(begin, (state.answered_us or network.clock_us()) - begin),
        evidence=("not_dialled",)
        if isinstance(failed, DestinationRefusedError)
        else _sent_again(state),
        protocol=protocol,
        transport="udp",
        **icmp_fields(failed),
    )
    return _completed(seen, state, failed, request)


async def _exchange_datagrams(
    datagrams: Datagrams, request: AppRequest, state: _Received, pauses: Sequence[float]
) -> None:
    count = 0
    for pause in (*pauses, None):
        await datagrams.send(request.payload)
        state.sent += 1
        state.sent_bytes += len(request.payload)
        try:
            with nullcontext() if pause is None else within(pause):
                while not isinstance(state.parsed, Reply):
                    if count >= MAX_PIECES:
                        return
                    received = await datagrams.receive()
                    count += 1
                    state.received_bytes += len(received)
                    state.head = state.head or received[:_MAX_EXCERPT]
                    state.parsed = request.parse(received)
            return
        except TimeoutError as error:
            if error.errno is not None:  # from the kernel, not the end of our pause
                raise


async def _late_replies(
    datagrams: Datagrams, request: AppRequest, state: _Received, pauses: Sequence[float]
) -> None:
    """After a request that was sent more than once, wait for the other replies: where all come,
    nothing was lost, and the line is only slow. They come at the intervals of the requests."""
    if not isinstance(state.parsed, Reply):
        return
    state.answered = 1
    with suppress(OSError), within(min(2 * sum(pauses[: state.sent - 1]), LATE_SECONDS)):
        for _ in range(MAX_PIECES):
            if state.answered >= state.sent:
                return
            state.answered += isinstance(request.parse(await datagrams.receive()), Reply)


def _sent_again(state: _Received) -> tuple[str, ...]:
    if state.sent < 2 or not state.answered:
        return ()
    return (SENT_AGAIN, LATE) if state.answered >= state.sent else (SENT_AGAIN,)


def _completed(
    seen: AppExchange, state: _Received, failed: BaseException | None, request: AppRequest
) -> AppExchange:
    """Add to an observation what came back."""
    parsed = state.parsed
    reply = parsed if isinstance(parsed, Reply) else None
    excerpt = state.head if reply is None and request.quotable else b""
    return msgspec.structs.replace(
        seen,
        **failure_fields(failed),
        evidence=(
            *seen.evidence,
            *late_evidence(failed),
            *(reply.evidence if reply else ()),
        ),
        spoke=reply is not None,
        reply=reply.kind if reply else None,
        sent_bytes=state.sent_bytes,
        received_bytes=state.received_bytes,
        # Over TLS it comes from the service.
        page=page_head(excerpt) if seen.transport == "tcp" else None,
        excerpt=excerpt,
    )
