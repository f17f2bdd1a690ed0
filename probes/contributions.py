# SPDX-License-Identifier: Apache-2.0
"""What this probe's measurements showed others: confirmed events that name one of them. Pure.

Everybody may read the events of a country, and an event names the first measurements that support
it. This probe alone knows which of those names are its own, so it finds out here, and tells nobody.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from probes.wire.measurement import measurement_id
from probes.words import say

KEPT = 20
"""Contributions that are remembered, the newest."""
RECENT = 20_000
"""Measurements of this probe whose names are compared: two days of the whole catalogue. An event is
confirmed within hours, and what was recognised is remembered."""
MAX_BYTES = 65_536
"""Of a published event; one has some 4 kB."""
_ENDED = "closed"
_CONFIRMED = ("open", "clearing", _ENDED)
_Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+\Z")]
_Time = Annotated[dt.datetime, Meta(tz=True)]


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """One confirmed event that a measurement of this probe supports."""

    event: _Name
    service: _Name
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")]
    began: str
    """Day (UTC)."""
    ended: str = ""
    """Day (UTC); empty while it lasts."""
    first: bool = False
    """The oldest measurement that supports it is this probe's."""
    vantages: int = 0
    """How many saw it when most did."""


class _Vantages(msgspec.Struct, frozen=True):
    agreeing: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class _PublishedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a published event that matter here."""

    id: _Name
    service: _Name
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")]
    state: str
    tier: str
    onset: _Time
    closed: _Time | None = None
    vantages: _Vantages = _Vantages()
    witnesses: Annotated[tuple[str, ...], Meta(max_length=100)] = ()


def own_names(probe: str, epoch: str, newest: int) -> frozenset[str]:
    """The names of this probe's last measurements; `epoch` and number are those of its spool."""
    numbers = range(max(1, newest - RECENT + 1), newest + 1)
    return frozenset(measurement_id(probe, epoch, number) for number in numbers)


def learn(
    kept: Sequence[Contribution], published: bytes, own: Callable[[], frozenset[str]]
) -> tuple[Contribution, ...]:
    """What is known after an event was published. `own` gives the names of this probe's
    measurements, and is asked for them where an event names any. Unreadable events tell nothing."""
    known = tuple(kept)
    try:
        if len(published) > MAX_BYTES:
            return known
        event = msgspec.json.decode(published, type=_PublishedEvent)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return known  # an empty one clears the place of an event that is over
    before = next((each for each in known if each.event == event.id), None)
    others = tuple(each for each in known if each.event != event.id)
    if event.state not in _CONFIRMED:
        return others  # retracted: it was wrong
    if event.tier != "confirmed":
        return known
    names = own() if event.witnesses else frozenset()
    if names.intersection(event.witnesses):
        first = event.witnesses[0] in names
    elif before is not None:
        first = before.first  # its measurements are older than those that are compared
    else:
        return known
    now = Contribution(
        event=event.id,
        service=event.service,
        country=event.country,
        began=_day(event.onset),
        ended=_day(event.closed) if event.state == _ENDED and event.closed else "",
        first=first,
        vantages=max(event.vantages.agreeing, before.vantages if before else 0),
    )
    return (*others, now)[-KEPT:]


def _day(time: dt.datetime) -> str:
    return time.astimezone(dt.UTC).date().isoformat()


def lines(
    contributions: Iterable[Contribution], names: Mapping[str, str], language: str = "en"
) -> list[str]:
    """A line each, the newest first; `names` has the names of services by id."""
    told = []
    for each in reversed(tuple(contributions)):
        if not each.first and each.vantages < 2:
            continue  # one of how many is not known
        span = "on_day" if each.ended == each.began else "from_to" if each.ended else "from"
        when = say(language, span, began=each.began, ended=each.ended)
        key = "seen_first" if each.first else "seen_with_others"
        service = f"{names.get(each.service, each.service)} ({each.country})"
        told.append(say(language, key, service=service, when=when, count=each.vantages))
    return told
