# SPDX-License-Identifier: Apache-2.0
"""`reachwatch explain EVENT`: the rounds of an event, folded again and shown one by one.

It is the fold that decided, from the checkpoint before the onset, so it shows what was computed.
Nothing is saved.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import TextIO

import msgspec

from monitor.commands.terminal import table, time_text
from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.model import Event
from monitor.detection.policy import Policy
from monitor.detection.sequence import state as states
from monitor.detection.sequence.explain import Moment, Recorder, Voice
from monitor.detection.sequence.fold import initial
from monitor.detection.sequence.history import Folding, chunks
from monitor.detection.sequence.state import DetectorStateError
from monitor.interop.fingerprints.directory import load
from monitor.paths import existing_database_url
from monitor.store.database import Database, open_database
from monitor.store.reading.events import get_event
from monitor.store.reading.progress import pruned_before
from monitor.store.records import StoreUnavailableError

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
    moments: tuple[Moment, ...]
    """In order of rounds, then of networks, targets and layers."""
    skipped_rounds: int = msgspec.field(default=0, name="untold")
    """Rounds in the middle that were folded but are left out."""


class NotExplainableError(Exception):
    """Why an event cannot be explained, in one line."""


async def explain(
    database: Database,
    id: str,
    fingerprints: Fingerprints = OWN,
    *,
    most: int = MAX_ROUNDS,
    brief: bool = False,
) -> Explanation:
    """Fold the event's rounds again and keep what each added, at most `most` rounds.

    `brief`: only until a while after the event was confirmed (or opened). Raises
    NotExplainableError when there is no such event or its facts were pruned, and
    StoreUnavailableError.
    """
    async with database.reading() as connection:
        event = await get_event(connection, id)
        pruned = await pruned_before(connection)
    if event is None:
        raise NotExplainableError(
            f"{id}: no such event in this store, which contains the events of a detector "
            "(`reachwatch detect`, `up`) but not those of `replay`"
        )
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
    rounds = [r for r, _ in await database.facts.rounds(start.round, event.service) if r <= ends]
    # Pruning keeps witnesses, so rounds alone do not tell.
    if not rounds or pruned > first:
        raise NotExplainableError(f"{id}: its measurements are no longer kept")
    recorder = Recorder(event, policy, first)
    folding = Folding(start, policy, keep=False, fingerprints=fingerprints, observe=recorder.see)
    window = policy.ms(policy.control_window_seconds)
    for chunk in chunks(rounds, CHUNK_ROUNDS, policy):
        stored = await database.facts.facts(chunk[0] - window, chunk[-1], event.service)
        await asyncio.to_thread(folding.fold, chunk, stored)
    return _shortened(event, recorder.moments, policy, most)


def _shortened(event: Event, moments: Sequence[Moment], policy: Policy, most: int) -> Explanation:
    """The beginning and the end of a long explanation, where something was decided."""
    rounds = sorted({moment.round for moment in moments})
    decided = (event.confirmed or event.opened) + policy.ms(AFTER_SECONDS)
    early = [round for round in rounds if round <= decided][:most]
    late = [round for round in rounds if round > decided][-max(0, most - len(early)) :]
    if len(early) == most:
        late = []
    kept = {*early, *late}
    return Explanation(
        event=event,
        moments=tuple(moment for moment in moments if moment.round in kept),
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
    ordered = sorted(explanation.moments, key=lambda m: (m.asn, m.target, m.layer, m.round))
    for (asn, target, layer), moments in groupby(ordered, lambda m: (m.asn, m.target, m.layer)):
        lines += ["", f"AS{asn}  {target}  {layer}", *_series_table(list(moments))]
    return "\n".join(lines) + "\n"


def _series_table(moments: Sequence[Moment]) -> list[str]:
    probes = sorted({voice.probe for moment in moments for voice in moment.voices})
    rows = [("ROUND", *probes, "TOTAL", "NEEDED", "GATE", "TIER")]
    for moment in moments:
        by_probe = {voice.probe: voice for voice in moment.voices}
        rows.append(
            (
                time_text(moment.round),
                *(_voice(by_probe.get(probe)) for probe in probes),
                nats(moment.holds),
                nats(moment.needs),
                moment.gate or "open",
                (moment.tier or "-") + (", part of the network" if moment.divided else ""),
            )
        )
    return table(rows)


def _voice(voice: Voice | None) -> str:
    if voice is None:
        return "-"
    added = f" ({voice.added / 1e6:+.1f})" if voice.added else ""
    outcome = voice.technique or voice.rule if voice.said == "failed" else voice.said
    no_vote = f" [no vote: {voice.no_vote}]" if voice.no_vote else ""
    return f"{nats(voice.holds)}{added} {outcome or 'no measurement'}{no_vote}"


def nats(micro: int) -> str:
    """Micro-nats as nats with one digit."""
    return f"{micro / 1e6:.1f}"


async def run(given: argparse.Namespace, out: TextIO | None = None) -> int:
    """Run the command with parsed options; return the exit status."""
    out = out or sys.stdout
    try:
        database = await open_database(existing_database_url(given))
        try:
            explanation = await explain(database, given.event, load(given.fingerprints))
        finally:
            await database.close()
    except (NotExplainableError, StoreUnavailableError) as error:
        print(f"reachwatch: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    out.write(
        _encoder.encode(explanation).decode() + "\n"
        if given.json
        else explanation_text(explanation)
    )
    return 0
