# SPDX-License-Identifier: Apache-2.0
"""Events over MQTT: the open event of a service in a country is retained for anyone to read.

A message is sent when the state of an event changes; what else changes, as its counts do, is sent
once in a while. Each names the moment that it is of in the field `conclusions`, as the answers of
the web server do in a header, and what has the same number there is the same. After closing or
retraction one final state stays for a day and is then cleared. Nothing is lost while the broker is
unreachable, and nothing is sent twice by a process that starts again: what should be retained is
computed from the store, and what is retained is read from the broker.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from monitor.broker.client import connected, read_retained
from monitor.detection.events.present import leading
from monitor.detection.model import Event
from monitor.detection.policy import Policy
from monitor.interop.forms import event_form
from monitor.store.database import Database
from monitor.store.notes import notes_of
from monitor.store.reading.events import list_events
from monitor.store.reading.newest import revisions
from monitor.store.records import StoreUnavailableError
from probes.runtime.mqtt import BrokerConnection, BrokerError
from probes.wire import topics

log = logging.getLogger(__name__)
KEEP_FINAL_SECONDS = 24 * 3600
RECONNECT_SECONDS = (1.0, 30.0)
MAX_EVENTS = 1000
"""Events considered: the newest, and open ones of any age."""
CLEAR_SECONDS = 60.0
"""How often expired final states are cleared, before division by the pace."""
COUNTS_SECONDS = 60
"""How often counts are sent that have changed, before division by the pace."""
STANDBY_SECONDS = 1.0
"""How often a process that does not lead looks whether it does."""
READ_SECONDS = 30.0
"""Time limit for reading what the broker retains."""
STATE = (
    *("id", "state", "tier", "extent", "technique", "targets", "asns", "control"),
    *("inhibited_by", "source", "same_block", "notes"),
)
"""Fields of an event whose change is published."""


Place = tuple[str, str]
"""(service, country)."""


class EventPublisher:
    """Keeps the retained events of a broker equal to the store's."""

    def __init__(
        self,
        database: Database,
        policy: Policy,
        clock: Callable[[], int],
        leads: Callable[[], bool] = lambda: True,
        has: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """Of several processes the one that `leads` publishes, of the services that it `has`."""
        self._database, self._policy, self._clock = database, policy, clock
        self._leads, self._has = leads, has
        self._wake = asyncio.Event()
        self._sent: dict[Place, bytes] | None = None
        """What is retained; None when it must be read first."""
        self._counted = clock()
        """When counts were last sent, Unix milliseconds."""

    async def on_change(self, events: Sequence[Event]) -> None:
        """The detector's `on_change`: publish soon, also when it is not known what has changed."""
        self._wake.set()

    async def run(self, url: str, user: str, secret: str) -> None:
        """Publish until cancelled; reconnects by itself."""
        pause = RECONNECT_SECONDS[0]
        while True:
            try:
                async with connected(url, user, secret, purpose="events") as connection:
                    self._sent = None
                    pause = RECONNECT_SECONDS[0]
                    while True:
                        self._wake.clear()
                        again = max(0.5, CLEAR_SECONDS / self._policy.pace)
                        if self._leads():
                            if self._sent is None:
                                self._sent = await self._held(url, user, secret)
                            await self._publish(connection, self._sent)
                        else:
                            # Whoever leads publishes meanwhile.
                            self._sent, again = None, STANDBY_SECONDS
                        try:
                            async with asyncio.timeout(again):
                                await self._wake.wait()
                        except TimeoutError:
                            pass  # time to clear expired final states
            except (BrokerError, StoreUnavailableError) as error:
                log.warning("events are not published: %s", str(error).splitlines()[0][:200])
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, RECONNECT_SECONDS[1])

    async def _held(self, url: str, user: str, secret: str) -> dict[Place, bytes]:
        """Each event that the broker retains. A connection of its own, so that what is
        published later is not heard."""
        async with connected(url, user, secret, purpose="retained") as connection:
            messages, complete = await read_retained(connection, topics.ALL_EVENTS, READ_SECONDS)
        if not complete:
            log.warning("the broker does not say which events it retains; all are sent again")
        found: dict[Place, bytes] = {}
        for message in messages:
            service, country = message.topic.split("/")[-2:]
            if message.payload and self._has(service):
                found[service, country] = message.payload
        return found

    async def _publish(self, connection: BrokerConnection, sent: dict[Place, bytes]) -> None:
        async with self._database.reading() as reader:
            events = [
                *await list_events(reader, published=True, limit=MAX_EVENTS),
                *await list_events(reader, state="open", published=True, limit=MAX_EVENTS),
            ]
            conclusions = sum((await revisions(reader)).values())
        events = [event for event in events if self._has(event.service)]
        keep_ms = self._policy.ms(KEEP_FINAL_SECONDS)
        now = self._clock()
        wanted = retained(events, now, keep_ms, conclusions)
        counts = now - self._counted >= self._policy.ms(COUNTS_SECONDS)
        if counts:
            self._counted = now
        for place in sorted(sent.keys() - wanted.keys()):
            await connection.publish(topics.events(*place), b"", retain=True)
            del sent[place]
        for place, body in sorted(wanted.items()):
            last = sent.get(place, b"")
            if state_of(last) != state_of(body) or (counts and _differ(last, body)):
                await connection.publish(topics.events(*place), body, retain=True)
                sent[place] = body


def _differ(last: bytes, body: bytes) -> bool:
    """Whether two published events differ in more than the moment that they are of."""
    forms = [msgspec.json.decode(each, type=dict[str, Any]) for each in (last, body)]
    return forms[0] | {"conclusions": 0} != forms[1] | {"conclusions": 0}


def state_of(body: bytes) -> tuple[object, ...]:
    """What makes one published event differ from another; empty when it cannot be read."""
    try:
        form = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ()
    return tuple(
        len(form.get(name) or ()) if name == "notes" else str(form.get(name)) for name in STATE
    )


def retained(
    events: Sequence[Event], now: int, keep_ms: int, conclusions: int
) -> dict[Place, bytes]:
    """What should be retained for each (service, country): the open event, else the final
    state of the newest one that ended less than `keep_ms` ago. `conclusions` numbers the moment at
    which they were read."""
    ended: dict[Place, Event] = {}
    ongoing: dict[Place, list[Event]] = defaultdict(list)
    for event in sorted(events, key=lambda event: event.updated):
        changed = max((event.updated, *(note.at for note in notes_of(event))))
        if event.ongoing:
            ongoing[event.service, event.country].append(event)
        elif now - changed < keep_ms:
            ended[event.service, event.country] = event
    chosen = ended | {place: first for place, mine in ongoing.items() if (first := leading(mine))}
    return {
        place: msgspec.json.encode(event_form(event) | {"conclusions": conclusions})
        for place, event in chosen.items()
    }
