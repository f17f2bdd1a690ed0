# SPDX-License-Identifier: Apache-2.0
"""Failures whose cause an event tells. Without a control of ours a failed measurement is by itself
of an unclear cause, and verdicts, cells and their sums count it so; a strip shows it as the event
does that rests on it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from monitor.detection.model import Event, State
from monitor.store.engines import ReadTransaction
from monitor.store.reading.counts import ServiceHour, StateCount
from monitor.store.service_hours import DAY_MS, EVERY_NETWORK, HOUR_MS, kinds_of
from monitor.text.event_sources import has_stand_in, is_imported
from monitor.web.draw.event_marks import extents, is_drawn
from monitor.web.draw.strips import Row, Window
from monitor.web.history import counted_until
from monitor.web.site import Site
from probes.wire.measurement import service_of

Place = tuple[str, str, int, int]
"""Service, country, network and hour or day, as a ServiceHour has them."""


def as_failures(
    event: Event, rows: Sequence[StateCount], until: int, width: int = HOUR_MS
) -> Sequence[StateCount]:
    """The rows, each of a time slot of `width`, in which what failed of an event without a control
    of ours, while it lasted, counts as what the event says."""
    if not (is_imported(event) or has_stand_in(event)):
        return rows
    lasted = extents(event, until)
    return [
        replace(row, state=State.BLOCKED)
        if row.state is State.INCONCLUSIVE
        and (row.country, row.target in event.targets, row.asn in event.asns)
        == (event.country, True, True)
        and any(first < row.begin + width and row.begin <= last for first, last in lasted)
        else row
        for row in rows
    ]


async def told_by_events(
    site: Site,
    connection: ReadTransaction,
    rows: Sequence[Row],
    events: Iterable[Event],
    window: Window,
) -> Sequence[Row]:
    """The same of the rows of strips: verdicts, or sums of a service by hour or day, which hold too
    little to tell one failure from another."""
    if not (telling := [event for event in events if _tells(event, window)]):
        return rows
    if hours := [row for row in rows if isinstance(row, ServiceHour)]:
        return await sums_told(site, connection, hours, telling, window)
    counted: Sequence[StateCount] = [row for row in rows if isinstance(row, StateCount)]
    for event in telling:
        counted = as_failures(event, counted, window.until, window.width)
    return counted


async def sums_told(
    site: Site,
    connection: ReadTransaction,
    rows: Sequence[ServiceHour],
    events: Iterable[Event],
    window: Window,
) -> Sequence[ServiceHour]:
    """The same of sums alone."""
    telling = [event for event in events if _tells(event, window)]
    if not telling or not rows:
        return rows
    series = await _series_of(site, connection, telling, window)
    return [_with(row, series.get((row.service, row.country, row.asn, row.hour))) for row in rows]


def _tells(event: Event, window: Window) -> bool:
    """Whether it lasted in the window, has no control of ours, and is drawn over strips."""
    without_control = is_imported(event) or has_stand_in(event)
    return without_control and is_drawn(event, window.since, window.until)


class _Series:
    """What series of events measured in an hour or a day: how much, how much of it counts as failed
    since an event says so, and kinds as in ServiceHour."""

    __slots__ = ("kinds", "n", "told")

    def __init__(self) -> None:
        self.n = self.told = self.kinds = 0


async def _series_of(
    site: Site, connection: ReadTransaction, events: Sequence[Event], window: Window
) -> Mapping[Place, _Series]:
    """By network, and of all networks of a country together."""
    unit = DAY_MS if window.daily else HOUR_MS
    sums: dict[Place, _Series] = defaultdict(_Series)
    for series in await _series_hours(site, connection, events, window):
        for place in (series.asn, EVERY_NETWORK):
            hour = series.hour - series.hour % unit
            one = sums[service_of(series.target), series.country, place, hour]
            one.n += series.states.total()
            one.told += series.told
            one.kinds |= kinds_of(series.states)
    return sums


class SeriesHour(msgspec.Struct, frozen=True):
    """An hour of a series in which an event that tells causes lasted."""

    hour: int
    target: str
    country: str
    asn: int
    states: Counter[State]
    """Verdicts, as the events say."""
    told: int
    """Those that count as failed since an event says so."""


async def series_told(
    site: Site, connection: ReadTransaction, events: Iterable[Event], window: Window
) -> Sequence[SeriesHour]:
    """The hours of series in which something counts as failed since an event says so."""
    places: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in events:
        if _tells(event, window):
            places[event.service, event.country].append(event)
    # Each place by itself: of the others, what was measured at that time is not read.
    return [
        series
        for here in places.values()
        for series in await _series_hours(site, connection, here, window)
        if series.told
    ]


async def _series_hours(
    site: Site, connection: ReadTransaction, events: Sequence[Event], window: Window
) -> Sequence[SeriesHour]:
    """The hours of the series of events, about while these lasted."""
    lasted = [extent for event in events for extent in extents(event, window.until)]
    since = max(window.since, min(first for first, _last in lasted) - HOUR_MS)
    until = min(window.until, max(last for _first, last in lasted) + HOUR_MS)
    since, until = since - since % HOUR_MS, until + -until % HOUR_MS
    series = {(target, e.country, asn) for e in events for target in e.targets for asn in e.asns}
    hourly = Window(since, until, max(1, (until - since) // HOUR_MS))
    before = await counted_until(site, connection, sorted(series), hourly)
    after = before
    for event in events:
        after = as_failures(event, after, window.until)
    states: dict[tuple[int, str, str, int], Counter[State]] = defaultdict(Counter)
    told: Counter[tuple[int, str, str, int]] = Counter()
    for row, said in zip(before, after, strict=True):
        key = row.begin - row.begin % HOUR_MS, row.target, row.country, row.asn
        states[key][said.state] += row.n
        told[key] += row.n * (said.state is not row.state)
    return [SeriesHour(*key, counted, told[key]) for key, counted in states.items()]


def _with(row: ServiceHour, series: _Series | None) -> ServiceHour:
    if series is None or not series.told:
        return row
    # Where nothing else was measured nothing of another kind is left.
    kinds = series.kinds if series.n == row.n else row.kinds | series.kinds
    return replace(row, kinds=kinds, failing=row.failing + series.told)
