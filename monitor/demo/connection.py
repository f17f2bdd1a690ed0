# SPDX-License-Identifier: Apache-2.0
"""One TCP connection to a server of the simulated internet, and the provider on its way.

A `ClearService` talks at once. A `TLSService` first reads the ClientHello as a filter on the
path would, and only then shakes hands, fails in the provider's way, or shows a foreign
certificate. TLS runs in memory, because asyncio's own cannot look before it answers.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable

from monitor.demo.conversation import After, Conversation, Turn, block_page
from monitor.demo.hello import server_name
from monitor.demo.isp import ISP

IDLE_SECONDS = 60.0
"""Longest life of a connection: longer than any client waits, so that silence is the server's."""
_HANDSHAKE_FAILURE = bytes((21, 3, 3, 0, 2, 2, 40))
"""A fatal TLS alert record, handshake_failure (RFC 8446 section 6)."""
_MAX_HELLO = 1 << 16

Talk = Callable[[str], Conversation]
"""Source address to a new conversation."""


class ClearService(asyncio.Protocol):
    """A connection whose bytes go straight to the conversation."""

    def __init__(self, talk: Talk, open_now: set[asyncio.Transport]) -> None:
        self._talk = talk
        self._open_now = open_now
        self._conversation: Conversation | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._silent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the conversation."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open_now.add(transport)
        self._conversation = self._talk(self.source)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(IDLE_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._deadline is not None:
            self._deadline.cancel()
        if self._transport is not None:
            self._open_now.discard(self._transport)
        self._transport = self._conversation = None

    def data_received(self, data: bytes) -> None:
        """Let the conversation answer."""
        if not self._silent and self._conversation is not None:
            self.apply(self._conversation.feed(data))

    @property
    def source(self) -> str:
        """Who called."""
        return self._end("peername")

    @property
    def address(self) -> str:
        """Who was called."""
        return self._end("sockname")

    def apply(self, turn: Turn) -> None:
        """Send, and do with the connection what the turn says."""
        transport = self._transport
        if transport is None:
            return
        if turn.payload:
            transport.write(turn.payload)
        match turn.after:
            case After.CLOSE:
                transport.close()
            case After.SILENCE:
                self._silent = True
            case After.RESET:
                # Closing with no time to linger sends RST (socket(7)).
                sock: socket.socket = transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                transport.abort()
            case After.GO_ON:
                pass

    def _end(self, which: str) -> str:
        name = self._transport.get_extra_info(which) if self._transport else None
        return str(name[0]) if name else ""


class TLSService(ClearService):
    """A connection that begins with a ClientHello."""

    def __init__(
        self,
        talk: Talk,
        open_now: set[asyncio.Transport],
        context: ssl.SSLContext,
        forged: ssl.SSLContext,
        isp: ISP,
    ) -> None:
        super().__init__(talk, open_now)
        self._context = context
        self._forged = forged
        self._isp = isp
        self._hello = b""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._shaken = False

    def data_received(self, data: bytes) -> None:
        """Read the ClientHello, let the provider decide, then shake hands and talk."""
        if self._silent or self._transport is None:
            return
        if self._tls is None:
            self._hello += data
            name = server_name(self._hello)
            if name is None and len(self._hello) < _MAX_HELLO:
                return
            if not self._begin(self._isp.tls(self.source, name or "", self.address)):
                return
            data = self._hello
        self._incoming.write(data)
        self._advance()

    def _begin(self, technique: str | None) -> bool:
        """Return whether there is a handshake; else the provider has ended the matter."""
        match technique:
            case "tls.reset.sni" | "tls.reset.other":
                self.apply(Turn(after=After.RESET))
            case "tls.eof.sni" | "tls.eof.other":
                self.apply(Turn(after=After.CLOSE))
            case "tls.timeout.sni" | "tls.timeout.other":
                self.apply(Turn(after=After.SILENCE))
            case "tls.alert.sni" | "tls.alert.other":
                self.apply(Turn(_HANDSHAKE_FAILURE, After.CLOSE))
            case "tls.http_response":
                self.apply(Turn(block_page(), After.CLOSE))
            case _:
                context = self._forged if technique == "tls.mitm.self_signed" else self._context
                self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
                return True
        return False

    def _advance(self) -> None:
        """Take TLS as far as the received bytes carry it."""
        assert self._tls is not None
        turn = Turn()
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            while turn.after is After.GO_ON:
                plain = self._tls.read(65536)
                if not plain:
                    turn = Turn(after=After.CLOSE)
                elif self._conversation is not None:
                    turn = self._conversation.feed(plain)
                    self._tls.write(turn.payload)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            # The client refused our certificate, or speaks no TLS: it has its alert.
            turn = Turn(after=After.CLOSE)
        self.apply(Turn(self._outgoing.read(), turn.after))
