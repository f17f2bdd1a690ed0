"""Every kind of change in a sentence."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.model import (
    BY_OPERATOR,
    Change,
    ChangeKind,
    Difference,
)
from monitor.text import (
    event_history,
)
from tests.world import site as world

CONFIRMED = next(event for event in world.events() if event.id == world.CONFIRMED)


def test_an_import_tells_when_it_failed() -> None:
    (evidence,) = CONFIRMED.networks
    first = replace(evidence, spans=((10, 20, 30), (60, 70, 0)))
    other = replace(evidence, asn=2, spans=((25, 40, 45), (65, 80, 0)))
    imported = replace(CONFIRMED, source="ooni", networks=(first, other))
    assert event_history.phases(imported) == [(10, 45), (60, 80)]
    once = replace(imported, networks=(replace(first, spans=((10, 70, 0),)), other))
    assert event_history.phases(once) == []
    assert event_history.phases(CONFIRMED) == []


def test_history_in_words() -> None:
    said = [text for _, text in event_history.history(CONFIRMED)]
    assert said == [
        "First alarm: no reply from the service’s addresses.",
        "The technique changed: connections are cut when the service’s name appears (before: no "
        "reply from the service’s addresses); web client is affected too; the network AS64502 is "
        "no longer affected.",
        "Likely: enough vantages agree.",
        "Confirmed: it lasted.",
    ]


def test_an_import_has_no_vantages_in_its_history() -> None:
    ended = Change(round=9, kind=ChangeKind.CLOSED)
    imported = replace(CONFIRMED, source="ooni", history=(*CONFIRMED.history, ended))
    told = " ".join(text for _, text in event_history.history(imported))
    assert "no outage of the service explains it" in told
    assert told.endswith("Ended: no measurement has failed for days.")
    assert "vantage" not in told


def test_every_difference_has_a_sentence() -> None:
    everything = Difference(
        technique=("", "dns.nxdomain"),
        extent=("full", "partial"),
        targets_added=("wechat/messaging",),
        targets_removed=("wechat/web",),
        asns_added=(64502,),
        asns_removed=(64501,),
    )
    assert _told(Change(round=1, kind=ChangeKind.CHANGED, difference=everything)) == (
        "The technique changed: the resolver says that the name does not exist (before: unknown); "
        "now a part of it is affected; messaging is affected too; web client is no longer "
        "affected; the network AS64502 is affected too; the network AS64501 is no longer affected."
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (Change(round=1, kind=ChangeKind.OPENED), "First alarm."),
        (
            Change(round=1, kind=ChangeKind.LIKELY, divided=True),
            "Likely in a part of the network: vantages of several owners agree for long.",
        ),
        (Change(round=1, kind=ChangeKind.RETRACTED), "Retracted."),
        (
            Change(round=1, kind=ChangeKind.RETRACTED, cause=BY_OPERATOR),
            "Retracted: the operator of this monitor says so.",
        ),
        (Change(round=1, kind=ChangeKind.AGAIN), "It goes on: they fail again."),
    ],
)
def test_what_is_special_of_a_change_is_told(change: Change, sentence: str) -> None:
    assert _told(change) == sentence


def test_every_kind_of_change_has_a_sentence_of_its_own() -> None:
    sentences = {_told(Change(round=1, kind=kind)) for kind in ChangeKind}
    assert len(sentences) == len(ChangeKind)


def _told(change: Change) -> str:
    ((_, sentence),) = event_history.history(replace(CONFIRMED, history=(change,)))
    return sentence
