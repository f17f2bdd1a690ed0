"""One event: what is the case in a sentence, then the evidence for it and against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from monitor.detection.model import Event, Tier
from monitor.store import reading
from monitor.store.reading import Filter
from monitor.web import strips, words
from monitor.web.ladder import ladders
from monitor.web.pages.measurement import nearest_control
from monitor.web.render import render
from monitor.web.site import SITE, Site
from monitor.web.words import rule_comment as comment

WITNESSES = 20
MARGIN = 0.25
"""Share of the event's length that the timeline shows before and after it."""
AGAINST = {
    "no_control": "No control measured the service at the same time, so the service itself may "
    "be down.",
    "few_vantages": "Few vantages stand in these networks.",
    "one_owner": "All vantages that see it belong to one owner.",
    "one_network": "Only one network is concerned.",
    "one_vantage": "Only one vantage sees it: a filter of its own cannot be told from a block.",
    "untyped": "Nothing but time-outs was seen: that can also be a fault on the way.",
    "partial": "A part of the service is still reachable there.",
    "disagreement": "Some vantages in the same networks still reach the service.",
}


async def page(request: web.Request) -> web.Response:
    """Render an event."""
    site = request.app[SITE]
    async with site.engine.connect() as connection:
        event = await reading.event(connection, request.match_info["id"])
    if event is None:
        raise web.HTTPNotFound(reason="There is no event with this id.")
    service = site.service(event.service)
    name = service.name if service else event.service
    pair = await side_by_side(site, event)
    end = event.closed or site.clock()
    values = {
        "title": words.headline(event, name),
        "event": event,
        "service": name,
        "headline": words.headline(event, name),
        "lasted": words.lasted(end - event.onset),
        "timelines": await timelines(site, event),
        "reasons": reasons(event),
        "doubts": doubts(event),
        "rules": [(rule, n, comment(rule)) for rule, n in event.rule_counts],
        "pair": pair,
        "witnesses": event.witnesses[:WITNESSES],
        "terms": terms(event),
    }
    return await render(request, "event.html", values)


async def timelines(site: Site, event: Event) -> Sequence[tuple[str, strips.Strip]]:
    """One strip a network concerned, from before the onset to after the end."""
    now = site.clock()
    end = event.closed or event.updated
    span = max(end - event.onset, site.policy.ms(1800))
    since = event.onset - int(span * MARGIN) - 1
    until = min(now, end + int(span * MARGIN)) + 1 if event.closed else now + 1
    made = []
    async with site.engine.connect() as connection:
        for asn in event.asns:
            chosen = Filter(
                service=event.service, country=event.country, asn=asn, since=since, until=until
            )
            rows = await reading.judged(connection, chosen, limit=5000)
            sights = [(r.round, r.verdict.state) for r in rows if r.target in event.targets]
            made.append((f"AS{asn}", strips.strip(sights, since, until)))
    return made


async def side_by_side(site: Site, event: Event) -> dict[str, Any] | None:
    """The newest witness and the control's measurement of the same target beside it."""
    for id in reversed(event.witnesses):
        found = await site.facts.measurement(id)
        if found is None:
            continue
        stored, _ = found
        control = await nearest_control(site, stored)
        return {
            "vantage": stored,
            "vantage_ladders": ladders(stored.measurement),
            "control": control,
            "control_ladders": ladders(control.measurement) if control else [],
        }
    return None


def reasons(event: Event) -> list[str]:
    """Why we think so: each term in a sentence."""
    said = [
        f"{words.number(event.agreeing, True)} of {words.plural(event.total, 'vantage')} in "
        f"{words.plural(len(event.asns), 'network')} see it."
    ]
    owners = max((network.owners for network in event.networks), default=0)
    if owners > 1:
        said.append(f"They belong to {words.number(owners)} owners who measure independently.")
    if event.control == "ok":
        said.append("The control reached the service in the same rounds.")
    total = sum(n for _, n in event.rule_counts)
    if total:
        said.append(f"{words.plural(total, 'measurement')} since the onset failed this way.")
    if event.tier is Tier.CONFIRMED and event.confirmed is not None:
        said.append(f"It held until it was confirmed at {words.when(event.confirmed)}.")
    return said


def doubts(event: Event) -> list[str]:
    """What speaks against it, in sentences; never empty."""
    said = [AGAINST.get(remark, remark.replace("_", " ")) for remark in event.against]
    if event.inhibited_by:
        said.append(f"It is not paged: {event.inhibited_by.replace('_', ' ')}.")
    return said or ["Nothing in the measurements speaks against it."]


def terms(event: Event) -> list[tuple[str, str, int]]:
    """(term, words, parts of ten) of the sureness bar."""
    share = round(10 * event.agreeing / event.total) if event.total else 0
    total = sum(n for _, n in event.rule_counts)
    return [
        ("agreement", f"{event.agreeing} of {words.plural(event.total, 'vantage')}", share),
        ("control", "fine" if event.control == "ok" else "none", 10 * (event.control == "ok")),
        ("repeatability", words.plural(total, "measurement"), min(10, total)),
        (
            "signature",
            "not typical" if "untyped" in event.against else "typical of interference",
            3 if "untyped" in event.against else 10,
        ),
    ]
