"""Rests after work: as long as the processor time that it took, several times over."""

from __future__ import annotations

import itertools

import pytest

from monitor.detector.rest import QUIET_MS, Rest, Work

NOW = 1_790_000_000_000


@pytest.mark.parametrize(
    ("at", "lasts"),
    [
        pytest.param(NOW, True, id="begins"),
        pytest.param(NOW + 1999, True, id="lasts"),
        pytest.param(NOW + 2000, False, id="ends"),
        pytest.param(NOW - 3_600_000, False, id="a clock set back by an hour does not prolong it"),
    ],
)
def test_a_rest_has_a_beginning_and_an_end(at: int, lasts: bool) -> None:
    assert Rest(NOW, NOW + 2000).lasts(at) is lasts
    assert Rest(NOW, NOW + 2000).gathers(at, arrived=at) is lasts


@pytest.mark.parametrize(
    ("arrived", "gathers"),
    [
        pytest.param(NOW, True, id="just now"),
        pytest.param(NOW - QUIET_MS + 1, True, id="a moment ago"),
        pytest.param(NOW - QUIET_MS, False, id="nothing arrives any more"),
        pytest.param(NOW + 3_600_000, True, id="the clock was set back since"),
    ],
)
def test_a_rest_gathers_while_something_arrives(arrived: int, gathers: bool) -> None:
    assert Rest(NOW - 60_000, NOW + 60_000).gathers(NOW, arrived) is gathers


def test_nothing_is_rested_for_work_that_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = iter([0.0, 0.25, 5.25, 5.5])
    monkeypatch.setattr("monitor.detector.rest.time.process_time", lambda: next(spent))
    work = Work(8.0)
    with work.once():
        pass
    assert work.rest(NOW) == Rest(NOW, NOW + 4000)


def test_long_work_begins_again_after_as_long_a_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = iter([0.0, 10.0])
    monkeypatch.setattr("monitor.detector.rest.time.process_time", lambda: next(spent))
    rest = Work(8.0).rest(NOW)
    assert rest.gathers(NOW + 20_000, NOW + 10_001)
    assert not rest.gathers(NOW + 20_000, NOW + 10_000)


def test_a_rest_is_as_long_as_the_work_took_of_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spent = itertools.count(step=0.25)
    monkeypatch.setattr("monitor.detector.rest.time.process_time", lambda: next(spent))
    assert Work(8.0).rest(NOW) == Rest(NOW, NOW + 2000)
    assert not Work(0).rest(NOW).lasts(NOW)
