# SPDX-License-Identifier: Apache-2.0
"""One event: a summary in a sentence, the evidence for and against it, and its rounds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from monitor.detection.model import NEVER, OWN_SOURCE, Event, State
from monitor.store.engines import ReadTransaction
from monitor.store.reading.breakdown import Period, Place, chosen_at, named
from monitor.store.reading.counts import (
    StateCount,
    count_nearby,
    count_series,
    judged_rounds,
    service_everywhere,
)
from monitor.store.reading.days import dropped_since
from monitor.store.reading.explanation import explain, explain_ends
from monitor.store.reading.measurements import Witness, list_witnesses
from monitor.store.reading.signing import signing_since
from monitor.store.records import Filter
from monitor.store.service_hours import DAY_MS, EVERY_NETWORK, HOUR_MS
from monitor.text import (
    confidence_text,
    event_evidence,
    event_headlines,
    event_history,
    event_sources,
    event_state,
    event_subject,
)
from monitor.text.event_subject import Reached
from monitor.text.language import _
from monitor.text.network_names import network
from monitor.text.page_in_place import page_sentence
from monitor.text.words import country
from monitor.text.words import rule_comment as comment
from monitor.web.both_sources import beside_of
from monitor.web.draw import round_pictures as rounds
from monitor.web.draw import strips
from monitor.web.draw.event_marks import Breadth, in_network
from monitor.web.draw.step_table import endpoint_steps
from monitor.web.event_failures import as_failures, told_by_events
from monitor.web.fleet import active, fleet, owner_of, unwatched
from monitor.web.history import (
    TimeRange,
    chosen_range,
    counted_until,
    fixed_query,
    sums_everywhere,
)
from monitor.web.moment import reading, site_of
from monitor.web.pages.event_measurements import has_tables
from monitor.web.pages.measurement import nearest_control
from monitor.web.present import Present
from monitor.web.render import render
from monitor.web.returns import neighbours_of
from monitor.web.site import Site
from monitor.web.views import (
    drawn_window,
    known_beside,
    known_between,
    known_event,
    measurements_of,
    record,
)
from probes.wire.target import Service

WITNESSES = 20
PICTURE_ROUNDS = 60
"""Rounds in the picture on the page of an event."""
PICTURE_READ = 1_000_000
"""Bytes that are read for it: the page is to be made within 0.1 s."""
MARGIN = 0.25
"""The timeline begins and ends this share of the event's length before and after it."""
MARGIN_MS = 2 * HOUR_MS
"""The least that is shown before and after an event of what else failed then."""
MINUTE_MS = 60_000
SHORT_MS = 2 * HOUR_MS
"""Of a shorter event what else was measured is read from verdicts: it may hold no whole hour."""
YEAR_MS = 365 * DAY_MS
MOST_NETWORKS = 20
"""Networks of an event in which the other functions are counted."""
SHORTEST = 900
"""Shortest timeline in seconds, divided by the pace."""


def requested(site: Site, event: Event | None) -> tuple[Event, Service | None, str]:
    """The event, its service in the catalogue, and the service's name. Raises HTTPNotFound."""
    if event is None:
        raise web.HTTPNotFound(reason="There is no event with this id.")
    service = site.service(event.service)
    return event, service, service.name if service else event.service


async def page(request: web.Request) -> web.Response:
    """Render an event."""
    site = site_of(request)
    async with reading(request) as (connection, _present):
        found, known = await known_beside(site, connection, request.match_info["id"])
    event, service, name = requested(site, found)
    pair = await side_by_side(site, event)
    span = chosen_range(request)
    async with reading(request) as (connection, present):
        witnesses = await list_witnesses(connection, event.witnesses[:WITNESSES])
        signed = await signed_of(connection, witnesses)
        mine = Filter(service=event.service, country=event.country)
        dropped = await dropped_since(connection, measurements_of(event, site.clock()).since)
        cited = await record(site, connection, mine)
        near = await neighbours_of(site, connection, event, known)
        other = await beside_of(site, connection, event, known)
    drawn, control = await (
        timelines(site, event) if span is None else past(site, present, event, span, known)
    )
    headline = event_headlines.headline(event, name)
    watched = not unwatched(site, present, [event])
    others = event_subject.other_functions(
        event, service, await others_reached(site, event, service)
    )
    values = {
        "title": headline.removesuffix("."),
        "record": cited,
        "has_tables": has_tables(),
        "dropped": dropped,
        "event": event,
        "service": name,
        "headline": headline,
        "scope": event_evidence.scope(event, site.clock(), watched=watched),
        "watched": watched,
        "how": event_evidence.manner(event),
        "techniques": await techniques(site, event),
        "ended": event_state.ended(event),
        "near": near,
        "beside": other,
        "rests_on": event_sources.rests_on(event, other, vantages_there(site, present, event)),
        "drawn": drawn,
        "control": control,
        "chosen": span,
        "reasons": [*event_evidence.reasons(event), *(pair["page"] if pair else ())],
        "others": others,
        "doubts": event_evidence.doubts(event, others),
        "history": event_history.history(event),
        "phases": event_history.phases(event),
        "rules": [
            (rule, n, comment(rule, control=event.control == "ok")) for rule, n in event.rule_counts
        ],
        "pair": pair,
        "witnesses": witnesses,
        "signed": signed,
        "owners": {each.probe: owner_of(present, each.probe) for each in witnesses},
        "picture": await first_picture(site, event),
        "terms": event_evidence.terms(event),
        "confidence": confidence_text.percentage(event),
        "no_confidence": confidence_text.no_percentage_reason(event),
        "confidence_terms": confidence_text.terms_text(event),
        "not_surer": confidence_text.not_surer(event),
        "meaning": confidence_text.meaning(event),
        "around": around(event, site.clock()),
    }
    return await render(request, "event.html", values)


def vantages_there(site: Site, present: Present, event: Event) -> int:
    """How many vantages of ours are in the networks of an event now."""
    near = present.vantages_by_country.get(event.country, ())
    here = fleet(site, present, [row for row in near if row.asn in event.asns])
    return len(active(here, "vantage"))


def around(event: Event, now: int) -> Mapping[str, str]:
    """The queries of the time of an event and the hours around it, and of the same a year
    earlier."""
    end = event_state.ended(event) or event_state.data_end(event) or now
    margin = max(MARGIN_MS, int((end - event.onset) * MARGIN))
    since, until = event.onset - margin, min(now, end + margin)
    return {
        "then": fixed_query(since, until),
        "earlier": fixed_query(since - YEAR_MS, until - YEAR_MS),
    }


async def signed_of(connection: ReadTransaction, witnesses: Sequence[Witness]) -> tuple[int, int]:
    """How many of the vantages that made these measurements signed them, and how many there are."""
    oldest: dict[str, int] = {}
    for witness in witnesses:
        if witness.source == OWN_SOURCE:
            oldest[witness.probe] = min(witness.started, oldest.get(witness.probe, NEVER))
    since = await signing_since(connection, oldest)
    signing = [probe for probe, started in oldest.items() if since.get(probe, NEVER) <= started]
    return len(signing), len(oldest)


async def techniques(site: Site, event: Event) -> Sequence[tuple[str, int]]:
    """Techniques and how many measurements of the event name each, the commonest first; empty
    where its networks name one alone."""
    if len({evidence.technique for evidence in event.networks if evidence.technique}) < 2:
        return ()
    place = Place((event.country,), event.asns)
    end = event_state.ended(event) or event_state.data_end(event) or site.clock()
    # As of a moment of the past nothing is counted of the hour after it.
    since, until = event.onset - event.onset % HOUR_MS, end - end % HOUR_MS
    until += 0 if site.as_of == end else HOUR_MS
    to_now = site.as_of is None and until >= site.clock()
    period = Period(since, until, HOUR_MS, daily=False, to_now=to_now)
    counted: Counter[str] = Counter()
    async with site.database.reading() as connection:
        chosen = await chosen_at(connection, event.targets, place)
        found = await named(connection, chosen, period, "country", "technique")
    for (technique, _column), n in found.counts.items():
        counted[technique] += n
    return counted.most_common()


async def others_reached(
    site: Site, event: Event, service: Service | None
) -> Mapping[str, Reached]:
    """By target, how often the service's other functions were reached in the event's networks
    while it lasted: in all of a short one, else in whole hours of its last day."""
    apart = [t.id for t in service.targets if t.id not in event.targets] if service else []
    since, until, width = while_it_lasted(event, site.clock())
    places = event.asns[:MOST_NETWORKS]
    series = [(id, event.country, asn) for id in apart for asn in places]
    counted: dict[str, Counter[State]] = defaultdict(Counter)
    async with site.database.reading() as connection:
        for row in await count_series(connection, series, since, until, width):
            counted[row.target][row.state] += row.n
    return {
        target: Reached(
            states[State.OK],
            sum(states.values()) - states[State.VANTAGE_OFFLINE] - states[State.INSUFFICIENT],
        )
        for target, states in counted.items()
    }


def while_it_lasted(event: Event, now: int) -> tuple[int, int, int]:
    """(since, until, width of slices) of counts of what was measured during an event, as far as
    they are read."""
    end = event_state.ended(event) or event_state.data_end(event)
    until = now + 1 if end is None else min(end, now)
    if until - event.onset < SHORT_MS:
        return event.onset, max(until, event.onset + 1), MINUTE_MS
    until -= until % HOUR_MS
    first = event.onset + -event.onset % HOUR_MS
    return max(first, until - DAY_MS), until, HOUR_MS


async def first_picture(site: Site, event: Event) -> rounds.Picture | None:
    """The picture of the series with the most evidence; None without any."""
    told = await explain_ends(
        site.database, event, most=PICTURE_ROUNDS, read=PICTURE_READ, until=site.as_of
    )
    return next(iter(rounds.pictures(told, most=1)), None)


Rows = Sequence[tuple[str, strips.Strip]]
"""Strips with their labels."""


async def timelines(site: Site, event: Event) -> tuple[Rows, strips.Strip]:
    """A strip for each affected network, from before the onset to after the end; and of the service
    itself."""
    now, interval = site.clock(), site.interval_ms
    end = event_state.ended(event) or event_state.data_end(event)
    async with site.database.reading() as connection:
        _, newest = await judged_rounds(connection, event.service, event.onset, now)
        last = now if end is not None else min(now, (newest or now) + interval)
        span = max((last if end is None else end) - event.onset, site.policy.ms(SHORTEST))
        margin = int(span * MARGIN)
        until = last if end is None else min(now, end + margin)
        since = event.onset - margin
        chosen = strips.Window(since, max(until, since + 1), last=last)
        everywhere: Sequence[strips.Told]
        here: Sequence[StateCount]
        if chosen.width < HOUR_MS:
            begin, width = chosen.since, chosen.width
            here, everywhere = await count_nearby(
                connection, event.targets, begin, chosen.until, width, event.country, event.asns
            )
        else:
            series = [
                (target, event.country, asn) for target in event.targets for asn in event.asns
            ]
            here = await counted_until(site, connection, series, chosen)
            # Of months the sums of days; of less, of hours.
            days = since < site.hours_kept_since
            _, everywhere = await service_everywhere(
                connection, event.service, since, until, event.country, (), days=days
            )
            interval = max(interval, DAY_MS if days else HOUR_MS)
    what = event_subject.functions(event)
    drawn = [
        (network(asn), strips.strip(mine, chosen, site.interval_ms, [told], what=what))
        for asn in event.asns
        for told in (in_network(event, asn),)
        for mine in (_of_network(told, asn, here, last, chosen.width),)
    ]
    return drawn, strips.control_strip(everywhere, chosen, interval)


def _of_network(
    event: Event, asn: int, rows: Sequence[StateCount], last: int, width: int
) -> Sequence[StateCount]:
    return as_failures(event, [row for row in rows if row.asn == asn], last, width)


async def past(
    site: Site, present: Present, event: Event, span: TimeRange, known: Sequence[Event]
) -> tuple[Rows, strips.Strip]:
    """A strip of the whole service in each affected network over a chosen range, then in the
    country; and of the service itself. `known` are its events there, as in `known_between`."""
    interval = site.interval_ms
    async with site.database.reading() as connection:
        window = await drawn_window(site, connection, present, span, event.service)
        places = [*event.asns, EVERY_NETWORK]
        here, everywhere = await sums_everywhere(
            site, connection, window, event.service, event.country, places
        )
        mine = Filter(service=event.service, country=event.country)
        events = await known_between(site, connection, mine, window, known)
        told = await told_by_events(site, connection, here, events, window)

    def strip(asn: int, lasted: Sequence[Event], breadth: Breadth) -> strips.Strip:
        mine = [row for row in told if row.asn == asn]
        what = _("measured functions")
        return strips.strip(mine, window, interval, lasted, breadth=breadth, what=what)

    drawn = [
        (
            network(asn),
            strip(asn, [in_network(e, asn) for e in events if asn in e.asns], Breadth.NETWORK),
        )
        for asn in event.asns
    ]
    drawn.append((country(event.country), strip(EVERY_NETWORK, events, Breadth.COUNTRY)))
    return drawn, strips.control_strip(everywhere, window, interval)


async def side_by_side(site: Site, event: Event) -> dict[str, Any] | None:
    """The newest witness, and the control's measurement of the same target."""
    for id in reversed(event.witnesses):
        found = await site.database.facts.measurement(id)
        if found is None:
            continue
        stored, *_more = found
        control = await nearest_control(site, stored)
        return {
            "vantage": stored,
            "vantage_steps": endpoint_steps(stored.measurement),
            "page": [sentence] if (sentence := page_sentence(stored.measurement)) else [],
            "control": control,
            "control_steps": endpoint_steps(control.measurement) if control else [],
        }
    return None


async def rounds_page(request: web.Request) -> web.Response:
    """Render every series of an event as a picture and as a table."""
    site = site_of(request)
    async with reading(request) as (connection, _present):
        found = await known_event(site, connection, request.match_info["id"])
    event, _service, name = requested(site, found)
    explanation = await explain(site.database, event, until=site.as_of)
    pictures = rounds.pictures(explanation.series_rounds)
    values = {
        "title": _("Round by round: %(service)s", service=name),
        "event": event,
        "headline": event_headlines.headline(event, name),
        "pictures": pictures,
        "left_out": rounds.left_out(explanation.series_rounds, pictures),
        "skipped_rounds": explanation.skipped_rounds,
    }
    return await render(request, "rounds.html", values)
