"""What the detector works on next, from progress and time alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from monitor.detection.events.fold import initial
from monitor.detection.policy import Policy
from monitor.detector import schedule
from monitor.detector.progress import ServiceProgress
from monitor.detector.rest import NO_REST, QUIET_MS, Rest
from monitor.store.records import StoredRound

POLICY = Policy()
MINUTE = 60_000
NOW = 1_790_000_000_000
QUIET = NOW - QUIET_MS
FOLDED = NOW - 10 * MINUTE
RESTS = Rest(NOW - 1, NOW + 1)
RECENT = 2 * POLICY.ms(POLICY.rounds.checkpoint_seconds)


def progress(
    *,
    late: int | None = None,
    next_check: int = schedule.NEVER,
    has_arrivals: bool = False,
    rest: Rest = NO_REST,
    refolded_at: int = 0,
    refold_rest: Rest = NO_REST,
    waiting: Sequence[StoredRound] = (),
) -> ServiceProgress:
    return ServiceProgress(
        replace(initial("wechat"), round=FOLDED),
        late=late,
        next_check=next_check,
        has_arrivals=has_arrivals,
        rest=rest,
        refolded_at=refolded_at,
        refold_rest=refold_rest,
        waiting={stored.round: stored for stored in waiting},
    )


@pytest.mark.parametrize(
    ("of", "arrived", "is_due"),
    [
        pytest.param(progress(), NOW, False, id="nothing arrived and no round is over"),
        pytest.param(progress(has_arrivals=True), NOW, True, id="something arrived"),
        pytest.param(progress(has_arrivals=True, rest=RESTS), NOW, False, id="it rests"),
        pytest.param(progress(has_arrivals=True, rest=RESTS), QUIET, True, id="and all is quiet"),
        pytest.param(progress(next_check=NOW), NOW, True, id="a round is over"),
        pytest.param(progress(next_check=NOW, rest=RESTS), NOW, True, id="over, even if it rests"),
        pytest.param(progress(next_check=NOW + 1), NOW, False, id="the round is not over yet"),
    ],
)
def test_which_services_are_looked_at(of: ServiceProgress, arrived: int, is_due: bool) -> None:
    assert list(schedule.due({"wechat": of}, NOW, arrived)) == (["wechat"] if is_due else [])


ROUNDS = [StoredRound(NOW - n * MINUTE, MINUTE, 5) for n in (3, 2, 1)]
OVER_AT = NOW + POLICY.ms(POLICY.rounds.round_close_seconds)
"""When the last of ROUNDS is over at the latest."""


@pytest.mark.parametrize(
    ("now", "complete", "over", "again"),
    [
        pytest.param(OVER_AT, (), 3, schedule.NEVER, id="all by their deadlines"),
        pytest.param(OVER_AT - 1, (), 2, OVER_AT, id="the last one is waited for"),
        pytest.param(OVER_AT - 1, ROUNDS[2:], 3, schedule.NEVER, id="the last one is complete"),
        pytest.param(NOW - 3 * MINUTE, ROUNDS[1:], 0, OVER_AT - 2 * MINUTE, id="in order, always"),
    ],
)
def test_rounds_up_to_the_first_that_is_not_over(
    now: int, complete: Sequence[StoredRound], over: int, again: int
) -> None:
    delivered = [stored.round for stored in complete]
    assert schedule.split(ROUNDS, now, POLICY, delivered.__contains__) == (
        ROUNDS[:over],
        ROUNDS[over:] if over < len(ROUNDS) else (),
        again,
    )


def test_late_facts_of_the_last_rounds_go_first_and_old_ones_one_service_at_a_time() -> None:
    services = {
        "z": progress(late=FOLDED),
        "a": progress(late=FOLDED - RECENT),
        "rests": progress(late=FOLDED, rest=RESTS),
        "old": progress(late=FOLDED - RECENT - 1, refolded_at=2, rest=RESTS),
        "longest": progress(late=FOLDED - RECENT - 1, refolded_at=1),
        "first of all, but it rests": progress(late=0, refold_rest=RESTS),
        "not late": progress(),
    }
    assert schedule.recently_late(services, NOW, NOW, POLICY) == ["a", "z"]
    assert schedule.longest_late(services, NOW, NOW, POLICY) == "longest"
    assert schedule.longest_late({"z": services["z"]}, NOW, NOW, POLICY) is None


def test_nothing_is_waited_for_when_nothing_arrives_any_more() -> None:
    services = {
        "recent": progress(late=FOLDED, rest=RESTS),
        "old": progress(late=FOLDED - RECENT - 1, refold_rest=RESTS),
    }
    assert schedule.recently_late(services, NOW, NOW, POLICY) == []
    assert schedule.longest_late(services, NOW, NOW, POLICY) is None
    assert schedule.recently_late(services, NOW, QUIET, POLICY) == ["recent"]
    assert schedule.longest_late(services, NOW, QUIET, POLICY) == "old"


def test_how_far_behind_it_is() -> None:
    some = progress(waiting=ROUNDS)
    assert schedule.behind([progress()], NOW) == (0, 0.0)
    assert schedule.behind([some, progress()], NOW) == (15, 120.0)
    assert schedule.behind([some, progress(late=NOW - 5 * MINUTE)], NOW) == (15, 300.0)
    assert schedule.behind([some], NOW - 60 * MINUTE) == (15, 0.0)
