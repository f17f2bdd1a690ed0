"""What an imported event keeps of what it was."""

from __future__ import annotations

import pytest

from monitor.detection.events.imported.incident import whole_incident
from monitor.detection.model import Event, EventState, NetworkEvidence, Tier


def evidence(asn: int, onset: int) -> NetworkEvidence:
    return NetworkEvidence(
        asn=asn,
        target="telegram/dc",
        layer="tcp",
        technique="tcp.timeout",
        tier=Tier.LIKELY,
        onset=onset,
        agreeing=1,
        voting=1,
        owners=1,
    )


def event(asn: int, onset: int) -> Event:
    return Event(
        id="x",
        service="telegram",
        country="KE",
        targets=("telegram/dc",),
        asns=(asn,),
        technique="tcp.timeout",
        extent="full",
        state=EventState.OPEN,
        tier=Tier.LIKELY,
        onset=onset,
        onset_earliest=onset - 1,
        onset_latest=onset + 1,
        opened=100,
        updated=100,
        agreeing=1,
        total=1,
        control="none",
        networks=(evidence(asn, onset),),
        against=("one_network",),
    )


def test_networks_stay_named_and_their_onsets_stay() -> None:
    both = whole_incident(event(1, 50), event(2, 70), {("telegram/dc", 2)})
    assert both.asns == (1, 2)
    assert (both.onset, both.onset_earliest, both.onset_latest) == (50, 49, 51)
    assert [(n.asn, n.onset) for n in both.networks] == [(1, 50), (2, 70)]
    assert (both.agreeing, both.against) == (2, ())
    later = whole_incident(both, event(1, 10), {("telegram/dc", 1)})
    assert later.onset == 50
    assert later.networks[0].onset == 50


@pytest.mark.parametrize(("sure", "onset"), [(True, 30), (False, 50)])
def test_only_a_network_that_is_sure_sets_the_onset_back(sure: bool, onset: int) -> None:
    joined = {("telegram/dc", 2)} if sure else set()
    both = whole_incident(event(1, 50), event(2, 30), joined)
    assert both.onset == onset
    assert both.onset_earliest <= both.onset <= both.onset_latest
