# SPDX-License-Identifier: Apache-2.0
"""The streams and the language of whoever watches."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TextIO

from probes.cli.layout import wrapped
from probes.words import language_of_terminal, say

WIDEST_CELLS = 100
"""Longer lines are hard to read, however wide the terminal is."""


def open_missing_streams() -> None:
    """Replace streams that were closed before the start. Otherwise their numbers would go to files
    that are opened later."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Open until the end.
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def volunteers_language() -> str:
    """The volunteer's language, from the locale; English where stdout cannot show that one."""
    language = language_of_terminal(os.environ)
    try:
        say(language, "offline").encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return "en"
    return language


def show(text: str, stream: TextIO) -> None:
    """Print paragraphs in lines that fit the terminal, and an empty line."""
    print(wrapped(text, min(WIDEST_CELLS, shutil.get_terminal_size().columns)) + "\n", file=stream)


def agrees(language: str, question: str) -> bool:
    """Ask whoever is at the terminal; only a yes agrees, in English or in their language."""
    print(say(language, question), end=" ", file=sys.stderr, flush=True)
    try:
        answer = sys.stdin.readline()
    except UnicodeDecodeError:
        return False
    return answer.strip().lower() in ("yes", say(language, "yes"))


def say_waiting(key: str) -> None:
    """Tell somebody who watches what a command waits for: a network that is silent takes long."""
    if sys.stderr.isatty():
        print(f"{say(volunteers_language(), key)} ...", file=sys.stderr, flush=True)
