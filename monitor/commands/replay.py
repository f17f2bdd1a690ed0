# SPDX-License-Identifier: Apache-2.0
"""`reachwatch replay`: measurements through the current rules and detector into events.

It is the same fold as the live detector's. Times of arrival are not read, so the same measurements
give the same bytes in any order.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO

import msgspec

from monitor.commands.measurement_files import FilesError, read_files
from monitor.commands.replay_processes import ProgressBar, in_processes, shares
from monitor.commands.shortfall_text import shortfall_lines
from monitor.commands.terminal import table, time_text
from monitor.detection.events.fold import initial
from monitor.detection.events.history import Folding, by_hour, by_role, sort_events
from monitor.detection.events.imported.neighbours import Told
from monitor.detection.events.shortfalls import SeriesShortfall, Shortfalls
from monitor.detection.events.watch_coverage import NetworkCoverage, network_coverage
from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.model import OWN_SOURCE, Event, NetworkEvidence, Stored
from monitor.detection.policy import Policy
from monitor.detector.round_reader import RoundReader
from monitor.interop.archive import Archive, ArchiveError, existing_archive, with_archive
from monitor.interop.fingerprints.directory import load
from monitor.interop.forms import event_form, rfc3339
from monitor.interop.parquet import ParquetMissingError
from monitor.paths import existing_database_url
from monitor.store.database import Database, open_database
from monitor.store.notes import read_retractions
from monitor.store.reading.progress import (
    list_origins,
    list_services,
    newest_arrival,
    targets_by_service,
)
from monitor.store.records import StoreUnavailableError
from probes.wire.measurement import LIVENESS_TARGETS

MAX_NAMED = 10
"""Networks of a target and country that are named."""
FOREVER = 2**62
LARGE_STORE = 20_000
"""Measurements from which on several processes are started: each takes about a second to start."""
_encoder = msgspec.json.Encoder()


def event_line(event: Event) -> bytes:
    """The canonical encoding of an event: JSON in the order of its fields."""
    return _encoder.encode(event)


def lines(events: Sequence[Event]) -> bytes:
    """Events as JSON Lines, in replay's order."""
    return b"".join(event_line(event) + b"\n" for event in sort_events(events))


def printed(events: Sequence[Event]) -> bytes:
    """Events as JSON Lines in the API's form, with what each network saw and when."""
    forms = [event_form(event) | {"networks": _seen(event)} for event in sort_events(events)]
    return b"".join(_encoder.encode(form) + b"\n" for form in forms)


def _seen(event: Event) -> list[dict[str, object]]:
    return [
        {
            "asn": each.asn,
            "target": each.target,
            "technique": each.technique,
            "tier": each.tier,
            "onset": rfc3339(each.onset),
            "spans": [
                {"from": rfc3339(first), "to": rfc3339(last), "again": rfc3339(again or None)}
                for first, last, again in each.spans
            ],
        }
        for each in sorted(event.networks, key=lambda each: (each.asn, each.target))
    ]


class Folded(NamedTuple):
    """What follows from measurements."""

    events: list[Event]
    coverage: list[NetworkCoverage]
    """The networks that were measured, and what is missing there."""
    shortfalls: list[SeriesShortfall]
    """What the series lacked that failed and opened nothing."""
    told: Told
    """What services told each other."""


def _folded(foldings: Collection[Folding], shortfalls: Shortfalls, policy: Policy) -> Folded:
    return Folded(
        [event for folding in foldings for event in folding.events.values()],
        [each for folding in foldings for each in network_coverage(folding.state, policy)],
        list(shortfalls.found()),
        {folding.state.service: folding.state.told for folding in foldings},
    )


def fold_files(
    stored: Sequence[Stored],
    until: int,
    policy: Policy,
    fingerprints: Fingerprints = OWN,
) -> Folded:
    """What follows from these measurements up to a round."""
    services: dict[str, list[Stored]] = defaultdict(list)
    liveness = [one for one in stored if one.measurement.target in LIVENESS_TARGETS]
    for one in stored:
        if one.measurement.target not in LIVENESS_TARGETS and one.measurement.round <= until:
            services[one.measurement.service].append(one)
    shortfalls = Shortfalls(policy)
    foldings: dict[str, Folding] = {}
    for service in sorted(services):
        foldings[service] = Folding(
            initial(service),
            policy,
            keep=False,
            fingerprints=fingerprints,
            observe=shortfalls.observe,
            told=lambda: {name: folding.state.told for name, folding in foldings.items()},
        )
    rounds = {name: sorted({one.measurement.round for one in services[name]}) for name in foldings}
    sorted_ones = {name: by_role([*services[name], *liveness]) for name in foldings}
    for service, some in by_hour(rounds, policy):
        foldings[service].fold_read(some, *sorted_ones[service])
    return _folded(foldings.values(), shortfalls, policy)


async def fold_store(
    database: Database,
    until: int,
    policy: Policy,
    fingerprints: Fingerprints = OWN,
    services: Sequence[str] | None = None,
    observe: Callable[[int, int], None] | None = None,
    archive: Archive | None = None,
) -> Folded:
    """What follows from all stored measurements (of some services) up to a round, from those that
    are archived, and from what operators retracted. `observe` gets how many measurements are
    folded and how many there are, now and then and at the end; an exception in it ends the work.

    Raises StoreUnavailableError.
    """
    async with database.reading() as connection:
        retractions = await read_retractions(connection)
        if services is None:
            services = await list_services(connection)
    counts: dict[str, dict[int, int]] = {}
    facts = await with_archive(database, archive)
    for service in services:
        there = await facts.rounds(-1, service)
        counts[service] = {one.round: one.measurements for one in there if one.round <= until}
    shortfalls = Shortfalls(policy)
    foldings: dict[str, Folding] = {
        service: Folding(
            initial(service),
            policy,
            keep=False,
            fingerprints=fingerprints,
            observe=shortfalls.observe,
            retractions=retractions,
            told=lambda: {name: folding.state.told for name, folding in foldings.items()},
        )
        for service in services
    }
    done, total = 0, sum(sum(some.values()) for some in counts.values())

    async def pause() -> None:
        if observe is not None:
            observe(done, total)

    reader = RoundReader(facts, policy, fingerprints)
    for part in reader.parts({service: list(some) for service, some in counts.items()}):
        await reader.fold(foldings, part, pause)
        done += sum(counts[service][round] for service, some in part.items() for round in some)
    await pause()
    return _folded(foldings.values(), shortfalls, policy)


FoldStore = Callable[[Database, int, Policy, Fingerprints], Awaitable[Folded]]
"""As `fold_store`."""


async def fold_in_processes(
    url: str,
    archive: Archive | None,
    err: TextIO,
    database: Database,
    until: int,
    policy: Policy,
    fingerprints: Fingerprints,
) -> Folded:
    """As `fold_store`, over all cores when the store is large, with a progress bar and at the
    end the rate on a terminal."""
    bar = ProgressBar(err)
    async with database.reading() as connection:
        sizes = await targets_by_service(connection)
        imports = [source for _, source in await list_origins(connection) if source != OWN_SOURCE]
        large = await newest_arrival(connection) >= LARGE_STORE
    archived = None if archive is None else archive.directory
    work = partial(_fold_part, url, archived, until, policy, fingerprints)
    # Services of which runs are imported tell each other what they show.
    apart = large and not imports
    parts = shares(sizes, len(os.sched_getaffinity(0))) if apart else []
    try:
        if len(parts) < 2:
            return await fold_store(
                database, until, policy, fingerprints, observe=bar.show, archive=archive
            )
        found = await in_processes(work, parts, bar.show)
        return Folded(
            [event for each in found for event in each.events],
            [network for each in found for network in each.coverage],
            [series for each in found for series in each.shortfalls],
            {service: signs for each in found for service, signs in each.told.items()},
        )
    finally:
        bar.end()


def _fold_part(
    url: str,
    archived: Path | None,
    until: int,
    policy: Policy,
    fingerprints: Fingerprints,
    services: Sequence[str],
    observe: Callable[[int, int], None],
) -> Folded:
    """Fold some services, in a process of its own."""

    async def fold() -> Folded:
        archive = None if archived is None else Archive(archived)
        async with await open_database(url) as database:
            return await fold_store(
                database, until, policy, fingerprints, services, observe, archive
            )

    return asyncio.run(fold())


async def replay(
    source: Database | Sequence[Stored],
    from_ms: int | None,
    to_ms: int | None,
    as_json: bool,
    out: BinaryIO,
    policy: Policy | None = None,
    fingerprints: Fingerprints = OWN,
    networks: bool = False,
    err: TextIO | None = None,
    fold: FoldStore = fold_store,
) -> None:
    """Fold everything up to `to_ms` and print the events that changed at or after `from_ms`.

    Older rounds are folded too: baselines need them, and an event must not depend on the period
    that is printed. Without events, why there are none goes to `err` with `as_json`, else to
    `out`. `fold` replaces `fold_store`. Raises StoreUnavailableError.
    """
    until = FOREVER if to_ms is None else to_ms
    policy = policy or Policy()
    if isinstance(source, Database):
        folded = await fold(source, until, policy, fingerprints)
    else:
        folded = fold_files(source, until, policy, fingerprints)
    events = folded.events
    shown = [event for event in events if from_ms is None or event.updated >= from_ms]
    reasons = ""
    if networks or not events:
        reasons = coverage_text(folded.coverage, folded.shortfalls if networks else ())
    if not shown and events:
        reasons = "the events are older than --from\n"
    text = _event_table(shown, networks) + ("" if as_json else reasons)
    out.write(printed(shown) if as_json else text.encode())
    out.flush()
    if as_json and not shown and err is not None:
        err.write(f"no events: {reasons}")


def coverage_text(
    coverage: Sequence[NetworkCoverage], shortfalls: Sequence[SeriesShortfall] = ()
) -> str:
    """Which networks could be judged and what was missing in the others, a line for each target in
    a country; below it what the series lacked that failed there and opened no event."""
    if not coverage:
        return "no measurement of a service was found\n"
    lines = []
    lacking: dict[tuple[str, str], list[SeriesShortfall]] = defaultdict(list)
    for one in shortfalls:
        lacking[one.target, one.country].append(one)
    for (target, country), some in groupby(
        sorted(coverage), lambda each: (each.target, each.country)
    ):
        places = list(some)
        uncovered = [each for each in places if each.missing]
        count = f"{len(places)} network{'s' if len(places) > 1 else ''}"
        line = f"{target} in {country}: {count}, {len(places) - len(uncovered)} judged"
        names = [f"AS{each.asn} {each.missing}" for each in uncovered[:MAX_NAMED]]
        more = len(uncovered) - len(names)
        names += [f"and {more} more"] if more else []
        lines.append(f"{line}; {', '.join(names)}\n" if names else f"{line}\n")
        lines += [f"    {line}\n" for line in shortfall_lines(lacking[target, country], MAX_NAMED)]
    return "".join(lines)


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
        f"{each.technique or 'unknown'}  {each.tier}{_pauses(each)}\n"
        for each in sorted(event.networks, key=lambda each: (each.onset, each.asn, each.target))
    )


def _pauses(each: NetworkEvidence) -> str:
    """The end of a network's last span, and in how many spans it failed."""
    if not each.spans:
        return ""
    _, last, again = each.spans[-1]
    end = f"  to {time_text(last)}" if again else ""
    return end + (f"  {len(each.spans)} times" if len(each.spans) > 1 else "")


async def run(
    given: argparse.Namespace, out: BinaryIO | None = None, err: TextIO | None = None
) -> int:
    """Run the command with parsed options; return the exit status."""
    out, err = out or sys.stdout.buffer, err or sys.stderr
    policy = Policy(pace=given.pace or 1)
    known = load(given.fingerprints)
    try:
        fold_and_print = partial(
            replay,
            from_ms=given.from_,
            to_ms=given.to,
            as_json=given.json,
            out=out,
            policy=policy,
            fingerprints=known,
            networks=given.networks,
            err=err,
        )
        if given.files:
            read = read_files(given.files)
            for line in sorted(read.unsupported):
                print(f"reachwatch: {line}", file=err)
            await fold_and_print(read.stored)
            return 0
        archive = existing_archive(given)
        url = existing_database_url(given)
        async with await open_database(url) as database:
            await fold_and_print(database, fold=partial(fold_in_processes, url, archive, err))
    except (FilesError, StoreUnavailableError, ArchiveError, ParquetMissingError) as error:
        for line in str(error).splitlines():
            print(f"reachwatch: {line}", file=err)
        return 2
    return 0
