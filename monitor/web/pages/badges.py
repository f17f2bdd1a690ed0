# SPDX-License-Identifier: Apache-2.0
"""Badges: the present state of a service, everywhere or in a country, as a small SVG that other
pages embed.
"""

from __future__ import annotations

from html import escape

from aiohttp import web

from monitor.detection.events.present import PresentState, confirmed_open, leading
from monitor.detection.model import State
from monitor.store.records import Filter
from monitor.text import words
from monitor.web.answers import svg_answer
from monitor.web.draw.matrix import cell
from monitor.web.fleet import unwatched
from monitor.web.freshness import freshness
from monitor.web.moment import reading, site_of
from monitor.web.params import refuse_unknown
from monitor.web.views import known_service

CHARACTER = 6.6
"""Width of a character of 11 px in pixels, on average."""
COLOURS = {
    "blocked": "#b3001b",
    "clearing": "#b3001b",
    "likely": "#b34a12",
    "single": "#7a5300",
    "ok": "#2f5f7d",
    "down": "#6b5fa8",
}
"""Background of the state; dark enough for white text (WCAG AA)."""
MAX_AGE_SECONDS = 10
"""Whoever compares a badge with a page is to see the same."""


async def badge(request: web.Request) -> web.Response:
    """A badge."""
    site = site_of(request)
    refuse_unknown(request, ("lang", "as_of"))
    country = request.match_info.get("country")
    code = country.upper() if country else None
    if code is not None and code not in words.COUNTRIES:
        raise web.HTTPNotFound(reason="No country has this code.")
    async with reading(request) as (connection, present):
        service = await known_service(site, connection, present, request.match_info["service"])
    events = [
        event
        for event in present.opened
        if event.service == service.id and code in (None, event.country)
    ]
    rows: list[PresentState] = list(present.states(Filter(service=service.id, country=code)))
    first = leading(events)
    reached = {row.target for row in rows if row.state is State.OK}
    found = cell({row.state for row in rows}, first, len(reached), len(service.targets))
    kind, word = (found["kind"], found["word"]) if found else ("insufficient", "no data")
    if first is not None and code is None and kind == "blocked":
        confirmed = confirmed_open(events)
        countries = {event.country for event in confirmed}
        word = f"blocked in {words.plural(len(countries), 'country')}"
        if len(unwatched(site, present, confirmed)) == len(confirmed):
            word += ", no data now"
    scope = found["scope"] if found else ""
    if scope and (code is not None or len(events) <= 1):
        word = f"{word}: {scope}"
    if site.as_of is None:
        fresh = await freshness(site)
        if fresh.until is not None and fresh.part.has(service.id):
            # Where it is embedded nothing else says so.
            word = f"{word} (as of {words.when(fresh.until)})"
    label = service.name if code is None else f"{service.name} in {words.country(code)}"
    picture = svg(label, word, COLOURS.get(kind, "#5d666e"))
    return svg_answer(picture, {"Cache-Control": f"public, max-age={MAX_AGE_SECONDS}"})


def svg(label: str, word: str, colour: str) -> str:
    """The picture: a label on grey and a word on a colour."""
    left, right = (round(len(text) * CHARACTER) + 14 for text in (label, word))
    text = (
        '<text x="{x}" y="14" fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" '
        'font-size="11" textLength="{length}">{text}</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{escape(label)}: {escape(word)}"><title>{escape(label)}: {escape(word)}'
        f'</title><rect width="{left}" height="20" fill="#3a4046"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/>'
        + text.format(x=7, length=left - 14, text=escape(label))
        + text.format(x=left + 7, length=right - 14, text=escape(word))
        + "</svg>"
    )
