# SPDX-License-Identifier: Apache-2.0
"""Ranges of time that a visitor chooses, and the sums that are drawn in them.

A week is drawn from hours, a longer range from days (UTC); no range reads measurements or verdicts.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from aiohttp import web

from monitor.store.engines import ReadTransaction
from monitor.store.reading.counts import (
    ServiceHour,
    StateCount,
    by_day,
    count_series,
    service_days,
    service_everywhere,
    service_hours,
)
from monitor.store.reading.measurements import measured_targets
from monitor.store.reading.part_of_hour import part_of_hour
from monitor.store.service_hours import DAY_MS, HOUR_MS
from monitor.web.draw import strips
from monitor.web.moment import site_of
from monitor.web.params import BadParameterError, time_of
from monitor.web.site import Site

MINUTE_MS = 60_000
MAX_SLICES = 124
"""Slices of the longest strip: a year in pieces of three days."""
FINE_MS = 12 * HOUR_MS
"""A free range of at most this length is drawn from verdicts, exactly as long as it is."""
LONGEST_DAYS = 3660
"""A free range is at most this long."""
RANGES: Mapping[str, tuple[int, int]] = {
    "24h": (24 * HOUR_MS, HOUR_MS),
    "7d": (7 * DAY_MS, 2 * HOUR_MS),
    "30d": (30 * DAY_MS, DAY_MS),
    "90d": (90 * DAY_MS, DAY_MS),
    "1y": (366 * DAY_MS, 3 * DAY_MS),
}
"""Length and slice in milliseconds, by what `?range=` says."""


class TimeRange(msgspec.Struct, frozen=True):
    """A chosen range."""

    name: str
    """A key of RANGES, or `free`."""
    window: strips.Window
    """Whole hours or days that hold it."""
    exact: tuple[int, int] | None = None
    """Begin and end of a free range, Unix ms."""

    @property
    def query(self) -> str:
        """The query that chooses it again: a named range ends now, a free one stays."""
        if self.name in RANGES:
            return f"range={self.name}"
        return self.fixed

    @property
    def fixed(self) -> str:
        """The query of exactly this time, for a permalink."""
        since, until = self.exact or (self.window.since, self.window.until)
        return fixed_query(since, until)

    @property
    def fine_window(self) -> strips.Window | None:
        """A window of exactly this time in slices of minutes, if the range is short enough."""
        if self.exact is None or self.exact[1] - self.exact[0] > FINE_MS:
            return None
        return strips.Window(*self.exact)


@functools.lru_cache(maxsize=256)
def fixed_query(since: int, until: int) -> str:
    """The query of exactly this time."""
    return f"since={_rfc3339(since)}&until={_rfc3339(until)}"


def _rfc3339(at: int) -> str:
    when = dt.datetime.fromtimestamp(at / 1000, dt.UTC)
    return f"{when:%Y-%m-%dT%H:%M:%SZ}" if when.second else f"{when:%Y-%m-%dT%H:%MZ}"


def chosen_range(request: web.Request) -> TimeRange | None:
    """The range of a request: `range=7d`, or `since`, perhaps with `until`; None when it chooses
    none. Raises BadParameterError."""
    site = site_of(request)
    now = site.clock()
    name = request.query.get("range", "")
    since, until = time_of(request, "since"), time_of(request, "until")
    if name:
        if name not in RANGES:
            raise BadParameterError(f"range: must be {', '.join(RANGES)}, not {name[:40]!r}")
        if since is not None or until is not None:
            raise BadParameterError("range: cannot be combined with since or until")
        return named_range(name, now)
    if since is None:
        if until is not None:
            raise BadParameterError("until: needs since, the beginning of the time")
        return None
    until = now if until is None else min(until, now)
    if since >= until:
        raise BadParameterError("since: must be before until, and not in the future")
    since = max(since, until - LONGEST_DAYS * DAY_MS)
    window = _window(since, until, _slice(since, until, site.hours_kept_since))
    return TimeRange("free", window, (since, until))


def range_or_week(request: web.Request) -> TimeRange:
    """The range of a request; without one the last seven days. Raises BadParameterError."""
    return chosen_range(request) or named_range("7d", site_of(request).clock())


def named_range(name: str, now: int) -> TimeRange:
    """One of RANGES, up to now."""
    length, slice_ms = RANGES[name]
    return TimeRange(name, _window(now - length + slice_ms, now, slice_ms))


def _slice(since: int, until: int, kept_since: int) -> int:
    """Milliseconds of a slice: hours while they are kept, else days."""
    hourly = until - since <= 8 * DAY_MS and since > kept_since
    unit = HOUR_MS if hourly else DAY_MS
    return unit * max(1, -(-(until - since) // unit // MAX_SLICES))


def _window(since: int, until: int, slice_ms: int) -> strips.Window:
    """Whole slices that hold the time."""
    unit = DAY_MS if slice_ms % DAY_MS == 0 else HOUR_MS
    until += -until % unit
    since -= since % unit
    slices = max(1, -(-(until - since) // slice_ms))
    return strips.Window(until - slices * slice_ms, until, slices)


async def sums(
    site: Site,
    connection: ReadTransaction,
    window: strips.Window,
    services: Sequence[str],
    country: str | None = None,
    asns: Sequence[int] = (),
) -> Sequence[ServiceHour]:
    """Sums by hour or day for a window whose slices are hours or longer."""
    since, until = window.since, window.until
    if site.as_of is not None and site.as_of < until:
        return await _sums_until(site, connection, window, services, country, asns)
    if window.daily:
        return await service_days(connection, services, since, until, country=country, asns=asns)
    kept = since >= site.hours_kept_since
    return await service_hours(
        connection, services, since, until, country=country, asns=asns, kept=kept
    )


async def sums_everywhere(
    site: Site,
    connection: ReadTransaction,
    window: strips.Window,
    service: str,
    country: str,
    asns: Sequence[int],
) -> tuple[Sequence[ServiceHour], Sequence[strips.Told]]:
    """Those of a service in networks of a country, and in all countries, which need not be told
    apart."""
    since, until, days = window.since, window.until, window.daily
    past = site.as_of is not None and site.as_of < until
    if past or not (days or since >= site.hours_kept_since):
        here = await sums(site, connection, window, [service], country, asns)
        return here, await sums(site, connection, window, [service])
    return await service_everywhere(connection, service, since, until, country, asns, days=days)


async def _sums_until(
    site: Site,
    connection: ReadTransaction,
    window: strips.Window,
    services: Sequence[str],
    country: str | None,
    asns: Sequence[int],
) -> Sequence[ServiceHour]:
    """The same up to the site's moment of the past, and nothing of what was measured after it."""
    end = site.clock() + 1
    hour = (end - 1) - (end - 1) % HOUR_MS
    begin = hour - hour % DAY_MS if window.daily else window.since
    before = (
        await service_days(connection, services, window.since, begin, country=country, asns=asns)
        if window.daily and window.since < begin
        else []
    )
    hours = await service_hours(
        connection,
        services,
        begin,
        hour,
        country=country,
        asns=asns,
        kept=begin >= site.hours_kept_since,
    )
    measured = await measured_targets(connection)
    targets = [target for service in services for target in measured.get(service, ())]
    last = [*hours, *await part_of_hour(connection, targets, end, country, asns)]
    return [*before, *(by_day(last) if window.daily else last)]


async def counted_until(
    site: Site,
    connection: ReadTransaction,
    series: Sequence[tuple[str, str, int]],
    window: strips.Window,
) -> Sequence[StateCount]:
    """`count_series` in a window, up to the site's moment: cells hold whole hours."""
    since, until, width = window.since, window.until, window.width
    if site.as_of is None or width < HOUR_MS:
        return await count_series(connection, series, since, until, width)
    end = min(until, site.as_of + 1)
    hour = max(since, end - end % HOUR_MS)
    whole = await count_series(connection, series, since, hour, width)
    return [*whole, *await count_series(connection, series, hour, end, MINUTE_MS)]


class HistoryLine(msgspec.Struct, frozen=True):
    """One line of a chart."""

    name: str
    judged: Sequence[int]
    failing: Sequence[int]
    """Measurements by slice."""
    vantages: Sequence[int]


def series(
    rows: Iterable[ServiceHour], window: strips.Window, by: str, names: Mapping[str, str]
) -> list[HistoryLine]:
    """One line for each value of `by` (`country` or `service`), those that fail most first."""
    lines: dict[str, list[list[int]]] = defaultdict(lambda: [[0] * window.slices for _ in range(3)])
    for row in rows:
        index = (row.hour - window.since) // window.width
        if 0 <= index < window.slices:
            judged, failing, vantages = lines[str(getattr(row, by))]
            judged[index] += row.judged
            failing[index] += row.failing
            vantages[index] = max(vantages[index], row.vantages)
    made = [HistoryLine(names.get(key, key), *counts) for key, counts in lines.items()]
    return sorted(made, key=lambda line: (-sum(line.failing), line.name))
