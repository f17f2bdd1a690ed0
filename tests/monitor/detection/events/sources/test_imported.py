"""What applies to imports alone."""

from __future__ import annotations

from msgspec.structs import replace

from monitor.detection.events.onset import Onset
from monitor.detection.events.sources.imported import ImportedStrategy
from monitor.detection.events.sources.own import OwnStrategy
from monitor.detection.events.state import Suspicion
from tests.monitor.detection.imported.test_gathering import event
from tests.monitor.detection.worlds import POLICY, START

IMPORTED = ImportedStrategy()
EARLIER = Onset(30, 29, 31)


def held(*sums: int) -> list[Suspicion]:
    return [Suspicion(list(sums), [0] * 3, [0] * 3)]


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
    short = replace(POLICY, imported_memory_seconds=60)
    assert IMPORTED.forgotten_before(START, short) == OwnStrategy().forgotten_before(START, short)
