# SPDX-License-Identifier: Apache-2.0
"""Modules that a library loads and that this probe never uses, left out to save memory."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType


@contextlib.contextmanager
def without(*modules: str) -> Iterator[None]:
    """Let what is loaded meanwhile find empty modules of these names, unless they are loaded."""
    absent = [name for name in modules if name not in sys.modules]
    sys.modules.update({name: ModuleType(name) for name in absent})
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
