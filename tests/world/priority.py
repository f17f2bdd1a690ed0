"""What goes before the tests beside it: programs whose pace is bound to real time."""

from __future__ import annotations

import contextlib
import os


def go_first(pid: int = 0) -> None:
    """Give a process (0: this one), and the children that it starts from now on, the processor
    before others of the run. Where that is not allowed, nothing changes."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, -10)
