# SPDX-License-Identifier: Apache-2.0
"""Packets that may live for a few hops: what answers them, or which router reports that they
expired (IP_RECVERR). No privilege is needed, and failures of the network never raise."""

from __future__ import annotations

import asyncio
import errno

from probes.net.network import ConnectError, DestinationRefusedError, Network

REFUSED, ACCEPTED = "reset", "answer"
"""What answers a SYN."""
_TIME_EXCEEDED, _TIME_EXCEEDED_V6 = 11, 3
"""In ICMP (RFC 792) and ICMPv6 (RFC 4443)."""
_REFUSED_ERRNOS = (errno.ECONNREFUSED, errno.ECONNRESET)
_DATAGRAM = bytes(8)


async def send_syn(
    network: Network, address: str, port: int, ttl: int, wait: float
) -> tuple[str | None, str | None]:
    """Return the router at which a SYN expires, and what answered it, if anything did."""
    try:
        async with asyncio.timeout(wait):
            (await network.connect(address, port, hops=ttl)).close()
    except ConnectError as error:
        refused = error.icmp_type is None and error.errno in _REFUSED_ERRNOS
        return expired_at(error), REFUSED if refused else None
    except (OSError, DestinationRefusedError):
        return None, None
    return None, ACCEPTED


async def send_datagram(
    network: Network, address: str, port: int, ttl: int, wait: float
) -> str | None:
    """Return the router at which a datagram expires."""
    try:
        sender = await network.datagrams(address, port, icmp=True, hops=ttl)
    except (OSError, DestinationRefusedError):
        return None
    try:
        async with asyncio.timeout(wait):
            await sender.send(_DATAGRAM)
            await sender.receive()
    except ConnectError as error:
        return expired_at(error)
    except OSError:  # TimeoutError is one
        return None
    finally:
        sender.close()
    return None


def expired_at(error: ConnectError) -> str | None:
    """The router that reports that a packet expired there; None for any other error."""
    router = error.icmp_from
    if router is None:
        return None
    expired = _TIME_EXCEEDED_V6 if ":" in router else _TIME_EXCEEDED
    return router if error.icmp_type == expired else None
