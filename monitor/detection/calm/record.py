# SPDX-License-Identifier: Apache-2.0
"""What a suspicion remembers beside its sums, kept as a chain: a link a failure, and under the
links what was there before. Nobody reads it while the network is calm, so a failure costs one
link; it is told when the network wakes.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import msgspec

from monitor.detection.policy import Policy
from monitor.detection.sequence import cusum
from monitor.detection.sequence.state import Suspicion

Link = tuple["Record", int, int, str, str, int, str, bool, int]
"""What was before, round, started, id, rule, weight, technique, part, micro-nats."""
Record = bytes | Link | None
"""A suspicion without its sums, as bytes; a failure after others; nothing."""
LONGEST = 8
"""Links; a longer chain is told and kept as it is told."""
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Suspicion)


def kept(held: Suspicion) -> Record:
    """The record under a suspicion that is packed: itself without its sums."""
    base = copy(held)
    base.sums, base.onsets, base.befores = [], [], []
    base.misses = 0
    return _encoder.encode(base)


def told(record: Record, policy: Policy) -> Suspicion:
    """The suspicion that a record tells of, a new one; sums, onsets, befores and misses are not
    in it."""
    links = []
    while isinstance(record, tuple):
        links.append(record)
        record = record[0]
    held = Suspicion([], [], []) if record is None else _decoder.decode(record)
    for _, round, started, id, rule, weight, technique, part, nats in reversed(links):
        failure = cusum.Failure(
            id=id, started=started, rule=rule, weight=weight, technique=technique, part=part
        )
        cusum.note(held, round, failure, nats, policy)
        held.hits += 1
    return held


def shortened(records: Sequence[Record], policy: Policy) -> list[Record]:
    """The same records, none with a long chain."""
    return [kept(told(each, policy)) if _long(each) else each for each in records]


def _long(record: Record) -> bool:
    length = 0
    while isinstance(record, tuple):
        length += 1
        if length > LONGEST:
            return True
        record = record[0]
    return False
