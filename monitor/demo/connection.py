# SPDX-License-Identifier: Apache-2.0
"""One TCP connection to a server of the simulated internet, with the provider on its path.

A `ClearService` passes bytes straight to the conversation. A `TLSService` first reads the
ClientHello as a filter on the path would; then it completes the handshake, fails as the provider's
block requires, or presents a forged certificate. TLS runs in memory, because asyncio's own TLS
answers before the ClientHello can be read.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable

from monitor.demo.client_hello import server_name
from monitor.demo.conversation import Action, Conversation, Turn, block_page
from monitor.demo.isp import ISP

IDLE_SECONDS = 60.0
"""Maximum age of a connection; longer than any client waits, so a silent server looks silent."""
_HANDSHAKE_FAILURE = bytes((21, 3, 3, 0, 2, 2, 40))
"""A fatal TLS alert record, handshake_failure (RFC 8446 section 6)."""
_MAX_HELLO = 1 << 16

StartTalk = Callable[[str], Conversation]
"""Source address to a new conversation."""


class ClearService(asyncio.Protocol):
    """A connection whose bytes go straight to the conversation."""

    def __init__(self, start: StartTalk, connections: set[asyncio.Transport]) -> None:
        self._start = start
        self._connections = connections
        self._conversation: Conversation | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._silent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the conversation."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(transport)
        self._conversation = self._start(self.source)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(IDLE_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the time limit."""
        if self._deadline is not None:
            self._deadline.cancel()
        if self._transport is not None:
            self._connections.discard(self._transport)
        self._transport = self._conversation = None

    def data_received(self, data: bytes) -> None:
        """Pass bytes to the conversation and carry out its turn."""
        if not self._silent and self._conversation is not None:
            self.apply(self._conversation.feed(data))

    @property
    def source(self) -> str:
        """Address of the client."""
        return self._socket_address("peername")

    @property
    def address(self) -> str:
        """Address of the server."""
        return self._socket_address("sockname")

    def apply(self, turn: Turn) -> None:
        """Carry out a turn."""
        transport = self._transport
        if transport is None:
            return
        if turn.payload:
            transport.write(turn.payload)
        match turn.action:
            case Action.CLOSE:
                transport.close()
            case Action.SILENCE:
                self._silent = True
            case Action.RESET:
                # Closing with no time to linger sends RST (socket(7)).
                sock: socket.socket = transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                transport.abort()
            case Action.GO_ON:
                pass

    def _socket_address(self, which: str) -> str:
        name = self._transport.get_extra_info(which) if self._transport else None
        return str(name[0]) if name else ""


class TLSService(ClearService):
    """A connection that begins with a ClientHello."""

    def __init__(
        self,
        start: StartTalk,
        connections: set[asyncio.Transport],
        context: ssl.SSLContext,
        forged: ssl.SSLContext,
        isp: ISP,
    ) -> None:
        super().__init__(start, connections)
        self._context = context
        self._forged = forged
        self._isp = isp
        self._hello = b""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._handshake_done = False

    def data_received(self, data: bytes) -> None:
        """Read the ClientHello, ask the provider, then run TLS and the conversation."""
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
        """Apply the technique. True when the handshake goes on."""
        match technique:
            case "tls.reset.sni" | "tls.reset.other":
                self.apply(Turn(action=Action.RESET))
            case "tls.eof.sni" | "tls.eof.other":
                self.apply(Turn(action=Action.CLOSE))
            case "tls.timeout.sni" | "tls.timeout.other":
                self.apply(Turn(action=Action.SILENCE))
            case "tls.alert.sni" | "tls.alert.other":
                self.apply(Turn(_HANDSHAKE_FAILURE, Action.CLOSE))
            case "tls.http_response":
                self.apply(Turn(block_page(), Action.CLOSE))
            case _:
                context = self._forged if technique == "tls.mitm.self_signed" else self._context
                self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
                return True
        return False

    def _advance(self) -> None:
        """Process the received bytes through TLS and the conversation."""
        assert self._tls is not None
        turn = Turn()
        try:
            if not self._handshake_done:
                self._tls.do_handshake()
                self._handshake_done = True
            while turn.action is Action.GO_ON:
                plain = self._tls.read(65536)
                if not plain:
                    turn = Turn(action=Action.CLOSE)
                elif self._conversation is not None:
                    turn = self._conversation.feed(plain)
                    self._tls.write(turn.payload)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            # The client rejected our certificate or does not speak TLS; the alert is in _outgoing.
            turn = Turn(action=Action.CLOSE)
        self.apply(Turn(self._outgoing.read(), turn.action))
