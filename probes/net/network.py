# SPDX-License-Identifier: Apache-2.0
"""The Network port: all that a measurement may do outside this process.

Everything that measures receives a `Network`. A call takes one address, never a host name, because
asyncio loses the errno when it tries several. The caller limits the time.
"""

from __future__ import annotations

from typing import Protocol

from probes.runtime.traffic_meter import TrafficMeter


class ConnectError(OSError):
    """A failed TCP connect, or a rejected datagram, with the ICMP error that caused it, if any
    (IP_RECVERR)."""

    icmp_type: int | None = None
    icmp_code: int | None = None
    icmp_from: str | None = None
    icmp_is_own: bool = False
    """This machine itself sent it."""


class DestinationRefusedError(Exception):
    """The guard forbids this address; nothing was sent. The text names the rule."""


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


SENT_AGAIN = "sent_again"
"""Evidence of a step that succeeded: this machine sent packets of it more than once."""
LATE = "sent_again_answered"
"""Evidence beside it: what was sent first was answered as well, or all of it. Nothing was lost."""


class Network(Protocol):
    """All that a measurement may do outside this process."""

    meter: TrafficMeter
    """Counts what crosses the wire. A connection is counted when it is closed."""

    def metered_apart(self) -> Network:
        """The same network with a meter of its own, which adds to this one's."""

    async def connect(
        self, address: str, port: int, *, hops: int | None = None, narrow: bool = False
    ) -> Stream:
        """Open TCP to one address. Raises ConnectError or DestinationRefusedError. `hops` is the
        TTL of every packet: a router that drops one answers by ICMP, as in ConnectError. `narrow`:
        little is wanted, and the far side may send little more than that before it is read."""

    def limit_hops(self, stream: Stream, hops: int) -> None:
        """Set the TTL of what an open stream of this network sends from now on. An ICMP error
        ends `receive` with EHOSTUNREACH, and `close` then sends a RST with the usual TTL."""

    def misses_segment(self, stream: Stream) -> bool:
        """Whether segments arrived on an open stream of this network beyond one that is missing:
        the server answered, and the path lost a part of the answer and its repeats."""

    def packets_sent_again(self, stream: Stream) -> int:
        """How many packets this machine has sent again on an open stream of this network, the SYN
        included; 0 where the kernel does not say."""

    def packets_arrived_twice(self, stream: Stream) -> int:
        """How many packets of an open stream of this network the far side says that it had already
        (RFC 2883); 0 where it does not say, or the kernel is older than 5.4."""

    def round_trip_us(self, stream: Stream) -> int:
        """The kernel's estimate of an open stream's round trip in microseconds; 0 where it has
        none, as after a SYN that was sent again to a server without timestamps (RFC 7323)."""

    async def datagrams(
        self, address: str, port: int, *, icmp: bool = False, hops: int | None = None
    ) -> Datagrams:
        """Open UDP to one address. Raises OSError or DestinationRefusedError. `hops` is the TTL of
        what is sent.

        With `icmp` every ICMP error ends `send` and `receive` as a ConnectError with its type,
        code and sender; without it, only port-unreachable does, as a plain OSError.
        """

    def refusal(self, address: str, port: int) -> str | None:
        """Why the guard would refuse this destination; None when it may be dialled."""

    def clock_us(self) -> int:
        """Monotonic clock in microseconds."""

    def wall_ms(self) -> int:
        """Unix time in milliseconds."""
