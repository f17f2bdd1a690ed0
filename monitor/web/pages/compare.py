# SPDX-License-Identifier: Apache-2.0
"""Two views over everything that is summed up, with their state in the address: Compare draws the
strips of services or countries below each other, Explore is a table of services by countries whose
cells lead to the measurements behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import msgspec
from aiohttp import web

from monitor.detection.model import Event
from monitor.store.reading.counts import ServiceHour, ServiceTotal, service_totals
from monitor.store.records import Filter
from monitor.text import words
from monitor.text.language import _
from monitor.web.draw import strips
from monitor.web.history import TimeRange, range_or_week, sums
from monitor.web.moment import site_of
from monitor.web.params import BadParameterError, without_empty
from monitor.web.render import render
from monitor.web.site import Site
from monitor.web.views import drawn_window, known_events

MOST = 12
"""Services or countries compared at once."""


def _listed(request: web.Request, name: str) -> list[str]:
    """Values of a parameter that may be repeated, or have commas."""
    given = [part.strip() for text in request.query.getall(name, ()) for part in text.split(",")]
    found = list(dict.fromkeys(part for part in given if part))
    if len(found) > MOST:
        raise BadParameterError(f"{name}: at most {MOST} at once")
    return found


def _services(site: Site, request: web.Request) -> list[str]:
    found = _listed(request, "service")
    for id in found:
        if site.service(id) is None:
            raise BadParameterError(f"service: {id[:40]!r} is not in the catalogue")
    return found


def _countries(request: web.Request) -> list[str]:
    found = [code.upper() for code in _listed(request, "country")]
    for code in found:
        if code not in words.COUNTRIES:
            raise BadParameterError(f"country: no country has the code {code[:40]!r}")
    return found


async def compare(request: web.Request) -> web.Response:
    """Render strips of the chosen services in the chosen countries, below each other."""
    without_empty(request)
    site = site_of(request)
    services, countries = _services(site, request), _countries(request)
    span = range_or_week(request)
    read, events = (
        await _read(site, span, services, countries) if services or countries else ((), ())
    )
    async with site.database.reading() as connection:
        window = await drawn_window(site, connection, span, None)
    names = site.service_names
    drawn = [
        {
            "service": service,
            "country": country,
            "label": _("%(what)s in %(place)s", what=names[service], place=words.country(country)),
            "strip": strip,
        }
        for (service, country), strip in strips.strips_by(
            attrgetter("service", "country"), read, window, site.interval_ms, events
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
        **_addresses(request, span, services, countries),
    }
    return await render(request, "compare.html", values)


def _addresses(
    request: web.Request, span: TimeRange, services: Sequence[str], countries: Sequence[str]
) -> dict[str, str]:
    """The query of this page, its address at exactly this time, and the query of its data; a list
    of the API takes one service and one country."""
    filters = request.url.without_query_params("lang")
    choice = filters.without_query_params("range", "since", "until").relative()
    one = [
        f"{name}={some[0]}"
        for name, some in (("service", services), ("country", countries))
        if len(some) == 1
    ]
    return {
        "filters": filters.query_string,
        "pinned": f"{choice}{'&' if choice.query_string else '?'}{span.fixed}",
        "export": "&".join([*one, span.fixed]),
    }


class Cell(msgspec.Struct, frozen=True):
    """A service in a country over the chosen time."""

    failing: int
    judged: int
    kind: str
    """`blocked` where something failed as blocked in some hour or day."""

    @property
    def share(self) -> str:
        """`12 %`."""
        return f"{100 * self.failing / self.judged:.0f} %" if self.judged else _("no data")


async def explore(request: web.Request) -> web.Response:
    """Render services by countries: the share of measurements that failed as blocked."""
    without_empty(request)
    site = site_of(request)
    services, countries = _services(site, request), _countries(request)
    span = range_or_week(request)
    wanted = services or [service.id for service in site.catalogue.services]
    window = span.window
    async with site.database.reading() as connection:
        totals = await service_totals(
            connection, wanted, window.since, window.until, daily=window.daily
        )
    cells = {
        (row.service, row.country): _cell(row)
        for row in totals
        if not countries or row.country in countries
    }
    columns = sorted(
        {country for _service, country in cells}, key=lambda code: _worst(cells, 1, code)
    )
    lines = sorted(
        {service for service, _country in cells}, key=lambda name: _worst(cells, 0, name)
    )
    values = {
        "title": _("Explore"),
        "columns": columns,
        "lines": [(id, [cells.get((id, code)) for code in columns]) for id in lines],
        "services": services,
        "countries": countries,
        "names": site.service_names,
        "chosen": span,
        "window": span.window,
        **_addresses(request, span, services, countries),
    }
    return await render(request, "explore.html", values)


def _worst(cells: dict[tuple[str, str], Cell], part: int, value: str) -> tuple[float, str]:
    """What orders a row or column: the largest share that failed, first."""
    shares = [
        cell.failing / cell.judged
        for key, cell in cells.items()
        if key[part] == value and cell.judged
    ]
    return -max(shares, default=0.0), value


def _cell(total: ServiceTotal) -> Cell:
    kind = "ok" if total.judged else "insufficient"
    if total.blocked:
        kind = "blocked"
    elif total.failing:
        kind = "impaired"
    return Cell(total.failing, total.judged, kind)


async def _read(
    site: Site, span: TimeRange, services: Sequence[str], countries: Sequence[str]
) -> tuple[Sequence[ServiceHour], Sequence[Event]]:
    wanted = services or [service.id for service in site.catalogue.services]
    found: list[ServiceHour] = []
    events: list[Event] = []
    async with site.database.reading() as connection:
        for country in countries or (None,):
            found += await sums(connection, span.window, wanted, country)
        window = span.window
        for service in services or (None,):
            chosen = Filter(service=service, since=window.since, until=window.until)
            events += await known_events(site, connection, chosen)
    return found, events
