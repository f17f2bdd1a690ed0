# SPDX-License-Identifier: Apache-2.0
"""How measurements of each source are judged: beside liveness and controls, or alone. A further
source that is judged in its own way is one more entry in the table; what its verdicts mean for
events is said in `monitor.detection.events.sources`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from monitor.detection.fingerprints import Fingerprints
from monitor.detection.judge import imported_run
from monitor.detection.model import OWN_SOURCE, Verdict
from probes.wire.measurement import Measurement


class JudgedAlone(NamedTuple):
    """How a measurement is judged that has neither liveness nor a control beside it."""

    judge: Callable[[Measurement, Fingerprints], Verdict]
    method: Callable[[Iterable[object]], str]
    """`Fact.method`, by the observations."""


_IMPORTED = JudgedAlone(imported_run.judge, imported_run.method)
SOURCES: Mapping[str, JudgedAlone | None] = {OWN_SOURCE: None, "ooni": _IMPORTED}
"""By name of a source, as in `Stored.source`; None: beside liveness and controls."""


def judged_alone(source: str) -> JudgedAlone | None:
    """How measurements of a source are judged alone; None for those that are not. A source that is
    not in the table is an import like any other."""
    return SOURCES.get(source, _IMPORTED)
