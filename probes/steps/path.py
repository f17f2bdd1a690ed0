# SPDX-License-Identifier: Apache-2.0
"""The path step: at how many hops an interference with a ClientHello acts.

Each connection is opened as usual; only the hello gets a limited TTL, one hop more each time. Where
it expires on the way, a router reports this by ICMP; where the interference acts, it answers in the
server's place. The router at that distance shows its address when a SYN expires there (IP_RECVERR).
No privilege is needed. A hello that is dropped silently shows in routers that report an expired SYN
and no longer an expired hello. Failures of the network never raise.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence

from probes.net import tls
from probes.net.network import DestinationRefusedError, Network
from probes.net.short_life import ACCEPTED, send_syn
from probes.steps.context import StepContext
from probes.wire.observation import PathHop, PathTrace

MAX_HOPS = 16
BEYOND = 2
"""Hops behind the interference at which it is looked whether the server is farther away still."""
QUIET = 3
"""After so many silent hops in a row, farther ones show nothing more: when silence is the
interference, or when connections fail."""
PROFILE = "classical"
"""Its ClientHello fits into one packet."""
_ALERT_RECORD = 21
_ICMP_ERRNOS = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES)
_RESET_ERRNOS = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)
ICMP, SILENCE = "icmp", "silence"


async def trace(
    step: StepContext, *, sni: str, alpn: Sequence[str] = (), silent: bool = False, hop: float = 1.0
) -> PathTrace:
    """Return what answered hellos with TTL 1, 2, ..., until something answered in TLS or ended the
    connection, or a SYN with that TTL reached the server; and two hops more, if it did not.

    `silent` says that the interference drops packets silently. `hop` limits the wait for one
    answer, in seconds.
    """
    network, address, port = step.network, step.address, step.port
    begin = network.clock_us()
    hello = tls.TLSClient(tls.context_for(PROFILE, "", False, alpn), sni or address).start()
    hops: list[PathHop] = []
    try:
        async with asyncio.timeout(step.timeout):
            quiet = 0
            for ttl in range(1, MAX_HOPS + 1):
                response = await _send_hello(network, address, port, hello, ttl, hop)
                if response == ICMP:
                    quiet = 0
                    hops.append(PathHop(ttl=ttl, hello=response))
                    continue
                router, answer = await send_syn(network, address, port, ttl, hop)
                arrived = answer == ACCEPTED
                hops.append(PathHop(ttl=ttl, router=router, hello=response))
                quiet += 1
                ended = arrived or response not in (None, SILENCE)
                if ended and not arrived:
                    await _look_beyond(network, address, port, hops, hop)
                if ended or (quiet >= QUIET and (silent or response is None)):
                    break
    except TimeoutError:
        pass  # the hops so far are kept
    return PathTrace(
        **step.fields(begin, network.clock_us() - begin),
        sni=sni,
        hops=tuple(hops),
    )


async def _look_beyond(
    network: Network, address: str, port: int, hops: list[PathHop], wait: float
) -> None:
    """Add the next hops, until a SYN arrives. A service has firewalls of its own right before its
    servers, but not some routers before them."""
    first = hops[-1].ttl + 1
    for ttl in range(first, first + BEYOND):
        router, answer = await send_syn(network, address, port, ttl, wait)
        if answer == ACCEPTED:
            return
        hops.append(PathHop(ttl=ttl, router=router))


async def _send_hello(
    network: Network, address: str, port: int, hello: bytes, ttl: int, wait: float
) -> str | None:
    """Return what answers a hello with this TTL; None when the connection failed."""
    try:
        async with asyncio.timeout(wait * 2):
            stream = await network.connect(address, port)
    except (OSError, DestinationRefusedError):
        return None
    try:
        network.limit_hops(stream, ttl)
        await stream.send(hello)
        async with asyncio.timeout(wait):
            received = await stream.receive()
    except TimeoutError:
        return SILENCE
    except OSError as error:
        if error.errno in _ICMP_ERRNOS:
            return ICMP
        return "reset" if error.errno in _RESET_ERRNOS else None
    finally:
        stream.close()
    if not received:
        return "eof"
    return "alert" if received[0] == _ALERT_RECORD else "answer"
