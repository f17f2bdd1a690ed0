# SPDX-License-Identifier: Apache-2.0
"""What the pages of a country and of a network have in common: who watches there, what fails
there, in one sentence and in strips.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from monitor.detection.model import Event, EventState, Tier
from monitor.store.engines import ReadTransaction
from monitor.store.reading.counts import StateCount, count_states, count_vantages, judged_rounds
from monitor.store.reading.vantages import VantageRow
from monitor.web.draw import strips, watch_coverage
from monitor.web.site import Site
from monitor.web.text import event_text, words
from monitor.web.views import sights_of

Members = Sequence[tuple[VantageRow, str]]
"""Probes with their status."""


class Locality(msgspec.Struct, frozen=True, kw_only=True):
    """A country, or networks of one number (which may stand in several countries)."""

    name: str
    """As it is said after "in"."""
    country: str | None = None
    asns: tuple[int, ...] = ()

    def holds(self, country: str, asn: int) -> bool:
        """Whether something measured there belongs here."""
        return self.country in (None, country) and (not self.asns or asn in self.asns)


async def stretch(site: Site, connection: ReadTransaction) -> strips.Window:
    """The stretch that strips of several services show, the same for all of them."""
    now = site.clock()
    since = now - strips.longest(site.policy)
    extents = [
        await judged_rounds(connection, service.id, since, now)
        for service in site.catalogue.services
    ]
    oldest = min((first for first, _ in extents if first is not None), default=None)
    newest = max((last for _, last in extents if last is not None), default=None)
    return strips.window(now, oldest, newest, site.policy, site.interval_seconds * 1000)


async def service_strips(
    site: Site,
    connection: ReadTransaction,
    window: strips.Window,
    here: Locality,
    opened: Sequence[Event],
) -> list[dict[str, Any]]:
    """One strip a service that was measured here, those with an open event first."""
    targets = [target.id for target in site.catalogue.targets]
    rows = await count_states(
        connection, targets, window.since, window.until, window.width, here.country, here.asns
    )
    by_service: dict[str, list[StateCount]] = defaultdict(list)
    for row in rows:
        by_service[row.target.partition("/")[0]].append(row)
    made = [
        {
            "id": service.id,
            "name": service.name,
            "strip": strips.strip(
                sights_of(by_service[service.id]), window, site.interval_seconds * 1000
            ),
            "events": [event for event in opened if event.service == service.id],
        }
        for service in site.catalogue.services
        if service.id in by_service
    ]
    return sorted(made, key=lambda row: (not row["events"], row["name"].lower()))


async def watched(
    site: Site, connection: ReadTransaction, window: strips.Window, here: Locality
) -> watch_coverage.Coverage:
    """How many vantages measured here, over the same stretch as the strips."""
    slots = watch_coverage.slots(window, site.interval_seconds * 1000)
    targets = [target.id for target in site.catalogue.targets]
    counts = await count_vantages(
        connection, targets, slots.since, slots.until, slots.width, here.country, here.asns
    )
    return watch_coverage.coverage(counts, slots)


def headline(
    here: Locality,
    opened: Sequence[Event],
    names: Mapping[str, str],
    members: Members,
    judged: bool,
) -> str:
    """The answer in one sentence (two where nothing is blocked). `opened` are the events of
    here, `judged` whether any recent verdict is."""
    live = [event for event in opened if event.inhibited_by is None]
    if confirmed := [event for event in live if event.tier is Tier.CONFIRMED]:
        return f"{_blocked(confirmed, names)} blocked in {_where(here, confirmed)}."
    if len(live) == 1:
        return event_text.headline(live[0], names.get(live[0].service, live[0].service))
    if live:
        services = words.number(len({event.service for event in live}), capital=True)
        return f"{services} services may be blocked in {here.name}; none of it is confirmed."
    vantages = [(probe, status) for probe, status in members if probe.role == "vantage"]
    if not vantages and not judged:
        if members:
            return (
                f"No vantage stands in {here.name}: what stands there is a control, the "
                "yardstick for vantages elsewhere."
            )
        return f"Nothing measured here yet: no vantage stands in {here.name}."
    online = sum(status == "online" for _, status in vantages)
    if not online:
        return f"No vantage in {here.name} can be relied on now: what is blocked is not known."
    if not judged:
        return f"Nothing has been judged in {here.name} yet."
    watch = f"{words.number(online, True)} vantage{'s are' if online != 1 else ' is'} watching."
    return f"No service is known to be blocked in {here.name}. {watch}"


def _blocked(confirmed: Sequence[Event], names: Mapping[str, str]) -> str:
    """`WeChat is`, `WeChat and Signal are`, `Three services are`."""
    services = sorted({event.service for event in confirmed})
    said = [names.get(service, service) for service in services]
    match said:
        case [one]:
            part = all(event.extent == "partial" for event in confirmed)
            return f"{'A part of ' if part else ''}{one} is"
        case [one, two]:
            return f"{one} and {two} are"
        case _:
            return f"{words.number(len(said), capital=True)} services are"


def _where(here: Locality, confirmed: Sequence[Event]) -> str:
    if here.asns:
        return here.name
    networks = len({asn for event in confirmed for asn in event.asns})
    return f"{words.number(networks)} network{'s' if networks != 1 else ''} in {here.name}"


def sorted_events(events: Sequence[Event]) -> list[Event]:
    """Open ones first, then the newest."""
    return sorted(events, key=lambda event: (event.state is not EventState.OPEN, -event.onset))


def living(members: Members) -> list[tuple[VantageRow, str]]:
    """Without those that were revoked."""
    return [(probe, status) for probe, status in members if status != "revoked"]
