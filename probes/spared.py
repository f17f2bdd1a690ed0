# SPDX-License-Identifier: Apache-2.0
"""A small machine's memory: imports without what is not needed, for some libraries load modules, to
find out what else is installed, that nothing here ever asks of them; and a collector that comes by
often.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import ModuleType

_THRESHOLDS = (500, 2, 2)
"""Python's own of 700, 10, 10 (2,000 in 3.13) let half a megabyte lie; these cost no time that can
be measured beside a connection, because there is little to look at."""


def settle() -> None:
    """Keep for good what is there now, modules and catalogue: the collector looks only at what a
    round leaves, and comes by often enough that little is left lying."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


@contextmanager
def sparing(*, absent: Collection[str] = (), empty: Collection[str] = ()) -> Iterator[None]:
    """Import inside this block without loading some modules, given by their full names.

    `absent` ones cannot be imported, for a library that goes on without them. `empty` ones have
    nothing in them, for one that asks for them at its top and looks only later, which here it never
    does. What is loaded already stays as it is; afterwards each can be imported as ever.
    """
    names = [name for name in (*absent, *empty) if name not in sys.modules]
    for name in names:
        sys.modules[name] = ModuleType(name) if name in empty else None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
