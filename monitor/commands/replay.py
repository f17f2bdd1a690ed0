# SPDX-License-Identifier: Apache-2.0
"""`reachwatch replay`: measurements through the present rules and detector, events out.

The same fold as the live detector's. Nothing of arrival is read, so the same measurements give
the same bytes in whatever order they come.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, TextIO

import msgspec

from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.model import Event, Stored
from monitor.detection.policy import Policy
from monitor.detection.sequence.fold import initial
from monitor.detection.sequence.history import Folding, chunks, sort_events
from monitor.interop.fingerprints.directory import load
from monitor.paths import filled_database_url
from monitor.store.database import Database, open_database
from monitor.store.reading.events import all_events
from monitor.store.reading.progress import list_services
from monitor.store.records import StoreUnavailableError
from probes.wire.codec import WireError, read_lines
from probes.wire.measurement import LIVENESS_TARGETS, Measurement

CHUNK_ROUNDS = 200
FOREVER = 2**62
MAX_FAULTS = 20
"""Malformed lines named one by one; the rest are counted."""
_encoder = msgspec.json.Encoder()


class FilesError(Exception):
    """Files that are not Measurement JSON Lines: one line for each fault."""


def event_line(event: Event) -> bytes:
    """The canonical encoding of an event: JSON in the order of its fields."""
    return _encoder.encode(event)


def lines(events: Sequence[Event]) -> bytes:
    """Events as JSON Lines, in replay's order."""
    return b"".join(event_line(event) + b"\n" for event in sort_events(events))


async def events_bytes(database: Database) -> bytes:
    """What the live detector concluded, in the form in which replay prints it."""
    async with database.reading() as connection:
        return lines(await all_events(connection))


def read_files(files: Iterable[tuple[str, Iterable[bytes]]]) -> list[Stored]:
    """Measurements of (name, lines) pairs as if they had been stored.

    A file knows no tokens: the owner is the probe itself, the role is the one it claims, and
    its age is no obstacle. The same id twice counts once. Raises FilesError.
    """
    found: dict[str, Measurement] = {}
    faults: list[str] = []
    for name, file in files:
        for number, one in read_lines(file):
            if isinstance(one, WireError):
                faults.append(f"{name}:{number}: {one}")
            elif found.setdefault(one.id, one) != one:
                faults.append(f"{name}:{number}: id {one.id} was there with other contents")
    if faults:
        more = len(faults) - MAX_FAULTS
        told = faults[:MAX_FAULTS] + ([f"and {more} more"] if more > 0 else [])
        raise FilesError("\n".join(told))
    return [
        Stored(measurement=m, owner=m.probe, role=m.vantage.role, enrolled=0)
        for m in found.values()
    ]


def fold_files(
    stored: Sequence[Stored], until: int, policy: Policy, fingerprints: Fingerprints = OWN
) -> list[Event]:
    """The events that follow from these measurements up to a round."""
    services: dict[str, list[Stored]] = defaultdict(list)
    liveness = [one for one in stored if one.measurement.target in LIVENESS_TARGETS]
    for one in stored:
        if one.measurement.target not in LIVENESS_TARGETS and one.measurement.round <= until:
            services[one.measurement.service].append(one)
    events: list[Event] = []
    for service, mine in sorted(services.items()):
        folding = Folding(initial(service), policy, keep=False, fingerprints=fingerprints)
        folding.fold(sorted({one.measurement.round for one in mine}), [*mine, *liveness])
        events += folding.events.values()
    return events


async def fold_store(
    database: Database, until: int, policy: Policy, fingerprints: Fingerprints = OWN
) -> list[Event]:
    """The events that follow from all stored measurements up to a round.

    Raises StoreUnavailableError.
    """
    events: list[Event] = []
    window = policy.ms(policy.control_window_seconds)
    async with database.reading() as connection:
        services = await list_services(connection)
    for service in services:
        folding = Folding(initial(service), policy, keep=False, fingerprints=fingerprints)
        rounds = [r for r, _ in await database.facts.rounds(-1, service) if r <= until]
        for chunk in chunks(rounds, CHUNK_ROUNDS, policy):
            stored = await database.facts.facts(chunk[0] - window, chunk[-1], service)
            folding.fold(chunk, stored)
        events += folding.events.values()
    return events


async def replay(
    source: Database | Sequence[Stored],
    from_ms: int | None,
    to_ms: int | None,
    as_json: bool,
    out: BinaryIO,
    policy: Policy | None = None,
    fingerprints: Fingerprints = OWN,
    networks: bool = False,
) -> None:
    """Fold everything up to `to_ms` and print the events that changed at or after `from_ms`.

    What is older than `from_ms` is folded too: baselines need it, and an event must not change
    with the window that somebody looks at. Raises StoreUnavailableError.
    """
    until = FOREVER if to_ms is None else to_ms
    policy = policy or Policy()
    if isinstance(source, Database):
        events = await fold_store(source, until, policy, fingerprints)
    else:
        events = fold_files(source, until, policy, fingerprints)
    shown = [event for event in events if from_ms is None or event.updated >= from_ms]
    out.write(lines(shown) if as_json else _table(shown, networks).encode())
    out.flush()


def _table(events: Sequence[Event], networks: bool) -> str:
    if not events:
        return "no events\n"
    rows = [("EVENT", "SERVICE", "COUNTRY", "NETWORKS", "TECHNIQUE", "TIER", "STATE", "ONSET")]
    rows += [
        (
            event.id,
            event.service,
            event.country,
            ",".join(f"AS{asn}" for asn in event.asns),
            event.technique or "unknown",
            event.tier.value,
            event.state.value,
            _moment(event.onset),
        )
        for event in sort_events(events)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    told = ["", *(_networks(event) if networks else "" for event in sort_events(events))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        + "\n"
        + more
        for row, more in zip(rows, told, strict=True)
    )


def _networks(event: Event) -> str:
    """What each network of an event saw, and since when; and when it ended. Indented."""
    end = "" if event.closed is None else f"    ended {_moment(event.closed)}\n"
    return end + "".join(
        f"    since {_moment(each.onset)}  AS{each.asn}  {each.target}  "
        f"{each.technique or 'unknown'}  {each.tier}\n"
        for each in sorted(event.networks, key=lambda each: (each.onset, each.asn, each.target))
    )


def _moment(milliseconds: int) -> str:
    when = dt.datetime.fromtimestamp(milliseconds / 1000, tz=dt.UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


async def run(
    given: argparse.Namespace, out: BinaryIO | None = None, err: TextIO | None = None
) -> int:
    """Run the command with parsed options; its exit status."""
    out, err = out or sys.stdout.buffer, err or sys.stderr
    policy = Policy(pace=given.pace or 1)
    known = load(given.fingerprints)
    try:
        if given.files:
            named = ((name, _opened(name)) for name in given.files)
            source = read_files(named)
            await replay(
                source, given.from_, given.to, given.json, out, policy, known, given.networks
            )
            return 0
        database = await open_database(filled_database_url(given))
        try:
            await replay(
                database, given.from_, given.to, given.json, out, policy, known, given.networks
            )
        finally:
            await database.close()
    except (FilesError, StoreUnavailableError) as error:
        for line in str(error).splitlines():
            print(f"reachwatch: {line}", file=err)
        return 2
    return 0


def _opened(name: str) -> list[bytes]:
    if name == "-":
        return sys.stdin.buffer.readlines()
    try:
        return Path(name).read_bytes().splitlines()
    except OSError as error:
        raise FilesError(f"{name}: {error.strerror}") from None
