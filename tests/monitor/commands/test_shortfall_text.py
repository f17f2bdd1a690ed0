"""What series lacked, in words."""

from __future__ import annotations

import pytest

from monitor.commands.shortfall_text import shortfall_lines
from monitor.detection.events.shortfalls import SeriesShortfall


def shortfall(lacked: str, **more: object) -> SeriesShortfall:
    values: dict[str, object] = {
        "target": "telegram/dc",
        "country": "KE",
        "asn": 64_500,
        "source": "ooni",
        "layer": "whole",
        "failed": 2,
        "not_counted": {},
        "round": 1_767_312_000_000,
        "holds": 6_240_000,
        "needs": 12_500_000,
        "lacked": lacked,
    }
    return SeriesShortfall(**(values | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lacked", "end"),
    [
        ("evidence", "6.2 of 12.5 nats"),
        ("density", "12.5 nats, lacked: too few of the runs since then failed"),
        ("young", "12.5 nats, lacked: enrolled too recently to count"),
        ("", "12.5 nats, lacked: nothing in that round, but it did not last"),
    ],
)
def test_a_line_names_the_condition(lacked: str, end: str) -> None:
    (line,) = shortfall_lines([shortfall(lacked)], 3)
    assert line.startswith("AS64500: failed in 2 rounds; nearest to an alarm 2026-01-02T00:00:00Z")
    assert line.endswith(end)


def test_a_closed_gate_is_told_with_how_often_it_was() -> None:
    behind = shortfall("service_down", not_counted={"service_down": 1}, failed=1, layer="tls")
    (line,) = shortfall_lines([behind], 3)
    assert line.startswith("AS64500 tls: failed in 1 round; ")
    assert line.endswith("nats; 1 not counted: the service fails from the control or in other "
                         "countries too")  # fmt: skip


def test_many_series_are_counted() -> None:
    assert shortfall_lines([shortfall("span")] * 5, 3)[-1].startswith("and 2 more series")
    assert len(shortfall_lines([shortfall("span")] * 3, 3)) == 3
