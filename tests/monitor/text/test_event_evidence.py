"""What an event rests on: every remark of the detector."""

from __future__ import annotations

import ast
import inspect

from msgspec.structs import replace

from monitor.detection.events import hypotheses, series_summary
from monitor.detection.events.sources import STRATEGIES
from monitor.detection.model import (
    Answer,
    ClosedGate,
    Contrasts,
    EventState,
    Tier,
    Votes,
)
from monitor.text import (
    event_evidence,
    event_headlines,
)
from monitor.text.words import when
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
    for strategy in STRATEGIES.values():
        made |= {
            *strategy.remarks(("helper", "other_networks", "runs_of_others")),
            *strategy.doubts,
        }
    made |= hypotheses.REMARKS
    assert made == set(event_evidence.AGAINST)


def test_the_first_line_gives_share_sureness_and_time() -> None:
    now = world.BLOCKED_SINCE + 134 * world.MINUTE
    said = event_evidence.scope(CONFIRMED, now)
    assert said.startswith("Confirmed: 3 of 3 vantages, control fine; since ")
    assert said.endswith("(2 h 14 min).")
    assert (
        event_evidence.manner(CONFIRMED) == "Connections are cut when the service’s name appears."
    )
    closed = event_evidence.scope(EVENTS[world.CLOSED], now)
    assert closed.startswith("Was blocked (confirmed): 3 of 3 vantages, control fine; from ")
    assert closed.endswith("(30 min).")
    slow = replace(EVENTS[world.CLOSED], technique="throttle.sni")
    assert event_evidence.scope(slow, now).startswith("Was throttled (confirmed): 3 of 3 ")
    why = event_evidence.manner(EVENTS[world.RETRACTED])
    assert "the service fails from the control or in other countries too" in why


def test_what_nobody_measures_now_is_not_said_to_go_on() -> None:
    (evidence,) = CONFIRMED.networks
    event = replace(CONFIRMED, networks=(replace(evidence, seen=CONFIRMED.onset + 90_000),))
    later = CONFIRMED.onset + 10 * 3_600_000
    assert "(10 h)" in event_evidence.scope(event, later)
    said = event_evidence.scope(event, later, watched=False)
    assert "10 h" not in said
    last = when(CONFIRMED.onset + 90_000)
    assert said.endswith(f"last seen {last}. Nobody measures it there now.")


def test_imported_measurements_are_of_unknown_vantages_and_owners() -> None:
    remarks = ("few_vantages", "no_control", "one_owner", "one_network")
    imported = replace(
        CONFIRMED,
        source="ooni",
        against=(*remarks, "no_quorum_for_imports", "control_by_other_networks"),
    )
    said = " ".join(event_evidence.doubts(imported))
    assert "may be down" not in said
    assert "one owner" not in said
    assert "few vantages" not in said
    assert "Only one network is affected." in said
    own = " ".join(event_evidence.doubts(replace(CONFIRMED, against=remarks)))
    assert "may be down" in own
    assert "one owner" in own


def test_doubts_are_never_empty_and_differ_between_silenced_and_withdrawn() -> None:
    assert event_evidence.doubts(replace(CONFIRMED, against=())) == [
        "No measurement contradicts it."
    ]
    assert any(
        "No alert is sent" in said for said in event_evidence.doubts(EVENTS[world.INHIBITED])
    )
    marked = replace(CONFIRMED, inhibited_by=ClosedGate.SERVICE_DOWN)
    assert any("It stays" in said for said in event_evidence.doubts(marked))
    withdrawn = event_evidence.doubts(EVENTS[world.RETRACTED])
    assert any("was retracted" in said for said in withdrawn)
    assert not any("paged" in said for said in withdrawn)
    some = event_evidence.doubts(replace(CONFIRMED, agreeing=2))
    assert "One of 3 vantages there did not see it." in some
    assert event_evidence.doubts(replace(CONFIRMED, against=("brand_new",)))[0] == "Brand new."


def test_a_likely_event_names_what_it_lacks() -> None:
    likely = replace(CONFIRMED, tier=Tier.LIKELY, confirmed=None, against=())

    def needs(hold: str) -> str:
        return (
            "It is not confirmed: that needs vantages of two to four owners in one network, and "
            f"that it holds for {hold}, by the times at which their measurements arrived as well."
        )

    assert event_evidence.doubts(likely) == [needs("4 min")]
    assert event_evidence.doubts(replace(likely, against=("untyped",)))[1] == needs("45 min")
    assert event_evidence.doubts(replace(likely, pace=10)) == [needs("24 s")]
    for other in (
        CONFIRMED,
        replace(likely, tier=Tier.UNCONFIRMED),
        replace(likely, state=EventState.CLOSED, closed=1),
        replace(likely, inhibited_by=ClosedGate.COUNTRY_DARK),
        # These can never be confirmed, and say so themselves.
        replace(likely, against=("no_quorum_for_imports",)),
        replace(likely, against=("network_divided",)),
    ):
        assert not any("not confirmed:" in said for said in event_evidence.doubts(other))


def test_what_is_confirmed_is_not_said_to_be_never_confirmed() -> None:
    """A network may turn out to be divided after the confirmation."""
    confirmed = replace(CONFIRMED, against=("network_divided",))
    likely = replace(confirmed, tier=Tier.LIKELY, confirmed=None)
    alone = "A block of a part of a network is not confirmed on that alone."
    assert alone in event_evidence.doubts(likely)
    assert "confirmed" not in " ".join(event_evidence.doubts(confirmed))


def test_another_explanation_comes_first() -> None:
    event = replace(CONFIRMED, against=("few_vantages", "one_network", "shared_line"))
    first, *rest = event_evidence.doubts(event)
    assert "share a line" in first
    assert rest == ["There are few vantages in these networks.", "Only one network is affected."]


def test_terms_are_parts_of_ten() -> None:
    for event in (*EVENTS.values(), replace(CONFIRMED, total=0, agreeing=0, control="none")):
        for term, said, parts in event_evidence.terms(event):
            assert term
            assert said
            assert 0 <= parts <= 10


def test_an_event_that_clears_tells_the_numbers_of_then_and_of_now() -> None:
    event = replace(
        CONFIRMED, state=EventState.CLEARING, agreeing=3, total=3, now=Votes(0, 3), peak=Votes(3, 3)
    )
    assert "becoming reachable again" in event_headlines.headline(event, "WeChat")
    said = event_evidence.confidence_summary(event)
    assert said == "confirmed: 3 of 3 vantages at the peak, 0 of 3 now, control fine"
    assert any(
        each.startswith("Now 0 of 3 vantages see it") for each in event_evidence.doubts(event)
    )


def test_where_an_address_that_fails_there_answered() -> None:
    at = world.BLOCKED_SINCE + world.MINUTE
    answers = tuple(
        Answer(f"192.0.2.{n}", "NL", 1136, at - n * world.MINUTE, True) for n in range(4)
    )
    networks = (replace(CONFIRMED.networks[0], contrasts=Contrasts(answers=answers)),)
    told = event_evidence.reasons(replace(CONFIRMED, networks=networks))
    untold = event_evidence.reasons(replace(CONFIRMED, networks=()))
    (first, second) = [sentence for sentence in told if "answered elsewhere" in sentence]
    assert not any("answered elsewhere" in sentence for sentence in untold)
    assert first.startswith("The address 192.0.2.0, which fails there, answered elsewhere: AS1136")
    assert f"Netherlands, {when(at)}" in first
    assert "192.0.2.1" in second


def test_the_end_is_told_with_its_range_where_that_is_known() -> None:
    first, last = world.BLOCKED_SINCE, world.BLOCKED_SINCE + 3 * world.MINUTE
    ended = replace(CONFIRMED, ended_earliest=first, ended_latest=last)
    said = event_evidence.end_range(ended)
    assert said == f"It ended between {when(first)} and {when(last)}."
    assert event_evidence.end_range(replace(ended, ended_earliest=None)) == ""
    assert event_evidence.end_range(CONFIRMED) == ""


def test_a_block_that_lets_more_pass_than_at_first_says_so() -> None:
    def with_shares(now: int | None, all_of_it: int) -> str:
        networks = tuple(
            replace(network, tier=CONFIRMED.tier, present_per_mille=now, dense_per_mille=all_of_it)
            for network in CONFIRMED.networks
        )
        return event_evidence.weaker(replace(CONFIRMED, networks=networks))

    assert with_shares(303, 800).startswith("Weaker than at first: 30 % of ")
    assert with_shares(None, 980) == ""
    assert with_shares(500, 520) == "", "it has let half pass all the time"
    closed = replace(EVENTS[world.CLOSED], networks=())
    assert event_evidence.weaker(closed) == ""


def test_techniques_that_differ_by_function_are_each_named_with_theirs() -> None:
    (first,) = CONFIRMED.networks
    other = replace(first, target="wechat/messaging", technique="tcp.timeout")
    both = replace(CONFIRMED, networks=(first, other))
    said = (
        "Connections are cut when the service’s name appears (web client); no reply from the "
        "service’s addresses (messaging)."
    )
    assert event_evidence.manner(both) == said
    third = replace(other, technique="dns.nxdomain")
    more = replace(both, networks=(first, other, third))
    assert event_evidence.manner(more) == said.replace("(messaging).", "(messaging); 1 more.")
    # What one vantage alone saw is no part of what the event says.
    alone = replace(other, tier=Tier.UNCONFIRMED)
    one = event_evidence.manner(CONFIRMED)
    assert event_evidence.manner(replace(both, networks=(first, alone))) == one
    assert event_evidence.manner(replace(both, networks=(other,))) == one


def test_what_is_taken_back_while_it_is_seen_has_no_end() -> None:
    """“from … to …” would say that it was reached again then, which nobody measured."""
    wrong = replace(CONFIRMED, state=EventState.RETRACTED, closed=None, ended_latest=None)
    said = event_evidence.scope(wrong, world.NOW)
    assert "; first seen 15 January 2027" in said
    assert said.endswith("UTC.")
    assert ", retracted 15 January 2027" in said
    reached = replace(wrong, ended_earliest=world.NOW - 1, ended_latest=world.NOW)
    assert "first seen" not in event_evidence.scope(reached, world.NOW)
