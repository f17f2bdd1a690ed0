# SPDX-License-Identifier: Apache-2.0
"""The life of an event, and of the series that it is made of: every stage, and what leads from one
to the next.

A series is one layer of one target in one network. It rises with the evidence of its vantages and
never falls while its block lasts. An event gathers the series of a service in a country: it is as
sure as the surest of them, it may seem to end and go on, and it ends once. So an event is always in
two stages at once: how sure it is, and what course it takes.

Rule 1: whatever leads to another stage is a row of the two tables below, and `walk` is the only way
through them. `quorum` tells whether enough vantages agree and for how long, `gates` what speaks
against them, `lifting` whether those who saw a block reach the service again. They decide nothing.
Rule 2: this file knows neither measurements nor numbers nor kinds of sources. A condition sees one
value, the evidence of a round. `event_update` makes that value, and the event that follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from monitor.detection.model import Change, ChangeKind, Event, EventState, Tier


class Stage(StrEnum):
    """Where a series or an event is in its life."""

    SUSPECTED = "suspected"
    """Vantages fail, and no evidence is enough yet: there is no event."""
    UNCONFIRMED = "unconfirmed"
    LIKELY = "likely"
    CONFIRMED = "confirmed"
    OPEN = "open"
    CLEARING = "clearing"
    REOPENED = "reopened"
    """Open again after it seemed to end."""
    CLOSED = "closed"
    RETRACTED = "retracted"


SURENESS = (Stage.SUSPECTED, Stage.UNCONFIRMED, Stage.LIKELY, Stage.CONFIRMED)
"""How sure it is, in ascending order; `Series.rank` is the place in this order."""
TIERS = (None, *Tier)
"""How sure each of these is called; None when there is no event."""
ONGOING = (Stage.OPEN, Stage.CLEARING, Stage.REOPENED)
ENDED = (Stage.CLOSED, Stage.RETRACTED)


class SeriesEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the vantages of one series show in a round."""

    gate_closed: bool = False
    """Failures of this round do not count."""
    agreeing: int = 0
    """Vantages with enough evidence for an alarm."""
    quorum: bool = False
    """All vantages together have enough evidence, for their number and their owners; of an import:
    other networks show that it is no outage."""
    part_agrees: bool = False
    """A part of the network is blocked, and agreeing vantages of enough owners are in it."""
    held: bool = False
    """The quorum has held for as long as a confirmation takes, by the times of the rounds and by
    those of arrival, and the failures of enough owners are about equally new."""
    divided: bool = False
    """The vantages that fail are a part of the network, whose rest is not blocked."""
    others_fail: bool = False
    """Innocuous hosts fail beside the target."""
    aftermath: bool = False
    """It may be the rest of an outage that others have behind them."""
    lifted: bool = False
    """Those who saw the block reach the service again, or are gone while others reach it."""
    event_wrong: bool = False
    """Its event is retracted, because a gate proves it wrong."""


NOTHING = SeriesEvidence()
"""Of a series in which nothing has to be counted."""


class EventEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the series of a service in a country show together in a round."""

    sure: Stage = Stage.SUSPECTED
    """How sure the event was until now."""
    best: Stage = Stage.SUSPECTED
    """How sure the surest of its series is."""
    retracted_by_operator: bool = False
    proven_wrong: bool = False
    """For several rounds a gate has been closed that speaks against a block."""
    reached_again: bool = False
    """In all of its surest series most vantages reach the service in their latest rounds."""


Evidence = TypeVar("Evidence")


@dataclass(frozen=True, kw_only=True)
class StageTransition(Generic[Evidence]):
    """One row: from any of these stages to another, when the condition holds."""

    source: tuple[Stage, ...]
    to: Stage
    condition: Callable[[Evidence], bool]
    announces: ChangeKind | None = None
    """The entry in the event's history."""
    published: bool = False
    """Whether the journal, webhooks, feeds and counters tell of it: they do of what is decided, not
    of what seems to be."""

    @property
    def needs(self) -> str:
        """The evidence that the condition needs, in words."""
        return " ".join((self.condition.__doc__ or "").split())


# Conditions of a series


def a_vantage_agrees(evidence: SeriesEvidence) -> bool:
    """One vantage with enough failures, which no gate explains."""
    return evidence.agreeing > 0 and not evidence.gate_closed


def a_quorum_agrees(evidence: SeriesEvidence) -> bool:
    """Enough evidence of all vantages together, for their number and their owners."""
    return a_vantage_agrees(evidence) and evidence.quorum


def owners_in_a_part_agree(evidence: SeriesEvidence) -> bool:
    """Vantages of several owners that have long failed while the rest of the network does not."""
    return a_vantage_agrees(evidence) and evidence.part_agrees


def the_quorum_has_held(evidence: SeriesEvidence) -> bool:
    """A quorum that has held for minutes if failures have signatures, else for the better part of
    an hour, by rounds and by arrival; and neither a divided network, nor failing hosts beside the
    target, nor an outage just over, which would explain it."""
    unexplained = not (evidence.divided or evidence.others_fail or evidence.aftermath)
    return a_quorum_agrees(evidence) and evidence.held and unexplained


def its_block_is_lifted(evidence: SeriesEvidence) -> bool:
    """Most vantages that saw the block, of enough owners, reach the service for some time."""
    return evidence.lifted


def its_event_is_wrong(evidence: SeriesEvidence) -> bool:
    """The retraction of its event by a gate."""
    return evidence.event_wrong


SERIES: tuple[StageTransition[SeriesEvidence], ...] = (
    StageTransition(
        source=(Stage.SUSPECTED,),
        to=Stage.UNCONFIRMED,
        condition=a_vantage_agrees,
    ),
    StageTransition(
        source=(Stage.UNCONFIRMED,),
        to=Stage.LIKELY,
        condition=a_quorum_agrees,
    ),
    StageTransition(
        source=(Stage.UNCONFIRMED,),
        to=Stage.LIKELY,
        condition=owners_in_a_part_agree,
    ),
    StageTransition(
        source=(Stage.LIKELY,),
        to=Stage.CONFIRMED,
        condition=the_quorum_has_held,
    ),
    StageTransition(
        source=(Stage.UNCONFIRMED, Stage.LIKELY, Stage.CONFIRMED),
        to=Stage.SUSPECTED,
        condition=its_block_is_lifted,
    ),
    StageTransition(
        source=(Stage.UNCONFIRMED, Stage.LIKELY, Stage.CONFIRMED),
        to=Stage.SUSPECTED,
        condition=its_event_is_wrong,
    ),
)


# Conditions of an event


def a_series_is_alarmed(evidence: EventEvidence) -> bool:
    """A series that is more than suspected."""
    return evidence.best is not Stage.SUSPECTED


def an_operator_retracts_it(evidence: EventEvidence) -> bool:
    """The word of an operator. What was known then is part of no event until it ends."""
    return evidence.retracted_by_operator


def its_surest_series_have_ended(evidence: EventEvidence) -> bool:
    """No series that is still as sure as the event."""
    return SURENESS.index(evidence.best) < SURENESS.index(evidence.sure)


def a_gate_proves_it_wrong(evidence: EventEvidence) -> bool:
    """Several rounds in which the service fails for the control or in other countries too, and no
    confirmed series."""
    return evidence.proven_wrong and evidence.best is not Stage.CONFIRMED


def most_reach_it_again(evidence: EventEvidence) -> bool:
    """Most vantages of its surest series reach the service, but not for long enough yet."""
    return evidence.reached_again


def they_fail_again(evidence: EventEvidence) -> bool:
    """Most vantages of its surest series do not reach the service after all."""
    return not evidence.reached_again


def a_series_is_likely(evidence: EventEvidence) -> bool:
    """A likely series, and none that is confirmed."""
    return evidence.best is Stage.LIKELY


def a_series_is_confirmed(evidence: EventEvidence) -> bool:
    """A confirmed series."""
    return evidence.best is Stage.CONFIRMED


EVENT: tuple[StageTransition[EventEvidence], ...] = (
    StageTransition(
        source=(Stage.SUSPECTED,),
        to=Stage.UNCONFIRMED,
        condition=a_series_is_alarmed,
        announces=ChangeKind.OPENED,
        published=True,
    ),
    StageTransition(
        source=ONGOING,
        to=Stage.RETRACTED,
        condition=an_operator_retracts_it,
        announces=ChangeKind.RETRACTED,
        published=True,
    ),
    StageTransition(
        source=ONGOING,
        to=Stage.CLOSED,
        condition=its_surest_series_have_ended,
        announces=ChangeKind.CLOSED,
        published=True,
    ),
    StageTransition(
        source=(Stage.UNCONFIRMED, Stage.LIKELY),
        to=Stage.RETRACTED,
        condition=a_gate_proves_it_wrong,
        announces=ChangeKind.RETRACTED,
        published=True,
    ),
    StageTransition(
        source=(Stage.OPEN, Stage.REOPENED),
        to=Stage.CLEARING,
        condition=most_reach_it_again,
        announces=ChangeKind.CLEARING,
    ),
    StageTransition(
        source=(Stage.CLEARING,),
        to=Stage.REOPENED,
        condition=they_fail_again,
        announces=ChangeKind.AGAIN,
    ),
    StageTransition(
        source=(Stage.UNCONFIRMED,),
        to=Stage.LIKELY,
        condition=a_series_is_likely,
        announces=ChangeKind.LIKELY,
        published=True,
    ),
    StageTransition(
        source=(Stage.UNCONFIRMED, Stage.LIKELY),
        to=Stage.CONFIRMED,
        condition=a_series_is_confirmed,
        announces=ChangeKind.CONFIRMED,
        published=True,
    ),
)

PUBLISHED = frozenset(row.announces for row in EVENT if row.announces and row.published)
"""Kinds of changes that the journal tells of, each once for an event."""
FINAL = frozenset(row.announces for row in EVENT if row.announces and row.to in ENDED)


class Position(msgspec.Struct, frozen=True):
    """The two stages of an event: how sure it is, and its course. A series has no course."""

    sure: Stage = Stage.SUSPECTED
    course: Stage = Stage.OPEN

    def moved(self, to: Stage) -> Position:
        """The position after a transition."""
        return Position(to, self.course) if to in SURENESS else Position(self.sure, to)


def walk(
    table: Sequence[StageTransition[Evidence]], position: Position, evidence: Evidence
) -> tuple[Position, list[StageTransition[Evidence]]]:
    """Go through a table once, from row to row; return the position at the end, and the transitions
    that led there. Several may follow each other in one round; nothing follows an end."""
    taken = []
    for row in table:
        if position.course in ENDED:
            break
        there = position.sure in row.source or position.course in row.source
        if there and row.condition(evidence):
            position = position.moved(row.to)
            taken.append(row)
    return position, taken


def rank_after(rank: int, evidence: SeriesEvidence) -> int:
    """The rank of a series after a round."""
    if evidence is NOTHING:
        return rank  # most series, most of the time
    position, _ = walk(SERIES, Position(SURENESS[rank]), evidence)
    return SURENESS.index(position.sure)


def last_turn(event: Event) -> Change | None:
    """The latest change of an event's course."""
    turns = {row.announces for row in EVENT if row.to not in SURENESS} | {ChangeKind.OPENED}
    return next((change for change in reversed(event.history) if change.kind in turns), None)


def position_of(event: Event) -> Position:
    """Where an event is in its life."""
    course = Stage(event.state)
    turn = last_turn(event)
    if course is Stage.OPEN and turn is not None and turn.kind is ChangeKind.AGAIN:
        course = Stage.REOPENED
    return Position(Stage(event.tier), course)


def tier_of(position: Position) -> Tier:
    """How sure an event in this position says that it is."""
    return Tier(position.sure)


def state_of(position: Position) -> EventState:
    """The state that an event in this position shows."""
    reopened = position.course is Stage.REOPENED
    return EventState.OPEN if reopened else EventState(position.course)
