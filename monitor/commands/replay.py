# SPDX-License-Identifier: Apache-2.0
"""`reachwatch replay`: measurements through the current rules and detector into events.

It is the same fold as the live detector's. Times of arrival are not read, so the same measurements
give the same bytes in any order.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, TextIO

import msgspec

from monitor.commands.terminal import table, time_text
from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.model import Event, Stored
from monitor.detection.policy import Policy
from monitor.detection.sequence.fold import initial
from monitor.detection.sequence.history import Folding, chunks, sort_events
from monitor.interop.fingerprints.directory import load
from monitor.paths import existing_database_url
from monitor.store.database import Database, open_database
from monitor.store.reading.progress import list_services
from monitor.store.records import StoreUnavailableError
from probes.wire.codec import WireError, read_lines
from probes.wire.measurement import LIVENESS_TARGETS, Measurement

CHUNK_ROUNDS = 200
FOREVER = 2**62
MAX_ERRORS = 20
"""Malformed lines that are printed; the rest are counted."""
_encoder = msgspec.json.Encoder()


class FilesError(Exception):
    """Files that are not Measurement JSON Lines: one line for each error."""


def event_line(event: Event) -> bytes:
    """The canonical encoding of an event: JSON in the order of its fields."""
    return _encoder.encode(event)


def lines(events: Sequence[Event]) -> bytes:
    """Events as JSON Lines, in replay's order."""
    return b"".join(event_line(event) + b"\n" for event in sort_events(events))


def read_files(files: Iterable[tuple[str, Iterable[bytes]]]) -> list[Stored]:
    """Measurements of (name, lines) pairs as if they had been stored.

    Without tokens the owner is the probe itself, the role is the claimed one, and every probe is
    old enough to vote. The same id twice counts once. Raises FilesError.
    """
    found: dict[str, Measurement] = {}
    errors: list[str] = []
    for name, file in files:
        for number, one in read_lines(file):
            if isinstance(one, WireError):
                errors.append(f"{name}:{number}: {one}")
            elif found.setdefault(one.id, one) != one:
                errors.append(f"{name}:{number}: id {one.id} occurs twice with different contents")
    if errors:
        more = len(errors) - MAX_ERRORS
        first = errors[:MAX_ERRORS] + ([f"and {more} more"] if more > 0 else [])
        raise FilesError("\n".join(first))
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

    Older rounds are folded too: baselines need them, and an event must not depend on the period
    that is printed. Raises StoreUnavailableError.
    """
    until = FOREVER if to_ms is None else to_ms
    policy = policy or Policy()
    if isinstance(source, Database):
        events = await fold_store(source, until, policy, fingerprints)
    else:
        events = fold_files(source, until, policy, fingerprints)
    shown = [event for event in events if from_ms is None or event.updated >= from_ms]
    out.write(lines(shown) if as_json else _event_table(shown, networks).encode())
    out.flush()


def _event_table(events: Sequence[Event], networks: bool) -> str:
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
            time_text(event.onset),
        )
        for event in sort_events(events)
    ]
    details = ["", *(_networks(event) if networks else "" for event in sort_events(events))]
    return "".join(f"{line}\n{more}" for line, more in zip(table(rows), details, strict=True))


def _networks(event: Event) -> str:
    """When an event ended, and what each network saw since when; indented."""
    end = "" if event.closed is None else f"    ended {time_text(event.closed)}\n"
    return end + "".join(
        f"    since {time_text(each.onset)}  AS{each.asn}  {each.target}  "
        f"{each.technique or 'unknown'}  {each.tier}\n"
        for each in sorted(event.networks, key=lambda each: (each.onset, each.asn, each.target))
    )


async def run(
    given: argparse.Namespace, out: BinaryIO | None = None, err: TextIO | None = None
) -> int:
    """Run the command with parsed options; return the exit status."""
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
        database = await open_database(existing_database_url(given))
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
