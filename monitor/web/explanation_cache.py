# SPDX-License-Identifier: Apache-2.0
"""A cache of explanations of events. Folding an event again takes seconds in a large fleet, and the
result changes only when the event does.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from monitor.commands.explain import Explanation, NotExplainableError
from monitor.detection.model import Event
from monitor.store.records import StoreUnavailableError

log = logging.getLogger(__name__)
Key = tuple[str, int]
Explain = Callable[[str], Awaitable[Explanation]]
MAX_KEPT = 64
"""Explanations in the cache."""
EVENT_PAGE_WAIT_SECONDS = 0.08
"""How long the page of an event waits for an explanation that is not in the cache."""


class ExplanationCache:
    """Explanations by event and version, computed one at a time."""

    def __init__(self, explain: Explain) -> None:
        self._explain = explain
        self._explanations: OrderedDict[Key, Explanation | str] = OrderedDict()
        self._requests: asyncio.Queue[Key] = asyncio.Queue()
        self._ready: dict[Key, asyncio.Event] = {}

    async def run(self) -> None:
        """Compute requested explanations until cancelled."""
        while True:
            key = await self._requests.get()
            try:
                found: Explanation | str = await self._explain(key[0])
            except NotExplainableError as error:
                found = str(error).partition(": ")[2]
            except StoreUnavailableError as error:
                log.warning("an event cannot be explained: %s", error)
                found = "the store is away"
            self._explanations[key] = found
            while len(self._explanations) > MAX_KEPT:
                self._explanations.popitem(last=False)
            self._ready.pop(key).set()

    async def get(self, event: Event, timeout: float | None = None) -> Explanation | str | None:
        """The explanation of an event, or the reason why there is none. When it takes longer than
        `timeout` seconds, it is computed in the background, and the result is the explanation
        of the event's previous version, or None."""
        key = event.id, event.updated
        if key not in self._explanations:
            ready = self._ready.get(key)
            if ready is None:
                ready = self._ready[key] = asyncio.Event()
                self._requests.put_nowait(key)
            try:
                async with asyncio.timeout(timeout):
                    await ready.wait()
            except TimeoutError:
                newest_first = reversed(self._explanations.items())
                return next((found for (id, _), found in newest_first if id == event.id), None)
        self._explanations.move_to_end(key)
        return self._explanations[key]
