"""What applies to imports alone."""

from __future__ import annotations

from msgspec.structs import replace

from monitor.detection.events.onset import Onset
from monitor.detection.events.sources.imported import ImportedStrategy
from monitor.detection.events.sources.own import OwnStrategy
from monitor.detection.events.state import (
    Baseline,
    Member,
    Series,
    Suspicion,
    Track,
    VantageOutcome,
)
from tests.monitor.detection.events.imported.test_incident import event
from tests.monitor.detection.events.test_series import network
from tests.monitor.detection.worlds import POLICY, START, Vantage, blocked, fact

IMPORTED = ImportedStrategy()
HOUR = 3_600_000
EARLIER = Onset(30, 29, 31, 30)


def held(*sums: int) -> list[Suspicion]:
    return [Suspicion(list(sums), [0] * 3, [0] * 3)]


def test_a_run_needs_no_control_and_all_runs_of_a_network_are_one_vantage() -> None:
    for place in (Vantage("p-1", "o-1", source="ooni"), Vantage("p-2", "o-2", source="ooni")):
        run = fact(place, START, blocked(), control=False)
        assert IMPORTED.outcome(run) is VantageOutcome.BAD
        assert OwnStrategy().outcome(run) is VantageOutcome.UNSUPPORTED
        assert (IMPORTED.probe_of(run), OwnStrategy().probe_of(run)) == ("ooni", place.probe)


def test_a_tally_rests_on_the_one_vantage_and_needs_more_than_one_of_ours() -> None:
    for nats, likely in (
        (POLICY.imported.imported_micronats, True),
        (POLICY.evidence.threshold_micronats, False),
    ):
        place = network("ooni")
        place.members["ooni"] = Member("ooni", 0, HOUR, START, VantageOutcome.BAD)
        held = Suspicion([nats] * 3, [START] * 3, [START - HOUR] * 3)
        place.layers["whole"] = Series({"ooni": Track(Baseline(100, 0), START - HOUR, START, held)})
        votes = IMPORTED.tally(place, "whole", START, POLICY)
        assert (votes.voting, votes.agreeing, votes.owners) == (("ooni",),) * 3
        assert (votes.holds, votes.needs) == (nats, POLICY.imported.imported_micronats)
        assert IMPORTED.evidence(place.layers["whole"].tracks["ooni"], POLICY) == nats
        assert (votes.likely, votes.signature) == (likely, False)


def test_a_tier_that_rises_begins_anew() -> None:
    risen = event(2, 70)
    assert IMPORTED.grown(event(1, 50), risen, True, EARLIER, ()) == risen


def test_a_network_in_which_nearly_every_run_fails_sets_the_onset_back() -> None:
    for sums, onset in ((held(9, 9, 9), 30), (held(9, 2, 0), 50)):
        best = [("telegram/dc", 2, sums)]
        both = IMPORTED.grown(event(1, 50), event(2, 30), False, EARLIER, best)
        assert (both.asns, both.onset) == ((1, 2), onset)
        assert both.onset_earliest <= both.onset <= both.onset_latest


def test_a_network_is_remembered_for_longer_than_a_vantage() -> None:
    assert IMPORTED.forgotten_before(START, POLICY) < OwnStrategy().forgotten_before(START, POLICY)
    short = replace(POLICY, imported=replace(POLICY.imported, imported_memory_seconds=60))
    assert IMPORTED.forgotten_before(START, short) == OwnStrategy().forgotten_before(START, short)
