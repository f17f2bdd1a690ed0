"""The figures that the bench prints, on records made up for it."""

from __future__ import annotations

from typing import Any

from tests.lab.cases import BY_NAME
from tests.lab.confusion import FAILED, Confusion


def record(*said: tuple[str, str, str | None]) -> dict[str, Any]:
    """Verdicts (target, state, technique); `v` is the victim."""
    keys = ("target", "state", "technique")
    return {"victim": "v", "verdicts": [dict(zip(keys, each, strict=True)) for each in said]}


def test_what_was_said_as_promised_is_on_the_diagonal() -> None:
    seen = Confusion()
    seen.add(BY_NAME["tcp.drop"], record(("v", "blocked", "tcp.timeout"), ("b", "ok", None)))
    seen.add(BY_NAME["service_down"], record(("v", "down", None), ("b", "ok", None)))
    lines = seen.matrix.splitlines()
    assert lines[1].split() == ["1", "blocked", "tcp.timeout", "1", "."]
    assert lines[2].split() == ["2", "down", ".", "1"]
    assert seen.f1() == {"tcp.timeout": 1.0}
    assert "macro-F1 over 1 techniques: 1.000" in seen.figures


def test_every_kind_of_mistake_is_counted() -> None:
    seen = Confusion()
    seen.add(BY_NAME["tcp.drop"], record(("v", "blocked", "tcp.timeout")))
    seen.add(BY_NAME["tcp.drop"], record(("v", "blocked", "tcp.reset"), ("b", "ok", None)))
    seen.add(BY_NAME["tcp.drop"], record(("v", "inconclusive", "tcp.timeout")))
    seen.add(BY_NAME["tcp.drop"], {})
    seen.add(BY_NAME["service_down"], record(("v", "blocked", "tcp.timeout")))
    seen.add(BY_NAME["slow"], record(("v", "ok", None), ("b", "impaired", "tcp.reset")))
    assert seen.victims["blocked tcp.timeout", FAILED] == 1
    assert seen.victims["blocked tcp.timeout", "inconclusive"] == 1
    # tcp.timeout: one hit, three misses, one false alarm; tcp.reset: two false alarms.
    assert seen.f1() == {"tcp.reset": 0.0, "tcp.timeout": 2 / 6}
    assert seen.figures == (
        "laboratories: 6, with exactly what was promised: 2",
        "state right: 3 of 6",
        "macro-F1 over 2 techniques: 0.167",
        "benign trouble called blocking: 1 of 2",
        "bystanders accused: 1 of 2",
    )
