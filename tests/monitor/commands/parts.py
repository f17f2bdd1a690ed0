"""Work for processes of `in_processes`. They import this file, which imports nothing large."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from monitor.commands.replay_processes import Observe


def count(part: Sequence[str], observe: Observe) -> str:
    for done in range(3):
        observe(done, 3)
    return "+".join(part)


def fail(part: Sequence[str], observe: Observe) -> str:
    if "b" in part:
        raise ValueError("no such service: b")
    return ""


def die(part: Sequence[str], observe: Observe) -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def go_on(place: str, part: Sequence[str], observe: Observe) -> str:
    Path(place, f"{part[0]}.{os.getpid()}").touch()
    while True:
        observe(1, 2)
        signal.sigtimedwait([], 0.05)
