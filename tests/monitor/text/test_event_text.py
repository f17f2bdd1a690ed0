"""Events in sentences: every kind of event, every remark and gate of the detector."""

from __future__ import annotations

import ast
import inspect
import itertools

import pytest
from msgspec.structs import replace

from monitor.detection.events import lifecycle as detector
from monitor.detection.events import series_summary
from monitor.detection.model import Change, ClosedGate, Event, EventState, Tier, Votes
from monitor.text import event_text, words
from probes.catalogue import load as catalogue
from tests.world import site as world

EVENTS = {event.id: event for event in world.events()}
CONFIRMED = EVENTS[world.CONFIRMED]


def _strings(function: object, of: type[ast.AST]) -> set[str]:
    """String constants directly inside nodes of one kind in a function's source."""
    tree = ast.parse(inspect.getsource(function))  # type: ignore[arg-type]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, of):
            inside = node.keys if isinstance(node, ast.Dict) else [node.value]  # type: ignore[attr-defined]
            for part in inside:
                for each in ast.walk(part) if part else ():
                    if isinstance(each, ast.Constant) and isinstance(each.value, str):
                        found.add(each.value)
    return found


def test_every_remark_that_the_detector_makes_has_a_sentence() -> None:
    made = _strings(series_summary.against, ast.Dict)
    assert "few_vantages" in made
    assert made == set(event_text.AGAINST)


def test_every_gate_has_words() -> None:
    assert words.GATES.keys() == set(ClosedGate)


def test_unaffected_functions_are_named() -> None:
    wechat = next(each for each in world.CATALOGUE.services if each.id == "wechat")
    apart = event_text.others(CONFIRMED, wechat)
    assert apart == ["messaging"]
    said = event_text.doubts(CONFIRMED, apart)
    assert "Affected: web client; unaffected: messaging." in said
    whole = replace(CONFIRMED, targets=tuple(each.id for each in wechat.targets))
    assert event_text.others(whole, wechat) == event_text.others(CONFIRMED, None) == []
    assert not any("no part of it" in each for each in event_text.doubts(whole))


def test_every_event_has_a_headline_a_lead_and_doubts() -> None:
    said = set()
    for state, tier, extent, inhibited in itertools.product(
        EventState, Tier, ("full", "partial"), (None, ClosedGate.SERVICE_DOWN)
    ):
        event = replace(CONFIRMED, state=state, tier=tier, extent=extent, inhibited_by=inhibited)
        said.add(event_text.headline(event, "WeChat"))
        for text in (
            event_text.headline(event, "WeChat"),
            event_text.scope(event, world.NOW),
            event_text.manner(event),
            event_text.confidence_summary(event),
            *event_text.doubts(event),
            *event_text.reasons(event),
        ):
            assert text
            assert "_" not in text
            assert "None" not in text
    assert len(said) >= 8


@pytest.mark.parametrize(
    ("id", "headline"),
    [
        (world.CONFIRMED, "X is blocked in one network in Russia."),
        (world.LIKELY, "X is likely blocked in one network in Russia."),
        (world.SINGLE, "X seems blocked in one network in France, seen from one vantage only."),
        (world.CLOSED, "X is reachable again in one network in Russia."),
        (
            world.RETRACTED,
            "X was wrongly called likely blocked in one network in Russia; that was retracted.",
        ),
        (world.INHIBITED, "X fails in one network in France, but is not called blocked."),
    ],
)
def test_headlines(id: str, headline: str) -> None:
    assert event_text.headline(EVENTS[id], "X") == headline


def test_a_retraction_says_what_had_been_said() -> None:
    """A block that was confirmed was cited as one, and not as a likely one."""
    for technique, said in (("tls.reset.sni", "blocked"), ("throttle.sni", "throttled")):
        event = replace(EVENTS[world.RETRACTED], tier=Tier.CONFIRMED, technique=technique)
        headline = f"X was wrongly called {said} in one network in Russia; that was retracted."
        assert event_text.headline(event, "X") == headline
        assert event_text.scope(event, world.NOW).startswith("Retracted (was confirmed): ")
        assert event_text.confidence_summary(event).startswith("retracted (was confirmed): ")
    assert event_text.scope(EVENTS[world.RETRACTED], world.NOW).startswith("Retracted (was likely")


def test_the_first_line_gives_share_sureness_and_time() -> None:
    now = world.BLOCKED_SINCE + 134 * world.MINUTE
    said = event_text.scope(CONFIRMED, now)
    assert said.startswith("Confirmed: 3 of 3 vantages, control fine; since ")
    assert said.endswith("(2 h 14 min).")
    assert event_text.manner(CONFIRMED) == "Connections are cut when the service’s name appears."
    closed = event_text.scope(EVENTS[world.CLOSED], now)
    assert closed.startswith("Was blocked (confirmed): 3 of 3 vantages, control fine; from ")
    assert closed.endswith("(30 min).")
    slow = replace(EVENTS[world.CLOSED], technique="throttle.sni")
    assert event_text.scope(slow, now).startswith("Was throttled (confirmed): 3 of 3 ")
    why = event_text.manner(EVENTS[world.RETRACTED])
    assert "the service fails from the control or in other countries too" in why


def test_clearing_and_reopened_are_states() -> None:
    turns = (Change(round=1, kind="opened"), Change(round=2, kind="clearing"))
    clearing = replace(CONFIRMED, state=EventState.CLEARING, history=turns, now=Votes(0, 3))
    assert event_text.state_word(clearing) == event_text.mark_kind(clearing) == "clearing"
    assert event_text.scope(clearing, world.NOW).startswith("Clearing (was confirmed): 0 of 3 ")
    again = replace(CONFIRMED, history=(*turns, Change(round=CONFIRMED.updated, kind="again")))
    assert event_text.state_word(again) == "blocked (confirmed), reopened"
    assert event_text.mark_kind(again) == "blocked"
    assert event_text.headline(again, "X") == "X is blocked again in one network in Russia."
    assert event_text.scope(again, world.NOW).startswith("Confirmed, reopened: 3 of 3 vantages")
    ended = replace(again, history=(*turns, Change(round=3, kind="confirmed")))
    assert not event_text.reopened(ended)
    days_later = replace(again, updated=CONFIRMED.updated + 25 * 60 * world.MINUTE)
    assert event_text.headline(days_later, "X") == "X is blocked in one network in Russia."


def test_what_is_slow_is_called_throttled() -> None:
    slow = replace(CONFIRMED, technique="throttle.sni")
    where = "in one network in Russia"
    assert event_text.headline(slow, "X") == f"X is throttled {where}."
    assert event_text.state_word(slow) == "throttled (confirmed)"
    assert event_text.blocked_somewhere([slow], "X", where) == f"X is throttled {where}."
    assert event_text.blocked_somewhere([slow, CONFIRMED], "X", where) == f"X is blocked {where}."
    for state, tier in itertools.product(EventState, Tier):
        said = event_text.headline(replace(slow, state=state, tier=tier), "X")
        assert "blocked" not in said
        assert "reachable" not in said
    for kind in ("opened", "likely", "confirmed", "closed", "retracted"):
        assert "blocked" not in event_text.change_headline(slow, kind, "X")


def test_several_vantages_that_do_not_suffice_are_not_called_one() -> None:
    few = replace(CONFIRMED, tier=Tier.UNCONFIRMED)
    [network, *_] = few.networks
    alone = replace(few, networks=(replace(network, owners=1),))
    where = "X seems blocked in one network in Russia, seen from"
    assert event_text.headline(alone, "X") == f"{where} vantages of one owner only."
    assert event_text.state_word(alone) == "seen from vantages of one owner only"
    several = replace(few, networks=(replace(network, owners=2),))
    assert event_text.headline(several, "X") == f"{where} few vantages only."
    assert event_text.state_word(several) == "seen from few vantages only"


def test_a_block_in_part_is_as_solid_as_one_of_everything() -> None:
    part = replace(CONFIRMED, extent="partial")
    assert event_text.mark_kind(part) == "blocked"
    assert event_text.state_word(part) == "blocked (confirmed), in part"


def test_an_event_that_is_over_ended_at_one_time() -> None:
    assert event_text.ended(CONFIRMED) is None
    closed, retracted = EVENTS[world.CLOSED], EVENTS[world.RETRACTED]
    assert event_text.ended(closed) == closed.closed
    assert event_text.ended(retracted) == retracted.updated


def test_doubts_are_never_empty_and_differ_between_silenced_and_withdrawn() -> None:
    assert event_text.doubts(replace(CONFIRMED, against=())) == ["No measurement contradicts it."]
    assert any("No alert is sent" in said for said in event_text.doubts(EVENTS[world.INHIBITED]))
    marked = replace(CONFIRMED, inhibited_by=ClosedGate.SERVICE_DOWN)
    assert any("It stays" in said for said in event_text.doubts(marked))
    withdrawn = event_text.doubts(EVENTS[world.RETRACTED])
    assert any("was retracted" in said for said in withdrawn)
    assert not any("paged" in said for said in withdrawn)
    some = event_text.doubts(replace(CONFIRMED, agreeing=2))
    assert "One of 3 vantages there did not see it." in some
    assert event_text.doubts(replace(CONFIRMED, against=("brand_new",)))[0] == "Brand new."


def test_a_likely_event_names_what_it_lacks() -> None:
    likely = replace(CONFIRMED, tier=Tier.LIKELY, confirmed=None, against=())

    def needs(hold: str) -> str:
        return (
            "It is not confirmed: that needs vantages of two to four owners in one network, and "
            f"that it holds for {hold}, by the times at which their measurements arrived as well."
        )

    assert event_text.doubts(likely) == [needs("4 min")]
    assert event_text.doubts(replace(likely, against=("untyped",)))[1] == needs("45 min")
    assert event_text.doubts(replace(likely, pace=10)) == [needs("24 s")]
    for other in (
        CONFIRMED,
        replace(likely, tier=Tier.UNCONFIRMED),
        replace(likely, state=EventState.CLOSED, closed=1),
        replace(likely, inhibited_by=ClosedGate.COUNTRY_DARK),
        # These can never be confirmed, and say so themselves.
        replace(likely, against=("no_quorum_for_imports",)),
        replace(likely, against=("network_divided",)),
    ):
        assert not any("not confirmed:" in said for said in event_text.doubts(other))


def test_history_in_words() -> None:
    said = [text for _, text in event_text.history(CONFIRMED)]
    assert said == [
        "First alarm: no reply from the service’s addresses.",
        "The technique changed: connections are cut when the service’s name appears (before: no "
        "reply from the service’s addresses); web client is affected too; the network AS64502 is "
        "no longer affected.",
        "Likely: enough vantages agree.",
        "Confirmed: it lasted.",
    ]


def test_every_change_of_an_event_has_a_sentence() -> None:
    new = replace(
        CONFIRMED,
        technique="dns.nxdomain",
        extent="partial",
        targets=("wechat/messaging",),
        asns=(64502,),
    )
    note = detector._changes(CONFIRMED, new)
    change = Change(round=1, kind="changed", note=note)
    ((_, said),) = event_text.history(replace(CONFIRMED, history=(change,)))
    assert "the resolver says that the name does not exist" in said
    assert "now a part of it is affected" in said
    assert "messaging is affected too" in said
    assert "web client is no longer affected" in said
    assert "the network AS64502 is affected too" in said
    assert "the network AS64501 is no longer affected" in said
    assert "->" not in said
    odd = replace(CONFIRMED, history=(Change(round=1, kind="merged", note="x"),))
    assert event_text.history(odd)[0][1] == "Merged x."


def _overview(*events: Event) -> str:
    return event_text.overview(events, {"wechat": "WeChat", "signal": "Signal"}, 9, 2, "3 s")


def test_the_sentence_at_the_top() -> None:
    assert _overview() == (
        "No confirmed block. Nine vantages in two countries are watching; "
        "the last measurement came 3 s ago."
    )
    assert event_text.overview([], {}, 1, 1, "9 s").startswith(
        "No confirmed block. One vantage in one country is watching;"
    )
    assert event_text.overview([], {}, 0, 0, "4 min") == (
        "No vantage is online; the last measurement came 4 min ago."
    )
    assert _overview(CONFIRMED) == "WeChat is blocked in one network in Russia."
    part = replace(CONFIRMED, extent="partial")
    assert _overview(part) == "A part of WeChat is blocked in one network in Russia."
    # All of it, for a part of the network.
    divided = replace(part, against=("network_divided",))
    assert _overview(divided) == "WeChat is blocked in a part of one network in Russia."
    abroad = replace(CONFIRMED, country="FR", asns=(1, 2), service="signal")
    assert _overview(CONFIRMED, abroad) == (
        "Two services are blocked in three networks of two countries."
    )
    likely = EVENTS[world.LIKELY]
    assert _overview(likely) == (
        "No confirmed block, but Signal is likely blocked in one network in Russia."
    )
    assert _overview(likely, likely).startswith("No confirmed block, but two that are likely.")


def test_terms_are_parts_of_ten() -> None:
    for event in (*EVENTS.values(), replace(CONFIRMED, total=0, agreeing=0, control="none")):
        for term, said, parts in event_text.terms(event):
            assert term
            assert said
            assert 0 <= parts <= 10


def test_the_headline_says_exactly_what_is_concerned() -> None:
    """A web client that is cut off while messaging works is not the service; nor one network the
    country."""
    event = replace(CONFIRMED, targets=("wechat/web",), asns=(64501,))
    scoped = replace(event, targets_measured=2, networks_measured=2)
    assert event_text.headline(scoped, "WeChat") == (
        "WeChat's web client is blocked in one of two networks measured in Russia."
    )
    whole = replace(event, targets_measured=1, networks_measured=1)
    assert event_text.headline(whole, "WeChat") == "WeChat is blocked in one network in Russia."
    two = replace(scoped, targets=("wechat/api", "wechat/web"), targets_measured=3)
    assert event_text.subject(two, "WeChat") == "WeChat (API and web client)"
    many = replace(scoped, service="telegram", targets=("telegram/dc",))
    assert event_text.headline(many, "Telegram") == (
        "Telegram (data centres) is blocked in one of two networks measured in Russia."
    )


def test_every_function_of_the_catalogue_has_a_name() -> None:
    """Else a headline would say "WeChat's platform api hk is blocked", in every language."""
    targets = [each.id for one in catalogue.load().services for each in one.targets]
    assert len(targets) > 100
    assert {id for id in targets if id.partition("/")[2] not in event_text.FUNCTIONS} == set()


def test_an_event_that_clears_tells_the_numbers_of_then_and_of_now() -> None:
    event = replace(
        CONFIRMED, state=EventState.CLEARING, agreeing=3, total=3, now=Votes(0, 3), peak=Votes(3, 3)
    )
    assert "becoming reachable again" in event_text.headline(event, "WeChat")
    said = event_text.confidence_summary(event)
    assert said == "confirmed: 3 of 3 vantages at the peak, 0 of 3 now, control fine"
    assert any(each.startswith("Now 0 of 3 vantages see it") for each in event_text.doubts(event))
