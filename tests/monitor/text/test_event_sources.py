"""On which witnesses an event rests, in words."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.model import EventState, Votes
from monitor.text.event_evidence import confidence_summary, doubts, reasons, terms
from monitor.text.event_sources import in_short, rests_on, witnesses
from tests.monitor.store.samples import event
from tests.world.scenery import HOUR, NOW

OWN = replace(event("0000000000000001", onset=NOW), agreeing=3, total=4, now=Votes(2, 4))
OONI = replace(
    OWN,
    id="0000000000000002",
    source="ooni",
    control="none",
    state=EventState.CLOSED,
    closed=NOW + 9 * HOUR,
    rule_counts=(("imported.tcp_timeout", 4), ("imported.tls_reset", 10)),
)


def test_each_kind_is_counted_in_its_own_way() -> None:
    assert witnesses(OWN) == "2 of 4 vantages"
    assert witnesses(OONI) == "14 failed measurements of OONI in 9 h"


@pytest.mark.parametrize(
    ("ours", "told"),
    [
        (0, "No vantage of ours is there."),
        (1, "1 vantage of ours is there and opened no event."),
        (3, "3 vantages of ours are there and opened no event."),
    ],
)
def test_what_rests_on_others_says_whether_ours_are_there(ours: int, told: str) -> None:
    first = "14 failed measurements of OONI in 9 h, without controls of ours."
    assert rests_on(OONI, None, ours) == (first, told)
    assert rests_on(OONI, OWN, ours) == (first, "And 2 of 4 vantages.")


def test_what_ours_see_names_the_others_beside_it() -> None:
    assert rests_on(OWN, None, 4) == ("2 of 4 vantages, compared with controls.",)
    assert rests_on(OWN, OONI, 4)[1] == "And 14 failed measurements of OONI in 9 h."


def test_what_clears_rests_on_those_who_saw_it() -> None:
    clearing = replace(OWN, state=EventState.CLEARING, now=Votes(0, 4))
    assert witnesses(clearing) == "0 of 4 vantages"
    assert rests_on(clearing, None, 4) == ("3 of 4 vantages, compared with controls.",)


def test_what_has_no_control_is_not_beside_controls() -> None:
    alone = replace(OWN, control="none", against=("control_by_runs_of_others", "no_control"))
    assert rests_on(alone, None, 4) == ("2 of 4 vantages; runs of OONI stand in for a control.",)


def test_lists_tell_what_is_not_ours_alone() -> None:
    assert in_short(OWN, None) == ""
    assert in_short(OWN, OONI) == "OONI shows it too"
    assert in_short(OONI, None) == "rests on OONI alone"
    assert in_short(OONI, OWN) == "vantages of ours saw it too"


def test_volunteers_of_others_are_no_vantages() -> None:
    said = [confidence_summary(OONI), reasons(OONI)[0], *(words for _, words, _ in terms(OONI))]
    said += doubts(OONI)
    assert doubts(OONI)[-1] == "The newest runs there do not show it."
    assert "vantage" not in " ".join(said)
