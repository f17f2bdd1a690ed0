# SPDX-License-Identifier: Apache-2.0
"""One service: in which countries is it blocked, and how sure are we?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from operator import attrgetter
from typing import Any

from aiohttp import web

from monitor.detection.events.present import PresentState, confirmed_open, leading, worst
from monitor.detection.model import Event, State
from monitor.store.records import Filter
from monitor.text import event_headlines, event_state, event_subject, words
from monitor.text.language import _, n_
from monitor.web.both_sources import one_picture
from monitor.web.draw import strips
from monitor.web.draw.matrix import RANK, cell
from monitor.web.event_failures import told_by_events
from monitor.web.fleet import unwatched
from monitor.web.history import chosen_range
from monitor.web.moment import reading, site_of
from monitor.web.render import render
from monitor.web.views import (
    drawn_window,
    known_between,
    known_events,
    known_service,
    overlapping,
    record,
    strip_rows,
)

MAX_ROWS = 200
"""States in networks on the page; in a large fleet the worst."""


async def page(request: web.Request) -> web.Response:
    """Render a service."""
    site = site_of(request)
    span = chosen_range(request)
    async with reading(request) as (connection, present):
        service = await known_service(site, connection, present, request.match_info["service"])
        mine = Filter(service=service.id)
        events = await known_events(site, connection, mine)
        ongoing: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            if event.ongoing:
                ongoing[event.country].append(event)
        opened = {place: first for place, mine in ongoing.items() if (first := leading(mine))}
        chosen = await drawn_window(site, connection, present, span, service.id, fine=True)
        measured = await strip_rows(site, connection, chosen, [service])
        cited = await record(site, connection, mine)
        past = await known_between(site, connection, mine, chosen, events) if span else ()
        lasting = past if span else events
        shown = await told_by_events(site, connection, measured, lasting, chosen)
    lasted = overlapping(past, chosen)
    told = opened if span is None else {event.country: event for event in lasted}
    drawn: dict[str, strips.Strip] = strips.strips_by(
        attrgetter("country"), shown, chosen, site.interval_ms, lasting
    )
    nothing = strips.strip((), chosen, site.interval_ms)
    now = present.states(mine)
    rows = now if len(now) <= MAX_ROWS else worst(now, MAX_ROWS)
    known = present.services.get(service.id)
    places = known.by_country if known else {}
    countries: list[dict[str, Any]] = [
        {
            "country": country,
            "event": opened.get(country) if span is None else None,
            "past": [event for event in lasted if event.country == country],
            "cell": cell(
                {row.state for row in here},
                opened.get(country),
                len({row.target for row in here if row.state is State.OK}),
                len(service.targets),
            )
            if span is None
            else None,
            "strip": drawn.get(country, nothing),
            "networks": [] if span else sorted({row.asn for row in here}),
        }
        for country in sorted(drawn.keys() | places.keys() | told.keys())
        for here in (places.get(country, ()),)
    ]
    countries.sort(
        key=lambda row: (
            row["cell"]["rank"] if row["cell"] else 9,
            row["country"] not in told,
            row["country"],
        )
    )
    listed, pairs = one_picture(events)
    values = {
        "title": service.name,
        "record": cited,
        "service": service,
        "headline": headline(
            service.name,
            list(opened.values()),
            len(countries),
            unwatched(site, present, opened.values()),
        )
        if span is None
        else event_headlines.in_range(
            one_picture(lasted)[0],
            site.service_names,
            service.name,
            words.between(chosen.since, min(chosen.until, site.clock())),
            measured=bool(measured),
        ),
        "countries": countries,
        "present": [
            (row, state_mark(row, opened.get(row.country)), present.runs_of_others(row))
            for row in rows
        ],
        "hidden": len(now) - len(rows),
        "events": sorted(listed, key=lambda e: (not e.ongoing, RANK[e.tier], -e.onset)),
        "beside": pairs,
        "window": chosen,
        "chosen": span,
        "control": strips.control_strip(measured, chosen, site.interval_ms) if measured else None,
    }
    return await render(request, "service.html", values)


def state_mark(row: PresentState, event: Event | None) -> tuple[str, str]:
    """(kind of mark, word) of a target in a network: from the event that covers it, else from its
    rounds, which call nothing blocked."""
    if (
        row.state in words.UNCONFIRMED
        and event is not None
        and event.stands
        and row.asn in event.asns
        and row.target in event.targets
    ):
        return words.TIER_KINDS[event.tier], event_state.tier_word(event)
    return words.state_mark(row.state)


def headline(name: str, opened: list[Event], countries: int, lost: Collection[str] = ()) -> str:
    """The answer in one sentence, and whether nobody measures some of the open events now:
    `lost` are their ids."""
    live = [event for event in opened if event.stands]
    confirmed = confirmed_open(live)
    text = _headline(name, live, confirmed, countries)
    return event_headlines.with_lost(text, confirmed or live, lost)


def _headline(name: str, live: list[Event], confirmed: list[Event], countries: int) -> str:
    if len(confirmed) == 1:
        return event_headlines.headline(confirmed[0], name)
    if confirmed:
        places = ", ".join(sorted(words.country(event.country) for event in confirmed))
        networks = sum(len(event.asns) for event in confirmed)
        where = event_subject.in_networks(networks, places)
        return event_headlines.blocked_somewhere(confirmed, name, where)
    ended = [event for event in live if event_state.data_end(event) is not None]
    if len(live) == len(ended) == 1:
        return event_headlines.headline(live[0], name)
    if live:
        places = ", ".join(sorted(words.country(event.country) for event in live))
        what = event_subject.common_subject(live, name)
        if len(ended) == len(live):
            return _(
                "%(service)s may have been blocked in %(places)s where the data end; that is not "
                "confirmed.",
                service=what,
                places=places,
            )
        return _(
            "%(service)s may be blocked in %(places)s; that is not confirmed.",
            service=what,
            places=places,
        )
    if countries == 0:
        return _("No measurements yet: no vantage has measured %(service)s.", service=name)
    return n_(
        "No known blocks of %(service)s; measured in %(n)s country.",
        "No known blocks of %(service)s; measured in %(n)s countries.",
        countries,
        service=name,
    )
