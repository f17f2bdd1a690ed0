# SPDX-License-Identifier: Apache-2.0
"""`reachwatch judge`: files of measurements into one verdict a target.

Reads, joins and prints; the judgement is pure. A target is judged in its newest round in the
vantage's file, with that round's liveness and the nearest control round in the window. OONI's
measurements are recognised by their keys, and judged as imports: each by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TextIO

import msgspec

from monitor.commands.measurement_files import (
    FilesError,
    MeasurementFiles,
    is_ooni,
    read_files,
)
from monitor.commands.terminal import table
from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.judge import imported_run
from monitor.detection.judge.controls import nearest_controls
from monitor.detection.judge.target import judge
from monitor.detection.model import Verdict
from monitor.detection.observed.background import background
from monitor.interop import files
from monitor.interop.fingerprints.directory import load
from probes.wire.codec import WireError, read_lines
from probes.wire.measurement import LIVENESS_TARGETS, Measurement

MAX_ERRORS = 20
"""Malformed lines that are printed; the rest are counted."""


@dataclass
class _Read:
    """The measurements of one file by their use."""

    subjects: dict[tuple[str, str], Measurement] = field(default_factory=dict)
    """Newest measurement by probe and target."""
    measured: list[Measurement] = field(default_factory=list)
    liveness: dict[tuple[str, int], list[Measurement]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


def run(given: argparse.Namespace) -> int:
    """Run the command with parsed options; return the exit status."""
    names = [n for n in (given.probe, given.control) if n is not None]
    if names.count("-") > 1:
        print("reachwatch: judge: only one of --probe and --control can be -", file=sys.stderr)
        return 2
    with contextlib.ExitStack() as stack:
        try:
            paths = [stack.enter_context(files.at_hand(name)) for name in names]
            known = load(given.fingerprints)
            if is_ooni(paths[0]):
                if given.control is not None:
                    raise FilesError("judge: --control does not apply to OONI's measurements")
                read = read_files(paths[:1], labels=names[:1])
                return judge_imported(read, given.json, sys.stdout, sys.stderr, known)
            opened = [stack.enter_context(files.opened(path)) for path in paths]
        except (FilesError, files.FileError, *files.BROKEN) as error:
            for line in str(error).splitlines():
                print(f"reachwatch: {line}", file=sys.stderr)
            return 2
        return judge_files(
            opened[0],
            opened[1] if len(opened) > 1 else None,
            given.window,
            given.json,
            sys.stdout,
            sys.stderr,
            names=tuple(names),
            fingerprints=known,
        )


def judge_imported(
    read: MeasurementFiles,
    as_json: bool,
    out: TextIO,
    err: TextIO,
    fingerprints: Fingerprints = OWN,
) -> int:
    """Judge the newest of OONI's runs at each target in each network. Returns 0, and 2 when there
    are only runs of tests that are not read."""
    newest: dict[tuple[str, str], Measurement] = {}
    for one in sorted(read.stored, key=lambda s: (s.measurement.started, s.measurement.id)):
        newest[one.measurement.target, one.measurement.probe] = one.measurement
    for line in sorted(read.unsupported):
        err.write(f"reachwatch: {line}\n")
    verdicts = [imported_run.judge(newest[key], fingerprints) for key in sorted(newest)]
    if not verdicts and not read.unsupported:
        err.write("reachwatch: judge: no run of a service in the catalogue\n")
    out.writelines(map(_line, verdicts) if as_json else _verdict_table(verdicts))
    return 0 if verdicts or not read.unsupported else 2


def judge_files(
    probe: Iterable[bytes],
    control: Iterable[bytes] | None,
    window_seconds: float,
    as_json: bool,
    out: TextIO,
    err: TextIO,
    names: Sequence[str] = ("probe", "control"),
    fingerprints: Fingerprints = OWN,
) -> int:
    """Judge every target in the lines of `probe` and print a verdict each, in target order.

    `window_seconds`: how far away a control round may be, before or after. Several probes in one
    file are judged separately. Returns 0; 2 when a line is malformed or a file cannot be read, with
    a line `file:number: reason` on `err` for each and no verdicts: part of a file would give
    `insufficient`.
    """
    label = ["standard input" if n == "-" else n for n in names]
    try:
        subject = _read(probe, label[0])
        controls_read = _read(control, label[1]) if control is not None else _Read()
    except OSError as error:
        err.write(f"reachwatch: {label[0]}: {error.strerror or error}\n")
        return 2
    if errors := subject.errors + controls_read.errors:
        for text in errors[:MAX_ERRORS]:
            err.write(f"reachwatch: {text}\n")
        if len(errors) > MAX_ERRORS:
            err.write(f"reachwatch: and {len(errors) - MAX_ERRORS} more malformed lines\n")
        return 2
    verdicts = []
    for _, measurement in sorted(subject.subjects.items(), key=lambda item: item[0][::-1]):
        controls = nearest_controls(
            measurement,
            controls_read.measured,
            controls_read.liveness,
            int(window_seconds * 1000),
            later=True,
        )
        alive = subject.liveness.get((measurement.probe, measurement.round), [])
        others = background(
            m
            for m in subject.measured
            if (m.probe, m.round) == (measurement.probe, measurement.round)
            and m.target != measurement.target
        )
        verdicts.append(judge(measurement, alive, controls, fingerprints, others))
    if not verdicts:
        err.write(f"reachwatch: {label[0]}: no measurement of a target\n")
    out.writelines(map(_line, verdicts) if as_json else _verdict_table(verdicts))
    return 0


def _read(lines: Iterable[bytes], name: str) -> _Read:
    read = _Read()
    for number, item in read_lines(lines):
        if isinstance(item, WireError):
            read.errors.append(f"{name}:{number}: {item}")
        elif item.target in LIVENESS_TARGETS:
            read.liveness.setdefault((item.probe, item.round), []).append(item)
        else:
            read.measured.append(item)
            key = item.probe, item.target
            old = read.subjects.get(key)
            if old is None or (item.round, item.started) >= (old.round, old.started):
                read.subjects[key] = item
    return read


def _line(verdict: Verdict) -> str:
    return msgspec.json.encode({"target": verdict.target} | verdict.form()).decode() + "\n"


_HEAD = ("TARGET", "STATE", "TECHNIQUE", "RULE", "ENDPOINTS", "ADDRESSES", "EVIDENCE")


def _verdict_table(verdicts: Sequence[Verdict]) -> Iterable[str]:
    """Yield the lines of a table of verdicts."""
    if not verdicts:
        return
    rows = [_HEAD] + [
        (
            v.target,
            str(v.state),
            str(v.technique or v.layer or "-"),
            v.rule,
            f"{v.endpoints.failed}/{v.endpoints.total} failed",
            f"{v.addresses.failed}/{v.addresses.total} failed",
            " ".join(v.evidence),
        )
        for v in verdicts
    ]
    yield from (f"{line}\n" for line in table(rows))
