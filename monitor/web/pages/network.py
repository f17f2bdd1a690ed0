# SPDX-License-Identifier: Apache-2.0
"""One network: which function of which service fails, and at which step?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec
from aiohttp import web

from monitor.detection.model import Event, Layer, LayerFinding, State, Tier, Verdict, layer_of
from monitor.detection.sequence.present import Sight
from monitor.store.reading.events import list_events
from monitor.store.reading.measurements import newest_verdicts
from monitor.store.records import Filter
from monitor.web.pages import places as place_page
from monitor.web.pages.places import Locality
from monitor.web.render import render
from monitor.web.site import SITE
from monitor.web.text import words
from monitor.web.views import fleet, recent_since
from monitor.web.watchlist import of_network

EVENTS = 100
MAX_ASN = 2**32 - 1
USUAL = (Layer.DNS, Layer.TCP, Layer.TLS, Layer.HTTP)
"""Layers that the table always shows; others come when somebody saw them."""
_KINDS = {Tier.CONFIRMED: "blocked", Tier.LIKELY: "likely", Tier.UNCONFIRMED: "single"}


class Step(msgspec.Struct, frozen=True):
    """What vantages here see of one step of one function now."""

    kind: str
    word: str
    base: str
    """Of how many vantages."""
    rules: tuple[str, ...] = ()
    """Rules that found it failing."""
    event: str | None = None


class Row(msgspec.Struct, frozen=True):
    """One function of a service in this network, in one country."""

    country: str
    target: str
    service: str
    steps: tuple[Step | None, ...]


async def page(request: web.Request) -> web.Response:
    """Render a network."""
    site = request.app[SITE]
    asn = int(request.match_info["asn"])
    if asn > MAX_ASN:
        raise web.HTTPNotFound(reason="No network has this number.")
    if request.match_info["asn"] != str(asn):
        raise web.HTTPMovedPermanently(f"/as/{asn}")
    async with site.database.reading() as connection:
        events = await list_events(connection, Filter(asn=asn), limit=EVENTS)
        sights = await newest_verdicts(connection, recent_since(site))
        probes = await fleet(site, connection, sights)
        sights = [sight for sight in sights if sight.asn == asn]
        members = place_page.living([(p, status) for p, status in probes if p.asn == asn])
        seen_in = sorted(
            {probe.country for probe, _ in members}
            | {event.country for event in events}
            | {sight.country for sight in sights}
        )
        name = f"AS{asn} in {words.country(seen_in[0])}" if len(seen_in) == 1 else f"AS{asn}"
        here = Locality(name=name, asns=(asn,))
        window = await place_page.stretch(site, connection)
        opened = [event for event in events if event.state == "open"]
        strips = await place_page.service_strips(site, connection, window, here, opened)
        watched = await place_page.watched(site, connection, window, here)
    names = {service.id: service.name for service in site.catalogue.services}
    layers = shown(sights)
    headline = place_page.headline(here, opened, names, members, bool(sights))
    values = {
        "title": name,
        "asn": asn,
        "headline": headline,
        "countries": seen_in,
        "layers": layers,
        "rows": table(sights, layers, opened, asn, names),
        "strips": strips,
        "window": window,
        "watched": watched,
        "members": members,
        "watch": of_network(opened, asn),
        "events": place_page.sorted_events(events),
        "names": names,
    }
    return await render(request, "network.html", values)


def shown(sights: Iterable[Sight]) -> Sequence[Layer]:
    """The layers of the table, shallowest first."""
    seen = {finding.layer for sight in sights for finding in findings(sight.verdict)}
    return [layer for layer in Layer if layer in seen or layer in USUAL]


def table(
    sights: Iterable[Sight],
    layers: Sequence[Layer],
    opened: Sequence[Event],
    asn: int,
    names: dict[str, str],
) -> list[Row]:
    """One row a function, by country and service."""
    places: dict[tuple[str, str], list[Sight]] = defaultdict(list)
    for sight in sights:
        places[sight.country, sight.target].append(sight)
    rows = []
    for (country, target), seen in places.items():
        service = target.partition("/")[0]
        mine = [
            event
            for event in opened
            if event.service == service
            and event.country == country
            and target in event.targets
            and event.inhibited_by is None
        ]
        steps = tuple(step(seen, layer, mine, asn) for layer in layers)
        rows.append(Row(country, target, names.get(service, service), steps))
    return sorted(rows, key=lambda row: (row.country, row.service.lower(), row.target))


def step(seen: Sequence[Sight], layer: Layer, opened: Sequence[Event], asn: int) -> Step | None:
    """One cell; None where nobody saw this step, or nobody could judge it. What fails is called
    blocked only as far as an event says so."""
    said = [
        finding for sight in seen for finding in findings(sight.verdict) if finding.layer is layer
    ]
    if not said:
        return None
    failing = [finding for finding in said if finding.blocked]
    if not failing:
        return Step("ok", "works", f"{len(said)} of {words.plural(len(said), 'vantage')}")
    base = f"{len(failing)} of {words.plural(len(said), 'vantage')}"
    rules = tuple(sorted({finding.rule for finding in failing}))
    for event in opened:
        if _speaks_of(event, asn, layer):
            return Step(_KINDS[event.tier], words.TIERS[event.tier], base, rules, event.id)
    return Step("inconclusive", "fails, not confirmed", base, rules)


def _speaks_of(event: Event, asn: int, layer: Layer) -> bool:
    if event.networks:
        return any(each.asn == asn and each.layer == layer for each in event.networks)
    return asn in event.asns and layer_of(event.technique) == layer


def findings(verdict: Verdict) -> Sequence[LayerFinding]:
    """What a verdict says of each layer, one a layer; of an old one without findings, what it
    says as a whole."""
    if verdict.findings:
        return verdict.findings
    if verdict.layer is not None and verdict.state in words.SEEN:
        return [LayerFinding(layer=verdict.layer, blocked=True, rule=verdict.rule)]
    if verdict.layer is not None and verdict.state is State.OK:
        return [LayerFinding(layer=verdict.layer, blocked=False, rule=verdict.rule)]
    return ()
