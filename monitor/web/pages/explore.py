# SPDX-License-Identifier: Apache-2.0
"""Explore: a table of counts by service, function, technique or reason in one direction, by
country, network or time in the other. All that is chosen is in the address, and each cell leads to
the measurements that it counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, get_args
from urllib.parse import urlencode

import msgspec
from aiohttp import web
from markupsafe import Markup, escape

from monitor.store.cell_sums import SPANS
from monitor.store.engines import ReadTransaction
from monitor.store.reading.breakdown import (
    FailedShare,
    Named,
    Naming,
    Period,
    Place,
    chosen_at,
    column_of,
    functions,
    named,
    services,
    within_limit,
)
from monitor.store.reading.cell_sums import Across, Column
from monitor.store.records import Filter
from monitor.store.service_hours import DAY_MS, HOUR_MS, KINDS, kinds_of
from monitor.text import words
from monitor.text.language import _, grouped
from monitor.text.network_names import network
from monitor.web.draw.now_rows import mark
from monitor.web.draw.strips import Window
from monitor.web.event_failures import series_told
from monitor.web.history import TimeRange, fixed_query, range_or_week
from monitor.web.moment import site_of
from monitor.web.pages.choice import (
    addresses,
    chosen_countries,
    chosen_networks,
    chosen_services,
)
from monitor.web.params import BadParameterError, without_empty
from monitor.web.quick_templates import escaped
from monitor.web.render import render
from monitor.web.site import Site
from monitor.web.views import known_events
from probes.wire.measurement import service_of

DOWN = ("service", "function", "technique", "rule")
"""What rows may be."""
TIMES = 12
"""Columns of time, about."""
MOST_ROWS, MOST_COLUMNS = 60, 30
MOST_EVENTS = 500
"""The newest events that tell what failed."""
_BLOCKED = 1 << KINDS.index("blocked")


class Selection(msgspec.Struct, frozen=True):
    """What a visitor chose."""

    by: str
    """One of DOWN: what the rows are."""
    per: Across
    services: Sequence[str]
    target: str | None
    place: Place

    @property
    def is_wide(self) -> bool:
        """Whether it asks for every service everywhere in more detail than is summed up."""
        narrow = self.services or self.target or self.place.countries or self.place.asns
        return not narrow and (self.by != "service" or self.per == "network")

    def query_around(self, column: Column) -> tuple[str, str] | None:
        """What stands before and after the id of a row in the query that chooses the measurements
        of a cell; None where a list of measurements cannot: it takes one service, one country and
        one network."""
        place = self.place
        parts: dict[str, Sequence[str]] = {
            "service": self.services,
            "target": [self.target] if self.target else [],
            "country": place.countries,
            "asn": [str(asn) for asn in place.asns],
        }
        key = "target" if self.by == "function" else self.by
        parts[key] = [""]
        if self.by in ("service", "function"):
            parts.pop("service" if self.by == "function" else "target")
        if column[0]:
            parts["country"] = [column[0]]
        if self.per == "network":
            parts["asn"] = [str(column[1])]
        if any(len(values) > 1 for values in parts.values()):
            return None
        if self.by == "rule":
            parts["counted"] = ["no"]
        # All of these are ids, which an address takes as they are.
        chosen = [f"{name}={values[0]}" for name, values in parts.items() if values]
        end = chosen.index(f"{key}=") + 1
        return "&".join(chosen[:end]), "".join(f"&{part}" for part in chosen[end:])


class Cell(msgspec.Struct, frozen=True):
    """A row in a column."""

    n: int
    total: int
    kind: str = ""
    """Of its mark; empty for none: what is counted is not how much failed."""
    state: str = ""
    """Of all that is counted, by rule; empty where they differ. A list takes one: without it, it
    also has what counts but for having arrived late, which sums do not tell apart."""

    @property
    def share(self) -> str:
        """`12 %`."""
        return words.share(self.n, self.total) if self.total else _("no data")


def period_of(span: TimeRange, kept_since: int, now: int, as_of: int | None = None) -> Period:
    """A chosen time, in some TIMES columns of whole hours or days, of which none ends after a
    moment of the past; `kept_since` as Site has it."""
    window = span.window
    until = window.until
    if as_of is not None and as_of < until:
        until = max(window.since, as_of - as_of % (DAY_MS if window.daily else HOUR_MS))
    length = until - window.since
    unit = DAY_MS if window.daily or length > 3 * DAY_MS else HOUR_MS
    width = unit * max(1, -(-length // (TIMES * unit)))
    if width > SPANS[-1]:
        width += -width % SPANS[-1]  # of which there are sums
    return Period(
        window.since,
        until,
        width,
        window.daily,
        kept=window.since >= kept_since,
        to_now=as_of is None and until >= now,
    )


async def page(request: web.Request) -> web.Response:
    """Render the table."""
    without_empty(request)
    site = site_of(request)
    choice, span = _chosen(site, request), range_or_week(request)
    asked = period_of(span, site.hours_kept_since, site.clock(), site.as_of)
    table = Breakdown({}, asked)
    if not choice.is_wide:
        async with site.database.reading() as connection:
            table = await read(site, connection, choice, asked)
    cells, period = table.cells, table.period
    columns = order(cells, 1, MOST_COLUMNS)
    if choice.per == "time":
        columns = sorted({column for _row, column in cells}, key=lambda column: column[1])
    rows = order(cells, 0, MOST_ROWS)
    linked = [_address_around(choice, column, period) for column in columns]
    place = choice.place
    values = {
        "title": _("Explore"),
        "choice": choice,
        "columns": columns,
        "heads": [_head(choice, column, period) for column in columns],
        "rows": [
            (row, cells_text(row, [cells.get((row, column)) for column in columns], linked))
            for row in rows
        ],
        "left_out": len({row for row, _ in cells}) - len(rows),
        "columns_left_out": len({column for _, column in cells}) - len(columns),
        "shortened": period.since > asked.since,
        "most_events": None if table.all_events else MOST_EVENTS,
        "period": period,
        "services": choice.services,
        "countries": place.countries,
        "names": site.service_names,
        "chosen": span,
        "turned": _turned(request),
        "kept": _details_query(choice, span),
        **addresses(request, span, choice.services, place.countries, place.asns),
    }
    return await render(request, "explore.html", values)


def _chosen(site: Site, request: web.Request) -> Selection:
    by, per = request.query.get("by", "service"), request.query.get("per", "country")
    if by not in DOWN:
        raise BadParameterError(f"by: must be {', '.join(DOWN)}, not {by[:40]!r}")
    across = next((name for name in get_args(Across) if name == per), None)
    if across is None:
        raise BadParameterError(f"per: must be {', '.join(get_args(Across))}, not {per[:40]!r}")
    target = request.query.get("target")
    known = {each.id for service in site.catalogue.services for each in service.targets}
    if target is not None and target not in known:
        raise BadParameterError(f"target: {target[:40]!r} is not in the catalogue")
    if target is not None and by == "service":
        raise BadParameterError("target: goes with by=function, technique or rule")
    return Selection(
        by,
        across,
        chosen_services(site, request),
        target,
        Place(tuple(chosen_countries(request)), tuple(chosen_networks(request))),
    )


class Breakdown(msgspec.Struct, frozen=True):
    """What was counted."""

    cells: Mapping[tuple[str, Column], Cell]
    """By row and column."""
    period: Period
    """The time that they are of."""
    all_events: bool = True
    """Whether all events of the time were asked what failed."""


async def read(
    site: Site, connection: ReadTransaction, choice: Selection, period: Period
) -> Breakdown:
    """Count what was chosen."""
    wanted = [each for each in site.catalogue.services if each.id in choice.services]
    wanted = wanted or list(site.catalogue.services)
    if choice.by == "service":
        ids = [service.id for service in wanted]
        shares = await services(connection, ids, period, choice.per, choice.place)
        return await _with_event_failures(site, connection, choice, period, shares)
    targets = [target.id for service in wanted for target in service.targets]
    if choice.target is not None:
        targets = [choice.target]
    chosen = await chosen_at(connection, targets, choice.place)
    period = within_limit(chosen, period, choice.per)
    if choice.by == "function":
        shares = await functions(connection, chosen, period, choice.per)
        return await _with_event_failures(site, connection, choice, period, shares)
    by: Naming = "technique" if choice.by == "technique" else "rule"
    return Breakdown(_names(await named(connection, chosen, period, choice.per, by)), period)


async def _with_event_failures(
    site: Site,
    connection: ReadTransaction,
    choice: Selection,
    period: Period,
    shares: Mapping[tuple[str, Column], FailedShare],
) -> Breakdown:
    """The shares, with what failed without a control of ours while an event that rests on it
    lasted, as on other pages."""
    asked, place = choice.services, choice.place
    one_service = asked[0] if len(asked) == 1 else service_of(choice.target or "") or None
    within = Filter(
        service=one_service,
        country=place.countries[0] if len(place.countries) == 1 else None,
        since=period.since,
        until=period.until,
    )
    found = await known_events(site, connection, within, MOST_EVENTS + 1)
    events = [
        event
        for event in found[:MOST_EVENTS]
        if (not asked or event.service in asked)
        and (not place.countries or event.country in place.countries)
        and (not place.asns or not set(place.asns).isdisjoint(event.asns))
    ]
    window = Window(period.since, period.until, max(1, (period.until - period.since) // HOUR_MS))
    sums = dict(shares)
    for series in await series_told(site, connection, events, window):
        if place.asns and series.asn not in place.asns:
            continue
        row = series.target if choice.by == "function" else service_of(series.target)
        column = column_of(period, choice.per, series.country, series.asn, series.hour)
        if (share := sums.get((row, column))) is not None:
            is_blocked = bool(kinds_of(series.states) & _BLOCKED)
            sums[row, column] = share + FailedShare(series.told, 0, is_blocked)
    return Breakdown(_shares(sums), period, all_events=len(found) <= MOST_EVENTS)


def _shares(shares: Mapping[tuple[str, Column], FailedShare]) -> Mapping[tuple[str, Column], Cell]:
    return {key: Cell(share.failing, share.judged, _kind(share)) for key, share in shares.items()}


def _kind(share: FailedShare) -> str:
    if share.blocked:
        return "blocked"
    if share.failing:
        return "impaired"
    return "ok" if share.judged else "insufficient"


def _names(found: Named) -> Mapping[tuple[str, Column], Cell]:
    """A cell of nothing where there are verdicts, and none of them names what the row is of."""
    return {
        (row, column): Cell(
            found.counts.get((row, column), 0),
            total,
            state=_common_state(found.states.get((row, column))),
        )
        for row in {row for row, _column in found.counts}
        for column, total in found.total.items()
    }


def _common_state(states: Collection[str] | None) -> str:
    """The state, if there is one alone."""
    return next(iter(states)) if states is not None and len(states) == 1 else ""


def _address_around(choice: Selection, column: Column, period: Period) -> tuple[str, str] | None:
    """What stands before and after the id of a row in the address of a cell's measurements, as
    markup; None where there is none."""
    if (around := choice.query_around(column)) is None:
        return None
    since, until = period.since, period.until
    if choice.per == "time":
        since, until = max(since, column[1]), min(until, column[1] + period.slice_ms)
    before, after = around
    return escape(f"/m?{before}"), escape(f"{after}&{fixed_query(since, until)}")


def cells_text(
    row: str, cells: Iterable[Cell | None], addresses: Iterable[tuple[str, str] | None]
) -> Markup:
    """The cells of a row as markup, with what stands around its id in the address of each: a page
    has hundreds."""
    id, nothing = escaped(row), f'<td><span class="quiet">{escaped(_("no data"))}</span></td>'
    text = []
    for cell, address in zip(cells, addresses, strict=True):
        if cell is None:
            text.append(nothing)
            continue
        said = str(mark(cell.kind, cell.share)) if cell.kind else grouped(cell.n)
        if address is not None and (cell.n or cell.kind):
            state = f"&amp;state={cell.state}" if cell.state else ""
            said = f'<a href="{address[0]}{id}{address[1]}{state}">{said}</a>'
        of = escaped(_("of %(total)s", total=grouped(cell.total)))
        text.append(f"<td>{said} <small>{of}</small></td>")
    return Markup("".join(text))


def order(cells: Mapping[tuple[str, Column], Cell], part: int, most: int) -> Sequence[Any]:
    """The rows (part 0) or columns, those with the largest share first."""
    largest: dict[Any, float] = {}
    for key, cell in cells.items():
        share = cell.n / cell.total if cell.n else 0.0
        value = key[part]
        if share > largest.get(value, -1.0):
            largest[value] = share
    return sorted(largest, key=lambda value: (-largest[value], value))[:most]


def _head(choice: Selection, column: Column, period: Period) -> tuple[str, str]:
    """(label, address) of a column."""
    country, asn = column
    match choice.per:
        case "country":
            return words.sentence(words.country(country)), f"/c/{country}"
        case "network":
            return f"{network(asn)}, {country}", f"/as/{asn}"
        case "time":
            return words.when(asn) if period.slice_ms % DAY_MS else words.day(asn), ""


def _turned(request: web.Request) -> Mapping[str, str]:
    """Addresses of the same choice with other rows or columns, by `by=…` and `per=…`."""
    kept = request.url.without_query_params("lang").relative()
    return {
        f"{name}={value}": str(kept.update_query({name: value}))
        for name, values in (("by", DOWN), ("per", get_args(Across)))
        for value in values
    }


def _details_query(choice: Selection, span: TimeRange) -> str:
    """The query of the same columns, place and time, for the details of a row."""
    place = [*(("country", code) for code in choice.place.countries)]
    place += [("asn", str(asn)) for asn in choice.place.asns]
    return f"{urlencode([('per', choice.per), *place])}&{span.query}"
