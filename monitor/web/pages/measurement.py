# SPDX-License-Identifier: Apache-2.0
"""One measurement: verdict, rule, steps, and the control's steps beside them."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web
from msgspec.structs import replace
from yarl import URL

from monitor.detection.events.gates import not_counted
from monitor.detection.model import Stored, Verdict
from monitor.store.reading.days import dropped_since
from monitor.store.reading.events import list_events
from monitor.store.reading.explanation import stood_in
from monitor.store.reading.measurements import (
    JudgedMeasurement,
    get_verdict,
    newest_of_controls,
    search_judged,
)
from monitor.store.records import Filter
from monitor.text import words
from monitor.text.certificates import escape_control_characters
from monitor.text.language import _
from monitor.text.network_names import network
from monitor.text.page_in_place import page_sentence
from monitor.web.draw.step_table import endpoint_steps
from monitor.web.fleet import owner_of
from monitor.web.moment import present_of, site_of
from monitor.web.params import after_of, chosen_verdicts
from monitor.web.render import render
from monitor.web.site import Site
from monitor.web.unmeasured import refuse_unmeasured
from monitor.web.views import in_event, no_measurement, until_of
from probes.wire.measurement import LIVENESS_TARGETS, Measurement

EVENTS = 3
"""Events that a measurement's page names."""
ROWS = 100
"""Measurements a page of the list."""
AFTER = "[0-9]{1,18}"
NOT_FILTERS = ("after", "lang")
WITHOUT_CONTROL = frozenset(("no_control", "control_fails"))
"""With these a verdict names a rule that would accuse if a control had passed."""


async def page(request: web.Request) -> web.Response:
    """Render a measurement."""
    site = site_of(request)
    id = request.match_info["id"]
    found = await site.database.facts.measurement(id)
    if found is None:
        raise await no_measurement(site, id)
    stored, line, arrival, first_key = found
    measurement = stored.measurement
    async with site.database.reading() as connection:
        verdict = await get_verdict(connection, measurement, arrival)
        events = await list_events(connection, _same_place(measurement), limit=EVENTS)
        counted = await stood_in(connection, [_judged(stored, verdict)] if verdict else ())
    control = await nearest_control(site, stored)
    service = site.service(measurement.service)
    values = {
        "title": _("Measurement of %(target)s", target=measurement.target),
        "state": words.measurement_mark(verdict.state if verdict else None),
        "stored": stored,
        "owner": owner_of(await present_of(request), measurement.probe),
        "measurement": measurement,
        "signed": first_key is not None and first_key <= stored.received,
        "service": service.name if service else measurement.service,
        "verdict": verdict,
        "reason": not_counted(verdict) if verdict else "",
        "stood_in": counted,
        "events": events,
        "comment": comment_on(verdict) if verdict else "",
        "page_in_place": page_sentence(measurement),
        "steps": endpoint_steps(measurement),
        "control": control,
        "control_steps": endpoint_steps(control.measurement) if control else [],
        "raw": escape_control_characters(line.decode("utf-8", errors="replace")),
        "is_liveness": measurement.target in LIVENESS_TARGETS,
    }
    return await render(request, "measurement.html", values)


def comment_on(verdict: Verdict) -> str:
    """What its rule says, as far as it is known."""
    return words.rule_comment(verdict.rule, control=WITHOUT_CONTROL.isdisjoint(verdict.evidence))


def _judged(stored: Stored, verdict: Verdict) -> JudgedMeasurement:
    measurement = stored.measurement
    return JudgedMeasurement(
        id=measurement.id,
        target=measurement.target,
        country=measurement.vantage.country,
        asn=measurement.vantage.asn,
        probe=measurement.probe,
        round=measurement.round,
        started=measurement.started,
        arrival=0,
        verdict=verdict,
    )


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
    site = site_of(request)
    wanted, after = chosen_verdicts(request), after_of(request, AFTER)
    await refuse_unmeasured(request)
    event = None
    if (last := until_of(site)) is not None:
        until = last if wanted.until is None else min(last, wanted.until)
        wanted = replace(wanted, until=until)
    async with site.database.reading() as connection:
        if id := request.query.get("event"):
            event, wanted = await in_event(site, connection, id, wanted)
        key = None if after is None else (after[0], int(after[1]))
        part = await search_judged(connection, wanted, after=key, limit=ROWS)
        counted = await stood_in(connection, part.rows)
        dropped = await dropped_since(connection, wanted.since)
    kept = [(name, value) for name, value in request.query.items() if name not in NOT_FILTERS]
    values = {
        "title": _("Measurements"),
        "heading": _heading(wanted, site.service_names),
        "event": event,
        "rows": part.rows,
        "reasons": [not_counted(row.verdict) for row in part.rows],
        "stood_in": counted,
        "sources": {row.source for row in part.rows},
        "wanted": wanted,
        "names": site.service_names,
        "filters": str(URL("/").with_query(kept).query_string),
        "bare": str(URL("/").with_query([x for x in kept if x[0] != "counted"]).query_string),
        "following": None if part.following is None else "{}-{}".format(*part.following),
        "dropped": dropped,
        "searched": part.following and len(part.rows) < ROWS and part.following[0],
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
