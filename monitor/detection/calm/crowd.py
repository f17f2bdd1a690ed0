# SPDX-License-Identifier: Apache-2.0
"""What `monitor.detection.sequence.gates` asks of everybody, asked of a block at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from monitor.detection.calm.block import CODE, GOOD, OUTCOMES, Block, Column
from monitor.detection.policy import Policy
from monitor.detection.sequence import gates
from monitor.detection.sequence.state import Case, Member, Network

FAILING, CUT_OFF, UNPROVEN = (
    sorted(map(CODE.__getitem__, words)) for words in (gates.FAILING, gates.CUT_OFF, gates.UNPROVEN)
)


def _known(block: Block) -> Column:
    """N: networks that are one."""
    unknown = [country == gates.UNKNOWN_COUNTRY for country in block.countries]
    found: Column = (block.asn != 0) & ~np.array(unknown, np.bool_)[block.place]
    return found


def grown(block: Block, round: int, policy: Policy) -> Column:
    """V: vantages that may be listened to at all."""
    aged = round - block.enrolled >= policy.ms(policy.vantage_min_age_seconds)
    known = _known(block)
    return aged if known.all() else aged & known[block.net]


def fresh(block: Block, round: int, policy: Policy) -> Column:
    """V: vantages whose newest outcome still describes the present round."""
    window = policy.ms(policy.control_window_seconds)
    found: Column = round - block.round <= np.maximum(window, 2 * block.interval)
    return found


def fares(
    block: Block, cases: Mapping[str, Case], round: int, policy: Policy
) -> dict[str, gates.Abroad]:
    """How the target fares here, by country."""
    counted = fresh(block, round, policy) & grown(block, round, policy)
    good = block.outcome == GOOD
    failing = np.isin(block.outcome, FAILING)
    counted &= (good | failing) & ~block.chronic.any(axis=0)
    speaking = _sums(block, counted)
    failed = _sums(block, counted & failing)
    seen = block.live & (speaking > 0)
    for number, country in enumerate(block.countries):
        case = cases.get(f"{country} {gates.PROBE}")
        if asns := gates.accounted(case, block.target, round, policy):
            seen &= ~((block.place == number) & np.isin(block.asn, list(asns)))
    most = seen & (2 * failed > speaking)
    size = len(block.countries)
    here = np.bincount(block.place[seen], minlength=size).tolist()
    down = np.bincount(block.place[most], minlength=size).tolist()
    vantages = np.zeros(size, np.int64)
    np.add.at(vantages, block.place[most], failed[most])
    return {
        country: gates.Abroad(*counts)
        for country, *counts in zip(block.countries, here, down, vantages.tolist(), strict=True)
        if counts[0]
    }


def _sums(block: Block, vantages: Column) -> Column:
    """N: how many vantages of each network are in a column of booleans."""
    return np.add.reduceat(vantages, block.first[:-1], dtype=np.int64)


def unproven(block: Block, round: int, policy: Policy) -> set[str]:
    """Countries in which the target fails together with its control in this round."""
    lost = np.isin(block.outcome, UNPROVEN)
    lost &= (block.round == round) & block.live[block.net] & grown(block, round, policy)
    places = np.unique(block.place[block.net[lost]])
    return {block.countries[place] for place in places.tolist()}


def members(block: Block, n: int) -> Network:
    """The n-th network with its members alone."""
    start, end = int(block.first[n]), int(block.first[n + 1])
    found = {
        block.probes[row]: Member(
            block.owners[row],
            int(block.enrolled[row]),
            int(block.interval[row]),
            int(block.round[row]),
            OUTCOMES[int(block.outcome[row])],
        )
        for row in range(start, end)
    }
    country = block.countries[int(block.place[n])]
    return Network(block.target, country, int(block.asn[n]), gates.PROBE, found)


def shut(
    block: Block,
    rows: Column,
    cases: Mapping[str, Case],
    counts: Mapping[str, gates.Abroad],
    stale: bool,
    round: int,
    policy: Policy,
) -> Column:
    """N: networks heard in this round (in `rows`) whose failures must not count. Replaces the
    block's `inhibited`."""
    heard = np.zeros(len(block.keys), np.bool_)
    heard[block.net[rows]] = True
    window = policy.ms(policy.control_window_seconds)
    excused = np.zeros(len(block.keys), np.bool_)
    for number, country in enumerate(block.countries):
        here = block.place == number
        if gates.down_abroad(counts, country, policy):
            until = round + np.maximum(window, block.usual)
            block.inhibited = np.where(here & heard, until, block.inhibited)
        case = cases.get(f"{country} {gates.PROBE}")
        if asns := gates.accounted(case, block.target, round, policy):
            excused |= here & np.isin(block.asn, list(asns))
    closed = heard & (round <= block.inhibited) & ~excused
    if stale:
        closed |= heard
    return closed | (heard & _dark(block, round, policy))


def _dark(block: Block, round: int, policy: Policy) -> Column:
    """N: networks of whose vantages most are offline."""
    counted = fresh(block, round, policy) & grown(block, round, policy)
    offline = _sums(block, counted & np.isin(block.outcome, CUT_OFF))
    dark: Column = offline * 1000 > policy.dark_per_mille * _sums(block, counted)
    for n in np.flatnonzero((offline > 0) & ~block.spread & block.live).tolist():
        dark[n] = gates.dark([members(block, n)], round, policy)
    return dark
