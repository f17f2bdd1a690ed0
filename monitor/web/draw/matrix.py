# SPDX-License-Identifier: Apache-2.0
"""The matrix of services (down) and countries or networks (across). Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from monitor.detection.model import Event, State, Tier
from monitor.detection.sequence.present import PresentState
from monitor.web.text import words
from probes.wire.target import Service

RANK = {Tier.CONFIRMED: 0, Tier.LIKELY: 1, Tier.UNCONFIRMED: 2}
Cell = dict[str, Any]
"""`kind` of mark, `word`, `rank` (smaller is worse) and the id of the `event`, if any."""
Column = TypeVar("Column", str, int)


def matrix(
    services: Iterable[Service],
    columns: Sequence[Column],
    states: Mapping[tuple[str, Column], Collection[State]],
    events: Mapping[tuple[str, Column], Event],
) -> list[tuple[str, str, list[Cell | None]]]:
    """(service id, name, a cell for each column) of the services with any state, the worst
    first. `states` of its targets, and the open events, by service and column."""
    listed = []
    for service in services:
        keys = [(service.id, column) for column in columns]
        cells = [cell(states.get(key, ()), events.get(key)) for key in keys]
        if any(cells):
            worst = min(each["rank"] for each in cells if each)
            listed.append((worst, service.id, service.name, cells))
    listed.sort(key=lambda each: (each[0], each[2].lower()))
    return [(id, name, cells) for _, id, name, cells in listed]


def country_matrix(
    services: Iterable[Service],
    states: Mapping[tuple[str, str], Collection[State]],
    opened: Iterable[Event],
) -> tuple[list[str], list[tuple[str, str, list[Cell | None]]]]:
    """The countries, and the matrix over them; `states` by service and country."""
    countries = sorted({country for _, country in states})
    events = {(event.service, event.country): event for event in opened}
    return countries, matrix(services, countries, states, events)


def network_matrix(
    services: Iterable[Service], rows: Sequence[PresentState], opened: Sequence[Event]
) -> tuple[list[int], list[tuple[str, str, list[Cell | None]]]]:
    """The networks of one country, and the matrix over them."""
    networks = sorted({row.asn for row in rows} | {asn for event in opened for asn in event.asns})
    events: dict[tuple[str, int], Event] = {}
    for event in opened:
        for asn in event.asns:
            events.setdefault((event.service, asn), event)
    states: dict[tuple[str, int], set[State]] = defaultdict(set)
    for row in rows:
        states[row.target.partition("/")[0], row.asn].add(row.state)
    return networks, matrix(services, networks, states, events)


def cell(found: Collection[State], event: Event | None) -> Cell | None:
    """A service in a place: the tier of its open event, else the worst of the states of its
    targets."""
    if not found:
        return None
    if event is not None and event.stands:
        partial = event.extent == "partial" and event.tier is Tier.CONFIRMED
        return {
            "kind": "impaired" if partial else words.TIER_KINDS[event.tier],
            "word": words.TIERS[event.tier],
            "rank": RANK[event.tier],
            "event": event.id,
        }
    # Without an event nothing is called blocked, and what fails is not called reachable.
    states = {State.INCONCLUSIVE if each in words.UNCONFIRMED else each for each in found}
    order = (State.INCONCLUSIVE, State.DOWN, State.OK, State.VANTAGE_OFFLINE, State.INSUFFICIENT)
    state = next(each for each in order if each in states)
    rank = 4 if state in (State.INCONCLUSIVE, State.DOWN) else 5
    return {"kind": str(state), "word": words.STATES[state], "rank": rank, "event": None}
