import io
import logging

import pytest

from monitor.follow.report import Report, left_text
from tests.monitor.follow.samples import NEW_YEAR


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal() -> None:
    now, out = 100.0, Terminal()
    report = Report(out, lambda: now)
    now = 110.0
    report.progress(NEW_YEAR, 6, 24, 1000)
    assert (
        "[######..................] 2026-01-01 00:00, 6 of 24 hours, 1,000 runs" in out.getvalue()
    )
    assert "100 a second, 30 s left" in out.getvalue()


def test_lines_elsewhere_not_too_many(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    report = Report(io.StringIO(), lambda: 1.0)
    for hour in range(20):
        report.progress(NEW_YEAR, hour, 20, 1)
    report.wait("HTTP 503; tries again in 30 s")
    report.wait("HTTP 503; tries again in 30 s")
    assert report.waits
    report.wait("")
    assert [record.message for record in caplog.records] == [
        "2026-01-01 00:00, 0 of 20 hours, 1 runs, 1,000 a second",
        "waiting: HTTP 503; tries again in 30 s",
        "the source answers again",
    ]


def test_left() -> None:
    assert [left_text(seconds) for seconds in (5, 600, 9000)] == ["5 s", "10 min", "2.5 h"]
