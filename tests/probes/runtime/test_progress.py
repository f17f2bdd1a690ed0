"""The line that says how far long work is."""

from __future__ import annotations

import io

from probes.runtime.progress import ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_that_is_taken_away() -> None:
    out = Terminal()
    line = ProgressLine(out)
    line.clear()
    assert out.getvalue() == "", "there is no line to take away"
    line.show("1 of 2")
    line.show("2 of 2")
    line.clear()
    assert out.getvalue() == "\r1 of 2\x1b[K\r2 of 2\x1b[K\r\x1b[K"


def test_a_line_that_was_just_written_stays() -> None:
    out = Terminal()
    line = ProgressLine(out, seconds=3600)
    line.show("1 of 9")
    line.show("2 of 9")
    assert out.getvalue() == "\r1 of 9\x1b[K"


def test_elsewhere_nothing_is_written() -> None:
    out = io.StringIO()
    line = ProgressLine(out)
    line.show("1 of 2")
    line.clear()
    assert (out.getvalue(), line.shown) == ("", False)
