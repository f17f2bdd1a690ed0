# SPDX-License-Identifier: Apache-2.0
"""The strips of a service, a country or a network as one SVG that stands by itself, for articles
and papers.
"""

from __future__ import annotations

from operator import attrgetter

from aiohttp import web
from msgspec.structs import replace

from monitor.text import words
from monitor.text.language import _
from monitor.text.network_names import network
from monitor.web.answers import svg_answer
from monitor.web.draw import strips
from monitor.web.draw.event_marks import Breadth
from monitor.web.event_failures import told_by_events
from monitor.web.history import range_or_week, sums
from monitor.web.moment import reading, site_of
from monitor.web.params import BadParameterError, chosen
from monitor.web.render import template
from monitor.web.unmeasured import refuse_unmeasured
from monitor.web.views import drawn_window, known_events

MAX_ROWS = 40
"""Rows of a picture: those that fail most."""
FILLS = {
    "ok": "#a9cfe4",
    "blocked": "#b3001b",
    "part": "#b3001b",
    "impaired": "url(#dots)",
    "likely": "url(#hatch)",
    "likely-part": "url(#hatch)",
    "mixed": "url(#bars)",
    "down": "#6b5fa8",
    "unclear": "#aab0b5",
    "none": "#dfddd8",
}
"""Colours of the light pages; a picture is printed on white."""


async def svg(request: web.Request) -> web.Response:
    """The picture; a week unless a range is chosen."""
    site = site_of(request)
    wanted = chosen(request)
    if wanted.service is None and wanted.country is None and wanted.asn is None:
        raise BadParameterError("service, country or asn: one of them must be given")
    await refuse_unmeasured(request)
    span = range_or_week(request)
    services = [each.id for each in site.catalogue.services if wanted.service in (None, each.id)]
    asns = () if wanted.asn is None else (wanted.asn,)
    by_country = wanted.service is not None and wanted.country is None
    async with reading(request) as (connection, present):
        window = await drawn_window(site, connection, present, span, wanted.service)
        read = await sums(site, connection, window, services, wanted.country, asns)
        within = replace(wanted, since=window.since, until=window.until)
        events = await known_events(site, connection, within)
        shown = await told_by_events(site, connection, read, events, window)
    names = site.service_names
    key_of = attrgetter("country" if by_country else "service")
    made: dict[str, strips.Strip] = strips.strips_by(
        key_of,
        shown,
        window,
        site.interval_ms,
        events,
        Breadth.COUNTRY if wanted.asn is None else Breadth.NETWORK,
    )
    drawn = [
        (words.sentence(words.country(key)) if by_country else names.get(key, key), strip)
        for key, strip in made.items()
    ]
    drawn.sort(key=lambda each: (-each[1].failing, each[0]))
    drawn = drawn[:MAX_ROWS]
    if read:
        label = _("The service itself") if wanted.service else _("The services themselves")
        control = strips.control_strip(
            read, window, site.interval_ms, None if wanted.service else names
        )
        drawn.insert(0, (label, control))
    place = [words.country(wanted.country)] if wanted.country else []
    place += [network(wanted.asn)] if wanted.asn is not None else []
    subject = names.get(wanted.service, wanted.service) if wanted.service else _("Services")
    values = {
        "title": _("%(what)s in %(place)s", what=subject, place=", ".join(place))
        if place
        else _("%(what)s by country", what=subject),
        "rows": drawn,
        "window": window,
        "height": 58 + 24 * len(drawn) + 112,
        "fills": FILLS,
        "site": site,
        "now": site.clock(),
    }
    return svg_answer(template("picture.svg").render(values))
