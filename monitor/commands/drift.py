# SPDX-License-Identifier: Apache-2.0
"""`reachwatch catalogue drift`: which endpoints are contacted and not in the catalogue, which are
in it and not contacted, and in how many countries each works.
"""

from __future__ import annotations

import argparse
import sys
from itertools import groupby
from typing import TextIO

import msgspec

from monitor.commands.imported_runs import runs_of_file
from monitor.commands.terminal import table, time_text
from monitor.interop.csv_text import csv_text
from monitor.interop.ooni.drift import (
    NEWEST,
    UNLISTED,
    CatalogueDrift,
    CountryShare,
    EndpointUse,
    EveryEndpoint,
)
from monitor.interop.ooni.run import SOURCE
from monitor.paths import existing_database_url
from monitor.store.database import StoreRefusedError, open_database
from monitor.store.reading.measurements import stream_measurements
from monitor.store.records import Filter, StoreUnavailableError
from probes.catalogue.load import load
from probes.runtime.progress import ProgressLine

_HEAD = ("ENDPOINT", "TARGET", "OONI", "OWN", "LAST WORKED", "CONTACTED BY")
_METHODS = 3
"""That a text names; files have all."""
_BRIEF = ("works",)
"""Remarks whose endpoints a text only counts."""


class EndpointRow(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint, for a file."""

    endpoint: str
    target: str
    in_catalogue: bool
    remark: str
    explanation: str
    countries: int
    """Where it was tried."""
    works_in: int
    """Of these."""
    ooni_countries: int
    ooni_works_in: int
    own_countries: int
    own_works_in: int
    runs: int
    last_worked: str
    contacted_by: list[str]


def row_of(use: EndpointUse) -> EndpointRow:
    """The row of an endpoint."""
    whole, ooni, own = use.whole, use.reach(imported=True), use.reach(imported=False)
    return EndpointRow(
        endpoint=use.endpoint,
        target="" if use.target == UNLISTED else use.target,
        in_catalogue=use.listed,
        remark=use.remark.id,
        explanation=use.remark.text,
        countries=whole.tried,
        works_in=whole.works,
        ooni_countries=ooni.tried,
        ooni_works_in=ooni.works,
        own_countries=own.tried,
        own_works_in=own.works,
        runs=use.runs,
        last_worked=time_text(use.last_worked) if use.last_worked else "",
        contacted_by=sorted(use.methods),
    )


def text(drift: CatalogueDrift) -> str:
    """Everything that is to be said, for people."""
    if not drift.runs:
        return "no measurement was found\n"
    parts = [f"1/2: works in 1 of 2 countries, in one of the newest {NEWEST} runs there.\n\n"]
    for remark, some in groupby(drift.uses(), key=lambda use: use.remark):
        uses = list(some)
        parts.append(f"{remark.id} ({len(uses)}): {remark.text}\n")
        if remark.id not in _BRIEF:
            rows = [_HEAD, *map(_cells, uses)]
            parts += [f"    {line}\n" for line in table(rows)]
        parts.append("\n")
    endpoints, services = drift.unmeasured()
    parts.append(
        f"Nobody contacted {endpoints} more endpoints, of {services} services that OONI's "
        "messenger tests do not measure.\n"
    )
    return "".join(parts)


def _cells(use: EndpointUse) -> tuple[str, ...]:
    methods = sorted(use.methods, reverse=True)
    more = f" and {len(methods) - _METHODS} more" if len(methods) > _METHODS else ""
    return (
        use.endpoint,
        "-" if use.target == UNLISTED else use.target,
        _share(use.reach(imported=True)),
        _share(use.reach(imported=False)),
        time_text(use.last_worked) if use.last_worked else "-",
        f"{', '.join(methods[:_METHODS])}{more}",
    )


def _share(reach: CountryShare) -> str:
    """`works in 3 of 4 countries`, short."""
    return f"{reach.works}/{reach.tried}" if reach.tried else "-"


def _print(form: str, drift: CatalogueDrift, out: TextIO) -> None:
    rows = [] if form == "text" else [row_of(use) for use in drift.uses()]
    match form:
        case "text":
            out.write(text(drift))
        case "csv":
            cells = ([_cell(value) for value in msgspec.structs.astuple(row)] for row in rows)
            out.write(csv_text([EndpointRow.__struct_fields__, *cells]))
        case _:
            out.writelines(msgspec.json.encode(row).decode() + "\n" for row in rows)
    out.flush()


def _cell(value: object) -> object:
    return ", ".join(value) if isinstance(value, list) else value


async def run(
    given: argparse.Namespace, out: TextIO | None = None, err: TextIO | None = None
) -> int:
    """Run the command with parsed options; return the exit status."""
    out, err = out or sys.stdout, err or sys.stderr
    catalogue = load(given.catalogue)
    drift, progress, problems = CatalogueDrift(catalogue), ProgressLine(err, 0.3), 0

    def report(line: str) -> None:
        nonlocal problems
        problems += 1
        progress.clear()
        print(f"reachwatch: {line}", file=err)

    index = EveryEndpoint(catalogue)
    for name in given.files:
        for measurements in runs_of_file(name, index, report):
            for measurement in measurements:
                drift.add(measurement, imported=True)
            progress.show(f"{drift.runs:,} measurements")
    if not given.files:
        chosen = Filter(since=given.since, until=given.until)
        try:
            async with await open_database(existing_database_url(given)) as database:
                async for part in stream_measurements(database, chosen):
                    for stored in part:
                        drift.add(stored.measurement, imported=stored.source == SOURCE)
                    progress.show(f"{drift.runs:,} measurements")
        except (StoreRefusedError, StoreUnavailableError) as error:
            report(str(error))
    progress.clear()
    _print(given.format, drift, out)
    return 2 if problems else 0
