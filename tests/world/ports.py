"""Ports for servers of tests: those that nobody else is given in the meantime.

A port that the kernel chooses (bind to 0) is free at one address and for one protocol, and it is
one of those that outgoing connections get. A test that binds it at a second address, binds it
again later or expects nobody there fails when another program was given it in between.
"""

from __future__ import annotations

import random
import socket
from collections import deque
from contextlib import ExitStack

_BELOW_EPHEMERAL = range(15_000, 32_000)
"""Linux gives outgoing connections 32,768 to 60,999 (ip_local_port_range)."""
_WILDCARDS = ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"))


_NEWEST = 100
_given: deque[socket.socket] = deque()
"""Of the newest ports that this process was given, so that no process is given one of them before
its server has bound it. Linux frees such a name with its socket."""


def free_port() -> int:
    """A port that nothing uses at this moment, at any address, over TCP and UDP, and that nobody
    was given shortly before."""
    while True:
        port = random.SystemRandom().choice(_BELOW_EPHEMERAL)
        if _is_free(port) and _is_ours(port):
            return port


def _is_ours(port: int) -> bool:
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0reachwatch-test-port-{port}")
    except OSError:
        name.close()
        return False
    _given.append(name)
    if len(_given) > _NEWEST:
        _given.popleft().close()
    return True


def _is_free(port: int) -> bool:
    with ExitStack() as held:
        for family, wildcard in _WILDCARDS:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                probe = held.enter_context(socket.socket(family, kind))
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                try:
                    probe.bind((wildcard, port))
                except OSError:
                    return False
    return True
