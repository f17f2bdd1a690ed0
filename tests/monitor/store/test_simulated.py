"""The mark of a demonstration's store, on both databases."""

from __future__ import annotations

import pytest

from monitor.store.database import Database
from monitor.store.engines import StoreRefusedError
from monitor.store.simulated import is_simulated, mark_simulated
from tests.monitor.store.samples import admitted


async def test_a_mark_stays_with_what_was_simulated(store: Database) -> None:
    assert not await is_simulated(store)
    await mark_simulated(store)
    await store.facts.add([admitted(1)], ())
    await mark_simulated(store)
    await store.conclusions.clear()
    assert await is_simulated(store)


async def test_what_was_measured_is_never_marked(store: Database) -> None:
    await store.facts.add([admitted(1)], ())
    with pytest.raises(StoreRefusedError, match="holds real measurements") as caught:
        await mark_simulated(store)
    assert "\n" not in str(caught.value)
    assert not await is_simulated(store)
