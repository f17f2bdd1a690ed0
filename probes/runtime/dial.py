# SPDX-License-Identifier: Apache-2.0
"""The TCP connection to the monitor: by the host's name, by an address in its place, or through a
proxy. Every way to the monitor is dialled here. It blocks, so it runs in a thread."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from probes.runtime.broker_url import Broker
from probes.runtime.proxy import open_tunnel
from probes.runtime.traffic_meter import stream_bytes

SECONDS = 12.0
"""For all addresses together, and what a proxy needs."""
ADDRESS_SECONDS = 6.0
"""For one address: SYNs at 0, 1 and 3 s, and an answer to the last."""


def dial(
    broker: Broker, spent: Callable[[int], None], seconds: float = SECONDS, family: int = 0
) -> socket.socket:
    """Return the open connection. `spent` is told what failed attempts carried; `family` restricts
    the addresses, if it is not 0. Raises OSError."""
    deadline = time.monotonic() + seconds
    host = broker.address or broker.host
    if broker.proxy is None:
        return _connected(host, broker.port, deadline, spent, family)
    sock = _connected(broker.proxy.host, broker.proxy.port, deadline, spent)
    try:
        open_tunnel(sock, broker.proxy, host, broker.port, deadline)
    except BaseException:
        spent(stream_bytes(sock))
        sock.close()
        raise
    return sock


def _connected(
    host: str, port: int, deadline: float, spent: Callable[[int], None], only: int = 0
) -> socket.socket:
    failed: OSError = TimeoutError("no address answered in time")
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, kind, protocol, _, address in found:
        if only not in (0, family):
            continue
        left = min(deadline - time.monotonic(), ADDRESS_SECONDS)
        if left <= 0:
            break
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(left)
            sock.connect(address)
        except OSError as error:
            failed = error
            spent(stream_bytes(sock))
            sock.close()
        else:
            return sock
    raise failed
