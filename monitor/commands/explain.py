# SPDX-License-Identifier: Apache-2.0
"""`reachwatch explain EVENT`: the rounds of an event, shown one by one.

The detector keeps them when it concludes. Of measurements that no detector has looked at, all
rounds are folded again, by the same code.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TextIO

import msgspec
from msgspec.structs import asdict

from monitor.commands.measurement_files import FilesError, read_files
from monitor.commands.replay import FOREVER, fold_files, fold_store
from monitor.commands.terminal import nats, table, time_text
from monitor.detection.events.description import event_id
from monitor.detection.events.explain import (
    SeriesRound,
    VantageEvidence,
    series_rounds,
)
from monitor.detection.events.fold import initial
from monitor.detection.events.history import Folding, chunks
from monitor.detection.events.state import ServiceState
from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.model import NO_RETRACTIONS, OWN_SOURCE, ClosedGate, Fact, Stored
from monitor.detection.policy import Policy
from monitor.interop.fingerprints.directory import load
from monitor.paths import existing_database_url
from monitor.store.database import Database, open_database
from monitor.store.notes import read_retractions
from monitor.store.reading.events import get_event
from monitor.store.reading.explanation import (
    MAX_ROUNDS,
    Explanation,
    explain,
    shortened,
    span,
)
from monitor.store.reading.progress import list_origins, list_services
from monitor.store.records import StoreUnavailableError
from probes.catalogue.load import load as shipped
from probes.runtime.options import OptionError
from probes.wire.measurement import LIVENESS_TARGETS

CHUNK_ROUNDS = 48


class NoSuchEventError(Exception):
    """No detector has saved the event."""

    def __init__(self, id: str) -> None:
        super().__init__(f"{id}: no such event")


async def explain_replayed(
    source: Database | Sequence[Stored],
    id: str,
    policy: Policy,
    fingerprints: Fingerprints = OWN,
) -> Explanation:
    """Explain an event that `replay` finds in a store or among measurements, whether or not a
    detector has looked at them. Raises NoSuchEventError and StoreUnavailableError."""
    if isinstance(source, Database):
        services = await _services_to_fold(source, id)
        folded = await fold_store(source, FOREVER, policy, fingerprints, services=services)
    else:
        folded = await asyncio.to_thread(fold_files, source, FOREVER, policy, fingerprints)
    event = next((each for each in folded.events if each.id == id), None)
    if event is None:
        raise NoSuchEventError(id)
    frames: dict[int, Sequence[SeriesRound]] = {}
    (first, last), place = span(event, policy), (event.country, event.source)

    def see(
        before: ServiceState,
        after: ServiceState,
        round: int,
        facts: Sequence[Fact],
        closed: Mapping[str, ClosedGate],
    ) -> None:
        if round >= first and (last is None or round <= last):
            found = series_rounds(before, after, round, facts, closed, policy)
            if place in found:
                frames[round] = found[place]

    retractions = NO_RETRACTIONS
    if isinstance(source, Database):
        async with source.reading() as connection:
            retractions = await read_retractions(connection)
    folding = Folding(
        initial(event.service),
        policy,
        keep=False,
        fingerprints=fingerprints,
        observe=see,
        retractions=retractions,
        told=lambda: folded.told,
    )
    await _fold(source, folding, last)
    return shortened(event, frames, policy, MAX_ROUNDS)


async def _services_to_fold(database: Database, id: str) -> Sequence[str]:
    """The service whose events may have this id; with imports all, because they tell each other
    what they show. An id follows from service, country and round, so nothing is folded for one
    that no stored round can have."""
    async with database.reading() as connection:
        services = await list_services(connection)
        origins = await list_origins(connection)
    for service in services:
        rounds = [one.round for one in await database.facts.rounds(-1, service)]
        if await asyncio.to_thread(_may_be, id, service, origins, rounds):
            alone = all(source == OWN_SOURCE for _, source in origins)
            return [service] if alone else services
    return []


def _may_be(id: str, service: str, origins: Sequence[tuple[str, str]], rounds: list[int]) -> bool:
    return any(
        event_id(service, country, round, source) == id
        for country, source in origins
        for round in rounds
    )


async def _fold(source: Database | Sequence[Stored], folding: Folding, last: int | None) -> None:
    """Fold all measurements of a service up to a round."""
    service, until = folding.state.service, FOREVER if last is None else last
    if not isinstance(source, Database):
        mine = [one for one in source if one.measurement.service == service]
        live = [one for one in source if one.measurement.target in LIVENESS_TARGETS]
        rounds = sorted({one.measurement.round for one in mine if one.measurement.round <= until})
        await asyncio.to_thread(folding.fold, rounds, [*mine, *live])
        return
    there = await source.facts.rounds(-1, service)
    rounds = [one.round for one in there if one.round <= until]
    window = folding.policy.ms(folding.policy.rounds.control_window_seconds)
    for chunk in chunks(rounds, CHUNK_ROUNDS, folding.policy):
        stored = await source.facts.facts(chunk[0] - window, chunk[-1], service)
        await asyncio.to_thread(folding.fold, chunk, stored)


def explanation_json(explanation: Explanation) -> str:
    """The explanation as one line of JSON, with the names of all fields."""
    rounds = [
        {**asdict(one), "vantages": [asdict(vantage) for vantage in one.vantages]}
        for one in explanation.series_rounds
    ]
    whole = {**asdict(explanation), "series_rounds": rounds}
    return msgspec.json.encode(whole).decode() + "\n"


def explanation_text(explanation: Explanation) -> str:
    """The explanation as text for a terminal: one table a series."""
    event = explanation.event
    names = {service.id: service.name for service in shipped().services}
    known = names.get(event.service)
    named = event.service if known is None else f"{known} ({event.service})"
    lines = [
        f"event {event.id}: {named} in {event.country}, "
        f"{event.technique or 'cause unknown'}, {event.state}, {event.tier}",
        f"onset {time_text(event.onset)} ({time_text(event.onset_earliest)} to "
        f"{time_text(event.onset_latest)}), rules {event.rules_version}, pace {event.pace}",
        "For each vantage: its evidence of a block after the round, in nats (change in the round).",
    ]
    if explanation.skipped_rounds:
        lines.append(f"{explanation.skipped_rounds} rounds in the middle are not shown.")
    ordered = sorted(explanation.series_rounds, key=lambda m: (m.asn, m.target, m.layer, m.round))
    for (asn, target, layer), rounds in groupby(ordered, lambda m: (m.asn, m.target, m.layer)):
        lines += ["", f"AS{asn}  {target}  {layer}", *_series_table(list(rounds))]
    return "\n".join(lines) + "\n"


def _series_table(series_rounds: Sequence[SeriesRound]) -> list[str]:
    probes = sorted({vantage.probe for one in series_rounds for vantage in one.vantages})
    more = ("OTHERS",) if any(one.others for one in series_rounds) else ()
    rows = [("ROUND", *probes, *more, "TOTAL", "NEEDED", "GATE", "TIER")]
    for one in series_rounds:
        by_probe = {vantage.probe: vantage for vantage in one.vantages}
        rows.append(
            (
                time_text(one.round),
                *(_vantage(by_probe.get(probe)) for probe in probes),
                *(f"{nats(one.others_hold)} of {one.others}" for _ in more),
                nats(one.holds),
                nats(one.needs),
                one.gate or "open",
                (one.tier or "-") + (", part of the network" if one.divided else ""),
            )
        )
    return table(rows)


def _vantage(vantage: VantageEvidence | None) -> str:
    if vantage is None:
        return "-"
    added = f" ({vantage.added / 1e6:+.1f})" if vantage.added else ""
    outcome = vantage.technique or vantage.rule if vantage.outcome == "failed" else vantage.outcome
    no_vote = f" [no vote: {vantage.no_vote}]" if vantage.no_vote else ""
    return f"{nats(vantage.holds)}{added} {outcome or 'no measurement'}{no_vote}"


async def _explain_stored(
    given: argparse.Namespace, policy: Policy, known: Fingerprints
) -> Explanation:
    """An event that a detector has saved, from what it kept; else what a replay of the store
    finds."""
    async with await open_database(existing_database_url(given)) as database:
        async with database.reading() as connection:
            event = await get_event(connection, given.event)
        if event is not None:
            return await explain(database, event)
        return await explain_replayed(database, given.event, policy, known)


async def run(given: argparse.Namespace, out: TextIO | None = None) -> int:
    """Run the command with parsed options; return the exit status."""
    out = out or sys.stdout
    if not re.fullmatch("[0-9a-f]{16}", given.event):
        raise OptionError(
            f"command line: EVENT: must be the id of an event, 16 hex digits as `reachwatch "
            f"replay` and the pages show it, not {given.event[:40]!r}"
        )
    known, policy = load(given.fingerprints), Policy(pace=given.pace or 1)
    try:
        if given.files:
            read = read_files(given.files)
            explanation = await explain_replayed(read.stored, given.event, policy, known)
        else:
            explanation = await _explain_stored(given, policy, known)
    except NoSuchEventError as error:
        where = "what `replay` finds in these files" if given.files else "the store or its replay"
        print(f"reachwatch: {error} in {where}", file=sys.stderr)
        return 2
    except (FilesError, StoreUnavailableError) as error:
        print(f"reachwatch: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    out.write(explanation_json(explanation) if given.json else explanation_text(explanation))
    return 0
