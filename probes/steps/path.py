# SPDX-License-Identifier: Apache-2.0
"""At how many hops does an interference with a ClientHello act: the path step.

A connection is opened as ever; only the hello may live for a few hops, one more each time. Where
it dies on the way a router says so by ICMP; where the interference is, it answers in the server's
place. The router at that distance tells its address when a SYN dies there (IP_RECVERR). No
privilege is needed. A hello that is dropped without a word is told by the routers that report a
dead SYN and no longer a dead hello. Nothing here judges; a network cause never raises.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence

from probes.net import tls
from probes.net.network import ConnectError, DestinationRefusedError, Network
from probes.wire.observation import PathHop, PathTrace, Purpose

MAX_HOPS = 16
QUIET = 3
"""So many hops in a row at which nothing is heard of the hello: farther ones will tell no more,
when it is silence that is looked for, or when connections do not come about any longer."""
PROFILE = "classical"
"""One small packet a hop."""
_TIME_EXCEEDED = (11, 3)  # ICMP (RFC 792), ICMPv6 (RFC 4443)
_ALERT_RECORD = 21
_ICMP_ERRNOS = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES)
_RESET_ERRNOS = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)
ICMP, SILENCE = "icmp", "silence"


async def trace(
    network: Network,
    *,
    endpoint: str,
    address: str,
    port: int,
    sni: str,
    started_us: int,
    alpn: Sequence[str] = (),
    silent: bool = False,
    hop: float = 1.0,
    limit: float = 15.0,
) -> PathTrace:
    """Return what came back for hellos of 1, 2, ... hops, until something answered in TLS or ended
    the connection, or a SYN of so many hops reached a far end.

    `silent`: the interference is silence, so that growing silence is what there is to see. `hop`
    is the wait for one answer, `limit` for all of it, in seconds.
    """
    begin = network.clock_us()
    hello = tls.TLSClient(tls.context_for(PROFILE, "", False, alpn), sni or address).start()
    hops: list[PathHop] = []
    try:
        async with asyncio.timeout(limit):
            quiet = 0
            for ttl in range(1, MAX_HOPS + 1):
                heard = await _say(network, address, port, hello, ttl, hop)
                if heard == ICMP:
                    quiet = 0
                    hops.append(PathHop(ttl=ttl, hello=heard))
                    continue
                router, arrived = await _knock(network, address, port, ttl, hop)
                hops.append(PathHop(ttl=ttl, router=router, hello=heard))
                quiet += 1
                ended = arrived or heard not in (None, SILENCE)
                if ended or (quiet >= QUIET and (silent or heard is None)):
                    break
    except TimeoutError:
        pass  # what was seen so far is worth keeping
    return PathTrace(
        endpoint=endpoint,
        purpose=Purpose.CONTRAST,
        at_us=begin - started_us,
        took_us=network.clock_us() - begin,
        address=address,
        port=port,
        sni=sni,
        hops=tuple(hops),
    )


async def _say(
    network: Network, address: str, port: int, hello: bytes, ttl: int, wait: float
) -> str | None:
    """What comes back for a hello of so many hops; None when no connection came about."""
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


async def _knock(
    network: Network, address: str, port: int, ttl: int, wait: float
) -> tuple[str | None, bool]:
    """Who reports the death of a SYN of so many hops, and whether it lived to be answered."""
    try:
        async with asyncio.timeout(wait):
            (await network.connect(address, port, hops=ttl)).close()
    except ConnectError as error:
        dead = error.icmp_type in _TIME_EXCEEDED and error.icmp_from is not None
        return (error.icmp_from if dead else None), False
    except (OSError, DestinationRefusedError):
        return None, False
    return None, True
