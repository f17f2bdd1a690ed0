"""What the volunteer asked, as values."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.config import Wish


def test_only_the_directory_and_the_interval_must_be_said() -> None:
    wish = Wish(directory=Path("x"), interval_ms=300_000)
    assert (wish.budget_bytes, wish.asn, wish.brokers, wish.collector) == (0, None, (), "")


def test_it_cannot_be_changed_on_the_way() -> None:
    with pytest.raises(AttributeError):
        Wish(directory=Path("x"), interval_ms=1).interval_ms = 2  # type: ignore[misc]
