# SPDX-License-Identifier: Apache-2.0
"""The streams and the language of whoever watches."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from probes.words import language_of, say


def open_missing_streams() -> None:
    """Replace streams that were closed before the start. Otherwise their numbers would go to files
    that are opened later."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Open until the end.
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def volunteers_language() -> str:
    """The volunteer's language, from the locale; English where stdout cannot show that one."""
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    language = language_of(next(filter(None, names), ""))
    try:
        say(language, "offline").encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return "en"
    return language


def say_waiting(words: str) -> None:
    """Tell somebody who watches what a command waits for: a network that is silent takes long."""
    if sys.stderr.isatty():
        print(f"{words} ...", file=sys.stderr, flush=True)
