"""Log lines off a terminal are JSON, one object a line, whatever is logged."""

from __future__ import annotations

import json
import logging

from monitor.logs import JSONLines


def test_one_json_object_a_line() -> None:
    record = logging.LogRecord(
        "x", logging.WARNING, "f", 1, 'a "quoted"\nsecond line %s', ("\x1b[31m",), None
    )
    text = JSONLines().format(record)
    assert "\n" not in text
    row = json.loads(text)
    assert row["message"] == 'a "quoted"\nsecond line \x1b[31m'
    assert row["level"] == "warning"
    assert row["time"].endswith("Z")


def test_an_exception_is_in_its_line() -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        details = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "broken", (), details)
    assert "ValueError: no" in json.loads(JSONLines().format(record))["exception"]
