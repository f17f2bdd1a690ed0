# SPDX-License-Identifier: Apache-2.0
"""How events came about, kept for the pages: folding an event again takes seconds in a large
fleet, and what it gives changes only with the event.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from monitor.commands.explain import Explanation, UntoldError
from monitor.detection.model import Event
from monitor.store.records import StoreUnavailableError

log = logging.getLogger(__name__)
Key = tuple[str, int]
Explain = Callable[[str], Awaitable[Explanation]]
MAX_KEPT = 64
"""Stories that are kept."""
EVENT_PAGE_WAIT_SECONDS = 0.08
"""How long the event's own page waits for a story that is not there yet."""


class ExplanationCache:
    """Explanations by event, made one at a time, in the form in which the event is now."""

    def __init__(self, explain: Explain) -> None:
        self._explain = explain
        self._kept: OrderedDict[Key, Explanation | str] = OrderedDict()
        self._wanted: asyncio.Queue[Key] = asyncio.Queue()
        self._ready: dict[Key, asyncio.Event] = {}

    async def run(self) -> None:
        """Make what is wanted, until cancelled."""
        while True:
            key = await self._wanted.get()
            try:
                found: Explanation | str = await self._explain(key[0])
            except UntoldError as error:
                found = str(error).partition(": ")[2]
            except StoreUnavailableError as error:
                log.warning("an event cannot be told: %s", error)
                found = "the store is away"
            self._kept[key] = found
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
            self._ready.pop(key).set()

    async def get(self, event: Event, patience: float | None = None) -> Explanation | str | None:
        """The story of an event, or why there is none. When it takes longer than `patience`
        seconds it goes on being made, for whoever asks next: meanwhile there is the one of the
        event's last form, or None."""
        key = event.id, event.updated
        if key not in self._kept:
            ready = self._ready.get(key)
            if ready is None:
                ready = self._ready[key] = asyncio.Event()
                self._wanted.put_nowait(key)
            try:
                async with asyncio.timeout(patience):
                    await ready.wait()
            except TimeoutError:
                earlier = (self._kept[k] for k in reversed(self._kept) if k[0] == event.id)
                return next(earlier, None)
        self._kept.move_to_end(key)
        return self._kept[key]
