# SPDX-License-Identifier: Apache-2.0
"""What the present state is shown from: the newest verdict of each vantage on each target."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from monitor.detection.events.present import LatestVerdict
from monitor.detection.model import NEVER, Verdict
from monitor.store import tables as t
from monitor.store.cells import Where, load_vantages
from monitor.store.engines import ReadTransaction
from monitor.store.verdicts import RoundVerdicts, newest_frames, unpack

_REVISIONS = sa.select(t.revision.c.service, t.revision.c.number)


async def revisions(connection: ReadTransaction) -> Mapping[str, int]:
    """A number for each service that was ever judged; it grows whenever the conclusions about the
    service change."""
    return dict((await connection.execute(_REVISIONS)).all())


async def newest_verdicts(
    connection: ReadTransaction,
    service: str,
    since: int,
    vantages: dict[int, Where],
    until: int = NEVER,
) -> Sequence[LatestVerdict]:
    """The newest verdict of each vantage on each target of a service, in rounds from `since` on
    that began before `until`.

    `vantages` is what is known of them by number, and gets those that are missing. Of two verdicts
    in one round that of the later arrival counts. Sorted by target, country, network and probe.
    """
    frames = [frame async for frame in newest_frames(connection, service, since, until)]
    # In a thread: of a large service it takes 50 ms, in which others get their answers.
    rounds, numbers = await asyncio.to_thread(_unpacked, frames)
    await load_vantages(connection, numbers, vantages)
    return await asyncio.to_thread(_newest, rounds, {each: vantages[each] for each in numbers})


def _unpacked(
    frames: Sequence[tuple[str, int, bytes]],
) -> tuple[Sequence[tuple[int, RoundVerdicts]], set[int]]:
    """The rounds of some frames, and the numbers of the vantages in them."""
    rounds = [(at, unpack(frame)) for _, at, frame in frames]
    return rounds, set[int]().union(*(judged.vantages for _, judged in rounds))


def _newest(
    rounds: Sequence[tuple[int, RoundVerdicts]], vantages: Mapping[int, Where]
) -> Sequence[LatestVerdict]:
    # A large fleet has hundreds of thousands of verdicts, most of which are not the newest.
    newest: dict[str, dict[str, tuple[int, int, Verdict]]] = defaultdict(dict)
    targets = {said.target for _, judged in rounds for said in judged.verdicts}
    # Those of whom a verdict on every target is known: older rounds say nothing new of them.
    whole: set[int] = set()
    for round, judged in rounds:
        if whole.issuperset(judged.vantages):
            continue
        by_which = [(newest[said.target], said) for said in judged.verdicts]
        for number, which in zip(reversed(judged.vantages), reversed(judged.which), strict=True):
            by_probe, said = by_which[which]
            if (probe := vantages[number][0]) not in by_probe:
                by_probe[probe] = number, round, said
        if newest.keys() == targets:
            on_all = set.intersection(*map(set, newest.values()))
            whole = {number for number, (probe, *_) in vantages.items() if probe in on_all}
    places = sorted((country, asn, probe, n) for n, (probe, country, asn) in vantages.items())
    return [
        LatestVerdict(target, country, asn, probe, found[1], found[2])
        for target, by_probe in sorted(newest.items())
        for country, asn, probe, number in places
        # A probe that has moved has several numbers.
        if (found := by_probe.get(probe)) is not None and found[0] == number
    ]
