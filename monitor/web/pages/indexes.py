# SPDX-License-Identifier: Apache-2.0
"""Lists: every service of the catalogue, every known country."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from monitor.detection.events.present import confirmed_open
from monitor.detection.model import Event
from monitor.text import words
from monitor.text.language import _, n_
from monitor.web.draw import worldmap
from monitor.web.draw.matrix import country_matrix
from monitor.web.fleet import active, fleet
from monitor.web.moment import reading, site_of
from monitor.web.render import render
from monitor.web.views import services_here


async def services(request: web.Request) -> web.Response:
    """Render all services, those that are blocked somewhere first."""
    site = site_of(request)
    async with reading(request) as (connection, present):
        known = await services_here(site, connection, present)
    opened = present.opened
    countries, rows = country_matrix(known, present.kinds(), opened, present.reached)
    cells = {id: cells for id, _name, cells in rows}
    listed: list[dict[str, Any]] = []
    for service in known:
        seen = [
            {"country": country, **cell}
            for country, cell in zip(countries, cells.get(service.id, ()), strict=False)
            if cell is not None
        ]
        seen.sort(key=lambda cell: (cell["rank"], cell["country"]))
        if seen or site.service(service.id):
            listed.append({"service": service, "cells": seen})
    listed.sort(
        key=lambda row: (
            row["cells"][0]["rank"] if row["cells"] else 9,
            row["service"].name.lower(),
        )
    )
    measured = sum(bool(row["cells"]) for row in listed)
    headline = services_headline(opened, measured, len(listed))
    values = {"title": _("Services"), "headline": headline, "rows": listed}
    return await render(request, "services.html", values)


async def countries(request: web.Request) -> web.Response:
    """Render all countries that have a vantage, a measurement or an event."""
    site = site_of(request)
    async with reading(request) as (connection, present):
        services = await services_here(site, connection, present)
    opened = present.opened
    rows = country_matrix(services, present.kinds(), opened, present.reached)
    vantages = active(fleet(site, present), "vantage")
    places = worldmap.places(*rows, vantages, opened, present.measured_by_others)
    total = Counter(probe.country for probe, _status in vantages)
    online = Counter(probe.country for probe, status in vantages if status == "online")
    networks: dict[str, set[int]] = defaultdict(set)
    for probe, _status in vantages:
        networks[probe.country].add(probe.asn)
    for state in present.states():
        networks[state.country].add(state.asn)
    for event in opened:
        networks[event.country].update(event.asns)
    listed = [
        {
            "place": place,
            "online": online[place.country],
            "total": total[place.country],
            "networks": sorted(networks.get(place.country, ())),
            "events": [event for event in opened if event.country == place.country],
        }
        for place in places
    ]
    values = {
        "title": _("Countries"),
        "headline": countries_headline(
            opened, sum(p.country != words.UNKNOWN_COUNTRY for p in places)
        ),
        "rows": listed,
        "world": worldmap.world(places),
        "names": site.service_names,
    }
    return await render(request, "countries.html", values)


def services_headline(opened: Sequence[Event], measured: int, known: int) -> str:
    """How many are blocked somewhere, of how many that are measured; `known` are those of the
    catalogue, and those measured that have left it."""
    total = words.plural(known, "service")
    blocked = _confirmed(opened, lambda event: event.service)
    if not measured and not blocked:
        return _("%(services)s in the catalogue; none measured recently.", services=total)
    if blocked:
        # Of the services that nobody measures nothing is known.
        return n_(
            "%(n)s of %(services)s measured is blocked somewhere.",
            "%(n)s of %(services)s measured are blocked somewhere.",
            blocked,
            n=words.number(blocked, True),
            services=words.plural(max(measured, blocked), "service"),
        )
    return _(
        "No known blocks; %(n)s of %(services)s measured recently.", n=measured, services=total
    )


def countries_headline(opened: Sequence[Event], known: int) -> str:
    """In how many countries something is blocked, of how many that are watched."""
    blocked = _confirmed(opened, lambda event: event.country)
    if not known:
        return _("No probes in any country yet.")
    if blocked:
        return n_(
            "Something is blocked in %(blocked)s of %(n)s country that we know of.",
            "Something is blocked in %(blocked)s of %(n)s countries that we know of.",
            known,
            blocked=words.number(blocked),
        )
    return n_(
        "No confirmed block in %(n)s country that we know of.",
        "No confirmed block in %(n)s countries that we know of.",
        known,
    )


def _confirmed(opened: Sequence[Event], key: Any) -> int:
    return len({key(event) for event in confirmed_open(opened)})
