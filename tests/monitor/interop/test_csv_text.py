"""CSV that spreadsheets open."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from monitor.interop.csv_text import csv_text, inert


@given(st.text(max_size=30))
def test_no_cell_starts_like_a_formula(text: str) -> None:
    (row,) = csv.reader(io.StringIO(csv_text([["a", text]]), newline=""))
    cell = row[1]
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell.removeprefix("'") == text.removeprefix("'") or cell == text


def test_what_is_no_text_is_written_as_it_is() -> None:
    assert inert(None) == ""
    assert inert(-3) == -3
    assert csv_text([[True, False, None, 1]]) == "true,false,,1\r\n"  # as JSON has it
