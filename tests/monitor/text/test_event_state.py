"""What events are called: every state, tier and gate."""

from __future__ import annotations

from msgspec.structs import replace

from monitor.detection.model import (
    Change,
    ChangeKind,
    ClosedGate,
    EventState,
    Tier,
    Votes,
)
from monitor.text import (
    event_evidence,
    event_headlines,
    event_state,
    words,
)
from tests.world import site as world

EVENTS = {event.id: event for event in world.events()}
CONFIRMED = EVENTS[world.CONFIRMED]


def test_every_gate_has_words() -> None:
    assert words.GATES.keys() == set(ClosedGate)


def test_clearing_and_reopened_are_states() -> None:
    turns = (Change(round=1, kind=ChangeKind.OPENED), Change(round=2, kind=ChangeKind.CLEARING))
    clearing = replace(CONFIRMED, state=EventState.CLEARING, history=turns, now=Votes(0, 3))
    assert event_state.state_word(clearing) == event_state.mark_kind(clearing) == "clearing"
    assert event_evidence.scope(clearing, world.NOW).startswith("Clearing (was confirmed): 0 of 3 ")
    again = replace(
        CONFIRMED, history=(*turns, Change(round=CONFIRMED.updated, kind=ChangeKind.AGAIN))
    )
    assert event_state.state_word(again) == "blocked (confirmed), reopened"
    assert event_state.mark_kind(again) == "blocked"
    assert (
        event_headlines.headline(again, "X")
        == "X's web client is blocked again in one network in Russia."
    )
    assert event_evidence.scope(again, world.NOW).startswith("Confirmed, reopened: 3 of 3 vantages")
    ended = replace(again, history=(*turns, Change(round=3, kind=ChangeKind.CONFIRMED)))
    assert not event_state.reopened(ended)
    days_later = replace(again, updated=CONFIRMED.updated + 25 * 60 * world.MINUTE)
    assert (
        event_headlines.headline(days_later, "X")
        == "X's web client is blocked in one network in Russia."
    )


def test_several_vantages_that_do_not_suffice_are_not_called_one() -> None:
    few = replace(CONFIRMED, tier=Tier.UNCONFIRMED)
    [network, *_] = few.networks
    alone = replace(few, networks=(replace(network, owners=1),))
    where = "X's web client seems blocked in one network in Russia, seen from"
    assert event_headlines.headline(alone, "X") == f"{where} vantages of one owner only."
    assert event_state.state_word(alone) == "seen from vantages of one owner only"
    several = replace(few, networks=(replace(network, owners=2),))
    assert event_headlines.headline(several, "X") == f"{where} too few vantages per network."
    assert event_state.state_word(several) == "seen from too few vantages per network"


def test_a_block_in_part_is_as_solid_as_one_of_everything() -> None:
    part = replace(CONFIRMED, extent="partial")
    assert event_state.mark_kind(part) == "blocked"
    assert event_state.state_word(part) == "blocked (confirmed), in part"


def test_an_event_that_is_over_ended_at_one_time() -> None:
    assert event_state.ended(CONFIRMED) is None
    closed, retracted = EVENTS[world.CLOSED], EVENTS[world.RETRACTED]
    assert event_state.ended(closed) == closed.closed
    assert event_state.ended(retracted) == retracted.updated


def test_an_end_and_a_length_are_those_of_the_block_and_not_of_its_event() -> None:
    closed = EVENTS[world.CLOSED]
    assert closed.closed is not None
    assert event_state.ended(closed) == closed.closed
    assert event_state.length(closed) == "30 min"
    minute = 60_000
    short = replace(
        closed,
        onset_earliest=closed.onset - 4 * minute,
        onset_latest=closed.onset,
        ended_earliest=closed.onset + 20 * minute,
        ended_latest=closed.onset + 22 * minute,
    )
    assert event_state.ended(short) == closed.onset + 22 * minute
    assert event_state.length(short) == "20 min to 26 min"
    exact = replace(short, onset_earliest=closed.onset, ended_earliest=closed.onset + 22 * minute)
    assert event_state.length(exact) == "22 min"
    retracted = replace(short, state=EventState.RETRACTED)
    assert event_state.ended(retracted) == closed.closed
    by_operator = replace(retracted, closed=None)
    assert event_state.ended(by_operator) == closed.onset + 22 * minute
