"""Rests after work: as long as the processor time that it took, several times over."""

from __future__ import annotations

import itertools

import pytest

from monitor.detector.rest import Rest, Work

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


def test_a_rest_is_as_long_as_the_work_took_of_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spent = itertools.count(step=0.25)
    monkeypatch.setattr("monitor.detector.rest.time.process_time", lambda: next(spent))
    assert Work(8.0).rest(NOW) == Rest(NOW, NOW + 2000)
    assert not Work(0).rest(NOW).lasts(NOW)
