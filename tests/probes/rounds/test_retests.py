"""Which retests are obeyed: bounded whatever is asked, spread, and never twice."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from probes.rounds.retests import (
    HOUR_MS,
    MOST_AN_HOUR,
    MOST_TARGETS_AN_HOUR,
    SLACK_ROUNDS,
    SPREAD,
    Order,
    Retests,
    pause_ms,
)
from probes.wire.retest import Retest
from probes.wire.target import Endpoint, Target

MINUTE = 60_000
NOW = 1_800_000_000_000
ANY = (0, 2 * NOW)
"""As between two rounds of a probe that are years apart."""


def target(name: str) -> Target:
    return Target(id=name, endpoints=(Endpoint(host="a.test", port=443, protocol="tls"),))


TARGETS = {name: target(name) for name in (f"s{n}/web" for n in range(100))}


def asked(*names: str, round: int = NOW) -> Retest:
    return Retest(targets=names, round=round, interval_ms=MINUTE)


def admit(
    retests: Retests, asked: Retest, now: int, *, between: tuple[int, int] = ANY, **given: object
) -> Order | str:
    return retests.admit(asked, now, random.Random(1), between=between, **given)  # type: ignore[arg-type]


def measured(order: Order | str) -> list[str]:
    assert isinstance(order, Order), order
    return [each.id for each in order.targets]


def test_obeyed_within_a_quarter_of_the_round() -> None:
    retests, rng = Retests(TARGETS), random.Random(1)
    starts = set()
    for n in range(10):
        order = retests.admit(asked("s1/web", round=NOW + n), NOW, rng, between=ANY)
        assert isinstance(order, Order)
        assert (order.round_ms, order.interval_ms) == (NOW + n, MINUTE)
        assert order.until_ms == NOW + MINUTE
        starts.add(order.start_ms)
    assert len(starts) > 5
    assert all(NOW <= start <= NOW + SPREAD * MINUTE for start in starts)


def test_a_round_is_not_measured_twice() -> None:
    retests = Retests(TARGETS)
    assert measured(admit(retests, asked("s1/web", "s1/web"), NOW)) == ["s1/web"]
    assert isinstance(admit(retests, asked("s1/web"), NOW + 1), str)
    assert measured(admit(retests, asked("s2/web", "s1/web"), NOW + 1)) == ["s2/web"]


def test_unknown_targets_and_busy_ones_are_left_out() -> None:
    retests = Retests(TARGETS)
    order = admit(retests, asked("x/y", "s1/web", "s2/web"), NOW, busy={"s1/web"})
    assert measured(order) == ["s2/web"]
    assert isinstance(admit(retests, asked("x/y", round=NOW + MINUTE), NOW), str)


def test_another_time_is_refused() -> None:
    retests = Retests(TARGETS)
    far = SLACK_ROUNDS * MINUTE
    for off in (-far - 1, far + 1):
        assert "time" in str(admit(retests, asked("s1/web", round=NOW + off), NOW))
    for off in (-far, far):
        assert measured(admit(retests, asked("s1/web", round=NOW + off), NOW))


def test_a_round_of_its_own_answers_what_is_asked_for_it_or_before() -> None:
    last, following = NOW - 2 * MINUTE, NOW + 3 * MINUTE
    for round in (last - MINUTE, last, following, following + MINUTE):
        said = admit(
            Retests(TARGETS), asked("s1/web", round=round), round, between=(last, following)
        )
        assert "own" in str(said)
    for round in (last + MINUTE, following - MINUTE):
        assert measured(
            admit(Retests(TARGETS), asked("s1/web", round=round), round, between=(last, following))
        )


def test_a_probe_that_measures_as_often_anyhow_has_no_room_between_its_rounds() -> None:
    for last in range(NOW, NOW + 10 * MINUTE, MINUTE):
        for round in range(NOW, NOW + 10 * MINUTE, MINUTE):
            said = admit(
                Retests(TARGETS), asked("s1/web", round=round), round, between=(last, last + MINUTE)
            )
            assert isinstance(said, str)


def test_between_two_of_a_target_lies_the_residual_time() -> None:
    pause = pause_ms(5 * MINUTE, 180.0)
    assert 150_000 < pause < 180_000, "the detector keeps all of it; a message may be quicker"
    assert pause_ms(60 * MINUTE, 180.0) == pause
    assert pause_ms(MINUTE // 3, 180.0) < MINUTE // 3
    retests = Retests(TARGETS, pause)
    assert measured(admit(retests, asked("s1/web"), NOW))
    soon, later = NOW + pause - 1, NOW + pause
    assert measured(admit(retests, asked("s1/web", "s2/web", round=soon), soon)) == ["s2/web"]
    assert measured(admit(retests, asked("s1/web", round=later), later)) == ["s1/web"]


def test_the_budget_leaves_room_or_not() -> None:
    retests = Retests(TARGETS)
    assert measured(admit(retests, asked("s1/web", "s2/web"), NOW, room=1.5)) == ["s1/web"]
    assert isinstance(admit(retests, asked("s3/web"), NOW, room=0.5), str)
    assert measured(admit(retests, asked("s3/web"), NOW, room=1.5)) == ["s3/web"]


@given(
    st.lists(
        st.tuples(st.integers(0, 2 * HOUR_MS), st.lists(st.sampled_from(sorted(TARGETS)))),
        max_size=200,
    )
)
def test_no_flood_costs_more_than_the_bounds(flood: list[tuple[int, list[str]]]) -> None:
    retests = Retests(TARGETS)
    done: list[tuple[int, str]] = []
    for n, (after, names) in enumerate(sorted(flood)):
        if names:
            now = NOW + after
            order = admit(retests, asked(*names, round=now + n), now)
            done += [
                (now, name)
                for name in (measured(order) if order and not isinstance(order, str) else [])
            ]
    for end, _ in done:
        hour = [name for when, name in done if end - HOUR_MS < when <= end]
        assert len(hour) <= MOST_TARGETS_AN_HOUR
        assert all(hour.count(name) <= MOST_AN_HOUR for name in set(hour))


def test_after_an_hour_there_is_room_again() -> None:
    retests = Retests(TARGETS)
    for n in range(MOST_AN_HOUR):
        assert measured(admit(retests, asked("s1/web", round=NOW + n), NOW + n))
    late = NOW + HOUR_MS - 1
    assert isinstance(admit(retests, asked("s1/web", round=late), late), str)
    later = NOW + HOUR_MS + MOST_AN_HOUR
    assert measured(admit(retests, asked("s1/web", round=later), later))
