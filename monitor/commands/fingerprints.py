# SPDX-License-Identifier: Apache-2.0
"""`reachwatch fingerprints import|list|lint`."""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from monitor.commands import terminal
from monitor.detection.fingerprints.entry import ACCUSING, VETO, Fingerprint
from monitor.detection.fingerprints.known import ADDRESSES, HOSTS, NAMES
from monitor.interop.fingerprints import directory, tables
from probes.runtime.options import OptionError
from probes.wire.block_pages import phrases

MAX_LINES = 20
"""Malformed and skipped rows that are printed; the rest are counted."""


def run(given: argparse.Namespace) -> int:
    """Run one of the commands; return the exit status. Raises OptionError."""
    match given.command:
        case "fingerprints import":
            return _import(given.fingerprints, [Path(name) for name in given.files])
        case "fingerprints lint":
            return _lint(given.fingerprints)
        case _:
            return _list(given.fingerprints)


def _lint(path: Path) -> int:
    entries, faults = directory.read(path)
    for fault in faults:
        print(fault)
    if not entries and not faults:
        print(f"{path}: contains no list (`reachwatch fingerprints import` writes NAME.csv)")
        return 1
    return 1 if faults else 0


def _import(into: Path, files: list[Path]) -> int:
    """Import every file, or none when one of them is malformed."""
    found: list[tuple[Path, tables.FingerprintTable]] = []
    for path in files:
        try:
            with path.open("rb") as file:
                raw = file.read(tables.MAX_BYTES + 1)
        except OSError as error:
            raise OptionError(f"{path}: {error.strerror or error}") from None
        found.append((path, tables.read(str(path), raw)))
    faults = [fault for _, table in found for fault in table.faults]
    if faults:
        _tell(faults, "malformed rows")
        return 2
    for path, table in found:
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", path.stem)[:100]
        try:
            kept = directory.keep(into, f"{table.origin}-{stem}.csv", table.entries)
        except OSError as error:
            raise OptionError(f"{error.filename}: {error.strerror or error}") from None
        _tell(table.skipped, "rows that cannot be used")
        role = Counter(map(_role, table.entries))
        print(
            f"{kept}: {len(table.entries)} imported ({role['accuses']} show a block, "
            f"{role['vetoes']} cancel matches, {role['silent']} have no effect), "
            f"{len(table.skipped)} skipped"
        )
    return 0


def _role(one: Fingerprint) -> str:
    if one.scope in ACCUSING:
        return "accuses"
    return "vetoes" if one.scope == VETO else "silent"


def _tell(lines: list[str], what: str) -> None:
    for line in lines[:MAX_LINES]:
        print(f"reachwatch: {line}", file=sys.stderr)
    if len(lines) > MAX_LINES:
        print(f"reachwatch: and {len(lines) - MAX_LINES} more {what}", file=sys.stderr)


def _list(path: Path | None) -> int:
    loaded = directory.load(path)
    rows: list[tuple[str, ...]] = [
        ("id", "scope", "role", "where", "how", "pattern", "countries", "source")
    ]
    rows += _own()
    if path is not None:
        rows += [
            (
                one.id,
                one.scope or "-",
                _role(one),
                one.where,
                one.how,
                _short(one.pattern),
                ",".join(one.countries) or "all",
                _short(one.source),
            )
            for one in sorted(directory.read(path)[0])
        ]
    print("\n".join(terminal.table(rows)))
    print(f"{len(rows) - 1} fingerprints, version of the imported set: {loaded.version or 'none'}")
    return 0


def _own() -> Iterable[tuple[str, ...]]:
    for phrase in phrases():
        yield (
            phrase.id, "nat", "accuses", "body", "own", _short(phrase.pattern.pattern), "all",
            phrase.source,
        )  # fmt: skip
    for where, table in (("redirect", HOSTS), ("dns", ADDRESSES), ("dns", NAMES)):
        for one in table:
            countries = ",".join(one.countries) or "all"
            yield (one.id, one.scope, "accuses", where, "full", one.what, countries, one.source)


def _short(text: str) -> str:
    """A pattern on one line, without control characters."""
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return clean if len(clean) <= 50 else clean[:47] + "..."
