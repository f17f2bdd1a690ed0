# SPDX-License-Identifier: Apache-2.0
"""Compare: strips of the chosen services and countries below each other, with all that is chosen in
the address.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from aiohttp import web

from monitor.detection.model import Event
from monitor.store.reading.counts import ServiceHour
from monitor.store.records import Filter
from monitor.text import words
from monitor.text.language import _
from monitor.web.draw import strips
from monitor.web.event_failures import told_by_events
from monitor.web.history import TimeRange, range_or_week, sums
from monitor.web.moment import reading, site_of
from monitor.web.pages.choice import MOST, addresses, chosen_countries, chosen_services
from monitor.web.params import without_empty
from monitor.web.render import render
from monitor.web.site import Site
from monitor.web.views import drawn_window, known_events


async def page(request: web.Request) -> web.Response:
    """Render strips of the chosen services in the chosen countries, below each other."""
    without_empty(request)
    site = site_of(request)
    services, countries = chosen_services(site, request), chosen_countries(request)
    span = range_or_week(request)
    read, events = (
        await _read(site, span, services, countries) if services or countries else ((), ())
    )
    async with reading(request) as (connection, present):
        window = await drawn_window(site, connection, present, span, None)
        shown = await told_by_events(site, connection, read, events, window)
    names = site.service_names
    drawn = [
        {
            "service": service,
            "country": country,
            "label": _("%(what)s in %(place)s", what=names[service], place=words.country(country)),
            "strip": strip,
        }
        for (service, country), strip in strips.strips_by(
            attrgetter("service", "country"), shown, window, site.interval_ms, events
        ).items()
    ]
    drawn.sort(key=lambda row: (-row["strip"].failing, row["label"]))
    values = {
        "title": _("Compare"),
        "rows": drawn[: MOST * MOST],
        "control": strips.control_strip(read, window, site.interval_ms, names),
        "services": services,
        "countries": countries,
        "names": names,
        "chosen": span,
        "window": window,
        **addresses(request, span, services, countries),
    }
    return await render(request, "compare.html", values)


async def _read(
    site: Site, span: TimeRange, services: Sequence[str], countries: Sequence[str]
) -> tuple[Sequence[ServiceHour], Sequence[Event]]:
    wanted = services or [service.id for service in site.catalogue.services]
    found: list[ServiceHour] = []
    events: list[Event] = []
    async with site.database.reading() as connection:
        for country in countries or (None,):
            found += await sums(site, connection, span.window, wanted, country)
        window = span.window
        for service in services or (None,):
            chosen = Filter(service=service, since=window.since, until=window.until)
            events += await known_events(site, connection, chosen)
    return found, events
