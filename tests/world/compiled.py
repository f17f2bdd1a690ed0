"""Where the run keeps compiled Python, for programs that are started with an environment of their
own: to compile everything that they import takes them seconds each.
"""

from __future__ import annotations

import os


def compiled() -> dict[str, str]:
    """The variable that names the place, if the run has one."""
    name = "PYTHONPYCACHEPREFIX"
    return {name: os.environ[name]} if name in os.environ else {}
