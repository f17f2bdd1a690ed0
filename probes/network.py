"""The Network port: the only file of the probe that opens a socket.

Everything that measures gets a `Network` passed in. One address per call, never a host name:
asyncio loses the errno when it tries several. Whoever calls sets the time limit with
`asyncio.timeout`. The guard on destinations (interface.md section 2) lives here, at connect
time, on the very address that is dialled.
"""

from __future__ import annotations

from typing import Protocol


class ConnectError(OSError):
    """A TCP connect that failed, with the ICMP error that caused it, if one did (IP_RECVERR)."""

    icmp_type: int | None = None
    icmp_code: int | None = None
    icmp_from: str | None = None


class DestinationRefusedError(Exception):
    """The guard forbids this address; nothing was sent. The text says which rule."""


class Stream(Protocol):
    """One TCP connection. Errors are OSError with the kernel's errno."""

    async def send(self, payload: bytes) -> None:
        """Write all of the payload."""

    async def receive(self, limit: int = 65536) -> bytes:
        """Return the next bytes, at most `limit`; empty when the far side sent FIN."""

    def close(self) -> None:
        """Close at once; safe to call twice."""


class Datagrams(Protocol):
    """One connected UDP socket."""

    async def send(self, payload: bytes) -> None:
        """Send one datagram."""

    async def receive(self) -> bytes:
        """Return the next datagram. OSError (ECONNREFUSED, ...) when ICMP says so."""

    def close(self) -> None:
        """Close at once; safe to call twice."""


class Network(Protocol):
    """What an experiment may do to the world."""

    async def connect(self, address: str, port: int) -> Stream:
        """Open TCP to one address. Raises ConnectError or DestinationRefusedError."""

    async def datagrams(self, address: str, port: int) -> Datagrams:
        """Open UDP to one address. Raises OSError or DestinationRefusedError."""

    def clock_us(self) -> int:
        """Monotonic clock in microseconds."""

    def wall_ms(self) -> int:
        """Unix time in milliseconds."""
