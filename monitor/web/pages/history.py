# SPDX-License-Identifier: Apache-2.0
"""The series behind the chart of a page: by slice of a chosen range, measurements that are
conclusive and those that failed as blocked, as JSON and CSV.
"""

from __future__ import annotations

import itertools

from aiohttp import web
from msgspec.structs import replace

from monitor.interop.csv_text import csv_text
from monitor.interop.forms import rfc3339
from monitor.text import words
from monitor.web.answers import csv_file, json_answer
from monitor.web.event_failures import sums_told
from monitor.web.history import HistoryLine, TimeRange, chosen_range, series, sums
from monitor.web.moment import site_of
from monitor.web.params import BadParameterError, chosen
from monitor.web.unmeasured import refuse_unmeasured
from monitor.web.views import known_events

MAX_SERIES = 60
"""Lines in one answer: those that fail most."""


async def _read(request: web.Request) -> tuple[TimeRange, list[HistoryLine]]:
    site = site_of(request)
    wanted = chosen(request)
    if wanted.service is None and wanted.country is None and wanted.asn is None:
        raise BadParameterError("service, country or asn: one of them must be given")
    await refuse_unmeasured(request)
    span = chosen_range(request)
    if span is None:
        raise BadParameterError("range: must be given, or since and until")
    services = [each.id for each in site.catalogue.services if wanted.service in (None, each.id)]
    asns = () if wanted.asn is None else (wanted.asn,)
    async with site.database.reading() as connection:
        window = span.window
        rows = await sums(site, connection, window, services, wanted.country, asns)
        within = replace(wanted, since=window.since, until=window.until)
        events = await known_events(site, connection, within)
        rows = await sums_told(site, connection, rows, events, window)
    by = "country" if wanted.service is not None and wanted.country is None else "service"
    names = site.service_names
    if by == "country":
        names = {row.country: words.sentence(words.country(row.country)) for row in rows}
    return span, series(rows, window, by, names)[:MAX_SERIES]


def _times(span: TimeRange) -> list[int]:
    window = span.window
    return list(itertools.islice(itertools.count(window.since, window.width), window.slices))


async def as_json(request: web.Request) -> web.Response:
    """The series of a service by country, or of a country or network by service."""
    chosen, lines = await _read(request)
    return json_answer({"times": _times(chosen), "series": lines} | site_of(request).simulated)


async def as_csv(request: web.Request) -> web.Response:
    """The same, one row a slice and line."""
    chosen, lines = await _read(request)
    times = [rfc3339(at) for at in _times(chosen)]
    rows = (
        (at, line.name, *counts)
        for line in lines
        for at, *counts in zip(times, line.judged, line.failing, line.vantages, strict=True)
    )
    heading = ("begin", "name", "measurements", "failing", "vantages")
    return csv_file(f"{site_of(request).file_prefix}history", csv_text([heading, *rows]))
