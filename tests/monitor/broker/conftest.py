from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.world.brokers import House, house

KINDS = (
    "embedded-5",
    "embedded-3.1.1",
    pytest.param("mosquitto-5", marks=pytest.mark.needs("mosquitto")),
    pytest.param("mosquitto-3.1.1", marks=pytest.mark.needs("mosquitto")),
)


@pytest.fixture(params=KINDS)
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    """Each broker of ours in turn."""
    async with house(request.param, tmp_path) as made:
        yield made


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[House]:
    async with house("embedded", tmp_path) as made:
        yield made
