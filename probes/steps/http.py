# SPDX-License-Identifier: Apache-2.0
"""The HTTP step: sends one request over an open connection, in clear or within TLS.

HTTP/1.1 by h11, or h2 where TLS negotiated it. The request is a browser's; redirects are not
followed; at most MAX_BODY bytes are read, and an excerpt is kept only of an unexpected response.
The response is untrusted text: it is cut and cleaned here.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import h11
import msgspec

from probes.net import tls
from probes.net.http_channel import HTTPChannel, h2_headers, http1_headers
from probes.net.limits import within
from probes.net.network import Stream
from probes.runtime.options import authority
from probes.steps.context import StepContext, failure_fields, late_evidence
from probes.wire.block_pages import phrases_in
from probes.wire.observation import Contrast, HTTPExchange, Purpose
from probes.wire.page_shape import page_shape

MAX_BODY, LEAN_BODY = 65536, 4096
"""Bytes of a body that are read at most, and in a lean run: enough for a title or a block page."""
MAX_RECEIVED = 262144
"""Reading stops after so many bytes, whatever they are."""
_MAX_EXCERPT = 2048
_MAX_TEXT = 512
_WINDOW = h2.settings.SettingCodes.INITIAL_WINDOW_SIZE
_UNEXPECTED_STATUS = frozenset((403, 451))
_TITLE = re.compile(rb"<title\b[^>]{0,200}>(.{0,2000}?)</title", re.IGNORECASE | re.DOTALL)
_TITLE_END = re.compile(rb"</title", re.IGNORECASE)
_LONGEST_TITLE = 2300
"""A title starts at most so many bytes before its end. Searching a whole body that repeats
`<title>` would delay all other measurements."""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


@dataclass
class _Response:
    """What has arrived so far; kept when the exchange fails half-way as well."""

    status: int | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False
    max_body: int = MAX_BODY
    truncated: bool = False

    def header(self, name: bytes) -> bytes:
        return next((value for key, value in self.headers if key.lower() == name), b"")

    def add(self, chunk: bytes) -> None:
        self.body += chunk[: self.max_body - len(self.body)]
        self.truncated = len(self.body) >= self.max_body
        self.complete = self.complete or self.truncated


async def exchange(
    step: StepContext,
    stream: Stream,
    client: tls.TLSClient | None,
    *,
    host: str,
    path: str,
    max_body: int = MAX_BODY,
) -> tuple[HTTPExchange, int | None]:
    """Return the observation, and the response's Date in Unix milliseconds if it had one.

    `client` is a finished TLS handshake, or None for clear text. The time limit covers the whole
    exchange, so that a server that drips bytes ends as well. Of the body at most `max_body` bytes
    are read.
    """
    network = step.network
    protocol = "h2" if client is not None and client.alpn == "h2" else "http/1.1"
    host_value = authority(host or step.address, step.port, 80 if client is None else 443)
    channel = HTTPChannel(stream, client)
    answer = _Response(max_body=max_body)
    failed: BaseException | None = None
    begin = network.clock_us()
    try:
        with within(step.timeout):
            if protocol == "h2":
                await _exchange_h2(channel, answer, host_value, path)
            else:
                await _exchange_http1(channel, answer, host_value, path)
    except (OSError, EOFError, h11.RemoteProtocolError, h2.exceptions.H2Error) as error:
        failed = error
    took = network.clock_us() - begin
    asked = HTTPExchange(
        **step.fields(begin, took),
        **failure_fields(failed),
        evidence=late_evidence(failed),
        host=host or step.address,
        path=path,
        tls=client is not None,
        protocol=protocol,
        sent_bytes=channel.sent_bytes,
        received_bytes=channel.received_bytes,
    )
    unexpected = client is None or step.contrast is Contrast.NO_VERIFY
    return _completed(asked, answer, unexpected=unexpected), _date_ms(answer)


def clear_answer(
    head: bytes,
    *,
    endpoint: str,
    address: str,
    port: int,
    host: str,
    path: str,
    at_us: int,
) -> HTTPExchange:
    """Return as an observation the clear-text HTTP that a server sent in place of TLS.

    `head` is the first bytes received in the handshake. Nothing is sent.
    """
    answer = _Response()
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=65536)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    try:
        connection.receive_data(head)
        _read_events(connection, answer)
    except h11.RemoteProtocolError:
        pass
    if answer.status is None:  # bare HTML, or an incomplete head
        answer.body[:] = head
    seen = HTTPExchange(
        endpoint=endpoint,
        purpose=Purpose.CONTRAST,
        contrast=Contrast.NO_VERIFY,
        at_us=at_us,
        address=address,
        port=port,
        host=host or address,
        path=path,
        received_bytes=len(head),
    )
    return _completed(seen, answer, unexpected=True)


async def _exchange_http1(channel: HTTPChannel, answer: _Response, host: str, path: str) -> None:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=65536)
    request = connection.send(h11.Request(method="GET", target=path, headers=http1_headers(host)))
    connection.send(h11.EndOfMessage())
    await channel.send(request or b"")
    while not answer.complete:
        received = await channel.receive()
        connection.receive_data(received)
        try:
            _read_events(connection, answer)
        except h11.RemoteProtocolError:
            if received:
                raise
            raise EOFError from None
        if not received and not answer.complete:
            raise EOFError
        if channel.received_bytes >= MAX_RECEIVED:
            if answer.status is None:
                raise h11.RemoteProtocolError("no status in many bytes")
            return


def _read_events(connection: h11.Connection, answer: _Response) -> None:
    """Add to the response everything that h11 has parsed so far."""
    while not answer.complete:
        match connection.next_event():
            case h11.Response() as response:
                answer.status = response.status_code
                answer.headers = list(response.headers)
            case h11.Data() as chunk:
                answer.add(bytes(chunk.data))
            case h11.EndOfMessage():
                answer.complete = True
            case h11.InformationalResponse():
                pass
            case _:  # NEED_DATA, PAUSED, ConnectionClosed
                return


async def _exchange_h2(channel: HTTPChannel, answer: _Response, host: str, path: str) -> None:
    connection = h2.connection.H2Connection(
        h2.config.H2Configuration(client_side=True, header_encoding=None)
    )
    # With the default window, 64 kB would be on their way before a lean run has read what it wants.
    connection.local_settings.update({_WINDOW: min(answer.max_body, 65535)})
    connection.local_settings.acknowledge()
    connection.initiate_connection()
    connection.send_headers(1, h2_headers(host, path), end_stream=True)
    await channel.send(connection.data_to_send())
    async for event in _h2_events(channel, connection, answer):
        match event:
            case h2.events.ResponseReceived():
                headers = [(bytes(k), bytes(v)) for k, v in event.headers or ()]
                answer.headers = [h for h in headers if not h[0].startswith(b":")]
                status = dict(headers).get(b":status", b"")
                answer.status = int(status) if re.fullmatch(rb"\d{3}", status) else None
            case h2.events.DataReceived():
                answer.add(event.data or b"")
                connection.acknowledge_received_data(event.flow_controlled_length or 0, 1)
            case h2.events.StreamEnded():
                answer.complete = True
            case h2.events.StreamReset():
                raise h2.exceptions.ProtocolError(f"stream reset, code {event.error_code}")
            case h2.events.ConnectionTerminated():
                if event.error_code != h2.errors.ErrorCodes.NO_ERROR:
                    raise h2.exceptions.ProtocolError(f"goaway, code {event.error_code}")
        if answer.complete:
            return


async def _h2_events(
    channel: HTTPChannel, connection: h2.connection.H2Connection, answer: _Response
) -> AsyncIterator[h2.events.Event]:
    while True:
        if channel.received_bytes >= MAX_RECEIVED:
            if answer.status is None:
                raise h2.exceptions.ProtocolError("no status in many bytes")
            return
        received = await channel.receive()
        if not received:
            raise EOFError
        for event in connection.receive_data(received):
            if getattr(event, "stream_id", 1) == 1:  # pushed streams are not the response
                yield event
        if waiting := connection.data_to_send():
            await channel.send(waiting)


def _completed(base: HTTPExchange, answer: _Response, *, unexpected: bool) -> HTTPExchange:
    """Add the response to the observation of the request."""
    location = _clean(answer.header(b"location"))
    odd = (
        unexpected
        or answer.status in _UNEXPECTED_STATUS
        or _leaves_domain(location or "", base.host)
    )
    body = bytes(answer.body)
    title, excerpt = _title(body), body[:_MAX_EXCERPT] if odd else b""
    return msgspec.structs.replace(
        base,
        status=answer.status,
        location=location,
        title=title,
        server=_clean(answer.header(b"server")),
        body_bytes=len(body),
        body_truncated=answer.truncated,
        body_sha256=hashlib.sha256(body).hexdigest() if body else None,
        known_pages=phrases_in(title or "", excerpt) if title or excerpt else (),
        excerpt=excerpt,
        shape=page_shape(answer.headers, body) if unexpected and answer.status else None,
    )


def _clean(value: bytes) -> str | None:
    """Return text that the wire format accepts: cut, no control characters; None when empty."""
    text = _UNPRINTABLE.sub(" ", value.decode("utf-8", "replace")).strip()
    return text[:_MAX_TEXT] or None


def _title(body: bytes) -> str | None:
    end = _TITLE_END.search(body)
    if end is None:
        return None
    found = _TITLE.search(body, max(0, end.start() - _LONGEST_TITLE), end.end())
    if found is None:
        return None
    text = found.group(1).decode("utf-8", "replace")
    if "&" in text:
        from html import unescape  # a third of a megabyte, needed for few titles

        text = unescape(text)
    return _clean(" ".join(text.split()).encode("utf-8", "replace"))


def _leaves_domain(location: str, host: str) -> bool:
    """Whether a redirect leads to a host that is no parent and no subdomain of this one."""
    try:
        there = (urlsplit(location).hostname or "").rstrip(".").lower()
    except ValueError:
        return True
    here = host.rstrip(".").lower()
    return bool(there) and not (
        f".{there}".endswith(f".{here}") or f".{here}".endswith(f".{there}")
    )


def _date_ms(answer: _Response) -> int | None:
    try:
        moment = email.utils.parsedate_to_datetime(answer.header(b"date").decode("ascii"))
        if moment.tzinfo is None:  # `-0000` would be read as local time
            moment = moment.replace(tzinfo=dt.UTC)
        return int(moment.timestamp() * 1000)
    except (ValueError, TypeError, OverflowError):
        # OverflowError: the year has twenty digits.
        return None
