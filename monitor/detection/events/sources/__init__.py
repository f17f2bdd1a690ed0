# SPDX-License-Identifier: Apache-2.0
"""The kinds of sources, each with its strategy. A further kind is one more file beside `own` and
`imported`, and one entry in the table."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.detection.events.sources.imported import ImportedStrategy
from monitor.detection.events.sources.own import OwnStrategy
from monitor.detection.events.sources.strategy import SourceStrategy
from monitor.detection.model import OWN_SOURCE

_IMPORTED = ImportedStrategy()
STRATEGIES: Mapping[str, SourceStrategy] = {OWN_SOURCE: OwnStrategy(), "ooni": _IMPORTED}
"""By name of a source, as in `Stored.source`."""


def strategy_of(source: str) -> SourceStrategy:
    """The strategy of a source. One that is not in the table is an import like any other."""
    return STRATEGIES.get(source, _IMPORTED)
