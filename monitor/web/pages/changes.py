# SPDX-License-Identifier: Apache-2.0
"""Changes of state of events, newest first: a page, and Atom feeds (RFC 4287) of everything, of a
service, of a country, or of a service in a country.

Feeds leave out what only one vantage saw. They tell the end of a block and correct what was
retracted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from aiohttp import web
from msgspec.structs import replace

from monitor.detection.model import NEVER, ChangeKind, Event, Tier
from monitor.interop.licences import OWN, licences_of
from monitor.store.reading.events import FOLLOWED, Transition, list_transitions
from monitor.store.records import Filter
from monitor.text import event_evidence, event_headlines, event_sources, words
from monitor.text.language import _
from monitor.web.answers import PUBLIC
from monitor.web.fleet import unwatched
from monitor.web.moment import reading, site_of
from monitor.web.params import BadParameterError, chosen, refuse_unknown, without_empty
from monitor.web.present import Present
from monitor.web.render import render
from monitor.web.site import Site
from monitor.web.unmeasured import refuse_unmeasured
from monitor.web.views import known_service
from probes.wire.countries import COUNTRIES

PAGE_ROWS = 100
FEED_ENTRIES = 50
FEED_FILTERS = frozenset(("service", "country"))
ATOM = "http://www.w3.org/2005/Atom"
ET.register_namespace("", ATOM)
MARKS = {
    "opened": ("single", "first alarm"),
    "likely": ("likely", "likely blocked"),
    "confirmed": ("blocked", "blocked (confirmed)"),
    "clearing": ("clearing", "clearing"),
    "again": ("blocked", "reopened"),
    "closed": ("ok", "reachable again"),
    "retracted": ("inconclusive", "retracted"),
    "note": ("inconclusive", "note"),
}
"""(kind of mark, word) by change."""


async def page(request: web.Request) -> web.Response:
    """Render the log of changes."""
    without_empty(request)
    site, wanted = site_of(request), chosen(request)
    before = request.query.get("before")
    if before is not None and not re.fullmatch("[0-9]{1,15}", before):
        raise BadParameterError(f"before: must be a number, not {before[:40]!r}")
    await refuse_unmeasured(request)
    async with reading(request) as (connection, present):
        rows = await list_transitions(
            connection,
            wanted,
            before=int(before) if before else None,
            until=site.as_of,
            limit=PAGE_ROWS + 1,
        )
    more = len(rows) > PAGE_ROWS
    turned = turns(_events(rows[:PAGE_ROWS], present.opened, wanted))
    oldest = rows[PAGE_ROWS - 1].at if more else 0
    newest = rows[0].at if before and rows else site.as_of or NEVER
    rows = [*rows[:PAGE_ROWS], *(row for row in turned if oldest <= row.at <= newest)]
    values = {
        "title": _("Changes"),
        "heading": _heading(site, wanted),
        "rows": [
            (row, _title(site, row), _mark(row.kind))
            for row in sorted(rows, key=lambda row: -row.at)
        ],
        "next": min(row.number for row in rows if row.number) if more else None,
        "wanted": wanted,
        "filters": _query(wanted),
        "names": site.service_names,
    }
    return await render(request, "changes.html", values)


def _key(row: Transition) -> str:
    """Different for each change of an event: only turns come more than once."""
    return row.key if row.number else f"{row.kind}-{row.at // 1000}"


def _events(rows: Iterable[Transition], opened: Iterable[Event], wanted: Filter) -> list[Event]:
    """The events of some changes, and those that are open, each once."""
    listed = {row.event.id: row.event for row in rows}
    for event in opened:
        if wanted.service in (None, event.service) and wanted.country in (None, event.country):
            listed.setdefault(event.id, event)
    return list(listed.values())


def turns(events: Iterable[Event]) -> list[Transition]:
    """When events seemed to end, and went on: what the journal does not record, because nothing is
    decided by it, but the history of an event does."""
    return [
        Transition(0, change.round, change.kind, event)
        for event in events
        for change in event.history
        if change.kind in (ChangeKind.CLEARING, ChangeKind.AGAIN)
    ]


def _mark(change: str) -> tuple[str, str]:
    kind, word = MARKS.get(change, ("ok", change))
    return kind, _(word)


def _heading(site: Site, wanted: Filter) -> str:
    service = site.service_names.get(wanted.service or "", wanted.service or "")
    country = words.country(wanted.country) if wanted.country else ""
    if service and country:
        return _("Changes of %(service)s in %(country)s", service=service, country=country)
    if service:
        return _("Changes of %(service)s", service=service)
    return _("Changes in %(country)s", country=country) if country else _("Changes")


async def feed(request: web.Request) -> web.Response:
    """A feed."""
    site = site_of(request)
    # A slip would follow everything.
    refuse_unknown(request, FEED_FILTERS - set(request.match_info) | {"lang"})
    wanted = chosen(request)
    if "service" in request.match_info:
        wanted = replace(wanted, service=request.match_info["service"])
    if (country := request.match_info.get("country")) is not None:
        if country.upper() not in COUNTRIES:
            raise web.HTTPNotFound(reason="No country has this code.")
        wanted = replace(wanted, country=country.upper())
    async with reading(request) as (connection, present):
        if wanted.service is not None:
            await known_service(site, connection, present, wanted.service)
        rows = await list_transitions(connection, wanted, kinds=FOLLOWED, limit=FEED_ENTRIES)
    told = [row for row in rows if row.followed]
    turned = turns(_events(told, present.opened, wanted))
    oldest = rows[-1].at if len(rows) == FEED_ENTRIES else 0
    told += [row for row in turned if row.at >= oldest and row.event.tier is not Tier.UNCONFIRMED]
    told.sort(key=lambda row: -row.at)
    return web.Response(
        body=atom(site, wanted, told, present),
        content_type="application/atom+xml",
        charset="utf-8",
        headers=PUBLIC,
    )


def atom(site: Site, wanted: Filter, rows: Sequence[Transition], known: Present) -> bytes:
    """The feed as XML."""
    query = _query(wanted)
    address = f"{site.public_url}/feed.atom{query}"
    root = ET.Element(f"{{{ATOM}}}feed")
    _add(root, "title", _feed_title(site, wanted))
    _add(root, "id", address)
    _add(root, "updated", words.machine(max((row.at for row in rows), default=site.clock())))
    _add(root, "link", rel="self", href=address)
    _add(root, "link", rel="alternate", href=f"{site.public_url}/changes{query}")
    _add(root, "rights", OWN.name)
    _add(_add(root, "author"), "name", "Reachwatch")
    newest: set[str] = set()
    for row in rows:
        event, permalink = row.event, f"{site.public_url}/e/{row.event.id}"
        entry = _add(root, "entry")
        for licence in licences_of(event.sources):
            if licence is not OWN:
                _add(entry, "rights", f"{licence.name}: rests on data of {licence.holder}")
        _add(entry, "title", _title(site, row))
        _add(entry, "id", f"{permalink}#{_key(row)}")
        _add(entry, "updated", words.machine(row.at))
        _add(entry, "link", rel="alternate", href=permalink)
        _add(entry, "category", term=row.kind)
        _add(entry, "category", term=event.service, scheme=f"{site.public_url}/s")
        _add(entry, "category", term=event.country, scheme=f"{site.public_url}/c")
        for source in event.sources:
            _add(entry, "category", term=source, scheme=f"{site.public_url}/data")
        if row.note is not None and row.note.link:
            _add(entry, "link", rel="related", href=row.note.link)
        # Only the present form of an event is known, so only its newest entry shows that form.
        present = event_evidence.scope(event, None, watched=not unwatched(site, known, [event]))
        if event.id in newest:
            name = site.service_names.get(event.service, event.service)
            present = _("Since then: %(event)s", event=event_headlines.headline(event, name))
        newest.add(event.id)
        parts = (
            present,
            event_sources.also_shown(event),
            event_evidence.manner(event),
            event_evidence.end_range(event),
        )
        _add(entry, "summary", " ".join(part for part in parts if part))
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _add(parent: ET.Element, name: str, text: str | None = None, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, f"{{{ATOM}}}{name}", attributes)
    child.text = text
    return child


def _title(site: Site, row: Transition) -> str:
    name = site.service_names.get(row.event.service, row.event.service)
    return event_headlines.change_headline(row.event, row.kind, name, row.note)


def _feed_title(site: Site, wanted: Filter) -> str:
    title = "Reachwatch"
    if wanted.service is not None:
        title += f": {site.service_names.get(wanted.service, wanted.service)}"
    if wanted.country is not None:
        title += f" in {words.country(wanted.country)}"
    return title + (" (demonstration)" if site.demo else "")


def _query(wanted: Filter) -> str:
    chosen: dict[str, Any] = {"service": wanted.service, "country": wanted.country}
    parts = [f"{name}={value}" for name, value in chosen.items() if value is not None]
    return f"?{'&'.join(parts)}" if parts else ""
