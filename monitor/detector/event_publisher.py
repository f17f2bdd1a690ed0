# SPDX-License-Identifier: Apache-2.0
"""Events over MQTT: the open event of a service in a country is retained for anyone to read.

After closing or retraction one final state stays for a day and is then cleared. Nothing is lost
while the broker is unreachable: what should be retained is computed from the store at every
connection.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

import msgspec

from monitor.broker.client import connected
from monitor.detection.model import Event
from monitor.detection.policy import Policy
from monitor.store.database import Database
from monitor.store.notes import notes_of
from monitor.store.reading.events import list_events
from monitor.store.records import StoreUnavailableError
from monitor.web.api.forms import event_form
from probes.runtime.mqtt import BrokerConnection, BrokerError
from probes.wire import topics

log = logging.getLogger(__name__)
KEEP_FINAL_SECONDS = 24 * 3600
RECONNECT_SECONDS = (1.0, 30.0)
MAX_EVENTS = 1000
"""Events considered: the newest, and open ones of any age."""
CLEAR_SECONDS = 60.0
"""How often expired final states are cleared, before division by the pace."""


class EventPublisher:
    """Keeps the retained events of a broker equal to the store's."""

    def __init__(self, database: Database, policy: Policy, clock: Callable[[], int]) -> None:
        self._database, self._policy, self._clock = database, policy, clock
        self._wake = asyncio.Event()
        self._sent: dict[tuple[str, str], bytes] = {}

    async def on_change(self, events: Sequence[Event]) -> None:
        """The detector's `on_change`: publish soon, also when it is not known what has changed."""
        self._wake.set()

    async def run(self, url: str, user: str, secret: str) -> None:
        """Publish until cancelled; reconnects by itself."""
        pause = RECONNECT_SECONDS[0]
        while True:
            try:
                async with connected(url, user, secret, purpose="events") as connection:
                    self._sent.clear()
                    pause = RECONNECT_SECONDS[0]
                    while True:
                        self._wake.clear()
                        await self._publish(connection)
                        try:
                            async with asyncio.timeout(max(0.5, CLEAR_SECONDS / self._policy.pace)):
                                await self._wake.wait()
                        except TimeoutError:
                            pass  # time to clear expired final states
            except (BrokerError, StoreUnavailableError) as error:
                log.warning("events are not published: %s", str(error).splitlines()[0][:200])
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, RECONNECT_SECONDS[1])

    async def _publish(self, connection: BrokerConnection) -> None:
        async with self._database.reading() as reader:
            events = [
                *await list_events(reader, published=True, limit=MAX_EVENTS),
                *await list_events(reader, state="open", published=True, limit=MAX_EVENTS),
            ]
        wanted = retained(events, self._clock(), self._policy.ms(KEEP_FINAL_SECONDS))
        over = set(self._sent)
        if not self._sent:
            # A broker may still retain what has expired since an earlier run.
            over = {(event.service, event.country) for event in events}
        for place in sorted(over - wanted.keys()):
            await connection.publish(topics.events(*place), b"", retain=True)
            self._sent.pop(place, None)
        for place, body in sorted(wanted.items()):
            if self._sent.get(place) != body:
                await connection.publish(topics.events(*place), body, retain=True)
                self._sent[place] = body


def retained(events: Sequence[Event], now: int, keep_ms: int) -> dict[tuple[str, str], bytes]:
    """What should be retained for each (service, country): the open event, else the final
    state of the newest one that ended less than `keep_ms` ago."""
    chosen: dict[tuple[str, str], Event] = {}
    for event in sorted(events, key=lambda each: (each.ongoing, each.updated)):
        changed = max((event.updated, *(note.at for note in notes_of(event))))
        if event.ongoing or now - changed < keep_ms:
            chosen[event.service, event.country] = event
    return {place: msgspec.json.encode(event_form(event)) for place, event in chosen.items()}
