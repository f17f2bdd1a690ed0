# SPDX-License-Identifier: Apache-2.0
"""The matrix of services (down) and countries or networks (across). Pure."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeVar

from monitor.detection.events.present import SILENT, PresentState, leading
from monitor.detection.model import Event, State, Tier
from monitor.text import event_state, event_subject, words
from monitor.text.language import _, current, n_
from probes.wire.measurement import service_of
from probes.wire.target import Service

RANK = {Tier.CONFIRMED: 0, Tier.LIKELY: 1, Tier.UNCONFIRMED: 2}
_ORDER = (
    *(State.BLOCKED, State.IMPAIRED, State.THROTTLED),
    *(State.INCONCLUSIVE, State.DOWN, State.OK, *SILENT),
)
"""Of several states of a service in a place the first is named."""
Cell = dict[str, Any]
"""`kind` of mark, `word`, `rank` (smaller is worse), the id of the `event`, if any, and its
`scope`: functions and networks, where it is not about all."""
Column = TypeVar("Column", str, int)


def matrix(
    services: Iterable[Service],
    columns: Sequence[Column],
    states: Mapping[tuple[str, Column], Collection[State]],
    events: Mapping[tuple[str, Column], Event],
    reached: Mapping[tuple[str, Column], int],
    *,
    networks: bool = True,
) -> list[tuple[str, str, list[Cell | None]]]:
    """(service id, name, a cell for each column) of the services with any state, the worst
    first. `states` of its targets, the open events, and how many targets are `reached`, by
    service and column. `networks`: a column has several."""
    listed = []
    for service in services:
        keys, of = [(service.id, column) for column in columns], len(service.targets)
        cells = [
            cell(states.get(key, ()), events.get(key), reached.get(key, 0), of, networks=networks)
            for key in keys
        ]
        if any(cells):
            worst = min(each["rank"] for each in cells if each)
            listed.append((worst, service.id, service.name, cells))
    listed.sort(key=lambda each: (each[0], each[2].lower()))
    return [(id, name, cells) for _, id, name, cells in listed]


def country_matrix(
    services: Iterable[Service],
    states: Mapping[tuple[str, str], Collection[State]],
    opened: Iterable[Event],
    reached: Mapping[tuple[str, str], int],
) -> tuple[list[str], list[tuple[str, str, list[Cell | None]]]]:
    """The countries, those with the worst state first, and the matrix over them; `states` and
    how many functions are `reached`, by service and country."""
    by_place: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in opened:
        by_place[event.service, event.country].append(event)
    events = {place: first for place, mine in by_place.items() if (first := leading(mine))}
    standing = {country for (_, country), event in events.items() if event.stands}
    countries = sorted({country for _, country in states} | standing)
    return _worst_first(countries, matrix(services, countries, states, events, reached))


def network_matrix(
    services: Iterable[Service], rows: Sequence[PresentState], opened: Sequence[Event]
) -> tuple[list[int], list[tuple[str, str, list[Cell | None]]]]:
    """The networks of one country, and the matrix over them."""
    networks = sorted({row.asn for row in rows} | {asn for event in opened for asn in event.asns})
    by_place: dict[tuple[str, int], list[Event]] = defaultdict(list)
    for event in opened:
        for asn in event.asns:
            by_place[event.service, asn].append(event)
    events = {place: first for place, mine in by_place.items() if (first := leading(mine))}
    found: dict[str, dict[int, list[State]]] = defaultdict(lambda: defaultdict(list))
    for target, mine in groupby(rows, attrgetter("target")):  # hundreds of networks in a row
        of_service = found[service_of(target)]
        for row in mine:
            of_service[row.asn].append(row.state)
    states = {(id, asn): some for id, here in found.items() for asn, some in here.items()}
    reached = {place: some.count(State.OK) for place, some in states.items()}
    listed = matrix(services, networks, states, events, reached, networks=False)
    return _worst_first(networks, listed)


Row = tuple[str, str, list[Cell | None]]


def _worst_first(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[list[Column], list[Row]]:
    """Columns and rows with the worst columns first: on a phone only the first are visible."""
    worst = [
        min((row[i]["rank"] for _, _, row in rows if row[i]), default=9)  # type: ignore[index]
        for i in range(len(columns))
    ]
    order = sorted(range(len(columns)), key=lambda i: (worst[i], i))
    moved = [(id, name, [cells[i] for i in order]) for id, name, cells in rows]
    return [columns[i] for i in order], moved


def cell(
    found: Collection[State],
    event: Event | None,
    reached: int = 0,
    of: int = 0,
    *,
    networks: bool = True,
) -> Cell | None:
    """A service in a place: the tier of its open event, also while nobody measures there, else the
    worst of the states of its targets. Where so many are `reached` of more (`of`), it says so: of
    those that nobody measures nothing is known."""
    if event is not None and event.stands:
        scope = event_subject.scope(event, networks=networks)
        return {
            "kind": event_state.mark_kind(event),
            "word": event_state.state_word(event),
            "rank": RANK[event.tier],
            "event": event.id,
            "scope": ", ".join(filter(None, (scope, "" if found else _("no data now")))),
        }
    part = (reached, of) if reached < of else None
    return _cell(frozenset(found), part, current().language) if found else None


@functools.lru_cache(maxsize=1024)
def _cell(found: frozenset[State], part: tuple[int, int] | None, _language: str) -> Cell:
    """The cell of these states without an event. A large country has hundreds, of a few kinds."""
    # Without an event nothing is called blocked, and what fails is not called reachable.
    state = next(each for each in _ORDER if each in found)
    kind, word = words.state_mark(state)
    rank = 5 if state in (State.OK, *SILENT) else 4
    scope = ""
    if part is not None and state is State.OK:
        n, of = part
        scope = n_("%(n)s of %(of)s function", "%(n)s of %(of)s functions", of, n=n, of=of)
    return {"kind": kind, "word": word, "rank": rank, "event": None, "scope": scope}
