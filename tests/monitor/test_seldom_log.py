from __future__ import annotations

import logging

import pytest

from monitor.seldom_log import SeldomLog


def test_each_kind_once_a_minute_and_what_was_left_out(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    log = SeldomLog(logging.getLogger("x"), clock=lambda: now[0])
    for number in range(5):
        log.warning("%d strangers", number)
    log.warning("another kind")
    now[0] = 60.0
    log.warning("%d strangers", 9)
    assert [record.getMessage() for record in caplog.records] == [
        "0 strangers",
        "another kind",
        "9 strangers (and 4 more like this)",
    ]
