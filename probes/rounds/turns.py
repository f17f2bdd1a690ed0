# SPDX-License-Identifier: Apache-2.0
"""What may be measured at the same time: retests beside each other and beside a round, which may
take minutes while requests live one. But no round begins during a retest, for it may measure the
same target."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager


class Turns:
    """Rounds and retests in progress, and who has to wait before it begins."""

    def __init__(self) -> None:
        self._rounds = self._retests = 0
        self._beginning = asyncio.Lock()
        """Held while something waits for the end of the retests in progress."""
        self._no_retest = asyncio.Event()
        self._no_retest.set()

    @property
    def busy(self) -> bool:
        """Whether anything is measured now."""
        return bool(self._rounds or self._retests)

    @asynccontextmanager
    async def without_retests(self) -> AsyncIterator[None]:
        """Wait for the end of the retests in progress, and let none begin until the block ends."""
        async with self._beginning:
            await self._no_retest.wait()
            yield

    @contextmanager
    def round(self) -> Iterator[None]:
        """Measure a round, to be entered `without_retests`."""
        self._rounds += 1
        try:
            yield
        finally:
            self._rounds -= 1

    async def may_begin_retests(self) -> None:
        """Wait until no round is about to begin. What follows without a pause may begin."""
        async with self._beginning:
            pass

    @contextmanager
    def retest(self) -> Iterator[None]:
        """Measure a retest."""
        self._retests += 1
        self._no_retest.clear()
        try:
            yield
        finally:
            self._retests -= 1
            if not self._retests:
                self._no_retest.set()
