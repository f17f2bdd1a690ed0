# SPDX-License-Identifier: Apache-2.0
"""Where this probe is, and which words are its own: asked of the collector now and then.

The address that the world sees never leaves this process: it is looked up in the table on this
machine, struck out of what is measured, and hidden from the log.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from probes.config import Wish
from probes.delivery import enrolment
from probes.log import Log
from probes.privacy.own_words import is_address, own_words, stand
from probes.wire.measurement import Vantage

LOOK_SECONDS = 3600.0
FIRST_LOOK_SECONDS = 8.0


RECENT_SECONDS = 60.0
"""So lately asked, a new connection is no reason to ask again."""
MOST_KNOWN = 16
"""Addresses that are still struck out after they were ours."""


class Whereabouts:
    """The present answer; `moved` gets every new one."""

    def __init__(
        self,
        wish: Wish,
        nameservers: Sequence[str],
        log: Log,
        moved: Callable[[Vantage], None],
    ) -> None:
        self.own: tuple[str, ...] = ()
        """Words that must not leave this machine."""
        self._wish, self._nameservers = wish, nameservers
        self._log, self._moved = log, moved
        self._asked = asyncio.Event()
        self._asking = asyncio.Lock()
        self._asked_at = -RECENT_SECONDS
        self._known: list[str] = []
        self._newly_known: Callable[[], Awaitable[None]] | None = None

    def look(self, outside: Sequence[str] = ()) -> None:
        """Work out where this is, seen from outside as those addresses (when they are known)."""
        wish = self._wish
        self.own = own_words(wish.bind, (*outside, *self._known))
        self._log.hide = {*filter(is_address, self.own), wish.secret} - {""}
        self._moved(
            stand(
                country=wish.country,
                asn=wish.asn,
                outside=outside,
                nameservers=self._nameservers,
                directory=wish.directory,
            )
        )

    async def known(self) -> None:
        """What is not known to be ours cannot be struck out: wait a little for it."""
        if self._wish.collector:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_LOOK_SECONDS):
                    await self._asked.wait()

    async def find_out(self, newly_known: Callable[[], Awaitable[None]]) -> None:
        """Ask again and again. `newly_known` runs for every address that was not known to be
        ours: what was stored before may hold it."""
        self._newly_known = newly_known
        while self._wish.collector:
            await self._ask()
            await asyncio.sleep(LOOK_SECONDS if self._known else LOOK_SECONDS / 10)

    async def connected_anew(self) -> bool:
        """Ask at once, before anything is sent: a line that came back often has a new address.
        Whether there was one."""
        now = asyncio.get_running_loop().time()
        if not self._wish.collector or now - self._asked_at < RECENT_SECONDS:
            return False
        return await self._ask()

    async def _ask(self) -> bool:
        async with self._asking:
            outside = await asyncio.to_thread(enrolment.whoami, self._wish.collector)
            self._asked_at = asyncio.get_running_loop().time()
            fresh = [address for address in outside if address not in self._known]
            first = not self._asked.is_set()
            self._known = [*fresh, *self._known][:MOST_KNOWN]
            if outside or first:
                self.look(outside)
            if fresh and self._newly_known is not None:
                await self._newly_known()
            self._asked.set()
            return bool(fresh)
