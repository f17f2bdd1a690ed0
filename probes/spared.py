"""Imports without what is not needed: some libraries load modules, to find out what else is
installed, that nothing here ever asks of them. A small machine's memory is worth the care.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import ModuleType


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
