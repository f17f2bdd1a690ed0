"""Where this probe is, and which words are its own: asked of the collector now and then.

The address that the world sees never leaves this process: it is looked up in the table on this
machine, struck out of what is measured, and hidden from the log.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from probes import enrolment
from probes.log import Log
from probes.vantage import is_address, own_words, stand
from probes.wire.measurement import Vantage
from probes.wish import Wish

LOOK_SECONDS = 3600.0
FIRST_LOOK_SECONDS = 8.0


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

    def look(self, outside: str = "") -> None:
        """Work out where this is, seen from outside as that address (when it is known)."""
        wish = self._wish
        self.own = own_words(wish.bind, outside)
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
        known = ""
        while self._wish.collector:
            outside = await asyncio.to_thread(enrolment.whoami, self._wish.collector)
            if outside or not known:
                self.look(outside)
            if outside and outside != known:
                known = outside
                await newly_known()
            self._asked.set()
            await asyncio.sleep(LOOK_SECONDS if outside else LOOK_SECONDS / 10)
