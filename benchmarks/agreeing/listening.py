# SPDX-License-Identifier: Apache-2.0
"""Asks everything that tells of events, over and over, and keeps what was said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from benchmarks.agreeing.claims import Events, sources
from benchmarks.agreeing.contradictions import Comparison, Findings, Heard, Reference, Retained
from monitor.broker.client import connected, read_retained
from monitor.web.answers import CONCLUSIONS
from probes.wire import topics

READ_SECONDS = 30.0
ON_ITS_WAY_SECONDS = 0.5
"""What is retained already may not have been heard by a subscriber."""

Get = Callable[[str], Awaitable[tuple[int, Mapping[str, str], str]]]
"""Path to status, headers and body."""


class Listener:
    """What was heard of one monitor. `names` are those of services by id."""

    def __init__(self, get: Get, names: Mapping[str, str]) -> None:
        self._get, self._names = get, names
        self.events: Events = {}
        self._references: list[Reference] = []
        self._answers: list[Heard] = []
        self._retained: list[Retained] = []
        self._messages: list[tuple[float, str, dict[str, Any]]] = []
        self._live: dict[str, dict[str, Any]] = {}
        self.failed: list[str] = []
        """Questions without an answer."""

    async def ask_list(self) -> None:
        """Ask the API for all events: with this everything else is compared."""
        asked = time.monotonic()
        status, headers, body = await self._get("/api/v1/events?limit=1000")
        if status != 200:
            self.failed.append(f"/api/v1/events: {status}")
            return
        events = {event["id"]: event for event in msgspec.json.decode(body)["events"]}
        moment = int(headers[CONCLUSIONS])
        self._references.append(Reference(moment, asked, time.monotonic(), events))
        self.events = events

    async def ask_all(self) -> None:
        """Ask everything that tells of the events known by now, at once."""
        await asyncio.gather(*(self._ask(source) for source in sources(self.events, self._names)))

    async def _ask(self, source: Any) -> None:
        asked = time.monotonic()
        status, headers, body = await self._get(source.path)
        if status != 200 or CONCLUSIONS not in headers:
            self.failed.append(f"{source.path}: {status}, of no moment")
            return
        heard = Heard(source, int(headers[CONCLUSIONS]), asked, time.monotonic(), source.read(body))
        self._answers.append(heard)

    async def follow(self, url: str, user: str, secret: str) -> None:
        """Hear each event over MQTT as it is published, until cancelled."""
        async with connected(url, user, secret, purpose="follow") as connection:
            await connection.subscribe(topics.ALL_EVENTS)
            async for message in connection.messages():
                if not message.payload:
                    self._live.pop(message.topic, None)
                    continue
                body = msgspec.json.decode(message.payload, type=dict[str, Any])
                self._live[message.topic] = body
                self._messages.append((time.monotonic(), message.topic, body))

    async def read_broker(self, url: str, user: str, secret: str) -> None:
        """Read what the broker retains, as a newcomer does."""
        async with connected(url, user, secret, purpose="read") as connection:
            at = time.monotonic()
            found, complete = await read_retained(connection, topics.ALL_EVENTS, READ_SECONDS)
        if not complete:
            self.failed.append("retained: not read to the end")
            return
        bodies = {
            message.topic: msgspec.json.decode(message.payload, type=dict[str, Any])
            for message in found
            if message.payload
        }
        if self._live != bodies:
            await asyncio.sleep(ON_ITS_WAY_SECONDS)
        # What changed after the reading is newer on the one side.
        live = {
            topic: body
            for topic, body in self._live.items()
            if topic not in bodies or body["conclusions"] <= bodies[topic]["conclusions"]
        }
        live |= {topic: body for topic, body in bodies.items() if topic in self._live.keys() - live}
        self._retained.append(Retained(at, bodies, live))

    def compare(self, pace: int, messages: Sequence[dict[str, Any]] = ()) -> Findings:
        """Compare everything, and further messages over MQTT."""
        named = [(heard.answered, heard.moment) for heard in self._answers]
        named += [(at, body["conclusions"]) for at, _topic, body in self._messages]
        heard_live = [(topic, body) for _at, topic, body in self._messages]
        bodies = [*heard_live, *(("", body) for body in messages)]
        told = [(body["conclusions"], body["id"], body) for _topic, body in bodies if body]
        for heard in self._answers:
            if heard.source.name.startswith("api event "):
                form = {name: value for (name,), value in heard.claims.items()}
                told.append((heard.moment, form["id"], form))
        comparison = Comparison(self._references, pace, named, told)
        comparison.references()
        for heard in self._answers:
            comparison.answer(heard)
        for read in self._retained:
            comparison.retained(read)
        for topic, body in bodies:
            comparison.message(body, topic)
        comparison.ages()
        comparison.findings.contradictions += self.failed
        return comparison.findings

    def heard(self) -> str:
        """How much was heard by now."""
        read = len(self._references) + len(self._answers)
        failed = f", {len(self.failed)} without an answer" if self.failed else ""
        return f"{read} answers and {len(self._messages)} messages{failed}"

    def stages(self) -> set[str]:
        """The kinds of change that the events passed."""
        return {change["kind"] for event in self.events.values() for change in event["history"]}
