"""The daemon's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.config import AgentConfig


def test_only_the_directory_and_the_interval_are_required() -> None:
    config = AgentConfig(directory=Path("x"), interval_ms=300_000)
    assert (config.budget_bytes, config.asn, config.brokers, config.collector) == (0, None, (), "")


def test_it_cannot_be_changed_on_the_way() -> None:
    with pytest.raises(AttributeError):
        AgentConfig(directory=Path("x"), interval_ms=1).interval_ms = 2  # type: ignore[misc]
