# SPDX-License-Identifier: Apache-2.0
"""Whether the beginnings of unexpected pages are sent: asked at `join`, shown and changed by
`reachprobe excerpts`. They are sent only where the operator asks for them and the volunteer agreed.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from enum import StrEnum
from pathlib import Path

from probes import state_directory
from probes.delivery import enrolment
from probes.delivery.enrolment import Enrolment
from probes.delivery.monitor_request import EnrolmentError
from probes.log import Log

_QUESTION = """
The operator of this monitor asks for excerpts: where something else answers instead of a service,
the title and the beginning of that page (at most 2 kB). They help to recognise block pages that
nobody knows yet. A page may show your address in a form that this program does not recognise.
Without excerpts it sends lengths and hashes of words, and which known block page it is.
"""
_CHANGE = "`reachprobe excerpts --send {choice}` changes that"


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
    print(_QUESTION, file=sys.stderr)
    agreed = chosen.excerpts == "yes"
    if not chosen.excerpts and sys.stdin.isatty():
        print("Send excerpts? Type yes, or anything else: ", end="", file=sys.stderr, flush=True)
        agreed = sys.stdin.readline().strip().lower() == "yes"
    state_directory.set_mark(chosen.state, state_directory.EXCERPTS, agreed)
    change = _CHANGE.format(choice="no" if agreed else "yes")
    print(f"excerpts are {'sent' if agreed else 'not sent'}; {change}", file=sys.stderr)


def show_or_choose(chosen: Namespace, log: Log) -> int:
    """Print what holds, or choose."""
    if not chosen.state.is_dir():
        raise state_directory.StateError(
            f"{chosen.state}: no probe has run here: join first, or name its directory by --state"
        )
    if chosen.send:
        state_directory.set_mark(chosen.state, state_directory.EXCERPTS, chosen.send == "yes")
    match choice(chosen.state):
        case ExcerptChoice.NOT_ASKED:
            print("not sent: the operator does not ask for excerpts")
        case ExcerptChoice.REFUSED:
            print("not sent: you did not agree; " + _CHANGE.format(choice="yes"))
        case ExcerptChoice.SENT:
            print("sent: the operator asks for excerpts and you agreed; "
                  + _CHANGE.format(choice="no"))  # fmt: skip
    return 0
