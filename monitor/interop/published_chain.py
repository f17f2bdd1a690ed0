# SPDX-License-Identifier: Apache-2.0
"""The chain of what arrived as it is published: a hash for each day, for others to keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from monitor.store.arrival_chain import ChainDay
from monitor.store.days import date_of


class PublishedDay(msgspec.Struct, frozen=True, kw_only=True):
    """A day as `/api/v1/chain` gives it."""

    day: str
    batches: int
    hash: str


class PublishedChain(msgspec.Struct, frozen=True, kw_only=True):
    """Body of `/api/v1/chain`."""

    days: tuple[PublishedDay, ...]


def published(days: Iterable[ChainDay]) -> PublishedChain:
    """Return the chain as it is published."""
    rows = [
        PublishedDay(day=date_of(each.day).isoformat(), batches=each.batches, hash=each.hash.hex())
        for each in days
    ]
    return PublishedChain(days=tuple(rows))


def differences(days: Sequence[ChainDay], kept: PublishedChain) -> list[str]:
    """Return the days whose hash differs from the one that was published, a line each. The newest
    day that was published may have gone on, and is left out."""
    now: Mapping[str, str] = {each.day: each.hash for each in published(days).days}
    return [
        f"{each.day}: its hash is not the published one ({each.hash[:16]}…)"
        if each.day in now
        else f"{each.day}: was published, and is not in the store"
        for each in kept.days[:-1]
        if now.get(each.day) != each.hash
    ]
