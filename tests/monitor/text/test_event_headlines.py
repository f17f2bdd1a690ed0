"""Every kind of event in one sentence."""

from __future__ import annotations

import itertools

import pytest
from msgspec.structs import replace

from monitor.detection.model import (
    ClosedGate,
    Event,
    EventState,
    Tier,
)
from monitor.text import (
    event_evidence,
    event_headlines,
    event_state,
)
from tests.world import site as world

EVENTS = {event.id: event for event in world.events()}
CONFIRMED = EVENTS[world.CONFIRMED]


def test_every_event_has_a_headline_a_lead_and_doubts() -> None:
    said = set()
    for state, tier, extent, inhibited in itertools.product(
        EventState, Tier, ("full", "partial"), (None, ClosedGate.SERVICE_DOWN)
    ):
        event = replace(CONFIRMED, state=state, tier=tier, extent=extent, inhibited_by=inhibited)
        said.add(event_headlines.headline(event, "WeChat"))
        for text in (
            event_headlines.headline(event, "WeChat"),
            event_evidence.scope(event, world.NOW),
            event_evidence.manner(event),
            event_evidence.confidence_summary(event),
            *event_evidence.doubts(event),
            *event_evidence.reasons(event),
        ):
            assert text
            assert "_" not in text
            assert "None" not in text
    assert len(said) >= 8


@pytest.mark.parametrize(
    ("id", "headline"),
    [
        (world.CONFIRMED, "X's web client is blocked in one network in Russia."),
        (world.LIKELY, "X's messaging is likely blocked in one network in Russia."),
        (
            world.SINGLE,
            "X's web client seems blocked in one network in France, seen from one vantage only.",
        ),
        (
            world.CLOSED,
            "X's web client was blocked in AS64501 (Russia) from 15 "
            "January 2027, 08:00 to 08:30 UTC.",
        ),
        (
            world.RETRACTED,
            "X's web client was wrongly called likely blocked in one "
            "network in Russia; that was retracted.",
        ),
        (
            world.INHIBITED,
            "X's web client fails in one network in France, but is not called blocked.",
        ),
    ],
)
def test_headlines(id: str, headline: str) -> None:
    assert event_headlines.headline(EVENTS[id], "X") == headline


def test_a_retraction_says_what_had_been_said() -> None:
    """A block that was confirmed was cited as one, and not as a likely one."""
    for technique, said in (("tls.reset.sni", "blocked"), ("throttle.sni", "throttled")):
        event = replace(EVENTS[world.RETRACTED], tier=Tier.CONFIRMED, technique=technique)
        headline = (
            f"X's web client was wrongly called {said} in one network in "
            "Russia; that was retracted."
        )
        assert event_headlines.headline(event, "X") == headline
        assert event_evidence.scope(event, world.NOW).startswith("Retracted (was confirmed): ")
        assert event_evidence.confidence_summary(event).startswith("retracted (was confirmed): ")
    assert event_evidence.scope(EVENTS[world.RETRACTED], world.NOW).startswith(
        "Retracted (was likely"
    )


def test_what_is_slow_is_called_throttled() -> None:
    slow = replace(CONFIRMED, technique="throttle.sni")
    where = "in one network in Russia"
    assert event_headlines.headline(slow, "X") == f"X's web client is throttled {where}."
    assert event_state.state_word(slow) == "throttled (confirmed)"
    assert (
        event_headlines.blocked_somewhere([slow], "X", where)
        == f"X's web client is throttled {where}."
    )
    assert (
        event_headlines.blocked_somewhere([slow, CONFIRMED], "X", where)
        == f"X's web client is blocked {where}."
    )
    for state, tier in itertools.product(EventState, Tier):
        said = event_headlines.headline(replace(slow, state=state, tier=tier), "X")
        assert "blocked" not in said
        assert "reachable" not in said
    for kind in ("opened", "likely", "confirmed", "closed", "retracted"):
        assert "blocked" not in event_headlines.change_headline(slow, kind, "X")


def _overview(*events: Event) -> str:
    return event_headlines.overview(events, {"wechat": "WeChat", "signal": "Signal"}, 9, 2, "3 s")


def test_the_sentence_at_the_top() -> None:
    assert _overview() == (
        "No confirmed block. Nine vantages in two countries are watching; "
        "the last measurement came 3 s ago."
    )
    assert event_headlines.overview([], {}, 1, 1, "9 s").startswith(
        "No confirmed block. One vantage in one country is watching;"
    )
    assert event_headlines.overview([], {}, 0, 0, "4 min") == (
        "No vantage is online; the last measurement came 4 min ago."
    )
    assert _overview(CONFIRMED) == "WeChat's web client is blocked in one network in Russia."
    part = replace(CONFIRMED, extent="partial")
    assert _overview(part) == "A part of WeChat's web client is blocked in one network in Russia."
    # All of it, for a part of the network.
    divided = replace(part, against=("network_divided",))
    assert (
        _overview(divided) == "WeChat's web client is blocked in a part of one network in Russia."
    )
    abroad = replace(CONFIRMED, country="FR", asns=(1, 2), service="signal")
    assert _overview(CONFIRMED, abroad) == (
        "Two services are blocked in three networks of two countries."
    )
    likely = EVENTS[world.LIKELY]
    assert _overview(likely) == (
        "No confirmed block, but Signal's messaging is likely blocked in one network in Russia."
    )
    assert _overview(likely, likely).startswith("No confirmed block, but two that are likely.")


def test_what_ended_is_told_in_the_past_by_how_sure_it_was() -> None:
    closed = EVENTS[world.CLOSED]
    time = "from 15 January 2027, 08:00 to 08:30 UTC"
    for changes, said in (
        ({"tier": Tier.LIKELY}, f"X's web client was likely blocked in AS64501 (Russia) {time}."),
        (
            {"extent": "partial"},
            f"A part of X's web client was blocked in AS64501 (Russia) {time}.",
        ),
        (
            {"tier": Tier.UNCONFIRMED, "agreeing": 1},
            f"X's web client seemed blocked in AS64501 (Russia) {time}, "
            "seen from one vantage only.",
        ),
        (
            {"tier": Tier.UNCONFIRMED, "agreeing": 2},
            f"X's web client seemed blocked in AS64501 (Russia) {time}, "
            "seen from too few vantages per network.",
        ),
        ({"asns": (64501, 64502)}, f"X's web client was blocked in two networks in Russia {time}."),
        (
            {"technique": "throttle.sni"},
            f"X's web client was throttled in AS64501 (Russia) {time}.",
        ),
    ):
        assert event_headlines.headline(replace(closed, **changes), "X") == said


def test_one_vantage_is_named_only_where_one_alone_saw_it() -> None:
    alone = "X's web client seems blocked in one network in France, seen from one vantage only."
    assert event_headlines.change_headline(EVENTS[world.SINGLE], "opened", "X") == alone
    first = "X's web client seems blocked in one network in Russia: first alarm."
    assert event_headlines.change_headline(CONFIRMED, "opened", "X") == first
    few = replace(EVENTS[world.RETRACTED], tier=Tier.UNCONFIRMED, agreeing=2)
    assert "one vantage" not in event_headlines.headline(few, "X")


def test_an_import_that_has_not_ended_is_told_until_its_data_end() -> None:
    """Nothing is known of the time since, however long ago it is."""
    onset = CONFIRMED.onset
    hour = 3_600_000
    spans = ((onset, onset + hour, onset + 2 * hour), (onset + 5 * hour, onset + 6 * hour, 0))
    network = replace(CONFIRMED.networks[0], spans=spans)
    imported = replace(
        CONFIRMED, source="ooni", tier=Tier.LIKELY, networks=(network,), control="none"
    )
    assert event_state.data_end(imported) == onset + 6 * hour
    assert event_headlines.headline(imported, "X") == (
        "X's web client was likely blocked in one network in Russia "
        "from 15 January 2027, 09:00 to 15:00 UTC, "
        "where the data end."
    )
    said = event_evidence.scope(imported, world.NOW + 10**11)
    assert said.endswith("no control; open at the end of the data (15 January 2027, 15:00 UTC).")
    for other in (
        replace(imported, source="probe"),
        replace(imported, state=EventState.CLOSED),
        replace(imported, networks=()),
    ):
        assert event_state.data_end(other) is None


def test_more_events_of_a_range_are_of_what_and_lasted_within_it() -> None:
    """“And one more event from 1 to 30 May” was read as an event of thirty days."""
    first = event_headlines.headline(CONFIRMED, "WeChat")
    said = event_headlines.in_range(
        [CONFIRMED] * 3, {"wechat": "WeChat"}, "russia", "from 1 May to 30 May", measured=True
    )
    assert said == f"{first} Russia from 1 May to 30 May: two more events."
