# SPDX-License-Identifier: Apache-2.0
"""Compares what was heard of a monitor over a time. Pure.

**The same moment.** Every answer names the moment that it is of: how often something had been
concluded until then (`Reachwatch-Conclusions`, and `conclusions` over MQTT). What the list of
events of the API said of that number is what all others of that number must say. Of a number of
which the list was not asked, what it said before and after is known, and what was said of whole
events by the API or over MQTT: each claim must be that of one of these, and what all say must be
said. A machine that is busy asks the list of fewer moments: an event may then change at each of two
between which it was not asked.

**The refresh.** A moment may be older than the newest that anybody had named when the question was
asked, by the refresh that the documents state and no more: an answer of the web server by CACHE
divided by the pace, the state of an event over MQTT by MQTT. A busy machine needs time to make an
answer, which is not the refresh: the longest time that an answer of the kind took is added, as one
that was made for somebody else may be given, and SLACK for what is on its way.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from benchmarks.agreeing.claims import Claims, Events, Form, Source

CACHE_SECONDS, MQTT_SECONDS = 10.0, 2.0
SLACK_SECONDS = 1.0
STATE = ("id", "state", "tier", "technique", "extent", "targets", "asns", "control")
"""What is sent at once over MQTT when it changes."""
MISSING = "nothing"


class Reference(msgspec.Struct, frozen=True):
    """What the list of events of the API said."""

    moment: int
    asked: float
    at: float
    """When it was known, both in monotonic seconds."""
    events: Events


class Heard(msgspec.Struct, frozen=True):
    """One answer."""

    source: Source
    moment: int
    asked: float
    """Monotonic seconds."""
    answered: float
    claims: Claims


class Retained(msgspec.Struct, frozen=True):
    """What the broker retained of each service and country, read at a time."""

    at: float
    bodies: dict[str, dict[str, Any]]
    """By topic."""
    live: dict[str, dict[str, Any]]
    """What a subscriber that was there all the time heard last."""


class Findings(msgspec.Struct):
    """What a comparison found."""

    contradictions: list[str] = msgspec.field(default_factory=list)
    same: Counter[str] = msgspec.field(default_factory=Counter)
    """Answers compared with the list of the same moment, by the first word of the source."""
    between: Counter[str] = msgspec.field(default_factory=Counter)
    oldest: dict[str, float] = msgspec.field(default_factory=dict)
    """Greatest age of a moment in seconds, by the same word."""


class Comparison:
    """Compares answers with what the list said. `pace` divides the stated refreshes."""

    def __init__(
        self,
        references: Sequence[Reference],
        pace: int,
        known: Iterable[tuple[float, int]] = (),
        told: Iterable[tuple[int, str, Form]] = (),
    ) -> None:
        """`known`: when further moments were named, in monotonic seconds, by anybody. `told`:
        (moment, id, fields) of whole events; the first of each moment stands for the list."""
        ordered = sorted(references, key=lambda reference: (reference.moment, reference.at))
        self._moments = [reference.moment for reference in ordered]
        self._ordered, self._pace = ordered, pace
        self._told: dict[int, dict[str, Form]] = defaultdict(dict)
        for moment, id, form in told:
            self._told[moment].setdefault(id, form)
        self.findings = Findings()
        self._longest: dict[str, float] = {}
        self._named: list[tuple[str, int, float, float]] = []
        """(kind, moment, when it was asked for, refresh) of every answer."""
        named = [*known, *((reference.at, reference.moment) for reference in ordered)]
        self._known: tuple[list[float], list[int]] = ([], [])
        """Times, and the newest moment known at each of them, both ascending."""
        times, newest = self._known
        for at, moment in sorted(named):
            if not newest or moment > newest[-1]:
                times.append(at)
                newest.append(moment)

    def newest_at(self, at: float) -> int:
        """The newest moment that was known at a time; 0 for none."""
        place = bisect.bisect_right(self._known[0], at)
        return self._known[1][place - 1] if place else 0

    def around(self, moment: int) -> Sequence[Events] | None:
        """What the list said at a moment; or before it, after it, and before it but for what was
        told of whole events at it. None where one of them is not known."""
        left = bisect.bisect_left(self._moments, moment)
        if left < len(self._moments) and self._moments[left] == moment:
            return (self._ordered[left].events,)
        if not 0 < left < len(self._moments):
            return None
        before, after = self._ordered[left - 1].events, self._ordered[left].events
        changed = {
            id: {**after[id], **before.get(id, {}), **form}
            for id, form in self._told.get(moment, {}).items()
            if id in after
        }
        return (before, after, {**before, **changed}) if changed else (before, after)

    def references(self) -> None:
        """The list itself says one thing of one moment."""
        by_moment: dict[int, Reference] = {}
        for reference in self._ordered:
            first = by_moment.setdefault(reference.moment, reference)
            if first.events != reference.events:
                self._contradict("the list", reference.moment, "events", first, reference)
            refresh = CACHE_SECONDS / self._pace
            self._age("list", reference.moment, reference.asked, refresh, reference.at)

    def answer(self, heard: Heard) -> None:
        """One answer of the web server."""
        kind = heard.source.name.split()[0]
        self._age(kind, heard.moment, heard.asked, CACHE_SECONDS / self._pace, heard.answered)
        if (known := self.around(heard.moment)) is None:
            return
        (self.findings.same if len(known) == 1 else self.findings.between)[kind] += 1
        expected = [heard.source.expect(events) for events in known]
        for key in heard.claims.keys() | set().union(*expected):
            said = heard.claims.get(key, MISSING)
            wanted = [claims.get(key, MISSING) for claims in expected]
            if said not in wanted:
                self._contradict(heard.source.name, heard.moment, "/".join(key), said, wanted)

    def retained(self, read: Retained) -> None:
        """What the broker retained at a time."""
        if read.bodies != read.live:
            topics = [t for t in read.bodies | read.live if read.bodies.get(t) != read.live.get(t)]
            self._contradict("live topics", 0, topics[0], read.live, read.bodies)
        since = self.newest_at(read.at - MQTT_SECONDS - SLACK_SECONDS)
        until = self.newest_at(read.at)
        recent = [
            reference.events for reference in self._ordered if since <= reference.moment <= until
        ]
        if not recent:
            return
        self.findings.same["retained"] += 1
        for id, event in recent[-1].items():
            topic = f"reachwatch/v1/events/{event['service']}/{event['country']}"
            body = read.bodies.get(topic, {})
            own = body.get("conclusions", 0)
            if event["state"] not in ("open", "clearing") or own > until:
                continue  # what is of a moment that the list has not told is compared by `message`
            said = {name: body.get(name, MISSING) for name in STATE}
            # Whatever state was that of any moment since then may be the one that is retained, also
            # of one between two of which the list was asked.
            since_then = [*recent, *((self.around(own) or ()) if own >= since else ())]
            possible = [
                {name: events[id][name] for name in STATE} for events in since_then if id in events
            ]
            if said not in possible and len(possible) == len(since_then):
                self._contradict("retained", since, topic, said, possible[-1:])

    def message(self, body: dict[str, Any], topic: str) -> None:
        """One message over MQTT: every field is that of its moment."""
        if not body or (known := self.around(body["conclusions"])) is None:
            return
        (self.findings.same if len(known) == 1 else self.findings.between)["mqtt"] += 1
        for name, value in body.items():
            wanted = [events.get(body["id"], {}).get(name, MISSING) for events in known]
            if name != "conclusions" and value not in wanted:
                self._contradict("mqtt", body["conclusions"], f"{topic} {name}", value, wanted)

    def _age(self, kind: str, moment: int, asked: float, refresh: float, answered: float) -> None:
        """Note the moment of an answer."""
        self._longest[kind] = max(answered - asked, self._longest.get(kind, 0.0))
        place = bisect.bisect_right(self._known[1], moment)
        if place < len(self._known[0]):  # from then on a newer one was known
            age = asked - self._known[0][place]
            self.findings.oldest[kind] = max(age, self.findings.oldest.get(kind, 0.0))
        self._named.append((kind, moment, asked, refresh))

    def ages(self) -> None:
        """No answer was of an older moment than its refresh allows; when all are known."""
        for kind, moment, asked, refresh in self._named:
            latest = self.newest_at(asked - refresh - self._longest[kind] - SLACK_SECONDS)
            if moment < latest:
                self._contradict(kind, moment, "age", moment, latest)

    def _contradict(self, who: str, moment: int, what: str, said: object, wanted: object) -> None:
        line = f"{who} at {moment}: {what}: says {said!r}, not {wanted!r}"
        self.findings.contradictions.append(line[:1000])
