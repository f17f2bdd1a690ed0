from __future__ import annotations

from monitor.commands.terminal import table, time_text


def test_columns_are_aligned_without_trailing_spaces() -> None:
    assert table([("A", "LONG"), ("longer", "x"), ("", "")]) == ["A       LONG", "longer  x", ""]


def test_times_are_utc_to_the_second() -> None:
    assert time_text(1_800_000_000_999) == "2027-01-15T08:00:00Z"
