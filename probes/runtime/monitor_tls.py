# SPDX-License-Identifier: Apache-2.0
"""TLS to the monitor: the roots that are trusted, and sessions that are resumed.

Resumed, a handshake takes an eighth of the bytes, because no certificate is sent. That is what
makes a connection useful that is cut after some kilobytes, and cheap on a line that fails often.
"""

from __future__ import annotations

import functools
import ssl
from typing import Any

import certifi

MOST_SESSIONS = 16


class MonitorTLS(ssl.SSLContext):
    """A client's context that begins with the last session of the same server name."""

    def __init__(self, protocol: int) -> None:
        """Trusts what the system and Mozilla trust. `protocol` is `ssl.PROTOCOL_TLS_CLIENT`."""
        self._sessions: dict[str, ssl.SSLSession] = {}
        # Those of any context of this Python; one for servers loads no roots for them.
        self.verify_flags |= ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).verify_flags
        self.load_default_certs()
        self.load_verify_locations(certifi.where())

    def remember(self, server: str, connection: ssl.SSLSocket | ssl.SSLObject) -> None:
        """Keep the session of a connection that ends: with TLS 1.3 it comes after the handshake."""
        session = connection.session
        if session is not None and session.has_ticket:
            self._sessions.pop(server, None)
            self._sessions[server] = session
            if len(self._sessions) > MOST_SESSIONS:
                del self._sessions[next(iter(self._sessions))]

    def wrap_socket(self, *given: Any, **named: Any) -> ssl.SSLSocket:
        """Wrap a socket, as any context does."""
        return super().wrap_socket(*given, **self._resuming(named))

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:
        """Wrap two buffers, as any context does."""
        return super().wrap_bio(*given, **self._resuming(named))

    def _resuming(self, named: dict[str, Any]) -> dict[str, Any]:
        session = self._sessions.get(named.get("server_hostname") or "")
        return named if session is None else {**named, "session": session}


@functools.lru_cache(maxsize=1)
def monitor_tls() -> MonitorTLS:
    """The context of all ways to the monitor. Loading the roots blocks."""
    return MonitorTLS(ssl.PROTOCOL_TLS_CLIENT)
