"""Answers that are data: what a browser saves, and what other sites may read."""

from __future__ import annotations

from monitor.web.answers import csv_file, json_answer, svg_answer


def test_csv_is_saved_under_a_name() -> None:
    answer = csv_file("events", "id\r\n", {"X-Given": "1"})
    assert (answer.text, answer.content_type, answer.charset) == ("id\r\n", "text/csv", "utf-8")
    assert answer.headers["Content-Disposition"] == ('attachment; filename="reachwatch-events.csv"')
    assert answer.headers["X-Given"] == "1"


def test_bytes_are_json_already() -> None:
    assert json_answer({"a": None}).body == b'{"a":null}'
    assert json_answer(b'{"a": 1}', 404).body == b'{"a": 1}'
    assert json_answer(b"{}", 404).status == 404


def test_other_sites_embed_pictures() -> None:
    answer = svg_answer("<svg/>")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
