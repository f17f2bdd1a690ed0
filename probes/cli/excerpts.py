# SPDX-License-Identifier: Apache-2.0
"""Whether the beginnings of unexpected pages are sent: asked at `join`, shown and changed by
`reachprobe excerpts`. They are sent only where the operator asks for them and the volunteer agreed.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from probes import state_directory
from probes.cli.terminal import agrees, show, volunteers_language
from probes.delivery import enrolment
from probes.delivery.enrolment import Enrolment
from probes.delivery.monitor_request import EnrolmentError
from probes.log import Log
from probes.words import say


class ExcerptChoice(StrEnum):
    """What holds for excerpts, and the key of its text in `words.toml`."""

    NOT_ASKED = "excerpts_not_asked"
    REFUSED = "excerpts_refused"
    SENT = "excerpts_sent"


def choice(directory: Path) -> ExcerptChoice:
    """Return what holds in a state directory."""
    try:
        enrolled = enrolment.load(directory)
    except EnrolmentError:
        enrolled = None
    if enrolled is None or not enrolled.excerpts:
        return ExcerptChoice.NOT_ASKED
    agreed = state_directory.is_marked(directory, state_directory.EXCERPTS)
    return ExcerptChoice.SENT if agreed else ExcerptChoice.REFUSED


def choose_at_join(chosen: Namespace, enrolled: Enrolment) -> None:
    """Record the choice of the command line; without one ask on a terminal. Raises StateError."""
    if not enrolled.excerpts:
        return
    language = volunteers_language()
    show(say(language, "excerpts_question"), sys.stderr)
    agreed = chosen.excerpts == "yes"
    if not chosen.excerpts and sys.stdin.isatty():
        agreed = agrees(language, "send_question")
    state_directory.set_mark(chosen.state, state_directory.EXCERPTS, agreed)
    _show_choice(chosen.state, sys.stderr)


def show_or_choose(chosen: Namespace, log: Log) -> int:
    """Print what holds, or choose."""
    if not chosen.state.is_dir():
        raise state_directory.StateError(
            f"{chosen.state}: no probe has run here: join first, or name its directory by --state"
        )
    if chosen.send:
        state_directory.set_mark(chosen.state, state_directory.EXCERPTS, chosen.send == "yes")
    _show_choice(chosen.state, sys.stdout)
    return 0


def _show_choice(directory: Path, stream: TextIO) -> None:
    language, held = volunteers_language(), choice(directory)
    print(say(language, held), file=stream)
    if held is ExcerptChoice.REFUSED:
        print(say(language, "excerpts_allow"), file=stream)
