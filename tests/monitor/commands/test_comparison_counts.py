"""Counts of agreements and differences, and their text."""

from __future__ import annotations

from monitor.commands.comparison_counts import EXAMPLES, ComparisonCounts, flags_text
from monitor.interop.ooni.differences import Accord, ComparedFunction, compare
from monitor.interop.ooni.keys import run_of
from monitor.interop.ooni.run import measurements
from tests.monitor.interop.samples import DC, connect, document, targets_by_name


def half_failed(country: str) -> ComparedFunction:
    tried = [connect(DC[0], 443), connect(DC[1], 443, "connection_reset")]
    made = document(tcp_connect=tried, telegram_tcp_blocking=False) | {"probe_cc": country}
    run = run_of(made, targets_by_name())
    (compared,) = compare(measurements(run, targets_by_name()))
    return compared


def test_examples_are_few_and_counts_are_whole() -> None:
    counts = ComparisonCounts()
    for _ in range(EXAMPLES + 3):
        counts.add(half_failed("KE"))
    counts.add(half_failed("UG"))
    assert counts.total(Accord.OURS_ALONE) == EXAMPLES + 4
    assert counts.rows() == [
        ("telegram", "KE", Accord.OURS_ALONE, "half_failed", EXAMPLES + 3),
        ("telegram", "UG", Accord.OURS_ALONE, "half_failed", 1),
    ]
    text = counts.text()
    assert text.count("telegram/dc tcp.reset (1/2 failed)") == EXAMPLES
    assert "and 4 more (--format csv)" in text


def test_the_whole_stands_below_its_countries() -> None:
    counts = ComparisonCounts()
    for country in ("UG", "KE"):
        counts.add(half_failed(country))
    assert [line.split()[1] for line in counts.text().splitlines()[-3:]] == ["KE", "UG", "all"]


def test_flags_read_as_in_json() -> None:
    assert flags_text({"a": True, "b": None, "c": "blocked"}) == "a=true b=null c=blocked"
