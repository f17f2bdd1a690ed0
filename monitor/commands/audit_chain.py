# SPDX-License-Identifier: Apache-2.0
"""`reachwatch audit`, its second half: whether what arrived is still as it arrived."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from monitor.interop.published_chain import PublishedChain
from monitor.store.days import date_of
from monitor.store.reading.arrival_chain import CheckedPart, Integrity
from probes.runtime.options import OptionError

BAD = (Integrity.ALTERED, Integrity.MISSING, Integrity.ADDED)


def read_published(path: Path) -> PublishedChain:
    """Return an answer of `/api/v1/chain` that was kept in a file. Raises OptionError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=PublishedChain)
    except OSError as error:
        raise OptionError(f"--chain: {path}: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise OptionError(f"--chain: {path}: not the answer of /api/v1/chain: {error}") from None


def faults(parts: Iterable[CheckedPart]) -> list[str]:
    """Return what is wrong in the store, a line for each part of a day."""
    return [
        f"{date_of(each.part.day)}: {each.integrity}: of the batches of rounds of "
        f"{date_of(each.part.round_day)}, {each.part.batches} arrived and {each.found} are stored"
        for each in parts
        if each.integrity in BAD
    ]


def summary(parts: Sequence[CheckedPart]) -> str:
    """One line: what the hashes prove."""
    counts = dict.fromkeys(Integrity, 0)
    for each in parts:
        counts[each.integrity] += each.part.batches
    said = [f"batches stored as they arrived: {counts[Integrity.UNALTERED]:,}"]
    if bad := sum(counts[each] for each in BAD):
        said.append(f"in days that were altered: {bad:,}")
    if counts[Integrity.PRUNED]:
        said.append(f"dropped with their day, and not checked: {counts[Integrity.PRUNED]:,}")
    return "; ".join(said)
