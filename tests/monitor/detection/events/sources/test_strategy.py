"""Which strategy a source has, and that each decides everything."""

from __future__ import annotations

import pytest

from monitor.detection.events.sources import STRATEGIES, strategy_of
from monitor.detection.events.sources.imported import ImportedStrategy
from monitor.detection.events.sources.own import OwnStrategy
from monitor.detection.events.sources.strategy import SourceStrategy
from monitor.detection.model import OWN_SOURCE


def test_our_own_vantages_have_their_strategy_and_every_other_source_is_an_import() -> None:
    assert isinstance(strategy_of(OWN_SOURCE), OwnStrategy)
    assert isinstance(strategy_of("ooni"), ImportedStrategy)
    assert isinstance(strategy_of("of a name that is not known"), ImportedStrategy)


def test_a_strategy_that_leaves_something_open_cannot_be_used() -> None:
    class Unfinished(SourceStrategy):
        control = "ok"

    with pytest.raises(TypeError, match="abstract"):
        Unfinished()  # type: ignore[abstract]
    assert all(isinstance(strategy, SourceStrategy) for strategy in STRATEGIES.values())
