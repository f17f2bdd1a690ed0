# SPDX-License-Identifier: Apache-2.0
"""How much one connection may carry, where a network freezes connections after some kilobytes.

Learnt from what froze, and from what passed: connections are ended in good order before they reach
it, and batches are made so small that one fits. What froze is tried again after some connections
that passed, and more of them each time. Pure.
"""

from __future__ import annotations

LEAST_BYTES = 6_000
"""Below that a connection carries nothing but its beginning: a handshake with certificates takes up
to 5 kB, a resumed one less than 1 kB."""
LARGEST_BYTES = 512_000
"""What carries so much has no limit."""
FIRST_PATIENCE, MOST_PATIENCE = 4, 64
"""Connections that pass before more is tried than what froze."""


class ConnectionSize:
    """What connections carried, in bytes of packets, both ways."""

    def __init__(self) -> None:
        self.limit: int | None = None
        """Bytes that a connection may carry; None as long as nothing froze."""
        self._ceiling: int | None = None
        """What froze last, until it is tried again."""
        self._patience, self._passed = FIRST_PATIENCE // 2, 0

    @property
    def batch_bytes(self) -> int | None:
        """The largest batch that fits into a connection; None for any."""
        return None if self.limit is None else self.limit // 2

    def froze(self, carried: int) -> bool:
        """Note that a connection froze after it had carried so much, what was lost included. Return
        whether a smaller one may pass."""
        if self.limit == LEAST_BYTES:
            return False
        self._ceiling = min(carried, self.limit or LARGEST_BYTES)
        self.limit = max(LEAST_BYTES, int(0.6 * self._ceiling))
        self._patience, self._passed = min(2 * self._patience, MOST_PATIENCE), 0
        return True

    def passed(self, carried: int) -> bool:
        """Note that a connection was ended in good order. Return whether the limit has changed."""
        if self.limit is None or carried < self.limit // 2:
            return False
        self._passed += 1
        if self._ceiling is None or self._passed >= self._patience:
            self._ceiling, larger = None, 2 * self.limit
        else:
            larger = min(int(1.25 * self.limit), int(0.9 * self._ceiling))
        if larger <= self.limit:
            return False
        self.limit = larger if larger < LARGEST_BYTES else None
        return True

    def is_full(self, carried: int, following: int) -> bool:
        """Whether a request with a body of so many bytes is for another connection."""
        return self.limit is not None and carried + following > self.limit
