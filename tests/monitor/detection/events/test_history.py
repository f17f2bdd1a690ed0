from __future__ import annotations

import random
from collections.abc import Sequence

from msgspec.structs import replace

from monitor.detection.all_rules import RULES_VERSION
from monitor.detection.events import state as states
from monitor.detection.events.fold import initial
from monitor.detection.events.history import Folding, chunks, sort_events
from monitor.detection.fingerprints import Fingerprints
from monitor.detection.fingerprints.entry import Fingerprint
from monitor.detection.model import Stored
from monitor.detection.policy import Policy
from tests.monitor.fleet import INTERVAL, START, from_round, rounds
from tests.monitor.store.samples import event

POLICY = Policy()


def all_rounds(stored: Sequence[Stored]) -> list[int]:
    return sorted({one.measurement.round for one in stored})


def folded(stored: Sequence[Stored], cuts: int = 1) -> Folding:
    folding = Folding(initial("wechat"), POLICY)
    numbers = all_rounds(stored)
    size = -(-len(numbers) // cuts)
    for start in range(0, len(numbers), size):
        folding.fold(numbers[start : start + size], stored)
    return folding


def test_measurements_become_events_and_verdicts() -> None:
    stored = rounds(range(16), from_round(4))
    folding = folded(stored)
    (found,) = folding.events.values()
    assert (found.tier, found.rules_version) == ("confirmed", RULES_VERSION)
    assert found.catalogue_version == ""
    # A verdict for each measurement of a vantage; none for controls or liveness.
    assert len(folding.facts) == 16 * 5
    assert folding.state.round == START + 15 * INTERVAL


def test_order_and_cuts_do_not_matter() -> None:
    stored = rounds(range(20), from_round(4, 12))
    one = folded(stored)
    random.Random(1).shuffle(stored)
    other = folded(stored, cuts=5)
    assert states.encode(one.state) == states.encode(other.state)
    assert one.events == other.events
    assert one.facts == other.facts


def test_version_of_the_catalogue_reaches_the_event() -> None:
    stored = [
        replace(one, measurement=replace(one.measurement, catalogue="abc"))
        for one in rounds(range(12), from_round(4))
    ]
    (found,) = folded(stored).events.values()
    assert found.catalogue_version == "abc"


def test_loaded_fingerprints_reach_the_event_and_their_order_does_not() -> None:
    stored = rounds(range(12), from_round(4))
    rows = [
        Fingerprint(id=f"x{i}", scope="isp", where="body", how="contains", pattern=f"garden {i}")
        for i in range(3)
    ]
    known = [Fingerprints(rows), Fingerprints(rows[::-1])]
    foldings = [Folding(initial("wechat"), POLICY, keep=False, fingerprints=each) for each in known]
    for folding in foldings:
        folding.fold(all_rounds(stored), stored)
    (found,) = foldings[0].events.values()
    assert found.rules_version == f"{RULES_VERSION}+fp.{known[0].version}"
    assert foldings[0].events == foldings[1].events
    assert replace(found, rules_version=RULES_VERSION) in folded(stored).events.values()


def test_checkpoints_are_kept_where_an_hour_begins() -> None:
    folding = folded(rounds(range(125)))
    assert [round for round, _ in folding.checkpoints] == [
        START + 59 * INTERVAL,
        START + 119 * INTERVAL,
    ]
    assert [states.decode(raw).round for _, raw in folding.checkpoints] == [
        START + 59 * INTERVAL,
        START + 119 * INTERVAL,
    ]


def test_folding_on_from_a_checkpoint_is_folding_through() -> None:
    stored = rounds(range(80), from_round(55, 70))
    whole = folded(stored)
    ((round, raw),) = whole.checkpoints
    again = Folding(states.decode(raw), POLICY)
    again.fold([r for r in all_rounds(stored) if r > round], stored)
    assert states.encode(again.state) == states.encode(whole.state)
    assert list(again.events.values()) == list(whole.events.values())


def test_replay_keeps_no_verdicts() -> None:
    stored = rounds(range(70))
    folding = Folding(initial("wechat"), POLICY, keep=False)
    folding.fold(all_rounds(stored), stored)
    assert (folding.facts, folding.checkpoints) == ([], [])


def test_order_of_events() -> None:
    first, second = event("b" * 16, opened=1), event("a" * 16, opened=2)
    third = event("c" * 16, opened=2, service="zello")
    assert sort_events([third, second, first]) == [first, second, third]


def test_stretches_are_short_and_have_no_holes() -> None:
    hour, policy = 3_600_000, Policy()
    rounds = [0, 1, 2, hour + 2, 9 * hour, 9 * hour + 1]
    assert [list(part) for part in chunks(rounds, 3, policy)] == [
        [0, 1, 2],
        [hour + 2],
        [9 * hour, 9 * hour + 1],
    ]
    assert [list(part) for part in chunks(rounds[:4], 9, policy)] == [rounds[:4]]
    assert list(chunks([], 3, policy)) == []
