"""Which retests are obeyed: bounded whatever is asked, spread, and never twice."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from probes.again import (
    HOUR_MS,
    MOST_AN_HOUR,
    MOST_TARGETS_AN_HOUR,
    SLACK_MS,
    SPREAD,
    Order,
    Retests,
)
from probes.wire.retest import Retest
from probes.wire.target import Endpoint, Target

MINUTE = 60_000
NOW = 1_800_000_000_000


def target(name: str) -> Target:
    return Target(id=name, endpoints=(Endpoint(host="a.test", port=443, protocol="tls"),))


TARGETS = {name: target(name) for name in (f"s{n}/web" for n in range(100))}


def asked(*names: str, round: int = NOW) -> Retest:
    return Retest(targets=names, round=round, interval_ms=MINUTE)


def measured(order: Order | str) -> list[str]:
    assert isinstance(order, Order), order
    return [each.id for each in order.targets]


def test_obeyed_within_a_quarter_of_the_round() -> None:
    retests, rng = Retests(TARGETS), random.Random(1)
    starts = set()
    for n in range(10):
        order = retests.admit(asked("s1/web", round=NOW + n * MINUTE), NOW, rng)
        assert isinstance(order, Order)
        assert (order.round_ms, order.interval_ms) == (NOW + n * MINUTE, MINUTE)
        starts.add(order.start_ms)
    assert len(starts) > 5
    assert all(NOW <= start <= NOW + SPREAD * MINUTE for start in starts)


def test_a_round_is_not_measured_twice() -> None:
    retests, rng = Retests(TARGETS), random.Random(1)
    assert measured(retests.admit(asked("s1/web", "s1/web"), NOW, rng)) == ["s1/web"]
    assert isinstance(retests.admit(asked("s1/web"), NOW + 1, rng), str)
    assert measured(retests.admit(asked("s2/web", "s1/web"), NOW + 1, rng)) == ["s2/web"]


def test_unknown_targets_and_busy_ones_are_left_out() -> None:
    retests, rng = Retests(TARGETS), random.Random(1)
    order = retests.admit(asked("x/y", "s1/web", "s2/web"), NOW, rng, busy={"s1/web"})
    assert measured(order) == ["s2/web"]
    assert isinstance(retests.admit(asked("x/y", round=NOW + MINUTE), NOW, rng), str)


def test_another_time_is_refused() -> None:
    retests, rng = Retests(TARGETS), random.Random(1)
    for off in (-2 * SLACK_MS, 2 * SLACK_MS):
        assert "time" in str(retests.admit(asked("s1/web", round=NOW + off), NOW, rng))


def test_the_budget_leaves_room_or_not() -> None:
    retests, rng = Retests(TARGETS), random.Random(1)
    assert measured(retests.admit(asked("s1/web", "s2/web"), NOW, rng, room=1.5)) == ["s1/web"]
    assert isinstance(retests.admit(asked("s3/web"), NOW, rng, room=0.5), str)


@given(
    st.lists(
        st.tuples(st.integers(0, 2 * HOUR_MS), st.lists(st.sampled_from(sorted(TARGETS)))),
        max_size=200,
    )
)
def test_no_flood_costs_more_than_the_bounds(flood: list[tuple[int, list[str]]]) -> None:
    retests, rng = Retests(TARGETS), random.Random(1)
    done: list[tuple[int, str]] = []
    for n, (after, names) in enumerate(sorted(flood)):
        if names:
            now = NOW + after
            order = retests.admit(asked(*names, round=now + n), now, rng)
            done += [
                (now, name)
                for name in (measured(order) if order and not isinstance(order, str) else [])
            ]
    for end, _ in done:
        hour = [name for when, name in done if end - HOUR_MS < when <= end]
        assert len(hour) <= MOST_TARGETS_AN_HOUR
        assert all(hour.count(name) <= MOST_AN_HOUR for name in set(hour))


def test_after_an_hour_there_is_room_again() -> None:
    retests, rng = Retests(TARGETS), random.Random(1)
    for n in range(MOST_AN_HOUR):
        assert measured(retests.admit(asked("s1/web", round=NOW + n), NOW + n, rng))
    late = NOW + HOUR_MS - 1
    assert isinstance(retests.admit(asked("s1/web", round=late), late, rng), str)
    later = NOW + HOUR_MS + MOST_AN_HOUR
    assert measured(retests.admit(asked("s1/web", round=later), later, rng))
