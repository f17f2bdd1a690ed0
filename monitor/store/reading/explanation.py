# SPDX-License-Identifier: Apache-2.0
"""The rounds of an event that the detector kept, as its page and `reachwatch explain` show them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import msgspec
from msgspec.structs import replace

from monitor.detection.events import gates
from monitor.detection.events.explain import STOOD_IN, SeriesRound, concerns, unpack
from monitor.detection.model import OWN_SOURCE, Event
from monitor.detection.policy import Policy
from monitor.store import evidence
from monitor.store.database import Database
from monitor.store.engines import ReadTransaction
from monitor.store.reading.measurements import JudgedMeasurement
from probes.wire.measurement import service_of

BEFORE_SECONDS = 1800
"""How long before the onset the explanation begins."""
AFTER_SECONDS = 1800
"""How long it continues after the confirmation (or the first alarm) and after the end."""
MAX_ROUNDS = 200
READ_BYTES = 10_000_000
"""How much is read for it: some 0.4 s of processor time."""
ROUND_BYTES = 2_000
"""What a frame costs beside its bytes, as bytes."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """An event and how it came about."""

    event: Event
    series_rounds: tuple[SeriesRound, ...]
    """In order of rounds, then of networks, targets and layers."""
    skipped_rounds: int = 0
    """Rounds in the middle that are left out, of those that are kept."""


async def explain(
    database: Database,
    event: Event,
    *,
    most: int = MAX_ROUNDS,
    read: int = READ_BYTES,
    until: int | None = None,
) -> Explanation:
    """What the detector kept of an event's rounds, at most `most` of them, for which about `read`
    bytes are read: rounds of the country may tell of other networks alone. `until`: the last round
    (Unix ms), of an event as of a moment of the past. Raises StoreUnavailableError."""
    policy = Policy(pace=event.pace)
    async with database.reading() as connection:
        rounds, chosen = await _rounds(connection, event, policy, read, until)
        packed = await evidence.read(connection, event, chosen)
    frames = {round: unpack(body) for round, body in packed.items()}
    told = shortened(event, frames, policy, most)
    return replace(told, skipped_rounds=told.skipped_rounds + rounds - len(frames))


async def explain_ends(
    database: Database, event: Event, *, most: int, read: int, until: int | None = None
) -> Sequence[SeriesRound]:
    """`series_rounds` of `explain`. Rounds in the middle, which are most of a long event, are not
    read to be counted. Raises StoreUnavailableError."""
    policy = Policy(pace=event.pace)
    decided = _decided(event, policy)
    async with database.reading() as connection:
        _, rounds = await _rounds(connection, event, policy, read, until)
        first = [at for at in rounds if at <= decided]
        last = [at for at in reversed(rounds) if at > decided]
        # Most tell of the event, and then no others are read.
        some = [*first[:most], *last[: max(0, most - len(first))]]
        packed = await evidence.read(connection, event, some)
        early = await _of_its_own(connection, event, first, most, packed)
        late = await _of_its_own(connection, event, last, most - len(early), packed)
    return list(chain.from_iterable((*early, *reversed(late))))


async def _of_its_own(
    connection: ReadTransaction,
    event: Event,
    rounds: Sequence[int],
    most: int,
    packed: dict[int, bytes],
) -> Sequence[Sequence[SeriesRound]]:
    """What the first of these rounds tell of an event, `most` of those that do; frames that are not
    `packed` yet are read."""
    told: list[Sequence[SeriesRound]] = []
    for n, at in enumerate(rounds):
        if len(told) == most:
            break
        if at not in packed:
            some = rounds[n : n + evidence.FRAMES_AT_ONCE]
            packed |= await evidence.read(connection, event, some)
        if mine := [one for one in unpack(packed[at]) if concerns(event, one)]:
            told.append(mine)
    return told


async def _rounds(
    connection: ReadTransaction, event: Event, policy: Policy, read: int, until: int | None
) -> tuple[int, Sequence[int]]:
    """How many rounds of an event are kept, and those of them that are read."""
    first, last = span(event, policy)
    last = min((at for at in (last, until) if at is not None), default=None)
    sizes = dict(await evidence.list_rounds(connection, event, first, last))
    bytes_each = sum(sizes.values()) // max(1, len(sizes)) + ROUND_BYTES
    return len(sizes), _chosen(event, list(sizes), policy, read // bytes_each)


async def stood_in(
    connection: ReadTransaction, measurements: Iterable[JudgedMeasurement]
) -> frozenset[str]:
    """Ids of those that count because runs of others stood in for a control. Of rounds whose
    evidence is not kept nothing is known."""
    places: dict[tuple[str, str], set[int]] = defaultdict(set)
    ids = set()
    for row in measurements:
        if gates.NO_CONTROL in row.verdict.evidence:
            places[service_of(row.target), row.country].add(row.round)
            ids.add(row.id)
    counted: set[str] = set()
    for (service, country), rounds in places.items():
        frames = await evidence.read_place(connection, service, country, OWN_SOURCE, sorted(rounds))
        counted |= {
            vantage.measurement
            for frame in frames.values()
            for series_round in frame
            for vantage in series_round.vantages
            if vantage.outcome == STOOD_IN
        }
    return frozenset(counted & ids)


def span(event: Event, policy: Policy) -> tuple[int, int | None]:
    """The first and the last round of an explanation; None while the event lasts."""
    first = event.onset_earliest - policy.ms(BEFORE_SECONDS)
    last = (event.closed or event.updated) + policy.ms(AFTER_SECONDS)
    return first, None if event.ongoing else last


def _decided(event: Event, policy: Policy) -> int:
    """The last round (Unix ms) of the beginning of an explanation."""
    return (event.confirmed or event.opened) + policy.ms(AFTER_SECONDS)


def _chosen(event: Event, rounds: Sequence[int], policy: Policy, most: int) -> Sequence[int]:
    """The first and the last of many rounds, where something was decided."""
    decided = _decided(event, policy)
    early = [round for round in rounds if round <= decided][:most]
    late = [round for round in rounds if round > decided]
    return [*early, *late[max(0, len(late) - (most - len(early))) :]]


def shortened(
    event: Event, frames: Mapping[int, Sequence[SeriesRound]], policy: Policy, most: int
) -> Explanation:
    """What rounds of the event's country tell of its own networks and targets."""
    told = {
        round: mine
        for round, frame in sorted(frames.items())
        if (mine := [one for one in frame if concerns(event, one)])
    }
    chosen = _chosen(event, list(told), policy, most)
    return Explanation(
        event=event,
        series_rounds=tuple(one for round in chosen for one in told[round]),
        skipped_rounds=len(told) - len(chosen),
    )
