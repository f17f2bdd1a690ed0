"""Interference with plain HTTP."""

from __future__ import annotations

from tests.lab.cases.case import Case

CASES: tuple[Case, ...] = (
    Case("http.block_host", "blocked", ("http.blockpage",), "http.blockpage", ("http",)),
    Case(
        "http.unknown_page",
        "inconclusive",
        ("http.differs",),
        "http.blockpage",
        ("http",),
        evidence=("http_differs",),
    ),
    Case("http.451", "blocked", ("http.451",), "http.451", ("http",)),
    Case("http.redirect", "blocked", ("http.redirect",), "http.redirect", ("http",)),
    Case("http.reset", "blocked", ("http.reset.host",), "http.reset.host", ("http",)),
    Case("http.drop", "blocked", ("http.timeout.host",), "http.timeout.host", ("http",)),
)
