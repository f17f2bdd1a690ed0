# SPDX-License-Identifier: Apache-2.0
"""What an editor of a catalogue must correct before it is published.

Stricter than `load`: a probe ignores unknown keys, the linter does not.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from pathlib import Path

from probes.catalogue.load import read
from probes.catalogue.table import CatalogueError
from probes.wire.target import Catalogue

MIN_INTERNATIONAL = 3
"""Operators of international liveness hosts: with fewer, an outage or a block of one operator looks
like a vantage that is offline."""
MIN_DOMESTIC = 2
MIN_REFERENCES = 2
REREAD_DAYS = 180
"""An app may have moved to other hosts since its source was read."""


def lint(directory: Path) -> list[str]:
    """Return the problems that forbid publication, one line `file: key: reason` each."""
    try:
        _, findings = read(directory)
    except CatalogueError as error:
        return [str(error)]
    return [*findings.faults, *findings.unknown, *findings.gaps]


def advise(directory: Path) -> list[str]:
    """Return what would make verdicts from this catalogue stronger, none of it required."""
    try:
        catalogue, findings = read(directory)
    except CatalogueError:
        return []
    return [*findings.advice, *_coverage(catalogue)]


def not_read_again(directory: Path, today: dt.date) -> list[str]:
    """Return a line for each service whose sources were last read more than REREAD_DAYS ago."""
    try:
        catalogue, _ = read(directory)
    except CatalogueError:
        return []
    lines = []
    for service in catalogue.services:
        dates = [each.verified for target in service.targets for each in target.endpoints]
        old = [day for day in dates if day is not None and (today - day).days > REREAD_DAYS]
        if old:
            lines.append(
                f"{service.id}: {len(old)} of {len(dates)} endpoints not read again for "
                f"{REREAD_DAYS} days, the oldest since {min(old)}: read their sources again"
            )
    return lines


def _coverage(catalogue: Catalogue) -> list[str]:
    lines = []
    operators: dict[str, set[str]] = defaultdict(set)
    for host in catalogue.liveness:
        operators[host.country].add(operator(host.host))
    if (count := len(operators.pop("", ()))) < MIN_INTERNATIONAL:
        lines.append(
            "controls.toml: liveness: international hosts of "
            f"{count} operators, {MIN_INTERNATIONAL} or more are wanted"
        )
    lines += [
        f"controls.toml: liveness: domestic hosts of {len(names)} operators for {country}, "
        f"{MIN_DOMESTIC} or more are wanted"
        for country, names in sorted(operators.items())
        if len(names) < MIN_DOMESTIC
    ]
    references = sum(resolver.role == "reference" for resolver in catalogue.resolvers)
    if references < MIN_REFERENCES:
        lines.append(
            f"resolvers.toml: resolver: {references} with role reference, "
            f"{MIN_REFERENCES} or more are wanted"
        )
    if not catalogue.silent:
        lines.append(
            "resolvers.toml: silent: is missing: injected answers are detected less reliably"
        )
    if not catalogue.sni.innocuous:
        lines.append(
            "controls.toml: sni.innocuous: is missing: filtering by name cannot be detected"
        )
    return lines


def operator(host: str) -> str:
    """Return a stand-in for who runs a host: its last two labels (three below a short one, as
    in `example.co.uk`)."""
    labels = host.split(".")
    short = len(labels) > 2 and len(labels[-2]) <= 3 and len(labels[-1]) == 2
    return ".".join(labels[-3:] if short else labels[-2:])
