# SPDX-License-Identifier: Apache-2.0
"""One measurement: verdict, rule, steps, and the control's steps beside them."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web
from yarl import URL

from monitor.detection.model import Stored
from monitor.store.reading.events import list_events
from monitor.store.reading.measurements import get_verdict, list_judged, newest_of_controls
from monitor.store.records import Filter
from monitor.text import words
from monitor.text.certificates import escape_control_characters
from monitor.text.language import _
from monitor.text.network_names import network
from monitor.text.words import rule_comment as comment
from monitor.web.draw.step_table import endpoint_steps
from monitor.web.fleet import owners
from monitor.web.moment import site_of
from monitor.web.params import after_of, chosen
from monitor.web.render import render
from monitor.web.site import Site
from monitor.web.views import no_measurement
from probes.wire.measurement import LIVENESS_TARGETS, Measurement

EVENTS = 3
"""Events that a measurement's page names."""
ROWS = 100
"""Measurements a page of the list."""
AFTER = "[0-9]{1,18}"


async def page(request: web.Request) -> web.Response:
    """Render a measurement."""
    site = site_of(request)
    id = request.match_info["id"]
    found = await site.database.facts.measurement(id)
    if found is None:
        raise await no_measurement(site)
    stored, line = found
    async with site.database.reading() as connection:
        verdict = await get_verdict(connection, id)
        events = await list_events(connection, _same_place(stored.measurement), limit=EVENTS)
    control = await nearest_control(site, stored)
    measurement = stored.measurement
    service = site.service(measurement.service)
    values = {
        "title": _("Measurement of %(target)s", target=measurement.target),
        "state": words.measurement_mark(verdict.state if verdict else None),
        "stored": stored,
        "owner": owners(await site.present.get()).get(measurement.probe, ""),
        "measurement": measurement,
        "service": service.name if service else measurement.service,
        "verdict": verdict,
        "events": events,
        "comment": comment(verdict.rule) if verdict else "",
        "steps": endpoint_steps(measurement),
        "control": control,
        "control_steps": endpoint_steps(control.measurement) if control else [],
        "raw": escape_control_characters(line.decode("utf-8", errors="replace")),
        "is_liveness": measurement.target in LIVENESS_TARGETS,
    }
    return await render(request, "measurement.html", values)


def _same_place(measurement: Measurement) -> Filter:
    """What was open for the same target and network when a measurement was made."""
    return Filter(
        target=measurement.target,
        country=measurement.vantage.country,
        asn=measurement.vantage.asn,
        since=measurement.round,
        until=measurement.round + 1,
    )


async def listing(request: web.Request) -> web.Response:
    """Render the measurements that a filter chooses, newest first."""
    wanted, after = chosen(request), after_of(request, AFTER)
    async with site_of(request).database.reading() as connection:
        key = None if after is None else (after[0], int(after[1]))
        rows = await list_judged(connection, wanted, after=key, limit=ROWS + 1)
    kept = {name: value for name, value in request.query.items() if name not in ("after", "lang")}
    query = URL("/").with_query(kept).query_string
    values = {
        "title": _("Measurements"),
        "heading": _heading(wanted, site_of(request).service_names),
        "rows": rows[:ROWS],
        "wanted": wanted,
        "names": site_of(request).service_names,
        "filters": f"{query}&" if query else "",
        "following": f"{rows[ROWS - 1].round}-{rows[ROWS - 1].arrival}" if len(rows) > ROWS else "",
    }
    return await render(request, "measurements.html", values)


def _heading(wanted: Filter, names: Mapping[str, str]) -> str:
    service = names.get(wanted.service or "", wanted.service or "")
    places = [words.country(wanted.country)] if wanted.country else []
    places += [network(wanted.asn)] if wanted.asn is not None else []
    place = ", ".join(places)
    if service and place:
        return _("Measurements of %(what)s in %(place)s", what=service, place=place)
    if service:
        return _("Measurements of %(what)s", what=service)
    return _("Measurements in %(place)s", place=place) if place else _("Measurements")


async def nearest_control(site: Site, stored: Stored) -> Stored | None:
    """The control's measurement of the same target in the same round, or in the nearest round
    before it within the policy's window."""
    window = site.policy.ms(site.policy.rounds.control_window_seconds)
    async with site.database.reading() as connection:
        return await newest_of_controls(connection, stored.measurement, window)
