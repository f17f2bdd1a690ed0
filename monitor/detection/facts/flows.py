# SPDX-License-Identifier: Apache-2.0
"""Some connections die and others pass: a share of the flows is blocked, or one was just lost.

One measurement cannot tell a share of two percent from bad luck, and does not try: half or more of
several tries must have ended alike, while a harmless name passed every time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from monitor.detection.facts.kinds import Kind, reached

MANY = 3
"""So many tries must have died alike: a stray loss or two are none of a censor's business."""
BESIDE = 2
"""So many tries with a harmless name must have passed, and none died."""


def share_dies(kind: Kind, tries: Iterable[Kind]) -> bool:
    """Half or more of the tries ended in this way, and at least one passed."""
    seen = list(tries)
    died = sum(each is kind for each in seen)
    return Kind.OK in seen and died >= MANY and died * 2 >= len(seen)


def harmless_passes(kind: Kind, tries: Sequence[Kind]) -> bool:
    """A harmless name got through every time, or was refused by the server in its own way."""
    return len(tries) >= BESIDE and all(
        reached(each) or (each is Kind.ALERT and each is not kind) for each in tries
    )
