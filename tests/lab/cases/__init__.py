"""The cases as data, a file an area. A new area is a file here and a name in `_AREAS`; what the
trouble is made of stands under the same name in `tests.lab.troubles`.
"""

from __future__ import annotations

from tests.lab.cases import (
    addresses,
    answers,
    apps,
    benign,
    everybody,
    everyday,
    first,
    handshakes,
    lossy,
    names,
    partial,
    quic,
    throttling,
    traps,
    vantage,
)
from tests.lab.cases.case import DRAWN, Case, label

_AREAS = (
    names,
    addresses,
    handshakes,
    answers,
    everybody,
    vantage,
    partial,
    quic,
    throttling,
    apps,
    traps,
    benign,
    everyday,
    lossy,
)
CASES: tuple[Case, ...] = first.CASES
"""The first twelve."""
MORE: tuple[Case, ...] = tuple(case for area in _AREAS for case in area.CASES)
"""All the others."""
BY_NAME = {case.name: case for case in (*CASES, *MORE)}

__all__ = ["BY_NAME", "CASES", "DRAWN", "MORE", "Case", "label"]
