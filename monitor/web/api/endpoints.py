# SPDX-License-Identifier: Apache-2.0
"""`/api/v1/`: events, services, countries, networks, vantages, measurements, timeline, each as
JSON and CSV, keyset-paged and filtered; enrolment. Bad parameters give 400 and one line.
"""

from __future__ import annotations

import contextlib
import functools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from monitor.detection.events.present import PresentState, worst
from monitor.detection.model import Event, EventState, Tier
from monitor.detection.network_condition import NetworkCondition
from monitor.enrolment import enrol_answer, leave_answer
from monitor.interop.forms import (
    as_csv,
    bucket_form,
    condition_form,
    event_form,
    judged_form,
    present_form,
    rfc3339,
    vantage_form,
)
from monitor.interop.published_chain import published
from monitor.network_table import place_of
from monitor.probe_keys import key_answer
from monitor.store.reading import counts
from monitor.store.reading import timeline as hourly_counts
from monitor.store.reading.arrival_chain import list_chain
from monitor.store.reading.days import dropped_since
from monitor.store.reading.events import list_events
from monitor.store.reading.measurements import search_judged
from monitor.store.reading.proof import proof_of
from monitor.store.reading.vantages import VantageRow
from monitor.store.records import Filter, StoreUnavailableError
from monitor.text.network_names import registered_name
from monitor.web.answers import DROPPED, NEXT, PUBLIC, csv_file, json_answer
from monitor.web.fleet import fleet, watchlist
from monitor.web.moment import present_of, reading, site_of
from monitor.web.network_conditions import NOT_KNOWN, network_conditions
from monitor.web.params import (
    MAX_LIMIT,
    BadParameterError,
    after_of,
    chosen,
    chosen_verdicts,
    limit_of,
    refuse_unknown,
    text_after,
    text_key,
)
from monitor.web.present import Present
from monitor.web.response_cache import CACHE
from monitor.web.returns import neighbours_of
from monitor.web.site import SITE, Site
from monitor.web.unmeasured import refuse_unmeasured
from monitor.web.views import events_at, in_event, known_beside, no_measurement, services_here
from probes.wire.https_delivery import credentials
from probes.wire.measurement import service_of

DAY_MS = 86_400_000
MAX_DAYS = 1100
"""Longest period of a timeline by network: three years."""
MAX_STATES = 100
"""States of one service in the list of all services."""


def paged(
    request: web.Request, rows: Iterable[tuple[str, Mapping[str, Any]]]
) -> tuple[Sequence[Mapping[str, Any]], str | None]:
    """One page of (key, row) of a list that is small enough to be made as a whole, ordered by
    key; and the key of the next page. Raises BadParameterError."""
    limit, after = limit_of(request), text_after(request)
    left = sorted((key, row) for key, row in rows if after is None or key > after[1])
    page = left[:limit]
    following = text_key(0, page[-1][0]) if len(left) > limit else None
    return [row for _, row in page], following


def answer(
    request: web.Request,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    following: str | None = None,
    columns: str = "",
    dropped: int = 0,
) -> web.Response:
    """The rows as the request wants them: `?format=csv` (with the columns of the list, or of
    another name) or JSON; `dropped` as `dropped_since` gives it."""
    site = site_of(request)
    before = rfc3339(dropped) if dropped else None
    headers = {**PUBLIC, **({DROPPED: before} if before else {})}
    match request.query.get("format", "json"):
        case "csv":
            more = {NEXT: following} if following else {}
            text = as_csv(columns or name, rows)
            return csv_file(f"{site.file_prefix}{name}", text, headers | more)
        case "json":
            lacks = {"dropped_before": before} if before else {}
            body = {name: rows, "next": following} | lacks | site.simulated
            return json_answer(body, headers=headers)
        case other:
            raise BadParameterError(f"format: must be json or csv, not {other[:40]!r}")


async def events(request: web.Request) -> web.Response:
    """Block events, newest onset first; `state=open|clearing|closed|retracted`
    chooses; `open` includes what is clearing."""
    state = request.query.get("state")
    if state is not None and state not in tuple(EventState):
        raise BadParameterError(f"state: must be {', '.join(EventState)}, not {state[:40]!r}")
    site, limit, after = site_of(request), limit_of(request), after_of(request)
    async with reading(request) as (connection, _present):
        rows, following = await events_at(site, connection, chosen(request), state, after, limit)
    return answer(request, "events", rows, following)


async def one_event(request: web.Request) -> web.Response:
    """One event by its id, with what each network contributes; `follows` and `followed_by` are the
    events of the same block before and after a pause."""
    site = site_of(request)
    async with reading(request) as (connection, _present):
        event, known = await known_beside(site, connection, request.match_info["id"])
        if event is None:
            raise web.HTTPNotFound(reason="There is no event with this id.")
        near = await neighbours_of(site, connection, event, known)
    return json_answer(
        event_form(event)
        | {"networks": event.networks, "against": list(event.against)}
        | {"follows": near.before and near.before.id, "followed_by": near.after and near.after.id}
        | site.simulated
    )


async def one_measurement(request: web.Request) -> web.Response:
    """One measurement, byte for byte as the probe sent it."""
    site = site_of(request)
    found = await site.database.facts.measurement(request.match_info["id"])
    if found is None:
        raise await no_measurement(site, request.match_info["id"])
    _stored, line, *_more = found
    return json_answer(line)


async def proof(request: web.Request) -> web.Response:
    """A measurement with what others need to verify that its probe sent it."""
    site = site_of(request)
    async with site.database.reading() as connection:
        found = await proof_of(connection, request.match_info["id"])
    if found is None:
        raise await no_measurement(site, request.match_info["id"])
    return json_answer(msgspec.json.encode(found))


async def chain(request: web.Request) -> web.Response:
    """The hash of what arrived on each day, the oldest first. The newest day may go on."""
    async with site_of(request).database.reading() as connection:
        days = await list_chain(connection)
    return json_answer(msgspec.json.encode(published(days)))


async def measurements(request: web.Request) -> web.Response:
    """Judged measurements, newest round first; `event=ID`: all those of an event. A page with few
    rows, or none, may have a `next`."""
    site, limit, wanted = site_of(request), limit_of(request), chosen_verdicts(request)
    after = after_of(request, "[0-9]{1,18}")
    async with site.database.reading() as connection:
        if id := request.query.get("event"):
            _, wanted = await in_event(site, connection, id, wanted)
        key = None if after is None else (after[0], int(after[1]))
        part = await search_judged(connection, wanted, after=key, limit=limit)
        dropped = await dropped_since(connection, wanted.since)
    following = None if part.following is None else "{}-{}".format(*part.following)
    rows = [judged_form(row) for row in part.rows]
    return answer(request, "measurements", rows, following, dropped=dropped)


async def timeline(request: web.Request) -> web.Response:
    """Hourly counts of states; the last seven days unless `since` says otherwise. With
    `by=network`, of a service or country: in how many of the networks that were measured a
    confirmed event was open, by day; the last 30 days."""
    site = site_of(request)
    wanted = chosen(request)
    by = request.query.get("by", "state")
    if by not in ("state", "network"):
        raise BadParameterError(f"by: must be state or network, not {by[:40]!r}")
    if by == "network":
        return await _timeline_by_network(request, site, wanted)
    if wanted.since is None:
        # The last ones before `until`: a list that ends before it begins would be empty.
        end = site.clock() if wanted.until is None else min(wanted.until, site.clock())
        wanted = msgspec.structs.replace(wanted, since=end - 7 * DAY_MS)
    limit = limit_of(request)
    async with site.database.reading() as connection:
        rows = await hourly_counts.timeline(
            connection, wanted, after=text_after(request), limit=limit + 1
        )
    page = rows[:limit]
    following = text_key(page[-1].hour, page[-1].key) if len(rows) > limit else None
    return answer(request, "timeline", [bucket_form(row) for row in page], following)


async def _timeline_by_network(request: web.Request, site: Site, wanted: Filter) -> web.Response:
    """By day: in how many of the networks that were measured a confirmed event was open."""
    if wanted.service is None and wanted.country is None:
        raise BadParameterError("by: network needs service or country")
    if wanted.target is not None or wanted.asn is not None:
        raise BadParameterError("by: network takes neither target nor asn")
    until = site.clock() if wanted.until is None else min(wanted.until, site.clock())
    since = until - 30 * DAY_MS if wanted.since is None else wanted.since
    since = max(since, until - MAX_DAYS * DAY_MS)
    services = [each.id for each in site.catalogue.services if wanted.service in (None, each.id)]
    span = msgspec.structs.replace(wanted, since=since, until=until)
    async with site.database.reading() as connection:
        watched = await counts.networks_watched(connection, services, since, until, wanted.country)
        found: list[Event] = []
        while len(part := await list_events(connection, span, after=_last(found), limit=MAX_LIMIT)):
            found += part
    confirmed = [
        event
        for event in found
        if event.tier is Tier.CONFIRMED and event.state is not EventState.RETRACTED
    ]
    blocked: dict[tuple[int, str, str], set[int]] = defaultdict(set)
    for event in confirmed:
        first, last = max(event.onset, since), min(event.closed or until, until)
        for day in range(first - first % DAY_MS, max(last, first + 1), DAY_MS):
            blocked[day, event.service, event.country] |= set(event.asns)
    rows = []
    for key in sorted(watched.keys() | blocked.keys()):
        day, service, country = key
        asns = sorted(blocked.get(key, ()))
        total = max(watched.get(key, 0), len(asns))
        row = {
            "day": rfc3339(day),
            "service": service,
            "country": country,
            "networks": {"blocked": len(asns), "watched": total},
            "share": round(len(asns) / total, 4) if total else None,
            "asns": asns,
        }
        rows.append((f"{day:015d} {service} {country}", row))
    page, following = paged(request, rows)
    return answer(request, "timeline", page, following, columns="timeline_by_network")


def _last(events: Sequence[Event]) -> tuple[int, str] | None:
    """The key of the last event of a list, after which the next part begins."""
    return (events[-1].onset, events[-1].id) if events else None


def open_events(present: Present, wanted: Filter) -> list[Event]:
    """The open events that pass a filter; its `until` and `since` select those that were open at
    some time between the two."""
    return [
        event
        for event in present.opened
        if wanted.service in (None, event.service)
        and wanted.country in (None, event.country)
        and (wanted.target is None or wanted.target in event.targets)
        and (wanted.asn is None or wanted.asn in event.asns)
        and (wanted.until is None or event.onset < wanted.until)
    ]


async def services(request: web.Request) -> web.Response:
    """Every service of the catalogue, its targets, open events and present states, and any other
    with an open event or a present state. Of a service with more than 100 states (1000 when one
    service or target is chosen) the worst are listed; `states_total` counts all, and `country` and
    `asn` choose among them."""
    site = site_of(request)
    wanted = chosen(request)
    async with reading(request) as (connection, present):
        known = await services_here(site, connection, present)
    opened = open_events(present, wanted)
    most = MAX_STATES if wanted.service is None and wanted.target is None else MAX_LIMIT
    states: dict[str, list[PresentState]] = defaultdict(list)
    for row in present.states(wanted):
        states[service_of(row.target)].append(row)
    with_event = {event.service for event in opened}
    listed: list[dict[str, Any]] = [
        {
            "id": service.id,
            "name": service.name,
            "targets": [target.id for target in service.targets],
            "open_events": [event.id for event in opened if event.service == service.id],
            "states": [present_form(row) for row in worst(states[service.id], most)],
            "states_total": len(states[service.id]),
        }
        for service in known
        if wanted.service in (None, service.id)
        and (site.service(service.id) or states[service.id] or service.id in with_event)
        and (wanted.target is None or any(wanted.target == t.id for t in service.targets))
    ]
    return answer(request, "services", *paged(request, ((str(row["id"]), row) for row in listed)))


async def countries(request: web.Request) -> web.Response:
    """Every country with a vantage or an open event: vantages, networks, open events."""
    present = await present_of(request)
    return _places(request, "countries", present, lambda country, _: (country,))


async def networks(request: web.Request) -> web.Response:
    """Every network with a vantage or an open event, and its condition."""
    site = site_of(request)
    async with reading(request) as (connection, present):
        conditions = await network_conditions(site, connection, present)
    return _places(request, "networks", present, lambda country, asn: (country, asn), conditions)


def _places(
    request: web.Request,
    name: str,
    present: Present,
    key: Callable[[str, int], tuple[Any, ...]],
    conditions: Mapping[tuple[str, int], NetworkCondition] = {},
) -> web.Response:
    site = site_of(request)
    wanted = chosen(request)
    probes, opened = fleet(site, present), open_events(present, wanted)
    places: dict[tuple[Any, ...], list[tuple[VantageRow, str]]] = defaultdict(list)
    for probe, status in probes:
        if (
            probe.role == "vantage"
            and status != "revoked"
            and wanted.country in (None, probe.country)
            and wanted.asn in (None, probe.asn)
        ):
            places[key(probe.country, probe.asn)].append((probe, status))
    for event in opened:
        for asn in event.asns:
            if wanted.asn in (None, asn):
                places.setdefault(key(event.country, asn), [])
    rows = []
    for place, members in sorted(places.items()):
        online = sum(status == "online" for _, status in members)
        row = {
            "country": place[0],
            **({"asn": place[1], "name": registered_name(place[1])} if len(place) > 1 else {}),
            "networks": len({probe.asn for probe, _ in members}),
            "owners": len({probe.owner for probe, _ in members}),
            "vantages": {"online": online, "total": len(members)},
            "open_events": [
                event.id
                for event in opened
                if event.country == place[0] and (len(place) == 1 or place[1] in event.asns)
            ],
            **(condition_form(conditions.get(place, NOT_KNOWN)) if len(place) > 1 else {}),
        }
        rows.append((" ".join(f"{part:>12}" for part in place), row))
    return answer(request, name, *paged(request, rows))


async def vantages(request: web.Request) -> web.Response:
    """Every enrolled probe: where, since when, last heard, and for which targets it is on watch
    (it has failed for long while others of its network see them). Never an address."""
    site = site_of(request)
    wanted = chosen(request)
    present = await present_of(request)
    rows, watched = fleet(site, present), watchlist(present.opened)
    listed = (
        (row.id, vantage_form(row, status, (line.target for line in watched.get(row.id, ()))))
        for row, status in rows
        if wanted.country in (None, row.country) and wanted.asn in (None, row.asn)
    )
    return answer(request, "vantages", *paged(request, listed))


async def whoami(request: web.Request) -> web.Response:
    """The caller's address as seen here, for the probe's own offline lookup. Not logged. Of a probe
    that gives its credentials it is noted which network the address belongs to."""
    site, address = request.app[SITE], request.remote or ""
    user, secret = credentials(request.headers.get("Authorization", ""))
    if user and site.reception is not None and site.geo is not None:
        with contextlib.suppress(StoreUnavailableError):
            if await site.reception.authenticate(user, secret):
                await site.connections.note(user, place_of(site.geo, address))
    return json_answer({"address": address})


Endpoint = Callable[[web.Request], Awaitable[web.Response]]
LISTS: tuple[tuple[str, Endpoint], ...] = (
    ("events", events),
    ("services", services),
    ("countries", countries),
    ("networks", networks),
    ("vantages", vantages),
    ("measurements", measurements),
    ("timeline", timeline),
)
"""The lists of `/api/v1/`; `monitor.web.api.openapi` describes exactly these."""


def checked(endpoint: Endpoint, known: Collection[str]) -> Endpoint:
    """The endpoint, which refuses parameters that it does not have, and services and targets that
    nobody has ever measured."""

    @functools.wraps(endpoint)
    async def respond(request: web.Request) -> web.Response:
        refuse_unknown(request, known)
        await refuse_unmeasured(request)
        return await endpoint(request)

    return respond


async def enrol_probe(request: web.Request) -> web.Response:
    """Exchange a token for a probe's credentials."""
    site = request.app[SITE]
    enrolled = site.clock() - site.enrolled_before_ms
    address = request.remote or ""
    status, body = await enrol_answer(
        site.database.registry,
        await request.read(),
        enrolled,
        site.brokers,
        place_of(site.geo, address),
        site.catalogue_key,
        site.ways,
        site.enrolments,
        address,
        site.excerpts,
    )
    _forget_vantages(request)
    return json_answer(body, status)


async def renew_key(request: web.Request) -> web.Response:
    """Take another key that a probe signs with."""
    site = request.app[SITE]
    status, body = await key_answer(site.database.registry, await request.read(), site.clock())
    return json_answer(body, status)


async def leave(request: web.Request) -> web.Response:
    """Revoke a probe at its own wish."""
    site = request.app[SITE]
    status, body = await leave_answer(site.database.registry, await request.read(), site.clock())
    _forget_vantages(request)
    return json_answer(body, status)


def _forget_vantages(request: web.Request) -> None:
    """Who enrols looks at the pages next."""
    request.app[SITE].present.forget_vantages()
    request.app[CACHE].clear()
