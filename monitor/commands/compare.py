# SPDX-License-Identifier: Apache-2.0
"""`reachwatch compare ooni`: OONI's own flags beside our verdicts, run by run, with the reason of
each difference, and how many of each there are.

Text is for people: reasons with examples, then a table. `--format csv` and `jsonl` have a row for
each function of each run, as it is read; with `--summary` a row for each count.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TextIO

import msgspec

from monitor.commands.comparison_counts import SUMMARY, ComparisonCounts, flags_text, share_text
from monitor.commands.imported_runs import RunSelection, runs_of_file, runs_of_store
from monitor.commands.terminal import time_text
from monitor.interop.csv_text import csv_text
from monitor.interop.fingerprints.directory import load as load_fingerprints
from monitor.interop.ooni.conclusions import FlagValue
from monitor.interop.ooni.differences import ComparedFunction, compare
from monitor.interop.ooni.target_index import TargetIndex
from monitor.paths import existing_database_url
from monitor.store.database import StoreRefusedError, open_database
from monitor.store.records import StoreUnavailableError
from probes.catalogue.load import load
from probes.runtime.progress import ProgressLine
from probes.wire.measurement import Measurement


class ComparedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One function of one run, for a file."""

    started: str
    country: str
    asn: int
    test: str
    version: str
    function: str
    agreement: str
    reason: str
    explanation: str
    ooni: str
    """`blocked`, `ok` or `none`."""
    flags: dict[str, FlagValue]
    targets: list[str]
    states: list[str]
    techniques: list[str]
    rules: list[str]
    endpoints: list[str]
    """Failed, of those that were tried."""
    report_id: str
    input: str
    measurements: list[str]
    """Our ids."""


def row_of(compared: ComparedFunction) -> ComparedRow:
    """The row of a compared function."""
    first, verdicts = compared.measurements[0], compared.verdicts
    reason = compared.reason
    return ComparedRow(
        started=time_text(first.started),
        country=first.vantage.country,
        asn=first.vantage.asn,
        test=compared.run.test_name,
        version=compared.run.test_version,
        function=compared.conclusion.function.name,
        agreement=compared.agreement,
        reason=reason.id if reason else "",
        explanation=reason.text if reason else "",
        ooni={True: "blocked", False: "ok", None: "none"}[compared.conclusion.accuses],
        flags=compared.conclusion.flags,
        targets=[verdict.target for verdict in verdicts],
        states=[verdict.state.value for verdict in verdicts],
        techniques=[str(verdict.technique or "-") for verdict in verdicts],
        rules=[verdict.rule for verdict in verdicts],
        endpoints=[share_text(verdict) for verdict in verdicts],
        report_id=compared.run.report_id,
        input=compared.run.input,
        measurements=[measurement.id for measurement in compared.measurements],
    )


class _Printer:
    """Rows as they come, and what is left for the end."""

    def __init__(self, form: str, summary: bool, out: TextIO) -> None:
        self._form, self._out = form, out
        self._rows = form != "text" and not summary
        self._began = False
        self.counts = ComparisonCounts()

    def add(self, compared: ComparedFunction) -> None:
        """Print or count one."""
        self.counts.add(compared)
        if not self._rows:
            return
        row = row_of(compared)
        if self._form == "jsonl":
            self._out.write(msgspec.json.encode(row).decode() + "\n")
            return
        if not self._began:
            self._began = True
            self._out.write(csv_text([ComparedRow.__struct_fields__]))
        self._out.write(csv_text([[_cell(v) for v in msgspec.structs.astuple(row)]]))

    def end(self) -> None:
        """Print what is left."""
        match self._form:
            case "text":
                self._out.write(self.counts.text())
            case "csv" if not self._rows:
                self._out.write(csv_text([SUMMARY, *self.counts.rows()]))
            case "jsonl" if not self._rows:
                for row in self.counts.rows():
                    form = dict(zip(SUMMARY, row, strict=True))
                    self._out.write(msgspec.json.encode(form).decode() + "\n")
        self._out.flush()


def _cell(value: object) -> object:
    if isinstance(value, dict):
        return flags_text(value)
    return " ".join(value) if isinstance(value, list) else value


async def run(
    given: argparse.Namespace, out: TextIO | None = None, err: TextIO | None = None
) -> int:
    """Run the command with parsed options; return the exit status."""
    out, err = out or sys.stdout, err or sys.stderr
    selection = RunSelection(given.since, given.until, given.tests, given.countries)
    printer, progress = _Printer(given.format, given.summary, out), ProgressLine(err, 0.3)
    fingerprints = load_fingerprints(given.fingerprints)
    problems = count = 0

    def report(text: str) -> None:
        nonlocal problems
        problems += 1
        progress.clear()
        print(f"reachwatch: {text}", file=err)

    def add(measurements: Sequence[Measurement]) -> None:
        nonlocal count
        if selection.has(measurements):
            for compared in compare(measurements, fingerprints):
                printer.add(compared)
            count += 1
            progress.show(f"{count:,} runs")

    if given.files:
        targets_by_name = TargetIndex(load())
        for name in given.files:
            for measurements in runs_of_file(name, targets_by_name, report):
                add(measurements)
    else:
        try:
            async with await open_database(existing_database_url(given)) as database:
                async for measurements in runs_of_store(database, selection):
                    add(measurements)
        except (StoreRefusedError, StoreUnavailableError) as error:
            report(str(error))
    progress.clear()
    printer.end()
    return 2 if problems else 0
