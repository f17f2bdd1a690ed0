from hypothesis import given
from hypothesis import strategies as st

from monitor.follow.layout import HOUR_MS
from monitor.follow.schedule import LATE_MS, due, first_hour, hour_of

NOW = 500_000 * HOUR_MS + 7


def test_the_older_an_hour_the_more_rarely_it_is_listed_again() -> None:
    hours = due(NOW - 30 * 24 * HOUR_MS, NOW, {})
    assert len(hours) == 30 * 24 + 1
    listed = dict.fromkeys(hours, NOW)
    assert len(due(hours[0], NOW, listed)) == 6
    assert len(due(hours[0], NOW + HOUR_MS, listed)) == 48
    assert len(due(hours[0], NOW + 6 * HOUR_MS, listed)) == 7 * 24


@given(since=st.integers(0, NOW), through=st.integers(0, NOW), began=st.integers(0, NOW))
def test_no_hour_is_left_out_after_a_restart(since: int, through: int, began: int) -> None:
    first = first_hour(since, "a", (began, through, "a"))
    if began > since:
        assert first == hour_of(since)
    assert first <= max(hour_of(since), through)
    assert first_hour(since, "b", (began, through, "a")) == hour_of(since)


def test_what_is_stored_is_not_listed_again_beyond_late_files() -> None:
    since = NOW - 30 * 24 * HOUR_MS
    assert first_hour(since, "a", (since - 1, NOW, "a")) == hour_of(NOW - LATE_MS)
