"""A few seeds of losses, doubles, delays and kills; `./scripts/bench deliveries` plays more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.deliveries import play


@pytest.mark.parametrize("seed", range(20))
async def test_what_was_taken_is_stored_once_whatever_is_lost(seed: int, tmp_path: Path) -> None:
    assert await play(seed, tmp_path) > 0
