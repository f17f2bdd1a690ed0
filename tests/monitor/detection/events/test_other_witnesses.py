"""Each event keeps what another kind of source shows of its block."""

from __future__ import annotations

from msgspec.structs import replace

from monitor.detection.events.other_witnesses import with_other_witnesses
from monitor.detection.events.state import OpenEvent
from monitor.detection.model import ClosedGate, Event, EventState, OtherWitnesses, Tier
from tests.monitor.store.samples import event

ROUND = 1_790_000_000_000
OURS = replace(event("0000000000000001"), tier=Tier.CONFIRMED, agreeing=3, state=EventState.OPEN)
THEIRS = replace(
    OURS,
    id="0000000000000002",
    source="ooni",
    tier=Tier.LIKELY,
    rule_counts=(("imported.tcp_timeout", 9), ("imported.tls_reset", 5)),
)
SHOWN = OtherWitnesses("ooni", THEIRS.id, Tier.LIKELY, 14, len(THEIRS.asns))


def told(*ongoing: Event, changed: tuple[Event, ...] = ()) -> dict[str, Event]:
    """What changed in a round, by id; what is open must be the same afterwards."""
    open_events = {f"{e.country} {e.source}": OpenEvent(e) for e in ongoing}
    events = with_other_witnesses(open_events, changed, {OURS.country}, ROUND)
    after = {event.id: event for event in events}
    assert len(after) == len(events)
    for held in open_events.values():
        assert after.get(held.event.id, held.event) == held.event
    return after


def test_each_kind_says_what_the_other_shows_and_when_that_changed() -> None:
    after = told(OURS, THEIRS, changed=(THEIRS,))
    assert after[OURS.id] == replace(OURS, beside=(SHOWN,), updated=ROUND)
    (ours,) = after[THEIRS.id].beside
    assert (ours.source, ours.event, ours.tier) == ("probe", OURS.id, Tier.CONFIRMED)
    assert (ours.witnesses, ours.networks) == (3, len(OURS.asns))
    assert dict(after[OURS.id].sources) == {"own": 3, "ooni": 14}
    assert dict(after[THEIRS.id].sources) == {"ooni": 14, "own": 3}


def test_nothing_is_told_twice() -> None:
    both = tuple(told(OURS, THEIRS).values())
    assert told(*both) == {}


def test_what_is_elsewhere_or_of_the_same_kind_is_not_beside_it() -> None:
    assert told(OURS, replace(THEIRS, country="FR")) == {}
    assert told(OURS, changed=(replace(OURS, id="x", state=EventState.CLOSED),)).keys() == {"x"}


def test_what_has_ended_keeps_its_last_word() -> None:
    ours = replace(OURS, beside=(SHOWN,))
    closed = replace(THEIRS, state=EventState.CLOSED, rule_counts=())
    assert told(ours, changed=(closed,)) == {closed.id: closed}


def test_what_is_explained_or_taken_back_shows_nothing() -> None:
    ours = replace(OURS, beside=(SHOWN,))
    for wrong in (
        replace(THEIRS, state=EventState.RETRACTED),
        replace(THEIRS, inhibited_by=ClosedGate.SERVICE_DOWN),
    ):
        assert told(ours, changed=(wrong,))[ours.id].beside == ()
    # Another event of theirs, which was taken back before this one opened.
    other = replace(THEIRS, id="x", state=EventState.RETRACTED)
    assert ours.id not in told(ours, changed=(other,))
