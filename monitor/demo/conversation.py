# SPDX-License-Identifier: Apache-2.0
"""What the servers of the simulated internet answer, without sockets.

A conversation takes received bytes and returns a `Turn`: what to send, and what to do with the
connection.
"""

from __future__ import annotations

import email.utils
import html
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from monitor.demo.nameserver import Censor, Nameserver
from monitor.demo.plan import BLOCK_PAGE_HOST

MAX_REQUEST_BYTES = 16384
_DNS_MESSAGE = "application/dns-message"


class Action(Enum):
    """What to do with the connection after a turn."""

    GO_ON = "go on"
    CLOSE = "close"
    RESET = "reset"
    SILENCE = "silence"


@dataclass(frozen=True)
class Turn:
    """What to send, and what to do after it."""

    payload: bytes = b""
    action: Action = Action.GO_ON


class Conversation(Protocol):
    """The server's side of one connection."""

    def feed(self, received: bytes) -> Turn:
        """Process bytes from the client."""


class Silence:
    """Never answers, like a server that waits for a protocol it knows."""

    def feed(self, received: bytes) -> Turn:
        """Send nothing."""
        return Turn()


def page(status: str, title: str, text: str, *headers: str) -> bytes:
    """Return an HTTP/1.1 answer with a small page."""
    body = (
        f"<!doctype html><html lang=en><head><title>{html.escape(title)}</title></head>"
        f"<body><h1>{html.escape(title)}</h1><p>{html.escape(text)}</p></body></html>\n"
    ).encode()
    head = [
        f"HTTP/1.1 {status}",
        f"Date: {email.utils.formatdate(usegmt=True)}",
        "Server: reachwatch-demo",
        "Content-Type: text/html; charset=utf-8",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def block_page() -> bytes:
    """Return the page that the simulated provider shows in place of a service."""
    return page(
        "403 Forbidden",
        "Access to this resource is restricted",
        "Access to the requested resource has been blocked by your provider by decision of the "
        "authorities. This is a demonstration.",
        "Connection: close",
    )


class WebConversation:
    """Plain HTTP/1.1, one page for everything, unless the provider blocks the Host."""

    def __init__(self, title: str, censor: Callable[[str], str | None] | None = None) -> None:
        self._title = title
        self._censor = censor
        self._waiting = b""

    def feed(self, received: bytes) -> Turn:
        """Answer every complete request."""
        self._waiting += received
        answers = b""
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            head, self._waiting = self._waiting[:end], self._waiting[end + 4 :]
            turn = self._answer(head.decode("latin-1"))
            answers += turn.payload
            if turn.action is not Action.GO_ON:
                return Turn(answers, turn.action)
        if len(self._waiting) > MAX_REQUEST_BYTES:
            return Turn(page("431 Request Header Fields Too Large", "Too large", ""), Action.CLOSE)
        return Turn(answers)

    def _answer(self, head: str) -> Turn:
        host = ""
        for line in head.split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.strip().lower() == "host":
                host = value.strip().partition(":")[0]
        match self._censor(host) if self._censor else None:
            case "http.reset.host":
                return Turn(action=Action.RESET)
            case "http.timeout.host":
                return Turn(action=Action.SILENCE)
            case "http.blockpage":
                return Turn(block_page(), Action.CLOSE)
            case "http.redirect":
                there = f"Location: http://{BLOCK_PAGE_HOST}/"
                return Turn(
                    page("302 Found", "Moved", "", there, "Connection: close"), Action.CLOSE
                )
            case "http.451":
                reason = "451 Unavailable For Legal Reasons"
                return Turn(page(reason, reason, "", "Connection: close"), Action.CLOSE)
        return Turn(page("200 OK", self._title, "A service of the demonstration."))


class BlockPageConversation(WebConversation):
    """The provider's own web server: every request gets the block page."""

    def _answer(self, head: str) -> Turn:
        return Turn(block_page(), Action.CLOSE)


class FramedDNS:
    """DNS over TCP or TLS: two bytes of length before each message (RFC 1035 section 4.2.2)."""

    def __init__(self, nameserver: Nameserver, source: str, censor: Censor | None = None) -> None:
        self._nameserver = nameserver
        self._source = source
        self._censor = censor
        self._waiting = b""

    def feed(self, received: bytes) -> Turn:
        """Answer every complete question."""
        self._waiting += received
        answers = b""
        while len(self._waiting) >= 2:
            length = int.from_bytes(self._waiting[:2], "big")
            if len(self._waiting) < 2 + length:
                break
            query, self._waiting = self._waiting[2 : 2 + length], self._waiting[2 + length :]
            reply = self._nameserver.answer(query, self._source, self._censor)
            if reply is not None:
                answers += len(reply).to_bytes(2, "big") + reply
        return Turn(answers)


class DoHConversation:
    """DNS over HTTPS as a resolver serves it: POST over HTTP/2 (RFC 8484)."""

    def __init__(self, nameserver: Nameserver, source: str) -> None:
        self._nameserver = nameserver
        self._source = source
        self._bodies: dict[int, bytes] = {}
        self._connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self._connection.initiate_connection()

    def feed(self, received: bytes) -> Turn:
        """Answer every stream whose request is complete."""
        try:
            for event in self._connection.receive_data(received):
                self._handle(event)
        except h2.exceptions.ProtocolError:
            return Turn(self._connection.data_to_send(), Action.CLOSE)
        return Turn(self._connection.data_to_send())

    def _handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int(stream)):
                self._bodies[stream] = b""
            case h2.events.DataReceived(stream_id=int(stream)):
                self._bodies[stream] = (self._bodies.get(stream, b"") + (event.data or b""))[:65535]
                self._connection.acknowledge_received_data(
                    event.flow_controlled_length or 0, stream
                )
            case h2.events.StreamReset(stream_id=int(stream)):
                self._bodies.pop(stream, None)
            case h2.events.StreamEnded(stream_id=int(stream)):
                reply = self._nameserver.answer(self._bodies.pop(stream, b""), self._source, None)
                headers = [(":status", "200" if reply else "400"), ("content-type", _DNS_MESSAGE)]
                self._connection.send_headers(stream, headers, end_stream=not reply)
                if reply:
                    self._connection.send_data(stream, reply, end_stream=True)
