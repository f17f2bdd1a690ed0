# SPDX-License-Identifier: Apache-2.0
"""Whether a TCP connection still moves: a slow line takes long and does, a frozen one does not.

Told by the kernel's own counts, because a write succeeds as long as there is room for it here.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

STALL_SECONDS = 12.0
"""Without one more byte acknowledged or received. A lost segment is sent again four times in 12 s
where answers take 300 ms."""
_LOOK_SECONDS = 1.0
# Of `struct tcp_info` (include/uapi/linux/tcp.h).
_UNACKED = struct.Struct("=I"), 24
_ACKED_RECEIVED = struct.Struct("=QQ"), 120
_ENOUGH = 136


class StalledError(TimeoutError):
    """What was sent is not acknowledged any more: the connection is frozen."""


@contextlib.asynccontextmanager
async def while_moving(
    sock: Any, answer_seconds: float, stall_seconds: float = 0.0
) -> AsyncIterator[None]:
    """Run the block as long as a connection moves. Raises StalledError when what was sent stays
    unacknowledged for STALL_SECONDS (or `stall_seconds`) and nothing is received, and when nothing
    is under way and no answer comes for `answer_seconds`."""
    stall_seconds = stall_seconds or STALL_SECONDS
    loop = asyncio.get_running_loop()
    counted, moved = _counts(sock), loop.time()
    timer: asyncio.TimerHandle

    def look() -> None:
        nonlocal counted, moved, timer
        now = _counts(sock)
        if now != counted:
            counted, moved = now, loop.time()
        is_under_way = now is not None and bool(now[0])
        limit.reschedule(moved + (stall_seconds if is_under_way else answer_seconds))
        timer = loop.call_later(min(_LOOK_SECONDS, stall_seconds / 4), look)

    try:
        async with asyncio.timeout(None) as limit:
            timer = loop.call_later(0, look)
            try:
                yield
            finally:
                timer.cancel()
    except TimeoutError:
        if limit.expired():
            raise StalledError("the connection is frozen: nothing more gets through") from None
        raise


def _counts(sock: Any) -> tuple[int, int, int] | None:
    """Segments that wait for their acknowledgement, bytes acknowledged, bytes received; None where
    the kernel does not say, or the socket is closed."""
    if sock is None:
        return None
    try:
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ENOUGH)
    except OSError:
        return None
    if len(told) < _ENOUGH:
        return None
    (unacked,) = _UNACKED[0].unpack_from(told, _UNACKED[1])
    return (unacked, *_ACKED_RECEIVED[0].unpack_from(told, _ACKED_RECEIVED[1]))
