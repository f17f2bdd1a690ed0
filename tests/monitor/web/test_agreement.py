"""The quick form of `./scripts/bench agreement`: two events that overlap pass every stage, and what
is said of them at each must agree; and the comparison finds what does not."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from msgspec.structs import replace

from benchmarks.agreeing.claims import read_event, sentence, sources
from benchmarks.agreeing.contradictions import Comparison, Heard, Reference, Retained
from benchmarks.agreeing.course import TOLD_SECONDS, Course
from benchmarks.agreeing.listening import Listener
from monitor.detection.model import Change, ChangeKind, Event, EventState, Tier
from monitor.detector.event_publisher import retained
from monitor.interop.forms import event_form
from monitor.store.reading.events import list_events
from monitor.store.records import Conclusions
from monitor.web.site import Site
from tests.monitor.store.samples import admitted
from tests.world import site as world
from tests.world.scenery import BLOCKED_SINCE, MINUTE, NOW
from tests.world.site import client

NAMES = {"wechat": "WeChat", "signal": "Signal"}
FIRST = next(event for event in world.events() if event.id == world.CONFIRMED)
SECOND = replace(
    next(event for event in world.events() if event.id == world.LIKELY),
    country="FR",
    asns=(64503,),
    extent="full",
    against=(),
)


def stages() -> list[tuple[str, Event]]:
    """What happens to two events that overlap, in this order."""
    course = []
    history: tuple[Change, ...] = ()
    kinds = {
        "opened": (ChangeKind.OPENED, Tier.UNCONFIRMED, EventState.OPEN),
        "likely": (ChangeKind.LIKELY, Tier.LIKELY, EventState.OPEN),
        "confirmed": (ChangeKind.CONFIRMED, Tier.CONFIRMED, EventState.OPEN),
        "clearing": (ChangeKind.CLEARING, Tier.CONFIRMED, EventState.CLEARING),
        "again": (ChangeKind.AGAIN, Tier.CONFIRMED, EventState.OPEN),
        "clearing again": (ChangeKind.CLEARING, Tier.CONFIRMED, EventState.CLEARING),
        "closed": (ChangeKind.CLOSED, Tier.CONFIRMED, EventState.CLOSED),
    }
    for number, (name, (kind, tier, state)) in enumerate(kinds.items()):
        at = BLOCKED_SINCE + number * MINUTE
        history = (*history, Change(round=at, kind=kind))
        over = state is EventState.CLOSED
        event = replace(
            FIRST,
            tier=tier,
            state=state,
            agreeing=1 + min(number, 2),
            confirmed=at
            if kind is ChangeKind.CONFIRMED
            else FIRST.confirmed
            if number > 2
            else None,
            closed=at if over else None,
            ended_earliest=at - MINUTE if over else None,
            ended_latest=at if over else None,
            updated=at,
            history=history,
        )
        course.append((name, event))
        if name == "likely":
            opening = Change(round=at, kind=ChangeKind.OPENED)
            likely = Change(round=at, kind=ChangeKind.LIKELY)
            course.append(("another", replace(SECOND, onset=at, history=(opening, likely))))
    return course


async def test_all_that_is_said_of_a_moment_agrees(empty: Site) -> None:
    await empty.database.facts.add([admitted(1, probe=1, at=NOW)], [])
    async with client(empty) as web:

        async def get(path: str) -> tuple[int, Mapping[str, str], str]:
            answer = await web.get(path)
            return answer.status, answer.headers, await answer.text()

        listener, messages = Listener(get, NAMES), []
        for number, (kind, event) in enumerate(stages()):
            turn = kind in (ChangeKind.CLEARING, ChangeKind.AGAIN)
            kinds = () if turn else [change.kind for change in event.history]
            told = tuple((event.id, kind) for kind in kinds)
            conclusions = Conclusions(
                service=event.service, round=NOW, state=b"s", events=(event,), journal=told
            )
            await empty.database.conclusions.save([conclusions], number)
            await listener.ask_list()
            await listener.ask_all()
            async with empty.database.reading() as connection:
                events = await list_events(connection)
            bodies = retained(events, event.updated, 1000, number + 1)
            messages += [msgspec.json.decode(body) for body in bodies.values()]
    findings = listener.compare(1, messages)
    assert "\n".join(findings.contradictions) == ""
    assert not findings.between
    assert findings.same["badge"] == 2 + 2 + 6 * 6
    assert findings.same["event"] > len(stages())
    assert listener.stages() >= {"opened", "likely", "confirmed", "clearing", "again", "closed"}


def heard(claims: dict[str, object], moment: int = 2, asked: float = 10.0) -> list[str]:
    """The contradictions of one answer about the place of an event that has become confirmed."""
    event = replace(FIRST, tier=Tier.LIKELY)
    forms = [event_form(event), event_form(event), event_form(FIRST)]
    references = [
        Reference(number, float(number), float(number), {FIRST.id: form})
        for number, form in enumerate(forms, 1)
    ]
    (badge,) = (
        source
        for source in sources({FIRST.id: forms[0]}, NAMES)
        if source.path == "/badge/wechat/RU.svg"
    )
    comparison = Comparison([references[0], references[2]], 10)
    keyed = {(key,): value for key, value in claims.items()}
    comparison.answer(Heard(badge, moment, asked, asked + 0.1, keyed))
    comparison.ages()
    return comparison.findings.contradictions


GOOD = {"word": "likely", "networks": ""}


@pytest.mark.parametrize(
    ("claims", "moment", "asked", "part"),
    [
        (GOOD, 1, 2.0, ""),
        (GOOD | {"word": "confirmed"}, 3, 4.0, ""),
        (GOOD, 2, 2.0, ""),  # nobody knows what the list said in between: either will do
        (GOOD | {"word": "confirmed"}, 2, 2.0, ""),
        (GOOD | {"word": "unconfirmed"}, 2, 2.0, "says 'unconfirmed', not ['likely', 'confirmed']"),
        (GOOD | {"word": "confirmed"}, 1, 2.0, "says 'confirmed', not ['likely']"),
        (GOOD | {"networks": "1/2"}, 1, 2.0, "networks: says '1/2'"),
        ({"word": "likely"}, 1, 2.0, "networks: says 'nothing'"),
        (GOOD | {"more": 1}, 1, 2.0, "more: says 1, not ['nothing']"),
        (GOOD, 1, 5.0, ""),  # 1 s of a cache, 1 s on its way and 0.1 s to make it, since 3 s
        (GOOD, 1, 5.2, "age: says 1, not 3"),
    ],
)
def test_a_contradiction_is_found(
    claims: dict[str, object], moment: int, asked: float, part: str
) -> None:
    found = heard(claims, moment, asked)
    assert bool(found) == bool(part)
    assert part in "".join(found)


@pytest.mark.parametrize(
    ("messages", "heard_of", "part"),
    [
        ([{"total": 4}], {"total": 4}, ""),
        # Twice changed between two of which the list was asked; but all that is said of it agrees.
        ([{"total": 4}], {"total": 5}, "total: says 5, not [3, 6, 4]"),
        ([{"total": 4}, {"total": 5}], None, "total: says 5, not [3, 6, 4]"),
        ([], {"total": 5}, "total: says 5, not [3, 6]"),
    ],
)
def test_between_two_lists_all_that_is_said_of_an_event_agrees(
    messages: list[dict[str, object]], heard_of: dict[str, object] | None, part: str
) -> None:
    first, last = event_form(FIRST), event_form(FIRST) | {"vantages": 1}
    first, last = {**first, "total": 3}, {**last, "total": 6}
    references = [
        Reference(1, 1.0, 1.0, {FIRST.id: first}),
        Reference(3, 3.0, 3.0, {FIRST.id: last}),
    ]
    bodies = [first | changed | {"conclusions": 2} for changed in messages]
    told = [(2, FIRST.id, body) for body in bodies]
    comparison = Comparison(references, 10, told=told)
    for body in bodies:
        comparison.message(body, "topic")
    if heard_of is not None:
        source = next(
            source
            for source in sources({FIRST.id: first}, NAMES)
            if source.path == f"/api/v1/events/{FIRST.id}"
        )
        claims = {(name,): value for name, value in (first | heard_of).items()}
        comparison.answer(Heard(source, 2, 2.0, 2.1, claims))
    found = comparison.findings.contradictions
    assert len(found) == bool(part)
    assert part in "".join(found)


@pytest.mark.parametrize(("state", "wrong"), [("clearing", False), ("open", True)])
def test_what_is_retained_may_be_of_a_moment_of_which_the_list_was_not_asked(
    state: str, wrong: bool
) -> None:
    """It is what the list said before or after it, or what is retained already since too long."""
    forms = [event_form(FIRST) | {"state": now} for now in ("closed", "clearing", "clearing")]
    forms[0]["state"] = "open"
    references = [
        Reference(number, at, at, {FIRST.id: form})
        for number, at, form in ((1, 1.0, forms[0]), (2, 2.0, forms[1]), (4, 9.0, forms[2]))
    ]
    comparison = Comparison(references, 10, known=[(7.0, 3)])
    body = forms[0] | {"state": state, "conclusions": 3}
    topic = f"reachwatch/v1/events/{FIRST.service}/{FIRST.country}"
    comparison.retained(Retained(8.0, {topic: body}, {topic: body}))
    assert bool(comparison.findings.contradictions) is wrong


@pytest.mark.parametrize(("said", "read"), [("97.3 %", 97.3), ("at least 10 %", 10.0), ("", None)])
def test_the_confidence_of_a_page_is_read_however_it_is_said(said: str, read: float | None) -> None:
    facts = {
        "Onset": '<time datetime="2026-12-02T03:53:42Z">',
        "First alarm": '<time datetime="2026-12-02T03:54:06Z">',
        "Confidence": f"<strong>{said}</strong>",
    }
    rows = "".join(f"<div><dt>{name}</dt><dd>{fact}</dd></div>" for name, fact in facts.items())
    assert read_event("e")(f"<h1>A block</h1>{rows}")["e", "confidence"] == read


def test_a_headline_of_another_kind_is_no_headline() -> None:
    assert sentence("WeChat's web client is blocked in one network in Russia.") == "confirmed"
    assert sentence("Something else.").startswith("?")


def test_whoever_waits_is_told_each_act_and_change_once_and_that_it_goes_on() -> None:
    course = Course(2)
    begun = ["wechat in AS64501: the simulated block begins."]
    changes = [{"kind": "opened", "round": "2026-11-24T08:00:00Z"}]
    event = {"service": "wechat", "history": changes}
    assert course.news(1, begun, {}) == [f"act 1 of 2: {begun[0]}"]
    assert course.news(2, begun, {"e1": event}) == [
        "event e1 (wechat): opened, round of 2026-11-24T08:00:00Z"
    ]
    assert course.news(1 + TOLD_SECONDS, begun, {"e1": event}) == []
    assert course.news(2 + TOLD_SECONDS, begun, {"e1": event}) == ["act 1 of 2 goes on"]
    assert course.news(3 + TOLD_SECONDS, begun, {"e1": event}) == []
