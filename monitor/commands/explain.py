# SPDX-License-Identifier: Apache-2.0
"""`reachwatch explain EVENT`: the rounds of an event, folded again and shown one by one.

It is the fold that decided, from the checkpoint before the onset, so it shows what was computed.
Nothing is saved.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import TextIO

import msgspec

from monitor.commands.measurement_files import FilesError, read_files
from monitor.commands.replay import FOREVER, fold_files, fold_store
from monitor.commands.terminal import table, time_text
from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.model import Event, Stored
from monitor.detection.policy import Policy
from monitor.detection.sequence import state as states
from monitor.detection.sequence.events import event_id
from monitor.detection.sequence.explain import Recorder, SeriesRound, VantageEvidence
from monitor.detection.sequence.fold import initial
from monitor.detection.sequence.history import Folding, chunks
from monitor.detection.sequence.state import DetectorStateError, ServiceState
from monitor.interop.fingerprints.directory import load
from monitor.paths import existing_database_url
from monitor.store.database import Database, open_database
from monitor.store.reading.events import get_event
from monitor.store.reading.progress import list_origins, list_services, pruned_before
from monitor.store.records import StoreUnavailableError
from probes.runtime.options import OptionError
from probes.wire.measurement import LIVENESS_TARGETS

BEFORE_SECONDS = 1800
"""How long before the onset the explanation begins."""
AFTER_SECONDS = 1800
"""How long it continues after the confirmation (or the first alarm) and after the end."""
MAX_ROUNDS = 200
CHUNK_ROUNDS = 48
_encoder = msgspec.json.Encoder()


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """An event and how it came about."""

    event: Event
    series_rounds: tuple[SeriesRound, ...]
    """In order of rounds, then of networks, targets and layers."""
    skipped_rounds: int = 0
    """Rounds in the middle that were folded but are left out."""


class NotExplainableError(Exception):
    """Why an event cannot be explained, in one line."""


class NoSuchEventError(NotExplainableError):
    """No detector has saved the event."""

    def __init__(self, id: str) -> None:
        super().__init__(f"{id}: no such event")


class TooManyMeasurementsError(NotExplainableError):
    """More measurements would be folded than were allowed."""


async def explain(
    database: Database,
    id: str,
    fingerprints: Fingerprints = OWN,
    *,
    most: int = MAX_ROUNDS,
    brief: bool = False,
    measurements: int | None = None,
) -> Explanation:
    """Fold the event's rounds again and keep what each added, at most `most` rounds.

    `brief`: only until a while after the event was confirmed (or opened). Raises
    NotExplainableError when there is no such event or its facts were pruned,
    TooManyMeasurementsError when there are more than `measurements`, and StoreUnavailableError.
    """
    async with database.reading() as connection:
        event = await get_event(connection, id)
        pruned = await pruned_before(connection)
    if event is None:
        raise NoSuchEventError(id)
    policy = Policy(pace=event.pace)
    first = event.onset_earliest - policy.ms(BEFORE_SECONDS)
    ends = (event.closed or event.updated) + policy.ms(AFTER_SECONDS)
    if brief:
        ends = min(ends, (event.confirmed or event.opened) + policy.ms(AFTER_SECONDS))
    found = await database.conclusions.checkpoint(event.service, first)
    try:
        start = initial(event.service) if found is None else states.decode(found[1])
    except DetectorStateError:
        start = initial(event.service)
    if pruned > first:  # pruning keeps witnesses, so rounds alone do not tell
        raise NotExplainableError(f"{id}: its measurements are no longer kept")
    return await _fold_again(database, event, start, ends, policy, fingerprints, most, measurements)


async def explain_replayed(
    source: Database | Sequence[Stored],
    id: str,
    policy: Policy,
    fingerprints: Fingerprints = OWN,
    *,
    most: int = MAX_ROUNDS,
) -> Explanation:
    """Explain an event that `replay` finds in a store or among measurements, whether or not a
    detector has looked at them. Raises NotExplainableError and StoreUnavailableError."""
    if isinstance(source, Database):
        service = await _find_service(source, id)
        services = [] if service is None else [service]
        events = await fold_store(source, FOREVER, policy, fingerprints, services=services)
    else:
        events = await asyncio.to_thread(fold_files, source, FOREVER, policy, fingerprints)
    event = next((each for each in events if each.id == id), None)
    if event is None:
        raise NoSuchEventError(id)
    ends = (event.closed or event.updated) + policy.ms(AFTER_SECONDS)
    start = initial(event.service)
    return await _fold_again(source, event, start, ends, policy, fingerprints, most)


async def _find_service(database: Database, id: str) -> str | None:
    """The service whose events may have this id. An id follows from service, country and round, so
    nothing is folded for one that no stored round can have."""
    async with database.reading() as connection:
        services = await list_services(connection)
        origins = await list_origins(connection)
    for service in services:
        rounds = [one.round for one in await database.facts.rounds(-1, service)]
        if await asyncio.to_thread(_may_be, id, service, origins, rounds):
            return service
    return None


def _may_be(id: str, service: str, origins: Sequence[tuple[str, str]], rounds: list[int]) -> bool:
    return any(
        event_id(service, country, round, source) == id
        for country, source in origins
        for round in rounds
    )


async def _fold_again(
    source: Database | Sequence[Stored],
    event: Event,
    start: ServiceState,
    ends: int,
    policy: Policy,
    fingerprints: Fingerprints,
    most: int,
    measurements: int | None = None,
) -> Explanation:
    recorder = Recorder(event, policy, event.onset_earliest - policy.ms(BEFORE_SECONDS))
    folding = Folding(start, policy, keep=False, fingerprints=fingerprints, observe=recorder.see)
    if not isinstance(source, Database):
        mine = [one for one in source if one.measurement.service == event.service]
        live = [one for one in source if one.measurement.target in LIVENESS_TARGETS]
        rounds = sorted({one.measurement.round for one in mine if one.measurement.round <= ends})
        await asyncio.to_thread(folding.fold, rounds, [*mine, *live])
        return _shortened(event, recorder.series_rounds, policy, most)
    there = await source.facts.rounds(start.round, event.service)
    there = [one for one in there if one.round <= ends]
    if not there:
        raise NotExplainableError(f"{event.id}: its measurements are no longer kept")
    if measurements is not None and sum(one.measurements for one in there) > measurements:
        raise TooManyMeasurementsError(f"{event.id}: it takes long")
    rounds = [one.round for one in there]
    window = policy.ms(policy.control_window_seconds)
    for chunk in chunks(rounds, CHUNK_ROUNDS, policy):
        stored = await source.facts.facts(chunk[0] - window, chunk[-1], event.service)
        await asyncio.to_thread(folding.fold, chunk, stored)
    return _shortened(event, recorder.series_rounds, policy, most)


def _shortened(
    event: Event, series_rounds: Sequence[SeriesRound], policy: Policy, most: int
) -> Explanation:
    """The beginning and the end of a long explanation, where something was decided."""
    rounds = sorted({one.round for one in series_rounds})
    decided = (event.confirmed or event.opened) + policy.ms(AFTER_SECONDS)
    early = [round for round in rounds if round <= decided][:most]
    late = [round for round in rounds if round > decided][-max(0, most - len(early)) :]
    if len(early) == most:
        late = []
    kept = {*early, *late}
    return Explanation(
        event=event,
        series_rounds=tuple(one for one in series_rounds if one.round in kept),
        skipped_rounds=len(rounds) - len(kept),
    )


def explanation_text(explanation: Explanation) -> str:
    """The explanation as text for a terminal: one table a series."""
    event = explanation.event
    lines = [
        f"event {event.id}: {event.service} in {event.country}, "
        f"{event.technique or 'cause unknown'}, {event.state}, {event.tier}",
        f"onset {time_text(event.onset)} ({time_text(event.onset_earliest)} to "
        f"{time_text(event.onset_latest)}), rules {event.rules_version}, pace {event.pace}",
        "For each vantage: its evidence of a block after the round, in nats (change in the round).",
    ]
    if explanation.skipped_rounds:
        lines.append(f"{explanation.skipped_rounds} rounds in the middle are not shown.")
    ordered = sorted(explanation.series_rounds, key=lambda m: (m.asn, m.target, m.layer, m.round))
    for (asn, target, layer), series_rounds in groupby(
        ordered, lambda m: (m.asn, m.target, m.layer)
    ):
        lines += ["", f"AS{asn}  {target}  {layer}", *_series_table(list(series_rounds))]
    return "\n".join(lines) + "\n"


def _series_table(series_rounds: Sequence[SeriesRound]) -> list[str]:
    probes = sorted({vantage.probe for one in series_rounds for vantage in one.vantages})
    rows = [("ROUND", *probes, "TOTAL", "NEEDED", "GATE", "TIER")]
    for one in series_rounds:
        by_probe = {vantage.probe: vantage for vantage in one.vantages}
        rows.append(
            (
                time_text(one.round),
                *(_vantage(by_probe.get(probe)) for probe in probes),
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


def nats(micro: int) -> str:
    """Micro-nats as nats with one digit."""
    return f"{micro / 1e6:.1f}"


async def _explain_stored(
    given: argparse.Namespace, policy: Policy, known: Fingerprints
) -> Explanation:
    """An event that a detector has saved; else one that a replay of the store finds."""
    database = await open_database(existing_database_url(given))
    try:
        return await explain(database, given.event, known)
    except NoSuchEventError:
        return await explain_replayed(database, given.event, policy, known)
    finally:
        await database.close()


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
    except (FilesError, NotExplainableError, StoreUnavailableError) as error:
        print(f"reachwatch: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    out.write(
        _encoder.encode(explanation).decode() + "\n"
        if given.json
        else explanation_text(explanation)
    )
    return 0
