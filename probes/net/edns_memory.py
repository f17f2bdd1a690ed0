# SPDX-License-Identifier: Apache-2.0
"""Whether a nameserver, or what stands before it, lets questions with EDNS pass: learnt in a round.

Some firewalls drop every question with EDNS, and some every answer of more than 512 bytes, which
only such a question gets. A question without it passes both.
"""

from __future__ import annotations

from collections import Counter

_LEAST = 2
"""Questions that passed without EDNS alone; a single one is a lost packet."""


class EDNSMemory:
    """What became of the questions of one round, by the nameserver's address."""

    def __init__(self) -> None:
        self._with: set[str] = set()
        self._without: Counter[str] = Counter()

    def answered(self, address: str, *, edns: bool) -> None:
        """A question was answered; where without EDNS, the same with it had met silence."""
        if edns:
            self._with.add(address)
        else:
            self._without[address] += 1

    def drops(self, address: str) -> bool:
        """Whether only questions without EDNS are worth sending there."""
        return address not in self._with and self._without[address] >= _LEAST
