from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.events.state import Member, OpenEvent, ServiceState, TargetNetwork
from monitor.detection.model import OWN_SOURCE, Change, ChangeKind, Event, EventState, Verdict
from monitor.detection.policy import Policy
from monitor.detector.transitions import new_transitions
from tests.monitor.detection.events.test_stand_in import DE, FR, WEB
from tests.monitor.detection.events.test_stand_in import alone as failing_alone
from tests.monitor.detection.worlds import INTERVAL, POLICY, World, fact, ok, vantages
from tests.monitor.store.samples import event

OPENED, LIKELY, CONFIRMED, CLOSED = (
    Change(round=n, kind=kind)
    for n, kind in enumerate(
        (ChangeKind.OPENED, ChangeKind.LIKELY, ChangeKind.CONFIRMED, ChangeKind.CLOSED), 1
    )
)
A, B = "a" * 16, "b" * 16


def told(*history: Change, id: str = A) -> Event:
    over = history[-1].kind in ("closed", "retracted")
    return event(id, history=history, state=EventState.CLOSED if over else EventState.OPEN)


def state(*events: Event) -> ServiceState:
    open_events = {f"{n} probe": OpenEvent(each) for n, each in enumerate(events)}
    return ServiceState(service="wechat", open_events=open_events)


def by_id(*events: Event) -> dict[str, Event]:
    return {each.id: each for each in events}


def said(*kinds: str, id: str = A) -> list[tuple[str, str]]:
    return [(id, kind) for kind in kinds]


def test_a_new_event_is_new_transitions() -> None:
    new = told(OPENED, LIKELY)
    found = new_transitions(by_id(new), state(), state(new), [])
    assert found.journal == ((A, "opened"), (A, "likely"))
    assert found.events == (new,)


def test_only_what_the_journal_lacks_is_written() -> None:
    old, new = told(OPENED, LIKELY), told(OPENED, LIKELY, CONFIRMED)
    found = new_transitions(by_id(new), state(old), state(new), said("opened", "likely"))
    assert found.journal == ((A, "confirmed"),)
    assert found.events == (new,)


def test_more_evidence_alone_is_no_new_transitions() -> None:
    old = told(OPENED)
    new = replace(old, agreeing=3)
    assert new_transitions(by_id(new), state(old), state(new), said("opened")).events == ()


def test_what_only_old_facts_say_waits() -> None:
    new, limit = told(OPENED, LIKELY), Policy().ms(Policy().rounds.silent_seconds)
    networks = {
        str(n): TargetNetwork(
            "wechat/messaging", "RU", 64501, "probe", {"p": Member("o", 0, interval, 0, "bad")}
        )
        for n, interval in enumerate((60_000, 60_000, 10**12))
    }
    after = replace(state(new), networks=networks)
    for late, kinds in ((limit, 2), (limit + 1, 0)):
        found = new_transitions(by_id(new), state(), after, [], now=new.updated + late)
        assert (len(found.journal), len(found.events)) == (kinds, bool(kinds))
    known = said("opened", "likely")
    more = told(OPENED, LIKELY, CONFIRMED)
    found = new_transitions(by_id(more), state(new), after, known, now=new.updated + limit + 1)
    assert found.events == (more,)


def test_another_technique_is_told_and_not_journalled() -> None:
    old, new = told(OPENED), told(OPENED, Change(round=2, kind=ChangeKind.CHANGED))
    found = new_transitions(by_id(new), state(old), state(new), said("opened"))
    assert (found.journal, found.events) == ((), (new,))


def test_closing_is_news_for_who_heard_of_the_opening() -> None:
    old, new = told(OPENED), told(OPENED, CLOSED)
    found = new_transitions(by_id(new), state(old), state(), said("opened"))
    assert (found.journal, found.events) == (((A, "closed"),), (new,))


def test_a_past_event_is_not_published() -> None:
    new = told(OPENED, LIKELY, CONFIRMED, CLOSED)
    assert new_transitions(by_id(new), state(), state(), []) == new_transitions(
        {}, state(), state(), []
    )


def test_drawing_everything_anew_says_nothing_twice() -> None:
    over, running = told(OPENED, CLOSED), told(OPENED, LIKELY, id=B)
    known = said("opened", "closed") + said("opened", "likely", id=B)
    found = new_transitions(by_id(over, running), state(), state(running), known)
    assert (found.journal, found.events) == ((), ())


def test_an_event_that_is_not_over_after_all_is_told_again() -> None:
    new = told(OPENED)
    found = new_transitions(by_id(new), state(), state(new), said("opened", "closed"))
    assert (found.journal, found.events) == ((), (new,))


def test_an_event_that_vanishes_is_retracted_once() -> None:
    old = told(OPENED)
    found = new_transitions({}, state(old), state(), said("opened"))
    assert found.journal == ((A, "retracted"),)
    assert [each.state for each in found.events] == [EventState.RETRACTED]
    again = new_transitions({}, state(old), state(), said("opened", "retracted"))
    assert again.journal == ()


def test_an_event_that_nobody_heard_of_may_vanish_silently() -> None:
    assert new_transitions({}, state(told(OPENED)), state(), []).events == ()


HOURS_LATE = 2
"""After that runs of others are published."""


@pytest.mark.parametrize(
    ("after", "published"),
    [
        pytest.param(failing_alone(), ["opened", "likely"], id="still failing"),
        pytest.param(ok(), [], id="reached since"),
        pytest.param(None, [], id="silent since"),
    ],
)
def test_what_is_learnt_when_runs_of_others_arrive_is_told_once(
    after: Verdict | None, published: list[str]
) -> None:
    """Vantages without a control fail; runs elsewhere that stand in for one are published hours
    later, and all is folded again."""
    people, hour = vantages(3), 3_600_000 // INTERVAL
    world = World(people).quiet(rounds=6)
    before = world.state
    for number in range(hour * (1 + HOURS_LATE)):
        verdict = failing_alone() if number < hour else after
        facts = [fact(who, world.round, verdict, control=False) for who in people if verdict]
        if number == 0:
            facts += [fact(who, world.round, WEB) for who in (FR, DE)]
        world.feed(facts)
    mine = {event.id: event for event in world.events.values() if event.source == OWN_SOURCE}
    assert all("control_by_runs_of_others" in event.against for event in mine.values())
    assert len(mine) == 1
    now = world.round
    found = new_transitions(mine, before, world.state, [], now=now, policy=POLICY)
    assert [kind for _, kind in found.journal] == published
    again = new_transitions(
        mine, world.state, world.state, found.journal, now=now + 3_600_000, policy=POLICY
    )
    assert again.journal == ()
